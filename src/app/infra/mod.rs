//! What the use cases stand on: clock, random bytes, ids, password hashing, metrics.

pub mod clock;
pub mod id_generator;
pub mod metrics;
pub mod password_hasher;
pub mod rng;
