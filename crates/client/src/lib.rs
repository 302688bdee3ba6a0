//! Protects a Rust service with Keyhouse: each call is admitted or refused by a Keyhouse node.
//!
//! [`KeyhouseLayer`] sends the key of each call to `/auth/verify` of a node, over connections that are kept open. An admitted
//! call reaches its handler with a [`Grant`], which is an axum extractor. A refused one gets the node's own answer: 401, 403 or
//! 429. If the node does not answer in time, or answers anything else, the call is refused with 503.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use keyhouse_client::{Grant, KeyhouseClient, KeyhouseLayer};
//!
//! async fn orders(grant: Grant) -> String {
//!     format!("orders of {}", grant.team)
//! }
//!
//! let client = KeyhouseClient::new("http://127.0.0.1:8080").expect("a node's address");
//! let app: Router = Router::new().route("/orders", get(orders)).layer(KeyhouseLayer::new(client));
//! ```
//!
//! # How late a revocation may be
//!
//! An admission is reused for the same key and the same kind of method for as long as the node allows, counted from the moment
//! the question was sent: at most 3 seconds, and never longer than the node's own lease. So a revoked key is refused within 3
//! seconds. Calls that reuse an admission count neither for the rate limit nor as uses of the key;
//! [`KeyhouseClient::without_reuse`] asks for each call instead.

mod cache;
mod client;
mod grant;
mod layer;

pub use client::{AddressError, KeyhouseClient};
pub use grant::{Grant, Refusal, Scope};
pub use layer::{KeyhouseLayer, KeyhouseService};
