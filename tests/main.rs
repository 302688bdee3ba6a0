//! Tests through the public interfaces, in one binary. A test with an `Engine` argument runs on SQLite and on PostgreSQL.

mod api;
mod architecture;
mod cli;
mod cluster;
mod dashboard;
mod store;
