//! Everything that goes through a door, in one binary.
//!
//! One suite, two worlds: a test written in `worlds!` runs on SQLite and on PostgreSQL and does not know which.

mod harness;

mod api;
mod cli;
mod dashboard;
mod laws;
mod store;
mod stories;
