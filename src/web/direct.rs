//! Requests that are answered without a router: those that a node gets most, whose paths are fixed texts.
//!
//! For each request a router of axum boxes futures and fills a map of extensions, which takes longer than to describe a cached
//! key. The answers are made by the functions of the routes, which stay for the other methods. A test in `service/tests.rs`
//! compares both.

use axum::body::HttpBody;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};

use super::api::key;
use super::context::RequestContext;
use super::{AppState, forward_auth, health, small_bytes};

/// A request that needs no router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direct {
    Key,
    Verify,
    Alive,
}

impl Direct {
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::Key, Self::Verify, Self::Alive];

    /// Only GET: a router answers HEAD without a body, and other methods with what the path allows.
    pub(super) fn of(state: &AppState, method: &Method, path: &str) -> Option<Self> {
        match path {
            _ if method != Method::GET => None,
            key::PATH => Some(Self::Key),
            forward_auth::VERIFY if state.forward_auth.enabled => Some(Self::Verify),
            health::ALIVE => Some(Self::Alive),
            _ => None,
        }
    }

    /// The template of the route.
    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Key => key::PATH,
            Self::Verify => forward_auth::VERIFY,
            Self::Alive => health::ALIVE,
        }
    }

    /// The answer, once the request is authenticated.
    pub(super) fn respond(self, state: &AppState, context: &RequestContext, headers: &HeaderMap) -> Response {
        let mut response = match self {
            Self::Key => key::respond(context).into_response(),
            Self::Verify => forward_auth::verify(state, context, headers).into_response(),
            Self::Alive => health::alive().into_response(),
        };
        // As a router does: here, so that the header is at the same place among the others.
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, small_bytes::number(length));
        }
        response
    }
}
