//! Labels of the metrics. Each set of values is one list.

use prometheus_client::encoding::EncodeLabelSet;

use keyhouse_domain::auth::AuthError;

/// What became of an API call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ApiOutcome {
    /// The key may act, within its rate limit and scope; the handler answered.
    Admitted,
    /// 401: no credential.
    Missing,
    /// 401: several Authorization headers.
    Repeated,
    /// 401: not a Bearer credential.
    Scheme,
    /// 401: not a well-formed token.
    Malformed,
    /// 401: no key has this token.
    Unknown,
    /// 401: the key is revoked.
    Revoked,
    /// 401: the token was replaced by a rotation, and its time is over.
    FormerToken,
    /// 401: the key has expired.
    Expired,
    /// 401: the key is paused.
    Paused,
    /// 401: the client's address is outside the key's allowed networks.
    Address,
    /// 429: too many refused credentials from this network.
    BadTokens,
    /// 429: the key's rate limit.
    RateLimit,
    /// 403: a write with a read-only key.
    Scope,
    /// 503: the key's record can't be read.
    Unavailable,
}

impl ApiOutcome {
    pub(super) const ALL: [Self; 15] = [
        Self::Admitted,
        Self::Missing,
        Self::Repeated,
        Self::Scheme,
        Self::Malformed,
        Self::Unknown,
        Self::Revoked,
        Self::FormerToken,
        Self::Expired,
        Self::Paused,
        Self::Address,
        Self::BadTokens,
        Self::RateLimit,
        Self::Scope,
        Self::Unavailable,
    ];

    pub(super) const fn as_label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Scheme => "scheme",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::FormerToken => "former_token",
            Self::Expired => "expired",
            Self::Paused => "paused",
            Self::Address => "address",
            Self::BadTokens => "bad_tokens",
            Self::RateLimit => "rate_limit",
            Self::Scope => "scope",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<AuthError> for ApiOutcome {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::Missing,
            AuthError::Replayed => Self::Repeated,
            AuthError::Scheme => Self::Scheme,
            AuthError::Malformed(_) => Self::Malformed,
            AuthError::Unknown => Self::Unknown,
            AuthError::Revoked => Self::Revoked,
            AuthError::FormerToken => Self::FormerToken,
            AuthError::Expired => Self::Expired,
            AuthError::Paused => Self::Paused,
            AuthError::Address => Self::Address,
        }
    }
}

/// Where the record of a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LookupSource {
    /// Memory, under a valid lease.
    Cache,
    /// A query that another call had begun.
    Shared,
    /// A query of its own.
    Database,
}

impl LookupSource {
    pub(super) const ALL: [Self; 3] = [Self::Cache, Self::Shared, Self::Database];

    pub(super) const fn as_label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Shared => "shared",
            Self::Database => "database",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

/// A route's template; `-` where no route matched, so that unknown paths share one series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabel {
    route: String,
}

impl RouteLabel {
    pub(super) fn new(route: &str) -> Self {
        Self { route: route.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HttpLabels {
    route: String,
    method: &'static str,
    status: u16,
}

impl HttpLabels {
    pub(super) fn new(route: &str, method: &'static str, status: u16) -> Self {
        Self { route: route.to_owned(), method, status }
    }
}

/// A method that HTTP does not define is `other`: callers can't create labels.
pub(crate) fn method_label(method: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    known.into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_the_number_of_its_counter() {
        assert!(ApiOutcome::ALL.iter().enumerate().all(|(n, outcome)| *outcome as usize == n));
        assert!(LookupSource::ALL.iter().enumerate().all(|(n, source)| *source as usize == n));
    }
}
