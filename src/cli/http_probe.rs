//! One GET request, as a browser or a balancer would send it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::telemetry::tls_roots;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read: the metrics of a busy node.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// An answer to a probe.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    text: String,
}

impl Answer {
    /// Whether Keyhouse gave it.
    pub(super) fn is_keyhouse(&self) -> bool {
        self.header("x-request-id").is_some_and(|id| id.starts_with("req_"))
    }

    pub(super) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends `GET` to an origin such as `https://keys.example.com`. TLS is verified against the machine's root certificates.
pub(super) async fn get(origin: &str, path: &str) -> io::Result<Answer> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 seconds");
    tokio::time::timeout(PATIENCE, exchange(origin, path)).await.map_err(late)?
}

async fn exchange(origin: &str, path: &str) -> io::Result<Answer> {
    let (scheme, authority) = origin.split_once("://").ok_or(io::ErrorKind::InvalidInput)?;
    let is_tls = scheme == "https";
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if is_tls { ":443" } else { ":80" };
    let address = if has_port { authority.to_owned() } else { format!("{authority}{port}") };
    let stream = TcpStream::connect(&address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    if !is_tls {
        return answer(stream, &request).await;
    }
    let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    answer(TlsConnector::from(Arc::clone(tls_roots::client())).connect(name, stream).await?, &request).await
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut bytes).await;
    // Some proxies close TLS without its closing message; what has arrived counts.
    if bytes.is_empty() {
        read?;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    Ok(Answer { status, text })
}
