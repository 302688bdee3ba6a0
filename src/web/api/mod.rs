//! The public REST API under `/api/v1`. Each handler's first argument says who may call it.

mod fields;
pub mod key;
pub mod operations;
pub mod products;
