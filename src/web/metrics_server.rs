//! The metrics listener: serves `/metrics` and nothing else. Bind it to a private address.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::server::HttpService;
use crate::app::App;

const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Debug, Clone)]
pub struct MetricsService(pub App);

impl HttpService for MetricsService {
    async fn handle(&self, _peer: SocketAddr, request: Request<Body>) -> Response {
        if request.uri().path() != "/metrics" {
            return (StatusCode::NOT_FOUND, "only /metrics is served here\n").into_response();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
        }
        match self.0.metrics_text() {
            Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "metrics can't be formatted");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
