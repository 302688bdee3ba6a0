//! The public API, call by call.

mod access_log;
mod changes;
mod connections;
mod credentials;
mod forward_auth;
mod http_conformance;
mod idempotency;
mod limits;
mod openapi;
mod products;
