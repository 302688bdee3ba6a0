//! The access log: one JSON line per request. Its fields are a contract with log collectors.

use serde_json::Value;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};
use test_support::wait::eventually_blocking;

/// Sends a request and returns its log line without the fields that differ from run to run, after checking those.
fn line(serving: &ServerProcess, head: &str) -> Value {
    let answer = serving.send(format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("a request id").to_owned();
    let mut line = eventually_blocking("the log line", || {
        let log = String::from_utf8(serving.logs()).expect("text");
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines = lines.filter(|line| line["target"] == "keyhouse::request");
        let found = lines.find(|line| line["request_id"] == id.as_str());
        assert!(lines.all(|line| line["request_id"] != id.as_str()), "one line per request");
        found
    });
    assert!(line["micros"].as_u64().is_some_and(|micros| micros < 60_000_000), "{line}");
    assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    // The cause is text for operators and no contract.
    let fields = line.as_object_mut().expect("an object");
    for varies in ["micros", "timestamp", "request_id", "cause"] {
        fields.remove(varies);
    }
    line
}

#[test]
fn each_request_is_one_line_with_route_status_and_key() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &create);
    let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
    let serving = ServerProcess::start(&place, "serve", "info");
    let expected = |method: &str, route: &str, status: u16, key: Option<&str>, code: Option<&str>| {
        let mut line = serde_json::json!({
            "level": "INFO", "target": "keyhouse::request", "method": method, "route": route, "status": status,
            "client": "127.0.0.1",
        });
        line["key"] = key.into();
        line["code"] = code.into();
        line.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        line
    };
    let path = "/api/v1/products/019ac2f0-0000-7000-8000-000000000000";
    for (head, line_expected) in [
        (
            format!("GET /api/v1/key?secret=1 HTTP/1.1\r\nAuthorization: Bearer {token}"),
            expected("GET", "/api/v1/key", 200, Some(id), None),
        ),
        (
            format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}"),
            expected("GET", "/api/v1/products/{id}", 404, Some(id), Some("product_not_found")),
        ),
        (
            format!("DELETE {path} HTTP/1.1\r\nAuthorization: Bearer {token}"),
            expected("DELETE", "/api/v1/products/{id}", 403, Some(id), Some("scope_insufficient")),
        ),
        (
            "GET /api/v1/key HTTP/1.1\r\nAuthorization: Bearer pk_live_bad".to_owned(),
            expected("GET", "/api/v1/key", 401, None, Some("invalid_token")),
        ),
        ("GET /sign-in HTTP/1.1".to_owned(), expected("GET", "/sign-in", 200, None, None)),
    ] {
        assert_eq!(line(&serving, &head), line_expected, "{head}");
    }
    let log = String::from_utf8(serving.logs()).expect("text");
    assert!(!log.contains("secret=1"), "the query is not logged");
}

#[test]
fn every_line_of_the_log_has_the_form_that_the_guide_describes() {
    let guide = include_str!("../../docs/guide/monitoring.md");
    let log_section = guide.split("## Log").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let place = TestDatabase::folder();
    let mut serving = ServerProcess::start(&place, "serve", "info");
    for path in ["/healthz", "/api/v1/key", "/no/such/page"] {
        serving.get(path, "pk_live_wrong");
    }
    assert!(serving.terminate().success());
    let log = String::from_utf8(serving.logs()).expect("text");
    let mut requests = 0;
    for text in log.lines() {
        let line: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        let fields = line.as_object().expect("an object");
        assert!(["timestamp", "level", "target"].iter().all(|name| fields[*name].is_string()), "{text}");
        if fields["target"] != "keyhouse::request" {
            assert!(fields["message"].is_string(), "{text}");
            continue;
        }
        requests += 1;
        for name in fields.keys() {
            assert!(log_section.contains(&format!("`{name}`")), "the guide does not describe {name}: {text}");
        }
    }
    assert_eq!(requests, 3);
}
