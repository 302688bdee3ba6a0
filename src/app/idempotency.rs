//! In-process locks for idempotent requests: a duplicate waits here instead of holding a database connection

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use keyhouse_domain::idempotency::IdempotentRequest;

/// How long a request waits for its duplicate.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// One lock per request that runs or waits, by its key, method, value and path.
type Locks = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

#[derive(Debug, Default)]
pub(super) struct InFlightRequests {
    locks: Locks,
}

/// Allows the request to run; when it is dropped a waiting duplicate may.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    name: String,
    slot: Option<OwnedMutexGuard<()>>,
    locks: Locks,
}

impl InFlightRequests {
    /// Waits until no duplicate is running; `None` if one still is after [`WAIT_TIMEOUT`].
    pub(super) async fn begin(&self, request: &IdempotentRequest) -> Option<InFlightGuard> {
        // Only the path may contain a space, and it stands last: two requests never share a name.
        let name = format!("{} {} {} {}", request.key, request.method, request.value.as_str(), request.path);
        let slot = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.clone()).or_default())
        };
        // Made before the wait, so that a client that disconnects during it leaves nothing in the map.
        let mut guard = InFlightGuard { name, slot: None, locks: Arc::clone(&self.locks) };
        guard.slot = tokio::time::timeout(WAIT_TIMEOUT, slot.lock_owned()).await.ok();
        guard.slot.is_some().then_some(guard)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.slot = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: remove the entry.
        if locks.get(&self.name).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyhouse_domain::idempotency::IdempotencyKey;
    use keyhouse_domain::ids::{IdSeed, KeyId};

    fn request(value: &str) -> IdempotentRequest {
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        IdempotentRequest::new(key, "POST", "/p".into(), IdempotencyKey::parse(value.as_bytes()).unwrap(), b"")
    }

    #[tokio::test(start_paused = true)]
    async fn a_duplicate_waits_and_no_entry_is_left() {
        let in_flight = InFlightRequests::default();
        let first = in_flight.begin(&request("a")).await.unwrap();
        assert!(in_flight.begin(&request("b")).await.is_some(), "another request does not wait");
        assert!(in_flight.begin(&request("a")).await.is_none(), "its duplicate waits, for two seconds");
        let second = request("a");
        let (second, ()) = tokio::join!(in_flight.begin(&second), async { drop(first) });
        assert!(second.is_some());
        {
            let duplicate = request("a");
            let mut waiting = std::pin::pin!(in_flight.begin(&duplicate));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "the client disconnects while it waits");
            drop(second);
        }
        assert!(in_flight.locks.lock().unwrap().is_empty());
    }
}
