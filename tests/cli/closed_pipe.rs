//! Commands whose reader closes the pipe before it has read everything, as `head -1` does.

use std::process::{Command, Stdio};

use test_support::TestDatabase;
use test_support::process::{keyhouse, run_json};

use super::shown;

/// The exit code and standard error of a command whose standard output is a pipe without a reader.
fn into_closed_pipe(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    shown(&child.wait_with_output().unwrap())
}

#[test]
fn every_command_ends_without_an_error_when_its_output_is_no_longer_read() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let key = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &key)["id"].as_str().unwrap().to_owned();
    let backup = tempfile::tempdir().unwrap();
    let file = backup.path().join("backup.db").display().to_string();
    let commands: [&[&str]; 17] = [
        &["--help"],
        &["--version"],
        &["openapi"],
        &["generate", "completions", "bash"],
        &["generate", "completions", "zsh"],
        &["generate", "completions", "fish"],
        &["migrate"],
        &["doctor", "--listen", "127.0.0.1:0"],
        &["backup", &file],
        &["team", "list"],
        &["member", "list", "--team", "acme"],
        &["person", "list"],
        &["person", "reset", "ada@example.com"],
        &["key", "list", "--team", "acme"],
        &["key", "show", &key],
        &["key", "rename", &key, "Other"],
        &["move", "--cancel"],
    ];
    for words in commands {
        assert_eq!(into_closed_pipe(keyhouse(&place, words)), "exit 0\n", "{words:?}");
    }
}

#[test]
fn a_log_that_is_no_longer_read_does_not_fail_a_command() {
    let place = TestDatabase::folder();
    let mut command = keyhouse(&place, &["migrate"]);
    let mut child = command.env("KEYHOUSE_LOG", "debug").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(shown(&child.wait_with_output().unwrap()), "exit 0\n");
}
