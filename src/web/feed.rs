//! `GET /feed/keys`: digests of tokens and their changes as server-sent events, for gateways that verify keys themselves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};

use super::context::RequestContext;
use super::error::{ApiError, ErrorCode};
use super::extract::Query;
use super::shared_secret::SharedSecret;
use super::{AppState, Stopping};
use crate::app::digests::{DigestFeed, FeedCursor, FeedEvent};
use keyhouse_domain::team::TeamRef;

/// How often a follower's connection looks for changes: four times within the promised second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Polls between two events that only confirm that nothing has changed.
const ALIVE_EVERY: u32 = 4;
/// Followers of one node at once. Each costs four short queries a second.
const FOLLOWERS_MAX: usize = 16;

/// Settings of the feed: `[feed]` in the configuration.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// The secret shared with the gateways; `None`: the feed is off.
    pub secret: Option<SharedSecret>,
    places: Arc<Semaphore>,
}

impl FeedSettings {
    pub fn new(secret: Option<SharedSecret>) -> Self {
        Self { secret, places: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self::new(None)
    }
}

/// A follower's connection.
struct Follower {
    feed: DigestFeed,
    ready: VecDeque<Event>,
    polls: Interval,
    /// Polls since the follower last got an event.
    quiet: u32,
    stopping: Stopping,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn keys(
    State(state): State<AppState>,
    context: RequestContext,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, ApiError> {
    let secret = state.feed.secret.as_ref().ok_or_else(|| ApiError::new(ErrorCode::RouteNotFound))?;
    secret.authorize(&state, &context, &headers, r#"Bearer realm="feed""#)?;
    let invalid = |message: &'static str| ApiError::new(ErrorCode::InvalidParameter).with_message(message);
    let team = match query.get_or_empty("team") {
        "" => None,
        text => {
            let Ok(team) = text.parse::<TeamRef>();
            Some(state.app.queries().team(&team).await?.ok_or_else(|| invalid("There is no such team"))?.id)
        }
    };
    // What an EventSource sends by itself when it connects again wins over the address that it was given.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursor = match last.unwrap_or(query.get_or_empty("after")) {
        "" => None,
        text => Some(FeedCursor::parse(text).ok_or_else(|| invalid("after must be the id of an event of this feed"))?),
    };
    let Ok(place) = Arc::clone(&state.feed.places).try_acquire_owned() else {
        return Err(ApiError::too_many(1).with_source("too many followers of the feed"));
    };
    let mut polls = tokio::time::interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        feed: state.app.digest_feed(team, cursor),
        ready: VecDeque::new(),
        polls,
        quiet: ALIVE_EVERY,
        stopping: state.stopping.clone(),
        _place: place,
    };
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(Box::pin(events)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect the events in its buffer.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Follower {
    /// The next event; `None` once the server stops. While the database does not respond there is none, not even one that
    /// confirms the connection: so the follower notices that it may be behind.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet = 0;
                return Some(event);
            }
            let stopping = self.stopping.clone();
            stopping.run_until_begun(self.polls.tick()).await?;
            self.quiet += 1;
            if let Err(error) = self.feed.advance().await {
                tracing::debug!(%error, "the feed of digests could not be read");
            }
            while let Some(event) = self.feed.pop() {
                // A confirmation is due once a second, and at once after changes.
                let is_due = self.quiet >= ALIVE_EVERY || !self.ready.is_empty();
                if is_due || !matches!(event, FeedEvent::Alive(_)) {
                    self.ready.push_back(sse(event));
                }
            }
        }
    }
}

fn sse(event: FeedEvent) -> Event {
    match event {
        FeedEvent::Reset => Event::default().event("reset").data("{}"),
        FeedEvent::Alive(cursor) => {
            Event::default().event("alive").id(cursor.to_string()).data(json!({ "seq": cursor.seq }).to_string())
        }
        FeedEvent::Token(token, cursor) => {
            let data = serde_json::to_string(&token).expect("strings always serialize");
            let event = Event::default().event("key").data(data);
            match cursor {
                Some(cursor) => event.id(cursor.to_string()),
                None => event,
            }
        }
    }
}
