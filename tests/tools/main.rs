//! Independent tools against the real server: schemathesis, generated clients, browsers, proxies.
//!
//! `scripts/test` installs them under `target/tools` and runs these tests; a plain `cargo test` does not.

mod dashboard;
mod docs;
mod identity;
mod monitoring;
mod packages;
mod postman;
mod refused_writes;
mod scanners;

use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::TestDatabase;
use test_support::process::ServerProcess;

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(file)
}

fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name);
    assert!(path.exists(), "{} is missing: scripts/test installs it", path.display());
    path
}

/// Runs a command, which must succeed; returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// The demo without rate limits.
fn demo(place: &TestDatabase) -> ServerProcess {
    ServerProcess::start_with(
        place,
        "demo",
        "info",
        &[("KEYHOUSE_RATE_LIMIT_REQUESTS", "1000000000"), ("KEYHOUSE_RATE_LIMIT_BAD_TOKENS", "0")],
    )
}

fn token(serving: &ServerProcess, n: usize) -> String {
    serving.said["keys"][n]["token"].as_str().expect("a token").to_owned()
}

/// The seed makes a run repeatable; each engine has another one, so that two runs try different inputs.
fn schemathesis(place: &TestDatabase, seed: &str) {
    let serving = demo(place);
    let folder = tempfile::tempdir().expect("a folder");
    // schemathesis limits decimal places by `multipleOf`, and does not read the extension.
    let mut request = String::from("GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    request = serving.send(request.as_bytes());
    let described = request.split_once("\r\n\r\n").expect("a body").1;
    let described = described.replace(r#""x-max-decimal-places":4"#, r#""multipleOf":0.0001"#);
    assert!(described.contains("multipleOf"));
    std::fs::write(folder.path().join("openapi.json"), described).expect("a file");
    let said = run(Command::new(tool("python/bin/schemathesis"))
        .current_dir(folder.path())
        .args(["--config-file".as_ref(), here("schemathesis.toml").as_os_str()])
        .args(["run", "openapi.json", "--url", &format!("http://{}", serving.address)])
        .args(["-H", &format!("Authorization: Bearer {}", token(&serving, 2))])
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "use_after_free",
            "--max-examples",
            "300",
            "--seed",
            seed,
            "--no-color",
        ]));
    let cases =
        said.lines().find_map(|line| line.trim().split_once(" generated").and_then(|(n, _)| n.parse::<u32>().ok()));
    assert!(cases.is_some_and(|cases| cases >= 2000), "too few cases\n{said}");
    let log = String::from_utf8(serving.logs()).expect("text");
    assert!(!log.contains(r#""status":5"#), "an answer of 5xx");
}

#[test]
fn schemathesis_finds_nothing_on_sqlite() {
    schemathesis(&TestDatabase::folder(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_on_postgres() {
    schemathesis(&TestDatabase::postgres().await, "2");
}

#[test]
fn a_generated_python_client_runs_every_operation_on_a_product() {
    let place = TestDatabase::folder();
    let serving = demo(&place);
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new(tool("python/bin/openapi-python-client"))
        .current_dir(folder.path())
        .args(["generate", "--url", &format!("http://{}/api/v1/openapi.json", serving.address)])
        .args(["--output-path", "keyhouse_client", "--meta", "none"]));
    run(Command::new(tool("python/bin/python"))
        .current_dir(folder.path())
        .env("PYTHONPATH", folder.path())
        .arg(here("generated_client.py"))
        .arg(format!("http://{}", serving.address))
        .env("TOKEN", token(&serving, 2)));
}

#[test]
fn generated_types_compile_in_strict_typescript() {
    let place = TestDatabase::folder();
    let serving = demo(&place);
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new(tool("bin/node"))
        .current_dir(folder.path())
        .arg(tool("node_modules/openapi-typescript/bin/cli.js"))
        .args([&format!("http://{}/api/v1/openapi.json", serving.address), "-o", "api.d.ts"])
        .arg("--default-non-nullable=false"));
    std::fs::copy(here("generated_types.ts"), folder.path().join("client.ts")).expect("a copy");
    run(Command::new(tool("bin/node"))
        .current_dir(folder.path())
        .arg(tool("node_modules/typescript/bin/tsc"))
        .args(["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"])
        .args(["--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "client.ts", "api.d.ts"]));
}
