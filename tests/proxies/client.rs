//! Calls as bytes on a socket, so that a test can send what no HTTP library would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Reply {
    /// The values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The one JSON object of the body, whether it came in chunks or not.
    pub(crate) fn json(&self) -> Value {
        let (start, end) = (self.body.find('{'), self.body.rfind('}'));
        let text = start.zip(end).map(|(start, end)| &self.body[start..=end]);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What the service received under this header name, in order.
    pub(crate) fn received(&self, name: &str) -> Vec<String> {
        let all = self.json()["headers"].as_array().expect("an answer of the service").clone();
        all.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().expect("text").to_owned()).collect()
    }
}

/// Sends one request on a connection of its own.
pub(crate) fn call(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: service.test\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        head += "Connection: close\r\n";
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut socket = connect(address);
    // A proxy may answer and close before it has read everything; the answer counts.
    let _sent = socket.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| socket.write_all(body));
    let mut answer = Vec::new();
    let _read = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Reply {
        status: status.unwrap_or_else(|| panic!("no answer to {method} {path}: {answer:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Opens a WebSocket through a proxy and sends bytes; returns the status and what came back of them.
pub(crate) fn upgrade(address: SocketAddr, headers: &[(&str, &str)]) -> (u16, String) {
    let mut head = String::from(
        "GET /socket HTTP/1.1\r\nHost: service.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut socket = connect(address);
    socket.write_all(format!("{head}\r\n").as_bytes()).expect("a request");
    let mut buffer = [0; 4096];
    let length = socket.read(&mut buffer).expect("an answer");
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    if status != 101 {
        return (status, String::new());
    }
    socket.write_all(b"ping through the proxy").expect("bytes");
    let length = socket.read(&mut buffer).expect("an echo");
    (status, String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the proxy listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket
}
