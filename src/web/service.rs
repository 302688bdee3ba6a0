//! What every request passes first and every answer last: an id, the HTTP checks, one log line, one voice for errors.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, Request, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::ServiceExt;

use super::error::{ApiError, ErrorCode};
use super::middleware::client_ip;
use super::middleware::security_headers::set_security_headers;
use super::server::{self, HttpService};
use super::{AppState, dashboard};
use keyhouse_domain::ids::{KeyId, RequestId};

/// Longest request target, in bytes; a longer one is 414.
pub(super) const TARGET_MAX: usize = 8 * 1024;

/// Noted on an answer for the log: which route, and whose key.
#[derive(Debug, Clone, Default)]
pub(super) struct AccessLogFields {
    pub route: Option<MatchedPath>,
    pub key: Option<KeyId>,
}

/// Notes the matched route where the verdict's layer does not.
pub(super) async fn note_route(route: Option<MatchedPath>, request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(AccessLogFields { route, key: None });
    response
}

/// The house's one entrance: the public API's tree and everything else, told apart by path alone.
#[derive(Debug, Clone)]
pub struct RootService {
    state: AppState,
    /// All of `/api/v1`, unknown paths included: nothing in there is open by accident.
    api: Router,
    /// All of `/auth`.
    forward_auth: Router,
    site: Router,
}

impl RootService {
    pub(super) fn new(state: AppState, api: Router, forward_auth: Router, site: Router) -> Self {
        Self { state, api, forward_auth, site }
    }
}

impl HttpService for RootService {
    fn max_connections(&self) -> usize {
        server::max_connections()
    }

    /// Answers one request; a fault inside is a 500.
    async fn handle(&self, peer: SocketAddr, mut request: Request<Body>) -> Response {
        let id = self.state.app.ids().request();
        let began = self.state.app.clock().monotonic();
        let method = request.method().clone();
        let client = client_ip::address(peer.ip(), request.headers(), &self.state.trusted_proxies);
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(client);

        let is_forward_auth = has_path_prefix(request.uri().path(), "/auth");
        let is_api = is_forward_auth || has_path_prefix(request.uri().path(), "/api/v1");
        let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_page = accepts.is_some_and(|accepts| accepts.contains("text/html"));
        let door = match (is_forward_auth, is_api) {
            (true, _) => &self.forward_auth,
            (false, true) => &self.api,
            (false, false) => &self.site,
        };
        let mut response = match check(&request) {
            Err(error) => error.into_response(),
            Ok(()) => match AssertUnwindSafe(door.clone().oneshot(request)).catch_unwind().await {
                Ok(answer) => answer.unwrap_or_else(|never: Infallible| match never {}),
                // The panic hook has told the log what and where.
                Err(_) => ApiError::new(ErrorCode::InternalError).with_source("a panic").into_response(),
            },
        };

        let error = response.extensions().get::<Arc<ApiError>>().cloned();
        if let Some(error) = &error {
            // Programs get the envelope, people a page.
            let (body, media_type) = match is_api || !wants_page {
                true => (error.to_body(id), "application/json"),
                false => (dashboard::error_page(error, id), "text/html; charset=utf-8"),
            };
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            *response.body_mut() = if method == Method::HEAD { Body::empty() } else { Body::from(body) };
        }
        let headers = response.headers_mut();
        headers.insert("x-request-id", HeaderValue::try_from(id.to_string()).expect("an id is ASCII"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if !is_api {
            set_security_headers(&self.state, headers);
        }

        if *self.state.stopping.borrow() {
            // The client's next call is better off on another connection, to another node.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let took = self.state.app.clock().monotonic().saturating_sub(began);
        log(id, &method, client.0, &response, error.as_deref(), took);
        response
    }
}

/// One line a request: the route's template, never the path, the query or a header.
fn log(
    id: RequestId,
    method: &Method,
    client: IpAddr,
    response: &Response,
    error: Option<&ApiError>,
    took: std::time::Duration,
) {
    let noted = response.extensions().get::<AccessLogFields>().cloned().unwrap_or_default();
    let route = noted.route.as_ref().map_or("-", MatchedPath::as_str);
    let status = response.status().as_u16();
    let key = noted.key.map(tracing::field::display);
    let code = error.map(|error| error.code.code());
    let cause = error.and_then(|error| error.cause.as_ref()).map(tracing::field::display);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(target: "keyhouse::request", %method, route, status, micros, request_id = %id, %client, key, code, cause)
        };
    }
    if status >= 500 { line!(error) } else { line!(info) }
}

/// Whether a path is in the tree of `root`.
fn has_path_prefix(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What RFC 9112 asks of a request and hyper does not check.
fn check(request: &Request<Body>) -> Result<(), ApiError> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    if target > TARGET_MAX {
        return Err(ApiError::new(ErrorCode::UriTooLong));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let fault = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => "The request has more than one Host header",
        (None, None) if request.version() == Version::HTTP_11 => "The request has no Host header",
        (Some(host), None) if !is_host(host.as_bytes()) => "The Host header is not a host",
        _ => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::BadRequest).with_message(fault))
}

/// A host and perhaps a port; empty is allowed, a user in front is not.
fn is_host(bytes: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(bytes) else { return bytes.is_empty() };
    let rest =
        &authority.as_str()[authority.as_str().rfind(authority.host()).map_or(0, |at| at + authority.host().len())..];
    let port_fits = rest.is_empty() || rest == ":" || authority.port_u16().is_some();
    port_fits && !bytes.contains(&b'@') && !bytes.contains(&b',')
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::sync::watch;

    use super::super::middleware::authenticate::AuthLayer;
    use super::*;
    use crate::app::App;
    use crate::app::infra::clock::Clock;
    use crate::app::infra::rng::Rng;
    use keyhouse_domain::api_key::{KeyName, NewKey};
    use keyhouse_domain::permission::KeyAdmin;
    use keyhouse_domain::person::Email;
    use keyhouse_domain::scope::Scope;
    use keyhouse_domain::team::TeamName;
    use keyhouse_store::{Location, Store};
    use keyhouse_token::Mode;

    async fn boom() -> StatusCode {
        panic!("a fault in a handler, for the test")
    }

    /// Whatever a handler does, its caller hears 500 and everybody else is served as before.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_a_handler_is_one_500() {
        let folder = tempfile::tempdir().unwrap();
        let place = Location::Folder(folder.path().to_owned());
        let (store, brand, _) = Store::migrate_and_open(&place, None).await.unwrap();
        let app = App::new(store, brand, Clock::System, Rng::System, Default::default());
        let owner = Email::parse("ada@example.com").unwrap();
        let team = app.create_team("tester", &TeamName::parse("Acme").unwrap(), &owner).await.unwrap();
        let new = NewKey { name: KeyName::parse("K").unwrap(), mode: Mode::Test, scope: Scope::ReadOnly };
        let key = app.create_key(&KeyAdmin::shell("tester", team.id), new).await.unwrap();
        let state = AppState {
            app,
            trusted_proxies: [].into(),
            public_url: None,
            forward_auth: Default::default(),
            stopping: watch::channel(false).1,
        };
        let routes = |root: &str| {
            Router::new().route(&format!("{root}/boom"), get(boom)).route(&format!("{root}/fine"), get(async || "fine"))
        };
        let front = RootService::new(
            state.clone(),
            routes("/api/v1").layer(AuthLayer(state, header::AUTHORIZATION)),
            Router::new(),
            routes(""),
        );
        let ask = async |path: &str| {
            let token = format!("Bearer {}", key.token.expose());
            let request = Request::get(path).header("host", "a").header("authorization", token);
            let peer = SocketAddr::from(([203, 0, 113, 7], 1));
            front.handle(peer, request.body(Body::empty()).unwrap()).await.status().as_u16()
        };
        for path in ["/boom", "/fine", "/api/v1/boom", "/api/v1/fine"] {
            assert_eq!(ask(path).await, if path.ends_with("boom") { 500 } else { 200 }, "{path}");
        }
        assert!(front.state.app.metrics_text().unwrap().contains("keyhouse_calls_admitted_total 2"));
    }
}
