//! `keyhouse demo`: what it starts with, what it prints, and what it leaves alone.

use keyhouse::app::infra::clock::Clock;
use keyhouse::app::key_cache::LEASE;

use test_support::TestDatabase;
use test_support::process::{ServerProcess, keyhouse, run_json};

#[test]
fn the_demo_restores_what_an_interrupted_run_left_out_and_reads_the_environment() {
    let place = TestDatabase::folder();
    let mut first = ServerProcess::start(&place, "demo", "warn");
    first.kill();
    let TestDatabase::Folder(folder) = &place else { unreachable!("it is a folder") };
    let url = format!("sqlite://{}/keyhouse.db", folder.path().display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        for sql in [
            "DELETE FROM products WHERE sku LIKE 'CAL%' OR sku LIKE 'TEST%'",
            "DELETE FROM members WHERE role = 'member'",
        ] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    });
    // Its own default folder gives way to the environment.
    let mut second = keyhouse_in(&folder.path().display().to_string());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(second.stdout.take().unwrap()), &mut line).unwrap();
    assert!(line.contains("\"url\""), "{line}");
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(run_json(&place, &["member", "list", "--team", "skylark-instruments"]).as_array().unwrap().len(), 4);
    runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, 54);
    });
}

/// A demo whose folder is set by the environment alone.
fn keyhouse_in(folder: &str) -> std::process::Child {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keyhouse"));
    command.env_clear().env("KEYHOUSE_DATA", folder).args(["demo", "--listen", "127.0.0.1:0", "--json"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

/// Runs the command lines that the demo prints in a shell.
#[test]
fn the_demos_lines_work_as_pasted() {
    use std::io::{BufRead, BufReader};
    let place = TestDatabase::folder();
    let mut child = keyhouse(&place, &["demo", "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let last = line.starts_with("Ctrl-C");
        lines.push(line);
        if last {
            break;
        }
    }
    let commands: Vec<_> =
        lines.iter().filter(|line| line.starts_with("curl ") || line.contains(" key revoke ")).collect();
    let paste = |command: &str| {
        let quiet = command.replacen("curl ", "curl -sS -o /dev/null -w '%{http_code}' ", 1);
        let output = std::process::Command::new("sh").args(["-c", &quiet]).output().unwrap();
        assert!(output.status.success(), "{command}\n{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().chars().take(7).collect::<String>()
    };
    let mut statuses: Vec<_> = commands.iter().map(|command| paste(command)).collect();
    // Another process revoked the key, so the server may admit it until its lease ends. A call that begins later must
    // be refused, however long a busy machine takes for it.
    let revoked = Clock::System.monotonic();
    loop {
        let began = Clock::System.monotonic();
        statuses.truncate(commands.len());
        statuses.push(paste(commands[0]));
        if statuses.last().is_some_and(|last| last == "401") || began - revoked > LEASE {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(statuses, ["200", "200", "201", "403", "Revoked", "401"]);
}

#[test]
fn a_demo_starts_beside_ones_own_keys() {
    let place = TestDatabase::folder();
    let mut first = ServerProcess::start(&place, "demo", "warn");
    let people = first.said["people"].as_array().unwrap().clone();
    assert!(people.iter().all(|person| person["password"].as_str().is_some_and(|text| text.len() >= 15)), "{people:?}");
    first.kill();
    let create = [
        "key",
        "create",
        "--team",
        "skylark-instruments",
        "--name",
        "My own",
        "--mode",
        "live",
        "--scope",
        "read_only",
    ];
    // Three beside the demo's four old keys and its three new ones; the next start revokes those three.
    for _ in 0..3 {
        run_json(&place, &create);
    }
    let second = ServerProcess::start(&place, "demo", "warn");
    assert_eq!(second.said["keys"].as_array().unwrap().len(), 3);
    assert!(second.said["people"].as_array().unwrap().iter().all(|person| person["password"].is_null()), "shown once");
    drop(second);
    for key in run_json(&place, &["key", "list", "--team", "skylark-instruments"]).as_array().unwrap() {
        if (key["status"] == "active" || key["status"] == "paused") && key["name"] != "My own" {
            run_json(&place, &["key", "revoke", key["id"].as_str().unwrap()]);
        }
    }
    for _ in 0..5 {
        run_json(&place, &create);
    }
    let third = ServerProcess::start(&place, "demo", "warn");
    let keys = third.said["keys"].as_array().unwrap();
    let modes: Vec<_> =
        keys.iter().map(|key| (key["mode"].as_str().unwrap(), key["scope"].as_str().unwrap())).collect();
    assert_eq!(modes, [("live", "read_write"), ("test", "read_write")], "two slots are left");
}
