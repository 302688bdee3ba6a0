//! `test-services COMMAND...` runs a command with one PostgreSQL for all of its processes.
//!
//! cargo-nextest runs each test in a process of its own; without this each would start a server of its own.

use std::process::{Command, ExitCode};

use test_support::postgres::{SHARED_PORT, Server};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: test-services COMMAND...");
        return ExitCode::from(2);
    };
    let server = Server::start();
    let status = Command::new(program).args(arguments).env(SHARED_PORT, server.port().to_string()).status();
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("can't run the command: {error}");
            ExitCode::FAILURE
        }
    }
}
