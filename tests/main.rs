//! Tests through the public surface, in one binary.
//!
//! Each test in `worlds!` runs on SQLite and on PostgreSQL.

mod api;
mod architecture;
mod cli;
mod cluster;
mod dashboard;
mod store;
