//! One lock per key, made when it is first needed and removed after its last use: work of one key runs one at a time

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

type Locks<K> = Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>;

#[derive(Debug)]
pub struct KeyedLocks<K> {
    locks: Locks<K>,
}

/// Holds the lock of a key; when it is dropped the next waiting caller gets it.
#[derive(Debug)]
pub struct KeyedGuard<K: Eq + Hash> {
    key: K,
    lock: Option<OwnedMutexGuard<()>>,
    locks: Locks<K>,
}

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self { locks: Arc::default() }
    }
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// Waits until no other caller holds the lock of this key; `None` if one still does after `wait`.
    pub async fn lock(&self, key: K, wait: Duration) -> Option<KeyedGuard<K>> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key.clone()).or_default())
        };
        // Made before the wait, so that a client that disconnects during it leaves nothing in the map.
        let mut guard = KeyedGuard { key, lock: None, locks: Arc::clone(&self.locks) };
        guard.lock = tokio::time::timeout(wait, lock.lock_owned()).await.ok();
        guard.lock.is_some().then_some(guard)
    }
}

impl<K: Eq + Hash> Drop for KeyedGuard<K> {
    fn drop(&mut self) {
        self.lock = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: remove the entry.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn callers_of_one_key_wait_and_no_entry_is_left() {
        let locks = KeyedLocks::default();
        let first = locks.lock("a", WAIT).await.unwrap();
        assert!(locks.lock("b", WAIT).await.is_some(), "another key does not wait");
        assert!(locks.lock("a", WAIT).await.is_none(), "the same key waits, for two seconds");
        let (second, ()) = tokio::join!(locks.lock("a", WAIT), async { drop(first) });
        assert!(second.is_some());
        {
            let mut waiting = std::pin::pin!(locks.lock("a", WAIT));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "the client disconnects while it waits");
            drop(second);
        }
        assert!(locks.locks.lock().unwrap().is_empty());
    }
}
