//! Several processes and nodes on one database: concurrency, crashes, leases, shared rate limits.

mod concurrent_creates;
mod crash;
mod database_file;
mod descriptors;
mod histories;
mod lease;
mod lifecycle;
mod look_ups;
mod nodes;
mod pooler;
mod postgres_tls;
mod receipts;
mod redis_tls;
mod resources;
mod schema_change;
mod shell_and_server;
mod traces;
