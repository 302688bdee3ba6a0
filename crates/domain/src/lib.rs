//! Pure types and rules: no async, no clock, no randomness, no HTTP, no SQL.
//!
//! Values are validated when they are constructed, so other code does not validate them again.

#![warn(missing_docs)]

pub mod account;
pub mod api_key;
pub mod audit;
pub mod auth;
mod characters;
pub mod conditions;
pub mod currency;
pub mod email;
pub mod field;
pub mod idempotency;
pub mod ids;
pub mod key_token;
pub mod leak;
pub mod link;
pub mod name;
pub mod networks;
pub mod node;
pub mod pagination;
pub mod password;
pub mod permission;
pub mod person;
pub mod price;
pub mod product;
pub mod public_url;
pub mod rate_limit;
pub mod reason;
pub mod role;
pub mod scope;
pub mod search;
pub mod secret;
pub mod session;
pub mod team;
pub mod text;
pub mod time_span;
pub mod timestamp;
pub mod usage;
