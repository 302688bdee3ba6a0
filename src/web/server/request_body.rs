//! A request's body that outlives its handler, so that what the handler did not read can be read and dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// Most bytes that are read and dropped for a response that was given early: as many as a body may have.
const DROPPED_MAX: u64 = 64 * 1024;
/// How long the rest of a body may take. A client that waits for the response first gets it after this time.
const DROP_TIME: Duration = Duration::from_secs(1);

/// `None`: the request has no body.
pub(super) struct RequestBody(Option<Shared>);

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

struct State {
    /// Taken out only when the handler has ended.
    incoming: Option<Incoming>,
    was_read: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        let has_body = !incoming.is_end_stream();
        let shared = || Shared(Arc::new(Mutex::new(State { incoming: Some(incoming), was_read: false })));
        Self(has_body.then(shared))
    }

    pub(super) fn for_handler(&self) -> Body {
        self.0.clone().map_or_else(Body::empty, Body::new)
    }

    /// Reads and drops what the handler has left. `false` if the connection has to be closed.
    ///
    /// `awaits_continue`: the client sends its body only after a "100 Continue", which hyper sends when the body is first
    /// read. A body that was not read is then not on its way, and may never come.
    pub(super) async fn finish(self, awaits_continue: bool) -> bool {
        let Some(Shared(shared)) = self.0 else { return true };
        let (incoming, was_read) = {
            let mut state = lock(&shared);
            (state.incoming.take(), state.was_read)
        };
        let Some(mut incoming) = incoming.filter(|incoming| !incoming.is_end_stream()) else { return true };
        if (awaits_continue && !was_read) || incoming.size_hint().lower() > DROPPED_MAX {
            return false;
        }
        let drop_rest = async {
            let mut dropped = 0;
            while let Some(frame) = incoming.frame().await {
                let Ok(frame) = frame else { return false };
                dropped += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                if dropped > DROPPED_MAX {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(DROP_TIME, drop_rest).await.unwrap_or(false)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut state = lock(&self.0);
        state.was_read = true;
        match &mut state.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).incoming.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
