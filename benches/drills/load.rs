//! Callers: keep-alive clients in threads, what they were answered and how long it took.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyhouse::app::clock::Clock;

/// The machine's time, for measuring alone.
pub fn now() -> Duration {
    Clock::System.ticks()
}

/// One answer: its status (0: the connection broke), when it was asked for and how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub status: u16,
    pub at: Duration,
    pub took: Duration,
}

/// A client that keeps its connection while the server does.
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// `None`: nobody listens there any more.
    pub fn call(&mut self, request: &str) -> Option<Answered> {
        let at = now();
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
            stream.set_nodelay(true).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        let (status, keep) = self.exchange(request).unwrap_or((0, false));
        if !keep {
            self.connection = None;
        }
        Some(Answered { status, at, took: now() - at })
    }

    fn exchange(&mut self, request: &str) -> std::io::Result<(u16, bool)> {
        let connection = self.connection.as_mut().expect("connected");
        connection.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut keep) = (0, 0, true);
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap_or(0);
            }
            keep &= line != "connection: close";
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        Ok((status, keep))
    }
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

/// Clients that call until told to stop, or until nobody listens.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Answered>>>,
}

impl Load {
    /// `pause` between two calls of one client; none is as fast as it goes.
    pub fn start(address: SocketAddr, clients: usize, request: &str, pause: Option<Duration>) -> Self {
        Self::start_with(address, clients, request, pause, true)
    }

    /// As behind a load balancer: who is told to close goes elsewhere and does not come back.
    pub fn behind_a_balancer(address: SocketAddr, clients: usize, request: &str) -> Self {
        Self::start_with(address, clients, request, None, false)
    }

    fn start_with(address: SocketAddr, clients: usize, request: &str, pause: Option<Duration>, returns: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (stop, request) = (Arc::clone(&stop), request.to_owned());
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let Some(answer) = client.call(&request) else { break };
                    answers.push(answer);
                    if client.connection.is_none() && !returns {
                        break;
                    }
                    if let Some(pause) = pause {
                        std::thread::sleep(pause);
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

/// The time under which 99 of 100 calls stayed.
pub fn p99(answers: &[Answered]) -> Duration {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}
