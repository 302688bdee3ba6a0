//! A process that runs out of file descriptors.

use std::process::Command;

use test_support::TestDatabase;
use test_support::process::{ServerProcess, status};
use test_support::wait::eventually_blocking;

/// Sets the limit of open files of a running process, with `prlimit` from util-linux.
fn limit_files(serving: &ServerProcess, limit: &str) {
    let pid = serving.pid().to_string();
    let output = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}")]).output().expect("prlimit");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_server_without_free_descriptors_logs_it_once_and_accepts_again_when_there_are_some() {
    let place = TestDatabase::folder();
    let serving = ServerProcess::start(&place, "serve", "info");
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&serving.send(request)), 200);
    // Only the soft limit, so that it can be raised again.
    limit_files(&serving, "3:");
    // The kernel completes the connection; the process can not accept it.
    let waiting = serving.connect();
    let warnings = || {
        let log = String::from_utf8(serving.logs()).expect("text");
        log.lines().filter(|line| line.contains("WARN") && line.contains("accept")).count()
    };
    eventually_blocking("a warning that connections can not be accepted", || (warnings() > 0).then_some(()));
    let logged = warnings();
    limit_files(&serving, "1024:");
    assert_eq!(status(&serving.send(request)), 200, "it accepts again");
    assert_eq!((logged, warnings()), (1, 1), "one warning for all failures in a row");
    drop(waiting);
}
