//! Load: keep-alive clients in threads, with the status and the time of each response.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;

use super::Times;

/// Monotonic time, to measure durations.
pub(crate) fn now() -> Duration {
    Clock::System.monotonic()
}

/// One response: its status (0: the connection broke), when it was requested and how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// Whether it has a Retry-After header.
    pub(crate) has_retry_after: bool,
}

impl Answered {
    pub(crate) fn arrived(&self) -> Duration {
        self.at + self.took
    }
}

/// A response with headers and body.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// The first header of that name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The session cookie, as a browser sends it back.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let cookies = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        cookies.filter_map(|(_, value)| value.split(';').next()).find(|cookie| cookie.contains("_session="))
    }
}

/// A client that keeps its connection open until the server closes it.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// For a pause between two calls in which the server may close the connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// `None`: the server does not accept connections.
    pub(crate) fn call(&mut self, request: &str) -> Option<Answered> {
        let at = now();
        let reply = self.fetch(request)?;
        let has_retry_after = reply.header("retry-after").is_some();
        Some(Answered { status: reply.status, at, took: now() - at, has_retry_after })
    }

    /// As [`Client::call`], with headers and body.
    pub(crate) fn fetch(&mut self, request: &str) -> Option<Reply> {
        self.send(request)?;
        Some(self.receive())
    }

    /// Connects unless it is connected.
    pub(crate) fn connect(&mut self) -> Option<&mut TcpStream> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
            stream.set_nodelay(true).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        self.connection.as_mut().map(BufReader::get_mut)
    }

    /// Sends a request without reading the response.
    pub(crate) fn send(&mut self, request: &str) -> Option<()> {
        // The read reports a broken connection.
        let _sent = self.connect()?.write_all(request.as_bytes());
        Some(())
    }

    /// Reads the response to the request that was sent; status 0 if there is none.
    pub(crate) fn receive(&mut self) -> Reply {
        let reply = self.connection.as_mut().and_then(|connection| read_reply(connection).ok());
        if reply.as_ref().is_none_or(|reply| reply.header("connection") == Some("close")) {
            self.connection = None;
        }
        reply.unwrap_or_default()
    }
}

fn read_reply(connection: &mut BufReader<TcpStream>) -> std::io::Result<Reply> {
    let mut reply = Reply::default();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) => reply.headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => reply.status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0),
        }
    }
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    reply.body = String::from_utf8_lossy(&body).into_owned();
    Ok(reply)
}

pub(crate) fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

pub(crate) fn post(token: &str, body: &str) -> String {
    format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A form of the dashboard, as a browser with this cookie sends it.
pub(crate) fn form(path: &str, cookie: &str, fields: &[(&str, &str)]) -> String {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Clients that call until they are stopped or the server stops accepting connections.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Answered>>>,
}

impl Load {
    /// `every` is the time from one call of a client to its next; `None`: no pause.
    pub(crate) fn start(address: SocketAddr, clients: usize, request: &str, every: Option<Duration>) -> Self {
        Self::start_with(address, clients, request, every, true)
    }

    /// As behind a load balancer: a client that gets `Connection: close` does not reconnect.
    pub(crate) fn behind_a_balancer(address: SocketAddr, clients: usize, request: &str) -> Self {
        Self::start_with(address, clients, request, None, false)
    }

    fn start_with(
        address: SocketAddr,
        clients: usize,
        request: &str,
        every: Option<Duration>,
        reconnects: bool,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (stop, request) = (Arc::clone(&stop), request.to_owned());
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut answers = Vec::new();
                let mut due = now();
                while !stop.load(Ordering::Relaxed) {
                    let Some(answer) = client.call(&request) else {
                        // A client that reconnects must find the server: count it as a failure.
                        if reconnects {
                            answers.push(Answered {
                                status: 0,
                                has_retry_after: false,
                                at: now(),
                                took: Duration::ZERO,
                            });
                        }
                        break;
                    };
                    answers.push(answer);
                    if client.connection.is_none() && !reconnects {
                        break;
                    }
                    if let Some(every) = every {
                        // A late client continues from now: missed calls are not made up for.
                        due = (due + every).max(now());
                        std::thread::sleep(due - answer.arrived().min(due));
                    }
                }
                answers
            })
        };
        Self { clients: (0..clients).map(spawn).collect(), stop }
    }

    pub(crate) fn finish(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

/// How often each status was answered.
pub(crate) fn statuses(answers: &[Answered]) -> BTreeMap<u16, usize> {
    count(answers.iter().map(|answer| answer.status))
}

pub(crate) fn count(statuses: impl IntoIterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// The 99th percentile of the response times.
pub(crate) fn p99(answers: &[Answered]) -> Duration {
    Times::of(answers.iter().map(|answer| answer.took)).p99
}
