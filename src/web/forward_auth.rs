//! Forward-auth: `/auth/verify` and `/auth/envoy`, which decide for a reverse proxy whether a call may reach its upstream.
//!
//! The API's authentication runs first, so the credential, the rate limit and the error bodies are those of
//! `/api/v1`. What is left for this module is the scope: it needs the method of the call that the proxy received.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;

use super::AppState;
use super::context::RequestContext;
use super::error::{ApiError, ErrorCode};
use super::extract::caller_for;
use super::json::{HEADERS, json_response};
use super::small_bytes;
use crate::app::identity::{IdentityError, KEYS_MAX_AGE};
use keyhouse_domain::scope::Access;

/// Settings of the forward-auth endpoints: `[forward_auth]` in the configuration.
#[derive(Debug, Clone)]
pub struct ForwardAuth {
    /// Whether the endpoints exist at all.
    pub enabled: bool,
    /// The header that carries the key of the proxied call. Any other header is ignored, `Authorization` included.
    pub key_header: HeaderName,
}

impl Default for ForwardAuth {
    fn default() -> Self {
        Self { enabled: true, key_header: header::AUTHORIZATION }
    }
}

/// Headers that name the method of the proxied call: Caddy and Traefik send the first, nginx recipes the second.
///
/// A proxy sets only its own header and may pass on the client's copy of the other one, so every one that is present counts.
const METHOD_HEADERS: [&str; 2] = ["x-forwarded-method", "x-original-method"];

/// Headers that make some frameworks run another method than the one on the request line.
const OVERRIDE_HEADERS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

const TEAM: HeaderName = HeaderName::from_static("x-keyhouse-team");
const KEY: HeaderName = HeaderName::from_static("x-keyhouse-key");
const MODE: HeaderName = HeaderName::from_static("x-keyhouse-mode");
const SCOPE: HeaderName = HeaderName::from_static("x-keyhouse-scope");
const MAX_AGE: HeaderName = HeaderName::from_static("x-keyhouse-max-age");
const IDENTITY: HeaderName = HeaderName::from_static("x-keyhouse-identity");

/// Longest time in seconds that a client of these endpoints may reuse an answer: the bound on a revocation's delay.
const MAX_AGE_MAX: u64 = 3;

/// The path of [`verify`].
pub(super) const VERIFY: &str = "/auth/verify";

/// The templates of the routes below. The root service authenticates these and no other path under `/auth`; a route that is
/// missing here answers 500, because its handler finds no key.
const TEMPLATES: [&str; 4] = [VERIFY, "/auth/envoy", "/auth/envoy/", "/auth/envoy/{*path}"];

/// The templates of the routes that are authenticated.
pub(super) fn templates(settings: &ForwardAuth) -> &'static [&'static str] {
    if settings.enabled { &TEMPLATES } else { &[] }
}

pub(super) fn routes(state: &AppState) -> Router<AppState> {
    if !state.forward_auth.enabled {
        return Router::new();
    }
    Router::new()
        .route("/auth/verify", any(verify_request))
        // Envoy appends the call's path to this prefix. The wildcard matches no empty path.
        .route("/auth/envoy", any(envoy))
        .route("/auth/envoy/", any(envoy))
        .route("/auth/envoy/{*path}", any(envoy))
}

async fn verify_request(
    State(state): State<AppState>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    verify(&state, &context, request.headers())
}

/// For proxies that send a request of their own. The method of that request is unrelated to the proxied call.
pub(super) fn verify(state: &AppState, context: &RequestContext, headers: &HeaderMap) -> Result<Response, ApiError> {
    respond(state, context, forwarded_access(headers))
}

/// For Envoy's `ext_authz` over HTTP, which repeats the method and the path of the proxied call.
async fn envoy(State(state): State<AppState>, context: RequestContext, request: Request) -> Result<Response, ApiError> {
    let access =
        if is_read(request.method().as_str().as_bytes()) { override_access(request.headers()) } else { Access::Write };
    respond(&state, &context, access)
}

/// 200 with the caller's identity in headers, or 403 if the scope of the key does not permit `access`.
fn respond(state: &AppState, context: &RequestContext, access: Access) -> Result<Response, ApiError> {
    let (key, grant) = caller_for(context, access)?;
    let identity = state.app.sign_identity(&key, context.id())?;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(TEAM, small_bytes::header(&grant.tenant().team().to_ascii()));
    headers.insert(KEY, small_bytes::header(&key.id.to_ascii()));
    headers.insert(MODE, HeaderValue::from_static(key.mode.as_str()));
    headers.insert(SCOPE, HeaderValue::from_static(key.scope.as_str()));
    // Not Cache-Control: an HTTP cache between the proxy and this node must never store an answer about a credential.
    let max_age = state.app.lease_remaining().map_or(0, |left| left.as_secs().min(MAX_AGE_MAX));
    headers.insert(MAX_AGE, HeaderValue::from(max_age));
    if let Some(identity) = identity {
        headers.insert(IDENTITY, HeaderValue::try_from(identity).expect("a JSON Web Token is ASCII"));
    }
    let mut response = Response::new(axum::body::Body::empty());
    *response.headers_mut() = headers;
    Ok(response)
}

/// A read only if the proxy names at least one method and every header that could name one agrees that it is a read.
fn forwarded_access(headers: &HeaderMap) -> Access {
    let mut methods = METHOD_HEADERS.iter().flat_map(|name| headers.get_all(*name)).peekable();
    let is_named = methods.peek().is_some();
    if is_named && methods.all(|method| is_read(method.as_bytes())) { override_access(headers) } else { Access::Write }
}

/// A write if an override header names anything but a read: an upstream that obeys it would run that method.
fn override_access(headers: &HeaderMap) -> Access {
    let mut methods = OVERRIDE_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    if methods.all(|method| is_read(method.as_bytes())) { Access::Read } else { Access::Write }
}

/// Methods are case-sensitive (RFC 9110 section 9.1): `get` is not GET, and an upstream may treat it as anything.
fn is_read(method: &[u8]) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].iter().any(|read| read.as_str().as_bytes() == method)
}

/// `/.well-known/jwks.json`: the public keys that verify `X-Keyhouse-Identity` (RFC 7517). An empty set if it is off.
pub(super) async fn public_keys(State(state): State<AppState>) -> Response {
    let keys = serde_json::json!({ "keys": state.app.published_identity_keys() });
    let mut response = json_response(StatusCode::OK, keys.to_string());
    let max_age = format!("public, max-age={}", KEYS_MAX_AGE.as_secs());
    let max_age = HeaderValue::from_str(&max_age).expect("a number is ASCII");
    response.headers_mut().insert(header::CACHE_CONTROL, max_age);
    response
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Store(error) => error.into(),
            IdentityError::Off | IdentityError::WrongSecret | IdentityError::Announced(_) => {
                Self::new(ErrorCode::ServiceUnavailable).with_header(header::RETRY_AFTER, "1").with_source(error)
            }
        }
    }
}
