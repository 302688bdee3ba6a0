//! Pure types and rules: no async, no clock, no randomness, no HTTP, no SQL.
//!
//! Values are validated when they are constructed, so other code does not validate them again.

#![warn(missing_docs)]

pub mod account;
pub mod api_key;
pub mod audit;
pub mod auth;
mod characters;
pub mod email;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod field;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod idempotency;
pub mod ids;
pub mod leak;
pub mod link;
pub mod name;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod pagination;
pub mod password;
pub mod permission;
pub mod person;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod price;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod product;
pub mod public_url;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod rate_limit;
pub mod role;
pub mod scope;
pub mod secret;
pub mod session;
pub mod team;
#[allow(missing_docs, reason = "to be documented with the catalog")]
pub mod text;
pub mod timestamp;
pub mod usage;
