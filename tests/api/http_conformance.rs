//! HTTP conformance of the API: methods, headers, malformed requests.

use keyhouse::web::server::HttpService;
use rstest::rstest;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use test_support::process::{ServerProcess, status};
use test_support::{Engine, TestApp, TestDatabase, assert_text};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_are_404_and_methods_405_with_a_valid_key(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let absent = app.get("/api/v1/nothing").bearer(&token).await;
    assert_text!(absent.without_request_id(), @r#"
    404 Not Found
    cache-control: no-store
    content-length: 169
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"not_found_error","code":"route_not_found","message":"No such path; see /docs for the list of endpoints","request_id":"req_…"}}
    "#);
    for path in ["/api/v1", "/api/v1/", "/api/v1/products/", "/api/v1//products", "/api/v1/Products", "/api/v1/key/"] {
        let answer = app.get(path).bearer(&token).await;
        assert_eq!(answer.without_request_id(), absent.without_request_id(), "{path}");
    }
    assert_text!(app.call("DELETE", "/api/v1/products").bearer(&token).await.without_request_id(), @r#"
    405 Method Not Allowed
    allow: GET,HEAD,POST
    cache-control: no-store
    content-length: 189
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"method_not_allowed","message":"This path does not support this method; see the Allow header","request_id":"req_…"}}
    "#);
    for method in ["TRACE", "OPTIONS", "PUT", "BREW"] {
        let answer = app.call(method, "/api/v1/key").bearer(&token).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("GET,HEAD")), "{method}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn method_override_has_no_effect(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let made = app.post("/api/v1/products", r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#).bearer(&token).await;
    let path = made.header("location").unwrap();
    for (name, value) in
        [("x-http-method-override", "DELETE"), ("x-method-override", "DELETE"), ("x-http-method", "DELETE")]
    {
        let answer = app.get(&format!("{path}?_method=DELETE")).bearer(&token).header(name, value).await;
        assert_eq!(answer.json()["data"]["status"], "active", "{name}");
    }
    let posted = app.call("POST", path).bearer(&token).header("x-http-method-override", "PATCH").await;
    assert_eq!(posted.status, 405);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_returns_the_headers_of_get(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for path in ["/api/v1/products", "/api/v1/key", "/api/v1/nothing", "/api/v1/products/x"] {
        let get = app.get(path).bearer(&token).await;
        let head = app.call("HEAD", path).bearer(&token).await;
        assert_eq!(head.status, get.status);
        assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert!(head.body.is_empty());
    }
    let refused = app.call("HEAD", "/api/v1/products").await;
    assert_eq!((refused.status.as_u16(), refused.body.len()), (401, 0));
    assert_eq!(refused.header("www-authenticate"), Some(r#"Bearer realm="api""#));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_a_request_id_and_is_not_cached(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for answer in [
        app.get("/api/v1/products").bearer(&token).await,
        app.get("/api/v1/products").await,
        app.get("/api/v1/x").bearer(&token).await,
        app.get("/healthz").await,
        app.get("/elsewhere").await,
    ] {
        let id = answer.header("x-request-id").unwrap();
        assert!(
            id.len() == 30
                && id.starts_with("req_")
                && id.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit()),
            "{id}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(
            !answer.headers.keys().any(|name| name.as_str().starts_with("access-control-") || name == "set-cookie")
        );
        if answer.status.is_client_error() {
            assert_eq!(answer.json()["error"]["request_id"], id);
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_database_is_503_and_never_401(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    app.inner.close().await.unwrap();
    let answer = app.get("/api/v1/products").bearer(&token).await;
    assert_text!(answer.without_request_id(), @r#"
    503 Service Unavailable
    cache-control: no-store
    content-length: 171
    content-type: application/json
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"api_error","code":"service_unavailable","message":"The service can't answer right now; try again shortly","request_id":"req_…"}}
    "#);
    let unknown = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
    assert_eq!(app.get("/api/v1/nothing").bearer(unknown).await.status, 503);
    assert_eq!(app.get("/api/v1/products").bearer("malformed").await.status, 401, "no look-up is needed for this one");
    assert_eq!(app.get("/readyz").await.status, 503);
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn malformed_hosts_and_long_targets_are_refused() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let peer = SocketAddr::from(([203, 0, 113, 7], 1));
    let with_hosts = async |hosts: &[&str]| {
        let mut request = Request::get("/api/v1/key").header("authorization", format!("Bearer {token}"));
        for host in hosts {
            request = request.header("host", *host);
        }
        let response = app.service.handle(peer, request.body(Body::empty()).unwrap()).await;
        response.status().as_u16()
    };
    for (hosts, status) in [
        (&["api.example"][..], 200),
        (&["api.example:8080"], 200),
        (&["[::1]:8080"], 200),
        (&[], 400),
        (&["a.example", "a.example"], 400),
        (&["a b"], 400),
        (&["a.example/x"], 400),
        (&["user@a.example"], 400),
        (&["a:99999999"], 400),
        (&["a:b"], 400),
        (&["a,b"], 400),
        (&["a:"], 200),
        (&["[::1]:x"], 400),
    ] {
        assert_eq!(with_hosts(hosts).await, status, "{hosts:?}");
    }
    let long = app.get(&format!("/api/v1/key?x={}", "y".repeat(8192))).bearer(&token).await;
    assert_text!(long.without_request_id(), @r#"
    414 URI Too Long
    cache-control: no-store
    content-length: 161
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"bad_request","message":"The request target is longer than 8 KiB","request_id":"req_…"}}
    "#);
    assert_eq!(app.get(&format!("/api/v1/key?x={}", "y".repeat(8000))).bearer(&token).await.status, 200);
}

#[tokio::test]
async fn readiness_ends_when_the_server_is_stopping() {
    let app = TestApp::on(Engine::Sqlite).await;
    assert_eq!(app.get("/readyz").await.text(), "ready\n");
    app.stopping.begin();
    let answer = app.get("/readyz").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "stopping\n"));
}

/// Uses a pipe instead of a socket, so that the runtime's clock can be paused: it then jumps to the next time-out.
#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_ten_seconds_within_a_head_and_after_the_idle_time_between_two() {
    // The database needs real time, but this connection never reaches it.
    tokio::time::resume();
    let app = TestApp::on(Engine::Sqlite).await;
    tokio::time::pause();
    let idle = Duration::from_secs(75);
    for (bytes, seconds) in [
        (&b""[..], 10),
        (b"GET /healthz HTTP/1.1\r\nHost: a", 10),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 75),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\n", 75),
    ] {
        let (mut client, server) = tokio::io::duplex(4096);
        let peer = SocketAddr::from(([203, 0, 113, 7], 1));
        let connection =
            tokio::spawn(keyhouse::web::server::connection(server, peer, app.service.clone(), idle, app.stop.clone()));
        let began = tokio::time::Instant::now();
        client.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        connection.await.unwrap();
        let ended = Duration::from_secs(seconds)..Duration::from_secs(seconds + 1);
        assert!(ended.contains(&began.elapsed()), "{bytes:?} after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_within_ten_seconds_is_refused() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    // The key is authenticated in real time before the body is read; from then on the clock is paused.
    let mut paused = false;
    let stalled = futures_util::stream::poll_fn(move |_| {
        if !std::mem::replace(&mut paused, true) {
            tokio::time::pause();
        }
        std::task::Poll::<Option<Result<Vec<u8>, std::io::Error>>>::Pending
    });
    let began = tokio::time::Instant::now();
    let answer = app.post("/api/v1/products", "").body(Body::from_stream(stalled)).bearer(&token).await;
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert_text!(answer.without_request_id(), @r#"
    400 Bad Request
    cache-control: no-store
    connection: close
    content-length: 171
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"bad_request","message":"The request body did not arrive within 10 seconds","request_id":"req_…"}}
    "#);
}

/// Requests that only raw bytes on a socket can express.
#[test]
fn malformed_requests_over_a_socket() {
    let place = TestDatabase::folder();
    let serving = ServerProcess::start(&place, "demo", "info");
    let token = serving.said["keys"][0]["token"].as_str().unwrap().to_owned();
    let call = |head: &str| serving.send(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes());
    let good = format!("Host: a\r\nAuthorization: Bearer {token}");

    for (head, expected) in [
        (format!("GET /api/v1/key HTTP/1.1\r\n{good}"), 200),
        (format!("GET /api/v1/key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}  \t"), 200),
        (format!("GET /api/v1/key HTTP/1.1\r\nHost: a\r\nauthorization:bearer   {token}"), 200),
        (format!("GET /api/v1/key HTTP/1.1\r\nAuthorization: Bearer {token}"), 400),
        (format!("GET /api/v1/key HTTP/1.1\r\nHost: b\r\n{good}"), 400),
        (format!("GET /api/v1/key HTTP/1.1\r\n{good}\r\nAuthorization: Bearer {token}"), 401),
        (format!("GET /api/v1/key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\0"), 400),
        (format!("GET /api/v1/key HTTP/1.1\r\n{good}\r\nX-Filler: {}", "x".repeat(17_000)), 431),
        (format!("GET /api/v1/key?{} HTTP/1.1\r\n{good}", "x".repeat(9_000)), 414),
        (format!("TRACE /api/v1/key HTTP/1.1\r\n{good}"), 405),
        (
            format!(
                "POST /api/v1/products HTTP/1.1\r\n{good}\r\nContent-Type: application/json\r\nContent-Length: 70000"
            ),
            413,
        ),
        ("GET / HTTP/1.1\r\nHost: a".to_owned(), 303),
        ("GET /nowhere HTTP/1.1\r\nHost: a".to_owned(), 404),
        ("POST /sign-in HTTP/1.1\r\nHost: a".to_owned(), 400),
        (format!("GET http://{}/api/v1/key HTTP/1.1\r\n{good}", "a".repeat(9_000)), 414),
        (format!("GET /api/v1/key HTTP/1.1\r\n{good}{}", "\r\nX: y".repeat(97)), 200),
        (format!("GET /api/v1/key HTTP/1.1\r\n{good}{}", "\r\nX: y".repeat(98)), 431),
        ("HEAD /api/v1/openapi.json HTTP/1.1\r\nHost: a".to_owned(), 200),
        ("HEAD /docs HTTP/1.1\r\nHost: a".to_owned(), 200),
        ("POST /docs HTTP/1.1\r\nHost: a".to_owned(), 405),
        ("DELETE /api/v1/openapi.json HTTP/1.1\r\nHost: a".to_owned(), 405),
        (
            format!(
                "POST /api/v1/products HTTP/1.1\r\n{good}\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked"
            ),
            415,
        ),
    ] {
        assert_eq!(status(&call(&head)), expected, "{head:.120}");
    }
    // A 100 kB token exceeds the limit of the head; one within it is a plain 401.
    let giant = format!("GET /api/v1/key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}", "a".repeat(100_000));
    assert_eq!(status(&call(&giant)), 431);
    let chunked = format!(
        "POST /api/v1/products HTTP/1.1\r\n{good}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000));
    assert_eq!(status(&serving.send(format!("{chunked}{body}").as_bytes())), 413);
}
