//! HTTP: all routes (those of the public API are listed in `api/operations.rs`) and all layers.
//!
//! A request passes these layers in this order, and its response passes them in reverse:
//!
//! 1. [`server`]: the accept loop and hyper. Limits on connections, head size and time.
//! 2. [`context`]: request id and client address, made first so that everything below can report under them.
//! 3. `access_log`, metrics: outermost, so that they see every response as it is sent, errors and panics included.
//! 4. Response headers ([`mod@service`]): outside of everything that can fail, so that no response lacks them.
//! 5. `render_error`: the body of an error, JSON or a page; the only place that knows both the error and the Accept header.
//! 6. Panics become a 500 ([`mod@service`]): inside all that reports, outside all that may panic. There is no second place.
//! 7. `http_check`: target length and Host, before a router reads either.
//! 8. `authenticate`, before the routers: over all paths under `/api/v1`, so that nothing but `openapi.json` is reachable
//!    without a key, and over the forward-auth routes, with the configured header.
//! 9. `direct`: the three requests that are answered without a router, because a node gets most of them.
//! 10. The API router, for `/api/v1/**`, whose handlers' extractors check scope, media type and body, in the contract's
//!     order; the forward-auth router, for `/auth/**`, whose handlers check the scope.
//! 11. The site router, for everything else: `record_route` (the template is known only inside the router), then for the
//!     dashboard `csrf` before anything reads a form.

pub mod api;
mod assets;
mod base_url;
mod context;
pub mod dashboard;
mod direct;
mod docs;
pub mod error;
mod extract;
pub mod feed;
pub mod forward_auth;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod health;
mod json;
mod key_hints;
pub mod leaks;
pub mod metrics_server;
mod middleware;
pub mod openapi;
pub mod redirect_server;
pub mod server;
mod service;
pub mod shared_secret;
mod small_bytes;
mod theme;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use ipnet::IpNet;
pub use service::RootService;
use service::Routers;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::shell_command::ShellCommand;
use api::operations::operations;
pub(crate) use context::current_request;
use error::{ApiError, ErrorCode};
use feed::FeedSettings;
use forward_auth::ForwardAuth;
use keyhouse_domain::public_url::PublicUrl;
use leaks::LeakSettings;
use middleware::record_route::record_route;

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    pub app: App,
    /// Peers whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Where browsers reach this server, if it is configured.
    pub public_url: Option<PublicUrl>,
    /// Settings of `/auth/verify` and `/auth/envoy`.
    pub forward_auth: ForwardAuth,
    /// Prints the commands for the operator that pages show.
    pub shell: Arc<ShellCommand>,
    /// Settings of the reports of leaked tokens.
    pub leaks: LeakSettings,
    /// Settings of the feed of digests.
    pub feed: FeedSettings,
    /// Set when the process begins to stop.
    pub stopping: Stopping,
}

impl AppState {
    /// With the default of each setting.
    pub fn new(app: App) -> Self {
        Self {
            app,
            trusted_proxies: Arc::default(),
            public_url: None,
            forward_auth: ForwardAuth::default(),
            shell: Arc::default(),
            leaks: LeakSettings::default(),
            feed: FeedSettings::default(),
            stopping: Stopping::default(),
        }
    }
}

/// Whether the process has begun to stop. Beside the token there is a flag, because each request reads it: reading a
/// cancellation token takes a lock.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    has_begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Stopping {
    /// From now on responses say `Connection: close`, and the server is not ready.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Runs a future to its end, or until the process begins to stop; then `None`.
    pub(crate) async fn run_until_begun<F: Future>(&self, future: F) -> Option<F::Output> {
        self.token.run_until_cancelled(future).await
    }
}

/// The only path of the API that needs no key.
const OPEN_DOCUMENT: &str = "/api/v1/openapi.json";

/// Builds the root service with all routes.
pub fn service(state: AppState) -> RootService {
    let document = Bytes::from(openapi::document(state.public_url.as_ref()).to_string());
    let open = Router::new()
        .route("/api/v1/openapi.json", get(async move || json::json_response(StatusCode::OK, document.clone())))
        .method_not_allowed_fallback(method_not_allowed);
    // Full paths rather than nesting: the list of operations shows them as callers write them.
    let operations = operations();
    let api_templates =
        operations.iter().map(|operation| operation.path).chain([OPEN_DOCUMENT]).collect::<BTreeSet<_>>();
    let api = operations
        .into_iter()
        .fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .merge(open)
        .with_state(state.clone());
    let site = Router::new()
        .route("/healthz", get(async || health::alive()))
        .route("/readyz", get(health::ready))
        .route("/.well-known/jwks.json", get(forward_auth::public_keys))
        .route("/feed/keys", get(feed::keys))
        .route("/leaks/report", post(leaks::report))
        .route("/leaks/github", post(leaks::github::receive))
        .route("/leaks/gitlab/v1/revocable_token_types", get(leaks::gitlab::types))
        .route("/leaks/gitlab/v1/revoke_tokens", post(leaks::gitlab::revoke))
        .route("/docs", get(docs::index))
        .route("/docs.md", get(docs::index_markdown))
        .route("/docs/{page}", get(docs::page))
        .route("/llms.txt", get(docs::llms_txt))
        .route("/assets/{hash}/{name}", get(assets::get))
        .merge(dashboard::routes(&state))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(state.clone(), dashboard::keep_sidebar))
        .layer(axum::middleware::from_fn(record_route))
        .with_state(state.clone());
    let forward_auth = forward_auth::routes(&state).fallback(not_found).with_state(state.clone());
    RootService::new(state, Routers { api, forward_auth, site }, api_templates)
}

async fn not_found() -> ApiError {
    ApiError::new(ErrorCode::RouteNotFound)
}

/// axum adds the Allow header.
async fn method_not_allowed() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed)
}
