//! Traces, as a collector receives them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: takes OTLP over HTTP and passes each span on.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, spans) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let message = receive(stream.expect("a connection"));
            for resource in message["resourceSpans"].as_array().expect("resources") {
                let service = &resource["resource"]["attributes"][0];
                assert_eq!(
                    (&service["key"], &service["value"]["stringValue"]),
                    (&"service.name".into(), &"keyhouse".into())
                );
                for span in resource["scopeSpans"][0]["spans"].as_array().expect("spans") {
                    let _the_test_may_be_over = send.send(span.clone());
                }
            }
        }
    });
    (url, spans)
}

/// Reads one request as a collector does, and answers it.
fn receive(stream: TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a line") > 0, "the head ends early: {head}");
    }
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("the body");
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    reader.get_mut().write_all(answer).expect("the answer is sent");
    serde_json::from_slice(&body).expect("JSON")
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let value = &span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_span_in_the_trace_of_its_caller() {
    let (url, spans) = collector();
    let place = TestDatabase::folder();
    let mut serving = ServerProcess::start_with(&place, "serve", "info", &[("KEYHOUSE_OTLP_ENDPOINT", &url)]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &create);
    let token = key["token"].as_str().unwrap();
    let get = |traceparent: &str| {
        serving.send(
            format!(
                "GET /api/v1/key?secret=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
                 traceparent: {traceparent}\r\nConnection: close\r\n\r\n"
            )
            .as_bytes(),
        )
    };
    let answer = get(&format!("00-{TRACE}-{PARENT}-01"));
    let span = spans.recv_timeout(Duration::from_secs(20)).expect("a span");
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&TRACE.into(), &PARENT.into()));
    assert_eq!((&span["name"], &span["kind"]), (&"GET /api/v1/key".into(), &2.into()));
    assert_eq!(attribute(&span, "http.response.status_code"), Some("200"));
    assert_eq!(attribute(&span, "http.route"), Some("/api/v1/key"));
    assert_eq!(attribute(&span, "keyhouse.key_id"), key["id"].as_str());
    let request_id = attribute(&span, "keyhouse.request_id").unwrap().to_owned();
    assert!(answer.contains(&request_id), "{answer}");
    let nanos = |name: &str| span[name].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{span}");
    assert!(!span.to_string().contains("secret") && !span.to_string().contains(&token[8..]), "{span}");
    let log = String::from_utf8(serving.logs()).unwrap();
    let line = log.lines().find(|line| line.contains(&request_id)).expect("a line");
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");

    // A caller that does not record its trace is not recorded here either; a faulty header begins a new trace.
    get(&format!("00-{TRACE}-{PARENT}-00"));
    get("00-faulty");
    let span = spans.recv_timeout(Duration::from_secs(20)).expect("a span");
    assert!(span["traceId"] != TRACE && span.get("parentSpanId").is_none(), "{span}");
    // What is left is sent at the stop.
    serving.get("/api/v1/key", "pk_live_wrong");
    assert!(serving.terminate().success());
    let span = spans.recv_timeout(Duration::from_secs(20)).expect("a span");
    assert_eq!(attribute(&span, "http.response.status_code"), Some("401"));
    assert_eq!(attribute(&span, "error.type"), Some("invalid_token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_delays_no_request_and_is_logged_once() {
    let place = TestDatabase::folder();
    let settings = [("KEYHOUSE_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let mut serving = ServerProcess::start_with(&place, "serve", "info", &settings);
    for _ in 0..3 {
        assert_eq!(serving.get("/healthz", ""), 200);
    }
    assert!(serving.terminate().success());
    let log = String::from_utf8(serving.logs()).unwrap();
    assert_eq!(log.matches("traces can't be exported and are dropped").count(), 1, "{log}");
}
