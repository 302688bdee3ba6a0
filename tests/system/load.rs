//! Callers: keep-alive clients in threads, what they were answered and how long it took.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;

/// The machine's time, for measuring alone.
pub fn now() -> Duration {
    Clock::System.monotonic()
}

/// One answer: its status (0: the connection broke), when it was asked for and how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub status: u16,
    pub at: Duration,
    pub took: Duration,
    /// Whether it says when to try again.
    pub says_when: bool,
}

impl Answered {
    pub fn arrived(&self) -> Duration {
        self.at + self.took
    }
}

/// An answer with all that it says.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What a browser would send back.
    pub fn cookie(&self) -> Option<&str> {
        let cookies = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        cookies.filter_map(|(_, value)| value.split(';').next()).find(|cookie| cookie.contains("_session="))
    }
}

/// A client that keeps its connection while the server does.
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// For one who rests so long between two calls that the server closes the connection meanwhile.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// `None`: nobody listens there any more.
    pub fn call(&mut self, request: &str) -> Option<Answered> {
        let at = now();
        let reply = self.fetch(request)?;
        let says_when = reply.header("retry-after").is_some();
        Some(Answered { status: reply.status, at, took: now() - at, says_when })
    }

    /// As [`Client::call`], for those who read the answer.
    pub fn fetch(&mut self, request: &str) -> Option<Reply> {
        self.send(request)?;
        Some(self.receive())
    }

    /// Connects, if it is not.
    pub fn connect(&mut self) -> Option<&mut TcpStream> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
            stream.set_nodelay(true).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        self.connection.as_mut().map(BufReader::get_mut)
    }

    /// The first half of a call.
    pub fn send(&mut self, request: &str) -> Option<()> {
        // A connection that broke is noticed by whoever reads from it.
        let _sent = self.connect()?.write_all(request.as_bytes());
        Some(())
    }

    /// The second half of a call; of status 0 if there is no answer.
    pub fn receive(&mut self) -> Reply {
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

pub fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

pub fn post(token: &str, body: &str) -> String {
    format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A form of the dashboard, as a browser with this cookie sends it.
pub fn form(path: &str, cookie: &str, fields: &[(&str, &str)]) -> String {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Clients that call until told to stop, or until nobody listens.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Answered>>>,
}

impl Load {
    /// `every` is from one call of a client to its next; none is as fast as it goes.
    pub fn start(address: SocketAddr, clients: usize, request: &str, every: Option<Duration>) -> Self {
        Self::start_with(address, clients, request, every, true)
    }

    /// As behind a load balancer: who is told to close goes elsewhere and does not come back.
    pub fn behind_a_balancer(address: SocketAddr, clients: usize, request: &str) -> Self {
        Self::start_with(address, clients, request, None, false)
    }

    fn start_with(address: SocketAddr, clients: usize, request: &str, every: Option<Duration>, returns: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (stop, request) = (Arc::clone(&stop), request.to_owned());
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut answers = Vec::new();
                let mut due = now();
                while !stop.load(Ordering::Relaxed) {
                    let Some(answer) = client.call(&request) else {
                        // Whoever comes back finds nobody: that is an answer too.
                        if returns {
                            answers.push(Answered { status: 0, says_when: false, at: now(), took: Duration::ZERO });
                        }
                        break;
                    };
                    answers.push(answer);
                    if client.connection.is_none() && !returns {
                        break;
                    }
                    if let Some(every) = every {
                        // Whoever is late goes on from now: calls that were not made are not made up for.
                        due = (due + every).max(now());
                        std::thread::sleep(due - answer.arrived().min(due));
                    }
                }
                answers
            })
        };
        Self { clients: (0..clients).map(spawn).collect(), stop }
    }

    pub fn finish(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

/// How often each status was answered.
pub fn statuses(answers: &[Answered]) -> BTreeMap<u16, usize> {
    count(answers.iter().map(|answer| answer.status))
}

pub fn count(statuses: impl IntoIterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

pub fn slowest(answers: &[Answered]) -> Duration {
    answers.iter().map(|answer| answer.took).max().unwrap_or_default()
}

/// The time under which 99 of 100 calls stayed.
pub fn p99(answers: &[Answered]) -> Duration {
    p99_of(answers.iter().map(|answer| answer.took))
}

pub fn p99_of(times: impl IntoIterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}
