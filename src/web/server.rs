//! The accept loop: time-outs that bite, a cap on connections, and a stop that breaks no call.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use super::Front;

/// How long a request's head may take, and how long a kept-alive connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may read nothing while an answer waits for it.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Largest request head, in bytes; hyper answers a larger one with 431.
pub const HEAD_MAX: usize = 16 * 1024;
/// Most header lines of a request; hyper answers more with 431.
pub const HEADERS_MAX: usize = 100;
/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// Accepts until `stop` turns true, then lets what runs finish, for at most `finish`, and cuts off the rest.
pub async fn serve(listener: TcpListener, front: Front, mut stop: watch::Receiver<bool>, finish: Duration) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut running = JoinSet::new();
    let mut take = |(stream, peer, place): Accepted| {
        let connection = graceful.watch(connection(patient(stream), peer, front.clone()));
        running.spawn(async move {
            // A client that hangs up or dawdles is no event of ours.
            let _ended = connection.await;
            drop(place);
        });
        while running.try_join_next().is_some() {}
    };
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok(accepted) => take(accepted),
            Err(error) => {
                // Out of descriptors, say: the listener is still good, but trying again at once would spin.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Whoever the kernel has let in already is served too.
    while let Some(Ok(accepted)) = accept(&listener, &room).now_or_never() {
        take(accepted);
    }

    drop(listener);
    if tokio::time::timeout(finish, graceful.shutdown()).await.is_err() {
        tracing::warn!("some calls had not finished in time and were cut off");
    }
    running.shutdown().await;
}

/// A connection, its client, and its place among [`CONNECTIONS_MAX`].
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// Gives a client that does not read [`WRITE_TIME`] for each step.
fn patient(stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    Box::pin(stream)
}

/// One connection, over a socket or, in tests, over anything that reads and writes.
pub fn connection<IO>(io: IO, peer: SocketAddr, front: Front) -> impl GracefulConnection<Error = hyper::Error> + Send
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(peer, request.map(Body::new)).await) }
    });
    let mut http = http1::Builder::new();
    // Without a timer hyper's header time-out does nothing.
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    http.serve_connection(TokioIo::new(io), service)
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and complete: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}
