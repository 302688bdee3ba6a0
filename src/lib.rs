//! Keyhouse: API keys for a team product.
//!
//! Layers, each of which imports only those below it:
//!
//! - [`cli`]: the command line.
//! - [`startup`]: builds the application from [`config`] and runs it, with its background `jobs`, until `shutdown`.
//! - [`web`]: HTTP: the public API, the dashboard, the docs.
//! - [`app`]: use cases, one method per thing that a person or program can ask for.
//! - `keyhouse-store`: all SQL, for SQLite and PostgreSQL.
//! - `keyhouse-domain`, `keyhouse-token`: pure types and rules.
//!
//! Start reading at [`keyhouse_domain::api_key`], then [`app::authenticate`], then [`web`].

pub mod app;
pub mod build_info;
pub mod cli;
pub mod config;
mod jobs;
pub mod shell_command;
mod shutdown;
pub mod startup;
mod telemetry;
mod time_format;
pub mod web;

/// Sets up logging as the server does, for the tests that count what a call costs.
#[cfg(feature = "testing")]
pub fn start_logging() {
    telemetry::init(&"info".parse().expect("a log filter"));
}
