//! The public REST API under `/api/v1`. A handler's first argument declares the access that it needs.

pub(in crate::web) mod fields;
pub mod key;
pub mod operations;
pub mod products;
