//! The cache of key records.

mod shard;

pub use shard::*;
