//! The public API, call by call.

use test_support::Answer;

mod access_log;
mod changes;
mod connections;
mod credentials;
mod feed;
mod forward_auth;
mod http_conformance;
mod idempotency;
mod identity;
mod key_lifecycle;
mod leaks;
mod limits;
mod openapi;
mod preconditions;
mod products;
mod tls;
mod usage;

/// Status and headers, without those that depend on the fields of a product.
fn head(answer: &Answer) -> String {
    let text = answer.without_request_id();
    let lines = text.split("\n\n").next().unwrap_or_default().lines();
    lines
        .filter(|line| !line.starts_with("content-length:") && !line.starts_with("etag:"))
        .collect::<Vec<_>>()
        .join("\n")
}
