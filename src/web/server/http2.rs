//! HTTP/2, on connections with TLS alone, with the limits that keep one client from occupying the server

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::{Parts, PathAndQuery};
use axum::http::{HeaderValue, Request, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Phase};
use super::{FIRST_REQUEST_TIMEOUT, HEAD_MAX, HEAD_TIMEOUT, HttpService, respond};

/// Requests of one connection that are handled at once; a client that opens more waits or has its stream refused.
const STREAMS_MAX: u32 = 100;
/// Streams that a client has reset before they were accepted: beyond that the connection is closed (rapid reset,
/// CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that the server has reset for errors of the client: beyond that the connection is closed (CVE-2025-8671).
const ERROR_RESETS_MAX: usize = 100;
/// Bytes of a response that are buffered for one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes that a client may send on one stream before they are read, and on the connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a silent client is asked for a sign of life, and how long it may take for it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to end after GOAWAY.
const GOAWAY_TIME: Duration = Duration::from_secs(2);

/// Serves one connection to its end: idle time-out and stop are as on HTTP/1.1.
pub(super) async fn serve_connection<IO>(
    io: IO,
    peer: SocketAddr,
    service: impl HttpService,
    activity: Arc<Activity>,
    idle: Duration,
    stop: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (service, of_service) = (Arc::new(service), Arc::clone(&activity));
    let hyper_service = service_fn(move |request| {
        respond(Arc::clone(&service), peer, in_origin_form(request), Arc::clone(&of_service))
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_header_list_size(HEAD_MAX as u32)
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), hyper_service));
    // How a connection ends is the client's business and is not logged.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {
            // A client that has just connected may send its first request.
            let _ended = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, connection.as_mut()).await;
        }
        () = idle_for(&activity, idle) => {}
    }
    connection.as_mut().graceful_shutdown();
    loop {
        if tokio::time::timeout(GOAWAY_TIME, connection.as_mut()).await.is_ok() || activity.phase().0 != Phase::Request
        {
            return;
        }
    }
}

/// Resolves when no request has run for too long.
async fn idle_for(activity: &Activity, idle: Duration) {
    loop {
        let (phase, since) = activity.phase();
        let limit = match phase {
            Phase::Head => HEAD_TIMEOUT,
            Phase::Idle | Phase::Request => idle,
        };
        if phase != Phase::Request && since.elapsed() >= limit {
            return;
        }
        let from = if phase == Phase::Request { Instant::now() } else { since };
        tokio::time::sleep_until(from + limit).await;
    }
}

/// The request as HTTP/1.1 has it, for the code behind: the authority in `Host`, and the path alone as the target.
fn in_origin_form(mut request: Request<Incoming>) -> Request<Incoming> {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        // RFC 9113, 8.3.1: `:authority` takes the place of a Host header that was sent beside it.
        request.headers_mut().insert(header::HOST, authority);
    }
    let mut parts = Parts::default();
    parts.path_and_query =
        Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(target) = Uri::from_parts(parts) {
        *request.uri_mut() = target;
    }
    request
}
