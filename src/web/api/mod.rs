//! The public REST API under `/api/v1`. Each handler's first argument says who may call it.

pub(super) mod fields;
pub mod key;
pub mod operations;
pub mod products;
