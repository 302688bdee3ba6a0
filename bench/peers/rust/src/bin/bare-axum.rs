//! One axum route that answers a fixed response.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::get;
use bench_peers::{BODY, HEADERS, address};

async fn show() -> (HeaderMap, &'static str) {
    let pairs = HEADERS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    (pairs.into_iter().collect(), BODY)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address()).await?;
    axum::serve(listener, Router::new().route("/api/v1/key", get(show))).await
}
