//! The key cache: records of API keys by the hash of their token, in memory, kept current by the change feed.
//!
//! # Invariants
//!
//! 1. **Records, not decisions.** The cache holds what the database says of a key. Whether the key may act is decided on
//!    each call by [`ApiKey::check`].
//! 2. **Nothing is used without a valid [lease](LEASE).** Each successful change poll renews the lease to 3 seconds after
//!    the poll was *sent*. Without a lease each call queries the database, and if that fails the call fails (503); it is
//!    never refused or allowed by an old record.
//! 3. **A poll invalidates first and renews second.** Everything that a poll reports as changed is dropped under the
//!    shard's lock before that shard's lease is renewed. A new connection, another epoch or a sequence that went back
//!    drops everything.
//! 4. **This process's own changes count at once.** The store counts each transaction of this process that changed, or may
//!    have changed, a key, before its caller gets an answer. An entry is used only if it was read after all of them, or if
//!    a poll that was sent after them has been applied (which would have invalidated it).
//! 5. **A look-up is cached only if nothing overtook it.** Its ticket must still be registered (an invalidation removes
//!    it), and the server that answered must not be behind the last applied poll.
//! 6. **Single flight.** Callers that miss the same hash wait for one look-up. Callers that arrive after a local change
//!    don't join a look-up that began before it. Look-ups that wait at the same time become one query, which begins after
//!    all of them. A look-up ends with its last waiter.
//! 7. **Bounded memory.** Records, bytes and absences are limited by [`Capacity`]; look-ups in flight by the connections.

mod lease;
mod loader;
mod shard;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::App;
use super::infra::clock::Clock;
use super::infra::metrics::LookupSource;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeFeed, Store, StoreError};
use keyhouse_token::TokenHash;
pub use lease::{LEASE, LEASES_END_WITHIN, POLL_INTERVAL};
use loader::Loader;
pub use shard::{Capacity, Lookup, Shard, Ticket};

/// Number of shards, each behind its own lock. With 64, two of the calls that run on a machine's cores rarely meet.
const SHARDS: usize = 64;
/// Records that are kept at least without a setting: 24 MiB.
pub const RECORDS: usize = 100_000;
/// Bytes that are allowed for a record: an active key takes less, a revoked one or one with allowed networks more.
pub const RECORD_BYTES: usize = 250;
/// Hashes without a key that are kept, over all shards: about 1 MiB.
const ABSENT: usize = 16_384;

/// The outcome of a look-up, shared by all callers that wait for it.
pub(crate) type LookupResult = Result<Option<Arc<ApiKey>>, Arc<StoreError>>;
type Query = Shared<BoxFuture<'static, LookupResult>>;
/// What the shard keeps of a query: a weak handle, so that a query that lost its last waiter is dropped.
type Handle = WeakShared<BoxFuture<'static, LookupResult>>;

/// The sharded cache, with the store that fills it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyCache {
    store: Store,
    loader: Loader,
    clock: Clock,
    /// Padded, as in a sharded map.
    shards: Arc<[CachePadded<Mutex<Shard<Handle>>>]>,
    /// Whether a change feed was ever polled, successfully or not. Shell commands have none.
    has_feed: Arc<AtomicBool>,
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache(..)")
    }
}

impl KeyCache {
    /// A cache for about as many `records`.
    pub(crate) fn new(store: Store, clock: Clock, records: usize) -> Self {
        let records = records.div_ceil(SHARDS);
        let capacity = Capacity { records, bytes: records * RECORD_BYTES, absent: ABSENT / SHARDS };
        let shards =
            std::iter::repeat_with(|| CachePadded::new(Mutex::new(Shard::new(capacity)))).take(SHARDS).collect();
        Self { loader: Loader::new(store.clone()), store, clock, shards, has_feed: Arc::default() }
    }

    /// Finds the key of a token hash, in the cache or in the database, and says which.
    ///
    /// # Errors
    ///
    /// The database can't be read, or did not answer within [`LEASE`].
    pub(crate) async fn find(&self, hash: &TokenHash) -> (LookupResult, LookupSource) {
        let (lookup, called_at) = {
            let mut shard = self.shard(hash);
            // Read the clock after the lock: waiting for the lock takes time.
            let (now, local_version) = (self.clock.reading(), self.store.local_changes());
            let lookup = match shard.get_or_begin(hash, now, local_version) {
                // No await lies between the clock reading and this return, so the result is as fresh as the lease says.
                Lookup::Cached(key) => return (Ok(key), LookupSource::Cache),
                Lookup::InFlight(handle) => handle.upgrade().map(|query| (query, LookupSource::Shared)),
                Lookup::Begin(ticket) => {
                    let query = self.query(*hash, ticket);
                    shard.register(hash, ticket, query.downgrade().expect("the query has not been polled yet"));
                    Some((query, LookupSource::Database))
                }
                Lookup::NoLease => None,
            };
            (lookup, now.monotonic)
        };
        let (found, source) = match lookup {
            Some((query, source)) => (query.await, source),
            // There is no lease, or the last waiter of the query in flight left at this moment.
            None => {
                let found = self.loader.load(*hash).await;
                (found.map(|found| found.key.map(Arc::new)), LookupSource::Database)
            }
        };
        // If the process was suspended for longer than the lease, the result may be stale: discard it.
        if self.clock.monotonic().saturating_sub(called_at) > LEASE {
            return (Err(Arc::new(StoreError::timed_out())), source);
        }
        (found, source)
    }

    /// The cached result for `hash` if it may be used now, and the current time. A result without a key: no key has this hash.
    pub(crate) fn cached(&self, hash: &TokenHash) -> Option<(Option<Arc<ApiKey>>, Timestamp)> {
        let mut shard = self.shard(hash);
        let (now, local_version) = (self.clock.reading(), self.store.local_changes());
        match shard.get_or_begin(hash, now, local_version) {
            Lookup::Cached(key) => Some((key, now.wall)),
            Lookup::InFlight(_) | Lookup::Begin(_) | Lookup::NoLease => None,
        }
    }

    /// The query for all callers that miss `hash` at the same time.
    fn query(&self, hash: TokenHash, ticket: Ticket) -> Query {
        let cache = self.clone();
        let registration = Registration { cache: cache.clone(), hash, ticket };
        async move {
            let _registration = registration;
            let found = cache.loader.load(hash).await?;
            let mut shard = cache.shard(&hash);
            let now = cache.clock.reading();
            Ok(shard.complete(&hash, ticket, found, now))
        }
        .boxed()
        .shared()
    }

    /// Polls the change feed once: invalidates what changed, then renews the lease. `None`, and no lease, if the database
    /// has no row of this node.
    async fn apply_changes(&self, feed: &mut ChangeFeed) -> Result<Option<Poll>, StoreError> {
        self.has_feed.store(true, Ordering::Relaxed);
        let (sent, local_version) = (self.clock.reading(), self.store.local_changes());
        let changes = feed.poll().await?;
        if !changes.is_registered {
            return Ok(None);
        }
        for shard in self.shards.iter() {
            lock(shard).apply(&changes, sent, local_version);
        }
        let (count, applied) = (changes.changed.count(), self.clock.monotonic());
        Ok(Some(Poll { seq: changes.seq, changes: count, sent: sent.monotonic, applied }))
    }

    /// Time until the lease ends: zero without a valid one, `None` in a process that has no change feed.
    fn lease_remaining(&self) -> Option<Duration> {
        if !self.has_feed.load(Ordering::Relaxed) {
            return None;
        }
        // Shards are renewed in order, so while a poll is being applied the last one has the oldest lease.
        self.shards.last().map(|shard| lock(shard).lease_remaining(self.clock.reading()))
    }

    /// Hashes are uniformly distributed, so the first byte selects the shard.
    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard<Handle>> {
        lock(&self.shards[usize::from(hash.as_bytes()[0]) % SHARDS])
    }
}

/// A shard stays consistent between any two statements, so a panic while it is locked does not spoil it.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a query from those in flight when it is dropped: on success, on error and when its last waiter has left.
struct Registration {
    cache: KeyCache,
    hash: TokenHash,
    ticket: Ticket,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cache.shard(&self.hash).finish(&self.hash, self.ticket);
    }
}

/// A successful poll, for the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poll {
    /// The change counter.
    pub(crate) seq: i64,
    /// Number of keys that changed; `None` if everything was dropped.
    pub(crate) changes: Option<usize>,
    /// When the poll was sent and when its answer was applied to all shards, on the monotonic clock.
    pub(crate) sent: Duration,
    pub(crate) applied: Duration,
}

impl App {
    /// A new change feed; a serving process has one.
    pub fn change_feed(&self) -> ChangeFeed {
        self.store.change_feed()
    }

    /// Notices the changes of other processes as they happen, until this future is dropped; see [`App::changed`].
    pub async fn watch_changes(&self) {
        self.store.watch_changes().await;
    }

    /// Waits until this process has changed a key, or another one while [`App::watch_changes`] runs: then a poll is due at
    /// once.
    pub async fn changed(&self) {
        self.store.changed().await;
    }

    /// Polls the change feed, invalidates what changed and renews the lease. Call it every [`POLL_INTERVAL`].
    ///
    /// # Errors
    ///
    /// [`StoreError::FileReplaced`] is permanent: the process must stop. After any other error, poll again.
    pub async fn apply_changes(&self, feed: &mut ChangeFeed) -> Result<(), StoreError> {
        match self.key_cache.apply_changes(feed).await? {
            Some(poll) => {
                self.metrics.record_poll(&poll);
                self.node.note_poll(poll.seq, self.clock.now());
            }
            None => self.node.note_missing_row(),
        }
        Ok(())
    }

    /// Time for which cached keys may still be used: zero without a valid lease, `None` in a process that has no change
    /// feed.
    pub fn lease_remaining(&self) -> Option<Duration> {
        self.key_cache.lease_remaining()
    }
}
