//! What a connection is doing: for its time-outs, and to choose the one that is closed when connections run short.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::HEAD_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request's head is being received; also a new connection before its first byte.
    Head,
    /// A request is being handled or its response written.
    Request,
    /// Between two requests.
    Idle,
}

/// Shared by a connection's stream, its requests, and the registry of connections.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// `None` for a head until the connection waits for the rest of it: most heads arrive at once and need no time.
    since: Option<Instant>,
    /// The bytes of the head that is being received, as far as they arrived by themselves.
    head: Vec<u8>,
    lingers: bool,
    /// Requests that are handled: one on HTTP/1.1, one for each stream on HTTP/2.
    running: usize,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State {
            phase: Phase::Head,
            since: Some(Instant::now()),
            head: Vec::new(),
            lingers: false,
            running: 0,
        }))
    }
}

impl Activity {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The phase, and since when it lasts; of a head, since when its rest is waited for.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let mut state = self.lock();
        (state.phase, *state.since.get_or_insert_with(Instant::now))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().phase == Phase::Idle
    }

    /// Since when the connection has been idle; `None` if it is not.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then(|| self.phase().1)
    }

    /// Bytes have arrived. What arrives during a request is its body.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.lock();
        match state.phase {
            Phase::Request => return,
            Phase::Head => {}
            Phase::Idle => {
                (state.phase, state.since) = (Phase::Head, None);
                state.head.clear();
            }
        }
        let room = (2 * HEAD_MAX).saturating_sub(state.head.len());
        state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether the head of the request that has just been parsed had a Content-Length line. Not known for a pipelined
    /// request whose head arrived together with the body before it.
    pub(super) fn head_has_content_length(&self) -> bool {
        const NAME: &[u8] = b"content-length:";
        let state = self.lock();
        let mut lines = state.head.split(|&byte| byte == b'\n').skip(1);
        lines
            .by_ref()
            .take_while(|line| !line.trim_ascii().is_empty())
            .any(|line| line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
    }

    /// The head is complete and its request begins.
    pub(super) fn begin_request(self: &Arc<Self>) -> Busy {
        let mut state = self.lock();
        state.phase = Phase::Request;
        state.running += 1;
        state.head.clear();
        Busy(Arc::clone(self))
    }

    /// The connection is to be closed although the client may still be sending.
    pub(super) fn linger(&self) {
        self.lock().lingers = true;
    }

    /// Whether bytes may be unread when the connection is closed: after an early response, and after a head that could
    /// not be parsed.
    pub(super) fn has_unread(&self) -> bool {
        let state = self.lock();
        state.lingers || (state.phase == Phase::Head && !state.head.is_empty())
    }
}

/// A request that is being handled. When the last one goes, the connection is idle.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// Keeps the connection busy until the response's body has been handed to hyper.
    pub(super) fn track(self, body: Body) -> TrackedBody {
        TrackedBody { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        if state.running == 0 {
            (state.phase, state.since) = (Phase::Idle, Some(Instant::now()));
        }
    }
}

/// The body of a response whose end ends its request.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    _busy: Busy,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn idle_time_counts_from_the_last_response_and_a_head_s_from_when_its_rest_is_waited_for() {
        let activity = Arc::new(Activity::default());
        let busy = activity.begin_request();
        tokio::time::advance(SECOND).await;
        drop(busy);
        let answered = Instant::now();
        // Nothing asks meanwhile, as on HTTP/2.
        tokio::time::advance(SECOND).await;
        assert_eq!(activity.idle_since(), Some(answered));

        activity.received(b"GET / HTTP/1.1\r\n");
        let waited = Instant::now();
        assert_eq!(activity.phase(), (Phase::Head, waited));
        tokio::time::advance(SECOND).await;
        activity.received(b"Host: x\r\n");
        assert_eq!(
            (activity.phase(), activity.idle_since()),
            ((Phase::Head, waited), None),
            "more of it gains no time"
        );
    }
}
