//! Infrastructure of the use cases: clock, random bytes, ids, password hashing, metrics.

pub mod clock;
pub mod id_generator;
pub mod keyed_locks;
pub(crate) mod metrics;
pub mod password_hasher;
pub mod rng;
pub(crate) mod sharded_map;
pub mod signing_key;
