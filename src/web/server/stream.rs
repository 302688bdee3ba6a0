//! A client's byte stream with time-outs for head and idle time, and a lingering close.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::HEAD_TIMEOUT;
use super::activity::{Activity, Phase};

/// How long the reading half stays open after the writing half was closed, if the client may still be sending. It has read
/// the response by then; closing at once would reset the connection, and a reset discards what the client has not read.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct ClientStream<IO> {
    io: IO,
    activity: Arc<Activity>,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    at_end: bool,
    closed_at: Option<Instant>,
}

impl<IO> ClientStream<IO> {
    pub(super) fn new(io: IO, activity: Arc<Activity>, idle: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + HEAD_TIMEOUT));
        Self { io, activity, idle, timer, at_end: false, closed_at: None }
    }

    /// Whether the phase that the connection is in has lasted too long; else the timer wakes the task when it has.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Phase> {
        let (phase, since) = self.activity.phase();
        let limit = match phase {
            Phase::Head => HEAD_TIMEOUT,
            Phase::Idle => self.idle,
            // A request has its own time-outs.
            Phase::Request => return Poll::Pending,
        };
        if self.timer.deadline() != since + limit {
            self.timer.as_mut().reset(since + limit);
        }
        self.timer.as_mut().poll(context).map(|()| phase)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ClientStream<IO> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.io).poll_read(context, buf)?.is_ready() {
            let bytes = &buf.filled()[before..];
            if bytes.is_empty() {
                self.at_end = true;
            } else {
                self.activity.received(bytes);
            }
            return Poll::Ready(Ok(()));
        }
        match ready!(self.poll_deadline(context)) {
            // An end of the stream: hyper closes the connection in order.
            Phase::Idle | Phase::Request => Poll::Ready(Ok(())),
            Phase::Head => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// Closes the writing half, and reads and drops what the client still sends until it closes its half.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed_at = match self.closed_at {
            Some(closed_at) => closed_at,
            None => {
                ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
                *self.closed_at.insert(Instant::now())
            }
        };
        if self.at_end || !self.activity.has_unread() {
            return Poll::Ready(Ok(()));
        }
        if self.timer.deadline() != closed_at + LINGER {
            self.timer.as_mut().reset(closed_at + LINGER);
        }
        let mut dropped = [0; 8192];
        loop {
            if self.timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.io).poll_read(context, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
