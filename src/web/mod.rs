//! DOORS over HTTP. All routes on this screen; those of the public API in `api/operations.rs`.

pub mod api;
mod assets;
pub mod dashboard;
mod docs;
pub mod error;
mod extract;
pub mod forward_auth;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod health;
mod json;
pub mod metrics_server;
mod middleware;
pub mod openapi;
pub mod server;
mod service;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::get;
use ipnet::IpNet;
pub use service::RootService;
use tokio::sync::watch;

use crate::app::App;
use api::operations::operations;
use error::{ApiError, ErrorCode};
use forward_auth::ForwardAuth;
use keyhouse_domain::public_url::PublicUrl;

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    pub app: App,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Where browsers reach us, if the operator said.
    pub public_url: Option<PublicUrl>,
    /// Settings of `/auth/verify` and `/auth/envoy`.
    pub forward_auth: ForwardAuth,
    /// Turns true when the process has been asked to stop.
    pub stopping: watch::Receiver<bool>,
}

/// Everything that has a path.
pub fn service(state: AppState) -> RootService {
    // The only route of the API that needs no key.
    let document = Bytes::from(openapi::document(state.public_url.as_ref()).to_string());
    let open = Router::new()
        .route("/api/v1/openapi.json", get(async move || json::json_response(StatusCode::OK, document.clone())))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(service::note_route));
    // Full paths, no nesting: what is written there is what a caller writes.
    let api = operations()
        .into_iter()
        .fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Over all of the above, the fallbacks too: without a good key there is one answer, whatever the path.
        .layer(middleware::authenticate::AuthLayer(state.clone(), header::AUTHORIZATION))
        .merge(open)
        .with_state(state.clone());
    let site = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/docs", get(docs::index))
        .route("/docs.md", get(docs::index_markdown))
        .route("/docs/{page}", get(docs::page))
        .route("/llms.txt", get(docs::llms_txt))
        .route("/assets/{hash}/{name}", get(assets::get))
        .merge(dashboard::routes(&state))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(service::note_route))
        .with_state(state.clone());
    let forward_auth = forward_auth::routes(&state).fallback(not_found).with_state(state.clone());
    RootService::new(state, api, forward_auth, site)
}

async fn not_found() -> ApiError {
    ApiError::new(ErrorCode::RouteNotFound)
}

/// axum adds the Allow header.
async fn method_not_allowed() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed)
}
