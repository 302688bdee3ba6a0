//! Infrastructure of the use cases: clock, random bytes, ids, password hashing, metrics, the queue of log lines.

pub mod clock;
pub mod id_generator;
pub mod keyed_locks;
pub(crate) mod log_queue;
pub(crate) mod metrics;
pub mod password_hasher;
pub(crate) mod per_thread;
pub mod rng;
pub(crate) mod sharded_map;
pub mod signing_key;
pub mod traces;
