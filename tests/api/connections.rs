//! Connections: early responses, half-closed clients, idle time and shares. What only bytes on a socket can show.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use keyhouse::web::server::{ServerOptions, serve};
use test_support::process::{ServerProcess, status};
use test_support::{Engine, TestApp, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// Reads one response: its head, and the body that its Content-Length announces.
fn read_response(socket: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return (head, body.to_owned());
            }
        }
        let read = socket.read(&mut buffer).expect("no reset before the response is read");
        assert!(read > 0, "the connection ended within the response: {text:?}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn post(token: &str, length: usize) -> String {
    format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn demo() -> (TestDatabase, ServerProcess, [String; 2]) {
    let database = TestDatabase::folder();
    let server = ServerProcess::start(&database, "demo", "info");
    let token = |index: usize| server.said["keys"][index]["token"].as_str().unwrap().to_owned();
    let tokens = [token(0), token(1)];
    (database, server, tokens)
}

/// Clients that write head and body apart, as many libraries do, and read only then.
#[test]
fn a_write_that_is_refused_early_is_answered_and_the_next_call_on_the_connection_works() {
    let (_database, server, [live, read_only]) = demo();
    let get = format!("GET /api/v1/key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {live}\r\n\r\n");
    for (token, length, refused) in [
        ("nonsense", 20_000, 401),
        ("nonsense", 60_000, 401),
        ("nonsense", 500_000, 401),
        (read_only.as_str(), 20_000, 403),
        (read_only.as_str(), 60_000, 403),
        (read_only.as_str(), 500_000, 403),
        (live.as_str(), 70_000, 413),
        (live.as_str(), 500_000, 413),
    ] {
        let mut socket = server.connect();
        for round in 0..20 {
            socket.write_all(post(token, length).as_bytes()).unwrap();
            let body = vec![b'x'; length];
            let sent = socket.write_all(&body);
            assert!(sent.is_ok(), "{length} bytes, round {round}: {sent:?}");
            let (head, _) = read_response(&mut socket);
            assert_eq!(status(&head.replace("http", "HTTP")), refused, "{length} bytes: {head}");
            let closes = head.contains("connection: close");
            assert_eq!(closes, length > 65_536, "{length} bytes: {head}");
            if closes {
                assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0, "it ends in order");
                socket = server.connect();
            }
            socket.write_all(get.as_bytes()).unwrap();
            let (head, _) = read_response(&mut socket);
            assert!(head.starts_with("http/1.1 200"), "{length} bytes, the call after: {head}");
        }
    }
}

#[test]
fn a_client_that_waits_for_the_response_before_it_sends_its_body_gets_one_that_says_close() {
    let (_database, server, _) = demo();
    let mut socket = server.connect();
    socket.write_all(post("nonsense", 1).as_bytes()).unwrap();
    let (head, _) = read_response(&mut socket);
    assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
    // A byte that comes late is dropped, not answered by a reset.
    socket.write_all(b"x").unwrap();
    assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0);

    // The same with a body that is announced and, for want of a 100, never sent.
    let mut socket = server.connect();
    let expecting = post("nonsense", 1000).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let began = Clock::System.monotonic();
    socket.write_all(expecting.as_bytes()).unwrap();
    let (head, _) = read_response(&mut socket);
    assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
    assert!(Clock::System.monotonic() - began < Duration::from_secs(1), "nothing is waited for");
}

#[test]
fn a_client_that_closes_its_sending_half_is_answered() {
    let (_database, server, [live, _]) = demo();
    let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let auth = format!("Host: a\r\nAuthorization: Bearer {live}\r\n");
    for (request, expected) in [
        (format!("GET /api/v1/key HTTP/1.1\r\n{auth}\r\n"), 200),
        (format!("{}{product}", post(&live, product.len())), 201),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        ("GET /docs HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
    ] {
        let mut socket = server.connect();
        socket.write_all(request.as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), expected, "{request}");
    }
}

#[test]
fn a_request_with_both_transfer_encoding_and_content_length_is_400() {
    let (_database, server, [live, _]) = demo();
    let body = "2b\r\n{\"name\":\"x\",\"unitPrice\":1,\"currency\":\"EUR\"}\r\n0\r\n\r\n";
    let [length, chunked] = ["Content-Length: 43", "Transfer-Encoding: chunked"];
    for (lines, expected) in [
        (chunked.to_owned(), 201),
        (format!("{length}\r\n{chunked}"), 400),
        (format!("{chunked}\r\n{length}"), 400),
        (format!("{chunked}\r\ncontent-LENGTH:43"), 400),
    ] {
        let head = format!(
            "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {live}\r\n{lines}\r\n\r\n"
        );
        let mut socket = server.connect();
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let (head, body) = read_response(&mut socket);
        assert_eq!(status(&head.replace("http", "HTTP")), expected, "{lines}: {body}");
        if expected == 400 {
            assert!(body.contains("\"bad_request\"") && head.contains("connection: close"), "{head} {body}");
        }
    }
}

/// A connection from an address of the loopback network.
async fn connect_from(source: [u8; 4], server: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(server).await.unwrap()
}

async fn is_answered(socket: &mut tokio::net::TcpStream) -> bool {
    let mut head = [0; 12];
    let asked = socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answered = tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut head)).await;
    if !(asked.is_ok() && answered.expect("an answer or an end").is_ok()) {
        return false;
    }
    // The rest of the response: 7 bytes of body end it.
    let mut rest = Vec::new();
    while !rest.ends_with(b"alive\n") {
        rest.push(socket.read_u8().await.unwrap());
    }
    &head == b"HTTP/1.1 200"
}

async fn is_closed(socket: &mut tokio::net::TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut [0; 1])).await.expect("it ends");
    read.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| read == 0)
}

/// A server with eight places. The networks `without_share` may hold all of them.
async fn small_server(app: &TestApp, without_share: &str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServerOptions {
        tls: None,
        max_connections: 8,
        idle: Duration::from_secs(75),
        without_share: [without_share.parse().unwrap()].into(),
    };
    tokio::spawn(serve(listener, app.service.clone(), options, CancellationToken::new(), Duration::ZERO));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_connections_run_short_the_one_that_is_idle_longest_is_closed() {
    let app = TestApp::on(Engine::Sqlite).await;
    let server = small_server(&app, "127.0.0.0/8").await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut socket = connect_from([127, 0, 0, 1], server).await;
        assert!(is_answered(&mut socket).await);
        open.push(socket);
    }
    assert!(is_answered(&mut open[0]).await, "the first is used again, so the second is idle longest");
    let mut newcomer = connect_from([127, 0, 0, 1], server).await;
    assert!(is_answered(&mut newcomer).await);
    assert!(is_closed(&mut open[1]).await);
    for index in [0, 2, 7] {
        assert!(is_answered(&mut open[index]).await, "{index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_holds_a_quarter_of_the_connections_at_most() {
    let app = TestApp::on(Engine::Sqlite).await;
    let server = small_server(&app, "127.0.9.0/24").await;
    // Two of eight are a network's share. While both receive a request's head, a third one is closed.
    let mut slow = Vec::new();
    for host in 1..=2 {
        let mut socket = connect_from([127, 0, 1, host], server).await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        slow.push(socket);
    }
    let mut third = connect_from([127, 0, 1, 3], server).await;
    assert!(is_closed(&mut third).await);
    let mut other = connect_from([127, 0, 2, 1], server).await;
    assert!(is_answered(&mut other).await, "another network is not affected");
    // Once they are idle, a new one takes the place of the one that was idle longest.
    for socket in &mut slow {
        socket.write_all(b"Host: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"alive\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
    }
    let mut fourth = connect_from([127, 0, 1, 4], server).await;
    assert!(is_answered(&mut fourth).await);
    assert!(is_closed(&mut slow[0]).await);
    assert!(is_answered(&mut slow[1]).await);
    // A trusted proxy has no share.
    let mut proxy = Vec::new();
    for _ in 0..4 {
        proxy.push(connect_from([127, 0, 9, 1], server).await);
    }
    for socket in &mut proxy {
        assert!(is_answered(socket).await);
    }
}
