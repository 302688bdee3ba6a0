//! The root service: everything around the two routers. `web/mod.rs` lists its layers in order.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::ServiceExt;
use tracing::Instrument;

use super::AppState;
use super::context::{CallerId, RequestContext};
use super::error::{ApiError, ErrorCode};
use super::middleware::render_error::{ErrorFormat, render_error};
use super::middleware::security_headers::set_security_headers;
use super::middleware::{access_log, client_ip, http_check};
use super::server::HttpService;
use super::theme::{self, Theme};
use crate::app::infra::metrics::{ApiOutcome, method_label};
use crate::app::usage::Call;
use keyhouse_domain::rate_limit::Quota;

/// The three routers, distinguished by path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// `/api/v1/**`
    Api,
    /// `/auth/**`
    ForwardAuth,
    /// Everything else.
    Site,
}

impl Tree {
    fn of(path: &str) -> Self {
        let is_in = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match () {
            () if is_in("/api/v1") => Self::Api,
            () if is_in("/auth") => Self::ForwardAuth,
            () => Self::Site,
        }
    }
}

/// Sends each request to the router of its [`Tree`]. A service by hand rather than a stack of layers: every request pays for
/// it, and a boxed layer costs about 1 µs of the 6 µs that a call takes.
#[derive(Debug, Clone)]
pub struct RootService {
    state: AppState,
    /// All of `/api/v1`, unknown paths included, so that nothing under it is reachable without a key by accident.
    api: Router,
    /// All of `/auth`.
    forward_auth: Router,
    site: Router,
    /// Whether a proxy that is missing in `trusted_proxies` was logged: once is enough.
    has_warned_of_proxy: Arc<AtomicBool>,
}

impl RootService {
    pub(super) fn new(state: AppState, api: Router, forward_auth: Router, site: Router) -> Self {
        Self { state, api, forward_auth, site, has_warned_of_proxy: Arc::default() }
    }

    fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = &self.state.trusted_proxies;
        if client_ip::is_unlisted_proxy(peer, headers, trusted)
            && !self.has_warned_of_proxy.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %peer,
                "X-Forwarded-For from a peer that is not in trusted_proxies: all its clients are limited and logged as one"
            );
        }
        client_ip::address(peer, headers, trusted)
    }

    /// Checks the request, runs its handler, and turns a panic anywhere below into a 500.
    async fn respond(&self, tree: Tree, request: Request<Body>) -> Response {
        if let Err(error) = http_check::check(&request) {
            return error.into_response();
        }
        let router = match tree {
            Tree::Api => &self.api,
            Tree::ForwardAuth => &self.forward_auth,
            Tree::Site => &self.site,
        };
        match AssertUnwindSafe(router.clone().oneshot(request)).catch_unwind().await {
            Ok(response) => response.unwrap_or_else(|never: Infallible| match never {}),
            // The panic hook has logged the message and the place.
            Err(_) => ApiError::new(ErrorCode::InternalError).with_source("a panic").into_response(),
        }
    }

    /// The headers that every response has, whatever produced it.
    fn set_headers(&self, tree: Tree, context: &RequestContext, headers: &mut HeaderMap) {
        if let Some(quota) = context.quota() {
            insert_rate_limit_headers(headers, quota);
        }
        headers.insert("x-request-id", HeaderValue::try_from(context.id().to_string()).expect("an id is ASCII"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if tree == Tree::Site {
            set_security_headers(&self.state, headers);
        }
        if self.state.stopping.is_cancelled() {
            // The client's next request should open a new connection, to another node.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl HttpService for RootService {
    async fn handle(&self, peer: SocketAddr, mut request: Request<Body>) -> Response {
        let app = &self.state.app;
        let began = app.clock().monotonic();
        let client = self.client_ip(peer.ip(), request.headers());
        let context = RequestContext::new(app.ids().request(), client);
        request.extensions_mut().insert(context.clone());
        let method = request.method().clone();
        let tree = Tree::of(request.uri().path());
        let agent = (tree != Tree::Site).then(|| request.headers().get(header::USER_AGENT).cloned()).flatten();
        let format = ErrorFormat::of(tree != Tree::Site, request.headers());

        let span = access_log::span(&context);
        let theme = if tree == Tree::Site { Theme::of(request.headers()) } else { Theme::System };
        let mut response = theme::scope(theme, self.respond(tree, request)).instrument(span).await;
        let error = theme::sync_scope(theme, || render_error(&mut response, &context, &method, format));
        self.set_headers(tree, &context, response.headers_mut());

        let took = app.clock().monotonic().saturating_sub(began);
        let metrics = app.metrics();
        let status = response.status().as_u16();
        metrics.record_http(context.route(), method.as_str(), status, took);
        match (context.refusal(), context.caller()) {
            (Some(refusal), _) => metrics.record_api_request(refusal),
            (None, Some(CallerId::Key(_))) => metrics.record_api_request(ApiOutcome::Admitted),
            (None, _) => {}
        }
        if let Some((key, outcome)) = context.used_key(status) {
            app.record_call(&Call {
                key,
                request: context.id(),
                from: client,
                agent: agent.as_ref().map_or(&[], HeaderValue::as_bytes),
                method: method_label(method.as_str()),
                route: context.route().unwrap_or("-"),
                status,
                outcome,
            });
        }
        access_log::log(&context, &method, &response, error.as_deref(), took);
        response
    }
}

fn insert_rate_limit_headers(headers: &mut HeaderMap, quota: &Quota) {
    headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(quota.reset));
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;

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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_a_handler_is_a_500_for_that_request_alone() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        let (store, brand, _) = Store::migrate_and_open(&location, None).await.unwrap();
        let app = App::new(store, brand, Clock::System, Rng::System, Default::default());
        let owner = Email::parse("ada@example.com").unwrap();
        let team = app.create_team("tester", &TeamName::parse("Acme").unwrap(), &owner).await.unwrap();
        let new = NewKey::new(KeyName::parse("K").unwrap(), Mode::Test, Scope::ReadOnly);
        let key = app.create_key(&KeyAdmin::shell("tester", team.id), new).await.unwrap();
        let state = AppState {
            app,
            trusted_proxies: [].into(),
            public_url: None,
            forward_auth: Default::default(),
            shell: Default::default(),
            leaks: Default::default(),
            feed: Default::default(),
            stopping: CancellationToken::new(),
        };
        let routes = |root: &str| {
            Router::new().route(&format!("{root}/boom"), get(boom)).route(&format!("{root}/fine"), get(async || "fine"))
        };
        let api = routes("/api/v1").layer(AuthLayer(state.clone(), header::AUTHORIZATION));
        let root = RootService::new(state, api, Router::new(), routes(""));
        let ask = async |path: &str| {
            let token = format!("Bearer {}", key.token.expose());
            let request = Request::get(path).header("host", "a").header("authorization", token);
            let peer = SocketAddr::from(([203, 0, 113, 7], 1));
            root.handle(peer, request.body(Body::empty()).unwrap()).await.status().as_u16()
        };
        for path in ["/boom", "/fine", "/api/v1/boom", "/api/v1/fine"] {
            assert_eq!(ask(path).await, if path.ends_with("boom") { 500 } else { 200 }, "{path}");
        }
        assert!(root.state.app.metrics_text().unwrap().contains("keyhouse_api_requests_total{outcome=\"admitted\"} 2"));
    }
}
