//! DOORS over HTTP. All routes on this screen.

pub mod api;
mod client;
pub mod error;
mod extract;
mod front;
mod health;
mod json;
pub mod server;
mod verdict;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
pub use front::Front;
use ipnet::IpNet;
use tokio::sync::watch;

use crate::app::App;
use error::{ApiError, ErrorCode};

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Web {
    pub app: App,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Turns true when the process has been asked to stop.
    pub stopping: watch::Receiver<bool>,
}

/// Everything that has a path.
pub fn front(web: Web) -> Front {
    // Full paths, no nesting: what is written here is what a caller writes.
    let api = Router::new()
        .route("/api/v1/products", get(api::products::list).post(api::products::create))
        .route(
            "/api/v1/products/{id}",
            get(api::products::get).patch(api::products::update).delete(api::products::archive),
        )
        .route("/api/v1/products/{id}/restore", post(api::products::restore))
        .route("/api/v1/key", get(api::key::get))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Over all of the above, the fallbacks too: without a good key there is one answer, whatever the path.
        .layer(verdict::Verdict(web.clone()))
        .with_state(web.clone());
    let site = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(front::note_route))
        .with_state(web.clone());
    Front::new(web, api, site)
}

async fn not_found() -> ApiError {
    ApiError::new(ErrorCode::RouteNotFound)
}

/// axum adds the Allow header.
async fn method_not_allowed() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed)
}
