//! The Postman collection that the reference offers: it is what the converter makes from the current `openapi.json`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Path, demo, here, tool};
use test_support::TestDatabase;

/// `UPDATE_POSTMAN=1`, as `scripts/postman` sets it, writes the collection instead.
#[test]
fn the_postman_collection_is_what_the_converter_makes_from_the_openapi_document() {
    let place = TestDatabase::folder();
    let serving = demo(&place);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: keys.example.com\r\nConnection: close\r\n\r\n");
        serving.send(request.as_bytes()).split_once("\r\n\r\n").expect("a body").1.to_owned()
    };
    let mut converter = Command::new(tool("bin/node"))
        .arg(here("postman.mjs"))
        .env("CONVERTER", tool("node_modules/openapi-to-postmanv2"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    converter.stdin.take().expect("a pipe").write_all(get("/api/v1/openapi.json").as_bytes()).expect("it is read");
    let output = converter.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let made = String::from_utf8(output.stdout).expect("text");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/postman.json");
    if std::env::var_os("UPDATE_POSTMAN").is_some() {
        std::fs::write(&file, &made).expect("a file");
        return;
    }
    assert!(std::fs::read_to_string(&file).expect("a file") == made, "assets/postman.json is old: run scripts/postman");

    // It is served with the address under which the browser reached the server.
    let served: Value = serde_json::from_str(&get("/docs/keyhouse.postman_collection.json")).expect("JSON");
    let variable = |name: &str| {
        let variables = served["variable"].as_array().expect("variables");
        variables.iter().find(|variable| variable["key"] == name).expect("it is there")["value"].clone()
    };
    assert_eq!((variable("baseUrl"), variable("bearerToken")), ("http://keys.example.com".into(), "".into()));
    let operations: usize = served["item"]
        .as_array()
        .expect("folders")
        .iter()
        .map(|folder| folder["item"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(operations, 7);
}
