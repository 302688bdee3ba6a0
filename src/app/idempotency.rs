//! Calls that are to be done once and are being done now, on this node: a twin waits here, not on the database's time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use keyhouse_domain::idempotency::IdempotentRequest;

/// How long a call waits for its twin.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

type TestDatabase = Arc<tokio::sync::Mutex<()>>;

#[derive(Debug, Default)]
pub(super) struct InFlightRequests {
    calls: Arc<Mutex<HashMap<String, TestDatabase>>>,
}

/// The right to do the call; its twin's turn comes when this goes.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    name: String,
    place: Option<OwnedMutexGuard<()>>,
    calls: Arc<Mutex<HashMap<String, TestDatabase>>>,
}

impl InFlightRequests {
    /// Waits until no twin is running; `None` if one still is after two seconds.
    pub(super) async fn turn(&self, call: &IdempotentRequest) -> Option<InFlightGuard> {
        // Only the path could hold a space, and it stands last: two calls never share a name.
        let name = format!("{} {} {} {}", call.key, call.method, call.value.as_str(), call.path);
        let place = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(calls.entry(name.clone()).or_default())
        };
        // Made before the wait, so that a caller who hangs up meanwhile leaves nothing in the map either.
        let mut turn = InFlightGuard { name, place: None, calls: Arc::clone(&self.calls) };
        turn.place = tokio::time::timeout(WAIT_TIMEOUT, place.lock_owned()).await.ok();
        turn.place.is_some().then_some(turn)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.place = None;
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        // Held by the map alone: nobody does it, and nobody waits to.
        if calls.get(&self.name).is_some_and(|place| Arc::strong_count(place) == 1) {
            calls.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyhouse_domain::idempotency::IdempotencyKey;
    use keyhouse_domain::ids::{IdSeed, KeyId};

    fn call(value: &str) -> IdempotentRequest {
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        IdempotentRequest::new(key, "POST", "/p".into(), IdempotencyKey::parse(value.as_bytes()).unwrap(), b"")
    }

    #[tokio::test(start_paused = true)]
    async fn a_twin_waits_its_turn_and_nothing_is_left() {
        let running = InFlightRequests::default();
        let first = running.turn(&call("a")).await.unwrap();
        assert!(running.turn(&call("b")).await.is_some(), "another call does not wait");
        assert!(running.turn(&call("a")).await.is_none(), "its twin does, for two seconds");
        let second = call("a");
        let (second, ()) = tokio::join!(running.turn(&second), async { drop(first) });
        assert!(second.is_some());
        {
            let twin = call("a");
            let mut waiting = std::pin::pin!(running.turn(&twin));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "the caller hangs up while it waits");
            drop(second);
        }
        assert!(running.calls.lock().unwrap().is_empty());
    }
}
