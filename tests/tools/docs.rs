//! Runs every command of the guide in a shell against the real server, and compares the response with the page.

use std::process::Command;

use serde_json::Value;

use super::{Path, ServerProcess, TestDatabase, here, run, tool};
use test_support::process::run_json;
use test_support::wait::eventually_blocking;

/// Fields whose values in the guide are examples: only the type is compared.
const VARIES: [&str; 6] = ["id", "request_id", "createdAt", "updatedAt", "nextCursor", "prefix"];

/// A fenced block: its language line and its text.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// Asserts equality, except for values of [`VARIES`], of which only the type must be equal.
fn assert_same(page: &Value, real: &Value, at: &str) {
    match (page, real) {
        (Value::Object(page), Value::Object(real)) => {
            assert_eq!(page.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>(), "{at}");
            for (name, value) in page {
                if VARIES.contains(&&**name) {
                    assert_eq!(value.is_string(), real[name].is_string(), "{at}.{name}");
                } else {
                    assert_same(value, &real[name], &format!("{at}.{name}"));
                }
            }
        }
        (Value::Array(page), Value::Array(real)) => {
            assert_eq!(page.len(), real.len(), "{at}");
            page.iter().zip(real).for_each(|(page, real)| assert_same(page, real, at));
        }
        (page, real) => assert_eq!(page, real, "{at}"),
    }
}

fn check_http(page: &str, real: &str, at: &str) {
    let (page_head, page_body) = page.split_once("\n\n").unwrap_or((page, ""));
    let (real_head, real_body) = real.split_once("\r\n\r\n").expect("a head and a body");
    let mut page_lines = page_head.lines();
    assert_eq!(page_lines.next(), real_head.lines().next().map(str::trim_end), "{at}");
    for line in page_lines {
        let (name, value) = line.split_once(": ").expect("a header");
        let found = real_head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let found = found.unwrap_or_else(|| panic!("{at}: no {name} in\n{real_head}"));
        let varies = ["location", "x-ratelimit-remaining", "x-ratelimit-reset"].contains(&name);
        assert!(varies || found == value, "{at}: {name} is {found}, not {value}");
    }
    if !page_body.trim().is_empty() {
        assert_same(
            &serde_json::from_str(page_body).expect("JSON"),
            &serde_json::from_str(real_body).expect("JSON"),
            at,
        );
    }
}

/// The access log so far.
fn request_lines(serving: &ServerProcess) -> Vec<String> {
    let log = String::from_utf8(serving.logs()).expect("text");
    log.lines().filter(|line| line.contains("keyhouse::request")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_guide_returns_what_its_page_shows() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
    let mut count = 0;
    for entry in std::fs::read_dir(guide).expect("the guide") {
        let path = entry.expect("a page").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let place = TestDatabase::folder();
        let serving = ServerProcess::start(&place, "serve", "info");
        run_json(&place, &["team", "create", "Docs", "--owner", "docs@example.com"]);
        let create = ["key", "create", "--team", "docs", "--name", "K", "--mode", "test", "--scope", "read_write"];
        let token = run_json(&place, &create)["token"].as_str().expect("a token").to_owned();
        let mut id = String::new();

        let text = std::fs::read_to_string(&path).expect("a page");
        let blocks = blocks(&text);
        for (n, (language, command)) in blocks.iter().enumerate() {
            if language != "sh" || !command.contains("curl") {
                continue;
            }
            let at = format!("{name}, {}", command.trim());
            let quiet = command.replace("curl ", "curl -s ");
            let shell = format!("set -eu\n{}", quiet.trim_end());
            let before = request_lines(&serving).len();
            let output = Command::new("bash")
                .args(["-c", &shell])
                .env("KEYHOUSE_URL", format!("http://{}", serving.address))
                .env("TOKEN", &token)
                .env("ID", &id)
                .output()
                .expect("bash");
            assert!(output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stderr));
            let real = String::from_utf8(output.stdout).expect("text");
            let (kind, page) = blocks.get(n + 1).unwrap_or_else(|| panic!("{at}: the page shows no answer"));
            match kind.split_once(' ') {
                Some(("json", status)) => {
                    let real: Value = serde_json::from_str(&real).unwrap_or_else(|_| panic!("{at}: {real}"));
                    assert_same(&serde_json::from_str(page).expect("JSON in the guide"), &real, &at);
                    if let Some(made) = real["data"]["id"].as_str() {
                        made.clone_into(&mut id);
                    }
                    // Lines are written by a thread of their own, and a command may send several requests.
                    let wanted = format!("\"status\":{status},");
                    eventually_blocking(&format!("{at}: a request with the status {status} in the log"), || {
                        request_lines(&serving).split_off(before).into_iter().find(|line| line.contains(&wanted))
                    });
                }
                None if kind == "http" => check_http(page, &real, &at),
                None if kind == "text" => assert_eq!(page, &real, "{at}"),
                _ if real.is_empty() => {}
                _ => panic!("{at}: no answer follows, but {kind:?}"),
            }
            count += 1;
        }
    }
    assert!(count >= 15, "the guide has its commands: {count}");
}

/// The docs in a real browser: "Try it" sends requests under the strict content security policy, and every page is accessible.
#[test]
fn the_reference_sends_requests_under_the_strict_policy() {
    let place = TestDatabase::folder();
    let serving = super::demo(&place);
    run(Command::new(tool("bin/node"))
        .arg(here("reference.mjs"))
        .arg(format!("http://{}", serving.address))
        .env("TOKEN", super::token(&serving, 2))
        .env("PLAYWRIGHT", tool("node_modules/playwright-core/index.mjs"))
        .env("AXE", tool("node_modules/axe-core/axe.min.js")));
}

/// The text of a page's first example, without its markup.
fn example(page: &str) -> String {
    let block = page.split_once("id=\"example-1\"").expect("an example").1;
    let source = block.split_once("<pre").and_then(|(_, rest)| rest.split_once('>')).expect("a block of code").1;
    let source = source.split_once("</pre>").expect("its end").0;
    let mut text = String::new();
    for (n, piece) in source.split('<').enumerate() {
        text.push_str(if n == 0 { piece } else { piece.split_once('>').expect("a tag").1 });
    }
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[test]
fn the_examples_in_python_and_node_create_a_product() {
    let place = TestDatabase::folder();
    let serving = super::demo(&place);
    let folder = tempfile::tempdir().expect("a folder");
    for (language, program, file) in [
        ("curl", "bash".into(), "example.sh"),
        ("python", tool("python/bin/python"), "example.py"),
        ("node", "node".into(), "example.mjs"),
    ] {
        let request = format!(
            "GET /docs/endpoints?lang={language} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            serving.address
        );
        let source = example(&serving.send(request.as_bytes())).replace("ANE-100", &format!("ANE-{language}"));
        std::fs::write(folder.path().join(file), &source).expect("a file");
        let output =
            run(Command::new(program).current_dir(folder.path()).arg(file).env("TOKEN", super::token(&serving, 2)));
        assert!(output.contains("Cup anemometer") && output.contains("ANE-"), "{source}\n{output}");
    }
}
