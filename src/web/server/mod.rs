//! The HTTP server of a port: the accept loop, limits on connections and time, and a stop that breaks no request.
//!
//! hyper parses and writes HTTP/1.1 and, with TLS, HTTP/2. By hand rather than by `axum::serve`, which has no limit on connections, no time-out
//! for a request's head, and tears a connection down when it answers before the body was read.

mod activity;
mod connections;
mod http2;
mod request_body;
mod stream;
pub mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use activity::Activity;
use connections::{Admission, Connections};
use request_body::RequestBody;
use stream::ClientStream;
use tls::Tls;

/// What answers the requests of a port.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// Never fails and never panics.
    fn handle(&self, peer: SocketAddr, request: Request<Body>) -> impl Future<Output = Response> + Send;
}

/// Limits of a port.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Connections at once. When they run short, the one that has been idle longest is closed for a new one.
    pub max_connections: usize,
    /// How long a connection may be idle between two requests. Longer than a reverse proxy keeps its connections to us,
    /// so that it is the proxy that closes them: a request never meets a connection that we are closing.
    pub idle: Duration,
    /// Networks that may hold more than their share of the connections, because they carry many clients.
    pub without_share: Arc<[IpNet]>,
    /// The certificate; `None`: plain HTTP.
    pub tls: Option<Tls>,
}

/// How long a request's head may take, from its first byte or, on a new connection, from the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing while a response waits for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Once stopping: how long a client that has just connected may take to send its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_millis(250);
/// How often a connection is looked for to close while a new one waits for a place.
const EVICTION_RETRY: Duration = Duration::from_millis(20);
/// Largest request head, in bytes; hyper answers a larger one with 431.
pub const HEAD_MAX: usize = 16 * 1024;
/// Most header lines of a request; hyper answers more with 431.
pub const HEADERS_MAX: usize = 100;
/// Connections at once, if the process may have as many descriptors. Each takes about 20 KiB.
const CONNECTIONS_MAX: usize = 4096;
/// Descriptors that are left for databases (up to 32 connections of a node), Redis and files.
const DESCRIPTORS_SPARED: u64 = 128;

/// A request that carries both Transfer-Encoding and Content-Length, which is how requests are smuggled past a proxy that
/// reads the other one (RFC 9112, 6.3). hyper removes the Content-Length, so this extension tells what it removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct AmbiguousLength;

/// Accepts connections until `stop`, then lets running requests finish for at most `finish`, and cuts off the rest.
pub async fn serve(
    listener: TcpListener,
    service: impl HttpService,
    options: ServerOptions,
    stop: CancellationToken,
    finish: Duration,
) {
    let connections = Connections::new(&options);
    let mut tasks = JoinSet::new();
    let mut failing = false;
    let accept = |tasks: &mut JoinSet<()>, admission: Admission, stream: TcpStream, peer: SocketAddr| {
        let (service, stop, idle, tls) = (service.clone(), stop.clone(), options.idle, options.tls.clone());
        tasks.spawn(async move {
            let activity = Arc::clone(admission.activity());
            let stream = patient(stream);
            let serving = async {
                let Some(tls) = tls else {
                    return serve_connection(stream, peer, service, Arc::clone(&activity), idle, stop).await;
                };
                // The client does not speak TLS or does not trust the certificate: nothing to log.
                let handshake = tokio::select! {
                    biased;
                    handshake = tls.accept(stream) => handshake,
                    () = stop_after(&stop, FIRST_REQUEST_TIMEOUT) => None,
                };
                match handshake {
                    Some((stream, true)) => {
                        http2::serve_connection(stream, peer, service, Arc::clone(&activity), idle, stop).await;
                    }
                    Some((stream, false)) => {
                        serve_connection(stream, peer, service, Arc::clone(&activity), idle, stop).await;
                    }
                    None => {}
                }
            };
            tokio::select! {
                biased;
                () = serving => {}
                () = evicted(&activity, admission.evict()) => {}
            }
            drop(admission);
        });
        while tasks.try_join_next().is_some() {}
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                // Responses are small and complete: waiting to fill a packet would only delay them.
                let _best_effort = stream.set_nodelay(true);
                let admission = tokio::select! {
                    biased;
                    () = stop.cancelled() => connections.try_admit(peer.ip()),
                    admission = connections.admit(peer.ip(), EVICTION_RETRY) => admission,
                };
                if let Some(admission) = admission {
                    accept(&mut tasks, admission, stream, peer);
                }
            }
            Err(error) => {
                // No descriptor or no memory: the listener is still good, but trying again at once would spin.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "accepting a connection failed, will be retried");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Connections in the accept queue have been promised service by the kernel.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        if let Some(admission) = connections.try_admit(peer.ip()) {
            accept(&mut tasks, admission, stream, peer);
        }
    }

    drop(listener);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(finish, ended).await.is_err() {
        tracing::warn!("requests that had not finished in time were cut off");
    }
    tasks.shutdown().await;
}

/// How many connections the process has descriptors for. Raises the soft limit to the hard one.
pub fn max_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    // The kernel may refuse: a container's hard limit can be above what the process is allowed to set.
    connections_for(if is_raised { maximum } else { current })
}

/// How many connections fit into a limit of descriptors. `None` is no limit.
fn connections_for(descriptors: Option<u64>) -> usize {
    let connections = descriptors.map_or(CONNECTIONS_MAX as u64, |all| all.saturating_sub(DESCRIPTORS_SPARED).max(16));
    CONNECTIONS_MAX.min(usize::try_from(connections).unwrap_or(CONNECTIONS_MAX))
}

/// Resolves some time after `stop`.
async fn stop_after(stop: &CancellationToken, time: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(time).await;
}

/// Ends a write that makes no progress for [`WRITE_TIMEOUT`].
fn patient(stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

/// Resolves when this connection is chosen to make room and is idle. A request that has begun meanwhile is finished.
async fn evicted(activity: &Activity, evict: &Notify) {
    loop {
        evict.notified().await;
        if activity.is_idle() {
            return;
        }
    }
}

/// Serves one connection to its end, over a socket or, in tests, over anything that reads and writes.
pub async fn connection<IO>(
    io: IO,
    peer: SocketAddr,
    service: impl HttpService,
    idle: Duration,
    stop: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_connection(io, peer, service, Arc::default(), idle, stop).await;
}

/// After `stop`: the running request is finished, the first request of a new client is waited for shortly, and a
/// connection that is idle between two requests is closed.
async fn serve_connection<IO>(
    io: IO,
    peer: SocketAddr,
    service: impl HttpService,
    activity: Arc<Activity>,
    idle: Duration,
    stop: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = ClientStream::new(io, Arc::clone(&activity), idle);
    // Of its own, each: all connections would take one lock to wait for the same token, and requests on all cores would
    // count the users of the same service.
    let service = Arc::new(service);
    let stop = stop.child_token();
    let first_request = CancellationToken::new();
    let (on_request, of_service) = (first_request.clone(), Arc::clone(&activity));
    let has_begun = AtomicBool::new(false);
    let hyper_service = service_fn(move |request| {
        if !has_begun.swap(true, Ordering::Relaxed) {
            on_request.cancel();
        }
        respond(Arc::clone(&service), peer, request, Arc::clone(&of_service))
    });
    let mut http = http1::Builder::new();
    // A client that has sent everything may close its sending half; it still gets its response. The stream has the
    // time-out for a head: hyper's would count the idle time too.
    // The limit on header lines is hyper's own: setting one, even the same, makes it allocate them for each request.
    http.half_close(true).max_buf_size(HEAD_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), hyper_service));

    // How a connection ends is the client's business and is not logged.
    tokio::select! {
        biased;
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    tokio::select! {
        biased;
        _ended = connection.as_mut() => return,
        () = first_request.cancelled() => {}
        () = tokio::time::sleep(FIRST_REQUEST_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

/// Answers one request. If the handler has left a part of the body unread, the rest is read and dropped; if it is too long
/// or too slow for that, the response says `Connection: close`, and the stream lingers until the client has read it.
///
/// Not an `async fn`: hyper copies the future of each request, so it should not hold the request twice.
fn respond(
    service: Arc<impl HttpService>,
    peer: SocketAddr,
    request: Request<Incoming>,
    activity: Arc<Activity>,
) -> impl Future<Output = Result<Response<activity::TrackedBody>, Infallible>> + Send {
    let is_ambiguous = request.headers().contains_key(header::TRANSFER_ENCODING) && activity.head_has_content_length();
    let busy = activity.begin_request();
    let awaits_continue = request.headers().contains_key(header::EXPECT);
    let is_http1 = request.version() < Version::HTTP_2;
    let (mut parts, incoming) = request.into_parts();
    if is_ambiguous {
        parts.extensions.insert(AmbiguousLength);
    }
    let body = RequestBody::new(incoming);
    let request = Request::from_parts(parts, body.for_handler());
    async move {
        let mut response = service.handle(peer, request).await;
        // HTTP/2 resets the one stream whose body was not read, and the connection stays.
        if !body.finish(awaits_continue).await && is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            activity.linger();
        }
        Ok(response.map(|body| busy.track(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (descriptors, connections) in [
            (None, CONNECTIONS_MAX),
            (Some(1 << 20), CONNECTIONS_MAX),
            (Some(DESCRIPTORS_SPARED + 100), 100),
            (Some(20), 16),
        ] {
            assert_eq!(connections_for(descriptors), connections, "{descriptors:?}");
        }
    }
}
