//! The protected service: returns what it received, so that a test can check what a proxy let through.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, HeaderValue, ORIGIN, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Runs until the test process ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Upstream {
    /// The service.
    pub(crate) async fn start() -> Self {
        Self::serve(answer).await
    }

    /// A stand-in for oauth2-proxy: one session is good, its `/oauth2/auth` answers 202 or 401, any other path but its own
    /// pages 202 or a redirect to sign-in.
    pub(crate) async fn portal() -> Self {
        Self::serve(portal).await
    }

    async fn serve<F>(answer: fn(Request<Incoming>) -> F) -> Self
    where
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        counter.fetch_add(1, Ordering::Relaxed);
                        answer(request)
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    let served = connection.serve_connection(TokioIo::new(socket), service).with_upgrades().await;
                    drop(served);
                });
            }
        });
        Self { address, calls }
    }

    /// How many calls have reached the service.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn portal(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_signed_in = request.headers().get("cookie").is_some_and(|cookie| cookie == "_oauth2_proxy=good");
    let mut response = Response::new(Full::default());
    let mut insert = |name: &'static str, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    let status = match (request.uri().path(), is_signed_in) {
        ("/oauth2/start", _) => {
            insert("x-portal", "sign-in");
            StatusCode::OK
        }
        (_, true) => {
            insert("x-auth-request-user", "ada");
            insert("x-auth-request-email", "ada@example.com");
            StatusCode::ACCEPTED
        }
        ("/oauth2/auth", false) => StatusCode::UNAUTHORIZED,
        (_, false) => {
            insert("location", "/oauth2/start?rd=%2F");
            StatusCode::FOUND
        }
    };
    *response.status_mut() = status;
    Ok(response)
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().get(UPGRADE).is_some_and(|protocol| protocol == "websocket") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut socket = TokioIo::new(upgraded);
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = socket.read(&mut buffer).await {
                if socket.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        // For the key that the test's client sends, the example of RFC 6455.
        let accept = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        response.headers_mut().insert("sec-websocket-accept", accept);
        return Ok(response);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let report = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "headers": headers,
        "length": body.len(),
        "sha256": Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    });
    let mut response = Response::new(Full::from(report.to_string()));
    if parts.headers.contains_key(ORIGIN) {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(response)
}
