//! Exports traces to a collector by OTLP over HTTP, in its JSON encoding (OTLP 1.x, POST to `/v1/traces`).
//!
//! By hand rather than by `opentelemetry-otlp`: a request has one span and nothing else is exported, and that crate brings
//! about forty others.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use super::tls_roots;
use crate::app::infra::traces::{RequestSpan, TraceSource, hex};
use crate::build_info;

/// Most spans of one message.
const BATCH: usize = 512;
/// How long spans are collected before they are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the collector may take for a message. What it does not take is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// The URL of a collector, such as `http://127.0.0.1:4318`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    is_tls: bool,
    /// Host and port.
    authority: String,
    /// The path of the traces.
    path: String,
}

impl Endpoint {
    /// Reads a base URL, to which `/v1/traces` is added, as OpenTelemetry defines it.
    ///
    /// # Errors
    ///
    /// Not such a URL.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be the URL of a collector, such as http://127.0.0.1:4318";
        let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"@?#".contains(c));
        if !matches!(scheme, "http" | "https") || authority.is_empty() || !is_plain(rest) {
            return Err(WRONG);
        }
        let base = base.trim_end_matches('/');
        let path = if base.is_empty() { "/v1/traces".to_owned() } else { format!("/{base}/v1/traces") };
        Ok(Self { is_tls: scheme == "https", authority: authority.to_owned(), path })
    }

    fn address(&self) -> String {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let usual = if self.is_tls { 443 } else { 80 };
        if has_port { self.authority.clone() } else { format!("{}:{usual}", self.authority) }
    }
}

/// Sends spans in batches until `stop`, and then those that are left.
pub(crate) async fn export(endpoint: Endpoint, mut source: TraceSource, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let is_last = stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none();
        loop {
            let mut spans = Vec::new();
            while let Some(span) = source.try_recv().ok().filter(|_| spans.len() < BATCH) {
                spans.push(span);
            }
            if spans.is_empty() {
                break;
            }
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 seconds");
            let sent = tokio::time::timeout(PATIENCE, send(&endpoint, message(&spans))).await.map_err(late);
            match sent.and_then(|sent| sent) {
                Ok(()) if std::mem::replace(&mut failing, false) => tracing::info!("traces are exported again"),
                Ok(()) => {}
                // Once, not every second.
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, endpoint = endpoint.authority, "traces can't be exported and are dropped");
                }
                Err(_) => {}
            }
        }
        if is_last {
            return;
        }
    }
}

async fn send(endpoint: &Endpoint, message: Value) -> io::Result<()> {
    let stream = TcpStream::connect(endpoint.address()).await?;
    if !endpoint.is_tls {
        return post(endpoint, stream, message).await;
    }
    let address = endpoint.address();
    let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(tls_roots::client())).connect(name, stream).await?;
    post(endpoint, stream, message).await
}

async fn post<IO>(endpoint: &Endpoint, io: IO, message: Value) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let request = Request::post(&endpoint.path)
        .header(header::HOST, &endpoint.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(message.to_string())))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other);
    driver.abort();
    let status = response?.status();
    if status.is_success() { Ok(()) } else { Err(io::Error::other(format!("the collector answers {status}"))) }
}

fn text(key: &str, value: impl Into<String>) -> Value {
    json!({ "key": key, "value": { "stringValue": value.into() } })
}

/// `ExportTraceServiceRequest`, with the names of OpenTelemetry's semantic conventions for HTTP servers.
fn message(spans: &[RequestSpan]) -> Value {
    let resource = [text("service.name", "keyhouse"), text("service.version", build_info::VERSION)];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "keyhouse", "version": build_info::VERSION },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

fn span(span: &RequestSpan) -> Value {
    let ended = u128::from(span.ended_at.ms().unsigned_abs()) * 1_000_000;
    let mut attributes = vec![
        text("http.request.method", &span.method),
        json!({ "key": "http.response.status_code", "value": { "intValue": span.status.to_string() } }),
        text("client.address", &span.client),
        text("keyhouse.request_id", &span.request_id),
    ];
    let optional = [
        ("http.route", span.route.clone()),
        ("keyhouse.key_id", span.key.clone()),
        ("error.type", span.error.map(str::to_owned)),
    ];
    attributes.extend(optional.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    let mut shown = json!({
        "traceId": hex(&span.context.trace_id),
        "spanId": hex(&span.context.span_id),
        "name": span.route.as_ref().map_or_else(|| span.method.clone(), |route| format!("{} {route}", span.method)),
        // SPAN_KIND_SERVER.
        "kind": 2,
        "startTimeUnixNano": ended.saturating_sub(span.took.as_nanos()).to_string(),
        "endTimeUnixNano": ended.to_string(),
        "attributes": attributes,
        // STATUS_CODE_ERROR is for faults of the server alone.
        "status": if span.status >= 500 { json!({ "code": 2 }) } else { json!({}) },
    });
    if let Some(parent) = span.context.parent {
        shown["parentSpanId"] = hex(&parent).into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url_without_a_password() {
        let endpoint = Endpoint::parse("http://127.0.0.1:4318").unwrap();
        assert_eq!((endpoint.address(), &*endpoint.path), ("127.0.0.1:4318".to_owned(), "/v1/traces"));
        let endpoint = Endpoint::parse("https://collector.example/otlp/").unwrap();
        assert_eq!((endpoint.address(), &*endpoint.path), ("collector.example:443".to_owned(), "/otlp/v1/traces"));
        for faulty in ["", "127.0.0.1:4318", "grpc://x", "http://", "http://a@b", "http://a?b", "http://a b"] {
            assert!(Endpoint::parse(faulty).is_err(), "{faulty}");
        }
    }
}
