//! The request context: what is learnt about a request on its way in, for everything that reports on it on the way out.
//!
//! The root service makes one for each request and puts it into the request's extensions. Layers and extractors add what
//! they find out; the access log, the metrics and the response headers read it. Nothing is inferred from the response.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;

use super::error::{ApiError, ErrorCode};
use crate::app::infra::metrics::ApiOutcome;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::AuthError;
use keyhouse_domain::ids::{KeyId, PersonId, RequestId};
use keyhouse_domain::rate_limit::Quota;
use keyhouse_domain::usage::Outcome;

/// One per request; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    id: RequestId,
    client_ip: IpAddr,
    route: OnceLock<Route>,
    /// The key of an authenticated API call.
    key: OnceLock<Arc<ApiKey>>,
    person: OnceLock<PersonId>,
    quota: OnceLock<Quota>,
    refusal: OnceLock<ApiOutcome>,
    refused_key: OnceLock<(KeyId, AuthError)>,
}

/// The template of a route.
#[derive(Debug)]
enum Route {
    /// As the root service has found it, before the router.
    Found(&'static str),
    /// As axum's router reports it.
    Matched(MatchedPath),
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Handles a request: lines that are logged meanwhile carry its id. Not an `async fn`, whose future would be twice as large.
pub(super) fn scope<F: Future>(id: RequestId, handle: F) -> tokio::task::futures::TaskLocalFuture<RequestId, F> {
    CURRENT.scope(id, handle)
}

/// The request that the current task is handling.
pub(crate) fn current_request() -> Option<RequestId> {
    CURRENT.try_with(|id| *id).ok()
}

/// Who makes a request, once that is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerId {
    Key(KeyId),
    Person(PersonId),
}

impl RequestContext {
    pub(super) fn new(id: RequestId, client_ip: IpAddr) -> Self {
        let (route, key, person, quota, refusal, refused_key) = Default::default();
        Self(Arc::new(Facts { id, client_ip, route, key, person, quota, refusal, refused_key }))
    }

    pub(crate) fn id(&self) -> RequestId {
        self.0.id
    }

    /// The client's address: the peer's, or what a trusted proxy says it is.
    pub(crate) fn client_ip(&self) -> IpAddr {
        self.0.client_ip
    }

    /// The template of the matched route; `None` if no route matched.
    pub(crate) fn route(&self) -> Option<&str> {
        match self.0.route.get()? {
            Route::Found(template) => Some(template),
            Route::Matched(path) => Some(path.as_str()),
        }
    }

    /// The template that the root service has matched itself, as it does for every route that takes a key.
    pub(super) fn found_route(&self) -> Option<&'static str> {
        match self.0.route.get()? {
            Route::Found(template) => Some(template),
            Route::Matched(_) => None,
        }
    }

    pub(crate) fn caller(&self) -> Option<CallerId> {
        let key = self.key().map(|key| CallerId::Key(key.id));
        key.or_else(|| self.0.person.get().copied().map(CallerId::Person))
    }

    /// The key of an authenticated API call.
    pub(crate) fn key(&self) -> Option<&Arc<ApiKey>> {
        self.0.key.get()
    }

    /// The rate limit's state after this call, for a call that was counted.
    pub(crate) fn quota(&self) -> Option<&Quota> {
        self.0.quota.get()
    }

    /// Why an API call was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<ApiOutcome> {
        self.0.refusal.get().copied()
    }

    /// The key whose token was sent, accepted or refused, and what became of the call with this status.
    pub(super) fn used_key(&self, status: u16) -> Option<(KeyId, Outcome)> {
        if let Some(&(key, why)) = self.0.refused_key.get() {
            return Some((key, Outcome::of_refusal(why)?));
        }
        let CallerId::Key(key) = self.caller()? else { return None };
        let outcome = match self.refusal() {
            Some(ApiOutcome::Scope) => Outcome::Scope,
            Some(ApiOutcome::RateLimit) => Outcome::RateLimit,
            // Refused right before the commit of a write.
            Some(ApiOutcome::Revoked) => Outcome::Revoked,
            Some(ApiOutcome::FormerToken | ApiOutcome::Expired) => Outcome::Expired,
            Some(ApiOutcome::Paused) => Outcome::Paused,
            Some(ApiOutcome::Address) => Outcome::Address,
            _ => Outcome::of_status(status),
        };
        Some((key, outcome))
    }

    // Each is set once; a second value for the same request is ignored.

    pub(super) fn set_route(&self, route: MatchedPath) {
        let _ = self.0.route.set(Route::Matched(route));
    }

    /// Sets the template of a route that the root service has matched itself.
    pub(super) fn set_found_route(&self, template: &'static str) {
        let _ = self.0.route.set(Route::Found(template));
    }

    pub(super) fn set_key(&self, key: Arc<ApiKey>) {
        let _ = self.0.key.set(key);
    }

    pub(crate) fn set_person(&self, person: PersonId) {
        let _ = self.0.person.set(person);
    }

    pub(super) fn set_quota(&self, quota: Quota) {
        let _ = self.0.quota.set(quota);
    }

    pub(super) fn set_refused_key(&self, key: KeyId, why: AuthError) {
        let _ = self.0.refused_key.set((key, why));
    }

    /// Notes that an API call is refused, where that is decided; the root service counts it once the call is answered.
    pub(crate) fn refuse(&self, why: ApiOutcome) {
        let _ = self.0.refusal.set(why);
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The root service is around every route: a request without a context is a programming error.
        let missing = || ApiError::new(ErrorCode::InternalError).with_source("a request outside the root service");
        parts.extensions.get().cloned().ok_or_else(missing)
    }
}
