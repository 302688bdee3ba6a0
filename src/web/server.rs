//! The accept loop: time-outs that bite, a cap on connections, and a stop that breaks no call.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// What answers the requests of a port.
pub trait HttpService: Clone + Send + 'static {
    /// Connections at once; further ones wait in the kernel's queue.
    fn max_connections(&self) -> usize;

    /// Never fails and never panics.
    fn handle(&self, peer: SocketAddr, request: Request<Body>) -> impl Future<Output = Response> + Send;
}

/// How long a request's head may take, and how long a kept-alive connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may read nothing while an answer waits for it.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// How long, once stopping, a client that has just connected may take to say what it came for.
const FIRST_CALL_TIME: Duration = Duration::from_millis(250);
/// Largest request head, in bytes; hyper answers a larger one with 431.
pub const HEAD_MAX: usize = 16 * 1024;
/// Most header lines of a request; hyper answers more with 431.
pub const HEADERS_MAX: usize = 100;
/// Connections at once, if the process may have as many descriptors; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Descriptors for everything else: databases, Redis, files.
const DESCRIPTORS_SPARED: u64 = 128;

/// Accepts until `stop` turns true, then lets what runs finish, for at most `finish`, and cuts off the rest.
pub async fn serve(listener: TcpListener, door: impl HttpService, stop: CancellationToken, finish: Duration) {
    let room = Arc::new(Semaphore::new(door.max_connections()));
    let mut failing = false;
    let mut running = JoinSet::new();
    let stopping = stop.clone();
    let take = |running: &mut JoinSet<()>, (stream, peer, place): Accepted| {
        let connection = connection(patient(stream), peer, door.clone(), stopping.clone());
        running.spawn(async move {
            connection.await;
            drop(place);
        });
        while running.try_join_next().is_some() {}
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok(accepted) => {
                failing = false;
                take(&mut running, accepted);
            }
            Err(error) => {
                // Out of memory, say: the listener is still good, but trying again at once would spin.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "can't accept connections now");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Whoever the kernel has let in already is served too.
    while let Some(Ok(accepted)) = accept(&listener, &room).now_or_never() {
        take(&mut running, accepted);
    }

    drop(listener);
    let ended = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(finish, ended).await.is_err() {
        tracing::warn!("some calls had not finished in time and were cut off");
    }
    running.shutdown().await;
}

/// How many connections a process has room for. Asks the system for all the descriptors that it lets a process have.
pub fn max_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let descriptors = if raised { maximum } else { current };
    let max_connections =
        descriptors.map_or(CONNECTIONS_MAX as u64, |all| all.saturating_sub(DESCRIPTORS_SPARED).max(16));
    CONNECTIONS_MAX.min(usize::try_from(max_connections).unwrap_or(CONNECTIONS_MAX))
}

/// A connection, its client, and its place among [`CONNECTIONS_MAX`].
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// Gives a client that does not read [`WRITE_TIME`] for each step.
fn patient(stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    Box::pin(stream)
}

/// One connection to its end, over a socket or, in tests, over anything that reads and writes.
///
/// Once `stop` turns true: the call that runs is finished, one that a new client is about to send is waited for a moment,
/// and a connection that rests between two calls is closed.
pub async fn connection<IO>(io: IO, peer: SocketAddr, door: impl HttpService, stop: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (called, mut first_call) = watch::channel(false);
    let service = service_fn(move |request: Request<Incoming>| {
        called.send_replace(true);
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.handle(peer, request.map(Body::new)).await) }
    });
    let mut http = http1::Builder::new();
    // Without a timer hyper's header time-out does nothing.
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));

    // A client that hangs up or dawdles is no event of ours: how a connection ends is not looked at.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = first_call.wait_for(|called| *called) => {}
        () = tokio::time::sleep(FIRST_CALL_TIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and complete: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}
