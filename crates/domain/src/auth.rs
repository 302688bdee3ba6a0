//! The result of authentication: a grant for an accepted key, an error for any other credential.

use std::net::IpAddr;

use super::ids::{KeyId, TeamId};
use super::scope::Scope;
use keyhouse_token::{Mode, TokenError};

/// Proof that a request has a key whose scope permits it. Only [`ApiKey::grant`](crate::api_key::ApiKey::grant) makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    key: KeyId,
    token: u32,
    scope: Scope,
    tenant: Tenant,
    client: IpAddr,
}

impl Grant {
    pub(crate) fn new(key: KeyId, token: u32, scope: Scope, tenant: Tenant, client: IpAddr) -> Self {
        Self { key, token, scope, tenant, client }
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// The key of the request.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The number of the key's token that the request carried.
    pub fn token(&self) -> u32 {
        self.token
    }

    /// The scope of that key.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whose data the request may touch.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// A team and a mode: the part of the data that a query may touch. Every query of products takes one, so that none can
/// reach another team's data or the other mode's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant {
    team: TeamId,
    mode: Mode,
}

impl Tenant {
    /// Only a key or a member's permit makes one.
    pub(crate) fn new(team: TeamId, mode: Mode) -> Self {
        Self { team, mode }
    }

    /// The team.
    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Why a request was not authenticated. The client gets the same 401 for each; the log and the metrics have the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no `Authorization` header.
    #[error("no credential sent")]
    Missing,
    /// There are several.
    #[error("more than one Authorization header")]
    Replayed,
    /// The scheme is not `Bearer`.
    #[error("not a Bearer credential")]
    Scheme,
    /// The token does not have the form of one.
    #[error("malformed token: {0}")]
    Malformed(#[from] TokenError),
    /// No key has this token.
    #[error("unknown token")]
    Unknown,
    /// The key was revoked.
    #[error("revoked key")]
    Revoked,
    /// The token was replaced by a rotation, and its time is over.
    #[error("former token of a key that was rotated")]
    FormerToken,
    /// The key has expired.
    #[error("expired key")]
    Expired,
    /// The key is paused.
    #[error("paused key")]
    Paused,
    /// The client's address is outside the key's allowed networks.
    #[error("address outside the key's allowed networks")]
    Address,
}

impl AuthError {
    /// The value of the metrics' `reason` label.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Replayed => "repeated",
            Self::Scheme => "scheme",
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::FormerToken => "former_token",
            Self::Expired => "expired",
            Self::Paused => "paused",
            Self::Address => "address",
        }
    }

    /// Whether a token was sent and refused. Such a request counts toward the limit on refused tokens of its network; one
    /// without a credential does not, and its challenge names no error (RFC 6750, section 3.1).
    pub fn is_failed_attempt(self) -> bool {
        match self {
            Self::Missing | Self::Replayed | Self::Scheme => false,
            Self::Malformed(_)
            | Self::Unknown
            | Self::Revoked
            | Self::FormerToken
            | Self::Expired
            | Self::Paused
            | Self::Address => true,
        }
    }
}
