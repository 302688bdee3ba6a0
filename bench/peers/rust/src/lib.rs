//! The fixed response of the yardsticks: headers and body as long as those of Keyhouse's `GET /api/v1/key`.

use std::net::SocketAddr;

pub const BODY: &str = r#"{"data":{"id":"key_01kav9ft0028t5cy4tqkff04hm","prefix":"pk_live_012","mode":"live","scope":"read_write","createdAt":"2026-11-24T09:30:00.000Z"}}"#;

pub const HEADERS: [(&str, &str); 7] = [
    ("content-type", "application/json"),
    ("x-ratelimit-limit", "1000000000"),
    ("x-ratelimit-remaining", "999999999"),
    ("x-ratelimit-reset", "1795512660"),
    ("x-request-id", "req_01kav9ft0028t5cy4tqkff04hm"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
];

/// Where to listen: the port is the first argument.
pub fn address() -> SocketAddr {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("a port as the first argument");
    SocketAddr::from(([127, 0, 0, 1], port))
}
