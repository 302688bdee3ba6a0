//! A node's answer to a question about a call: whose key it carries, or why it is refused.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use keyhouse_token::Mode;

/// What the key of a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    ReadWrite,
    ReadOnly,
}

/// An admitted call's key. As an extractor it is present on every route below the [`KeyhouseLayer`](crate::KeyhouseLayer).
///
/// The node has checked the scope against the method already: a handler for POST never sees a read-only key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Id of the team that owns the key: `team_…`.
    pub team: String,
    /// Id of the key: `key_…`.
    pub key: String,
    pub mode: Mode,
    pub scope: Scope,
    /// The signed identity, if the node signs: a JWT that is good for 60 seconds.
    pub identity: Option<String>,
}

impl Grant {
    /// Reads the identity headers of an admitting answer; `None` if any is missing or unknown.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        Some(Self {
            team: text("x-keyhouse-team")?.to_owned(),
            key: text("x-keyhouse-key")?.to_owned(),
            mode: Mode::parse(text("x-keyhouse-mode")?)?,
            scope: match text("x-keyhouse-scope")? {
                "read_write" => Scope::ReadWrite,
                "read_only" => Scope::ReadOnly,
                _ => return None,
            },
            identity: text("x-keyhouse-identity").map(str::to_owned),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Grant {
    type Rejection = Refusal;

    /// # Errors
    ///
    /// 503 on a route that is not below the layer: a call is never admitted without the decision of a node.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::unavailable)
    }
}

/// The answer to a call that is not admitted.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// Headers of a node's answer that its caller should see.
const PASSED: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

impl Refusal {
    /// The node's own refusal: 401, 403 or 429.
    pub(crate) fn from_node(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let headers = PASSED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect();
        Self { status, headers, body }
    }

    /// 503: no node has decided about the call.
    pub(crate) fn unavailable() -> Self {
        let body = r#"{"error":{"type":"api_error","code":"service_unavailable","message":"The service can't answer right now; try again shortly","request_id":""}}"#;
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: vec![
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (header::RETRY_AFTER, HeaderValue::from_static("1")),
            ],
            body: body.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}
