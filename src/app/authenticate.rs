//! Whose token is this? The one verdict that every door asks for.
//!
//! Answered from memory as long as the node's lease is good: the node has asked within [`LEASE`] what changed, and dropped
//! it. Without a lease the database is asked for each call, and if that fails the answer is that nobody knows. What is
//! remembered are records of keys; whether a key is active is judged each time.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::App;
use super::infra::metrics::LookupSource;
use super::key_cache::{Capacity, LEASE, Lookup, Shard, Ticket};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::AuthError;
use keyhouse_store::{ChangeFeed, StoreError};
use keyhouse_token::{RawToken, TokenHash};

/// How often a node asks what changed.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Locks, so that calls rarely wait for each other.
const SHARDS: usize = 64;
/// What a node remembers at most, over all shards. An active key takes about 250 bytes.
const CAPACITY: Capacity = Capacity { records: 100_000, bytes: 32 << 20, unknown: 16_384 };

#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The token is no good: 401.
    #[error(transparent)]
    AuthError(#[from] AuthError),
    /// The truth can't be had: 503, never 401.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

/// What a look-up found, for all who wait for it.
type Answer = Result<Option<Arc<ApiKey>>, Arc<StoreError>>;
type Asking = Shared<BoxFuture<'static, Answer>>;
/// Does not keep a look-up alive that nobody waits for any more.
type Waiting = WeakShared<BoxFuture<'static, Answer>>;

/// The keys that this node knows.
pub(crate) struct KeyCache {
    shards: Box<[Mutex<Shard<Waiting>>]>,
    /// Whether anybody follows the changes, with success or without.
    has_feed: AtomicBool,
}

impl Default for KeyCache {
    fn default() -> Self {
        let [records, bytes, unknown] = [CAPACITY.records, CAPACITY.bytes, CAPACITY.unknown].map(|all| all / SHARDS);
        let shard = || Mutex::new(Shard::new(Capacity { records, bytes, unknown }));
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), has_feed: AtomicBool::new(false) }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache(..)")
    }
}

impl KeyCache {
    /// A hash is as good as random: its first byte chooses.
    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard<Waiting>> {
        lock(&self.shards[usize::from(hash.as_bytes()[0]) % SHARDS])
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A look-up that is under way. When it ends, also because nobody waits for it any more, it makes room for the next.
struct InFlight {
    cache: Arc<KeyCache>,
    hash: TokenHash,
    ticket: Ticket,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.cache.shard(&self.hash).finish(&self.hash, self.ticket);
    }
}

impl App {
    /// Finds the key of a token and checks that a client at `from` may use it now. The token is hashed and dropped.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`] if no key has this token, what [`ApiKey::check`] returns if the key may not be used, and
    /// [`AuthenticateError::Store`] if the key's record can't be read.
    pub async fn authenticate(&self, token: RawToken, from: IpAddr) -> Result<Arc<ApiKey>, AuthenticateError> {
        let hash = token.hash();
        drop(token);
        let key = self.record(&hash).await?.ok_or(AuthError::Unknown)?;
        key.check(self.clock.now(), from)?;
        Ok(key)
    }

    /// What the database says now, or said under a good lease.
    async fn record(&self, hash: &TokenHash) -> Answer {
        let mut begun = None;
        let (look, since) = {
            let mut shard = self.known_keys.shard(hash);
            // Asked for under the lock: whoever had to wait for it may have waited long.
            let (now, local_version) = (self.clock.reading(), self.store.local_changes());
            let look = shard.get_or_begin(hash, now, local_version, |ticket| {
                let asking = self.look_up(*hash, ticket);
                let waiting = asking.downgrade().expect("it has not run yet");
                begun = Some(asking);
                waiting
            });
            (look, now.monotonic)
        };
        let (asking, answered) = match (look, begun) {
            (Lookup::Known(key), _) => {
                self.metrics.record_lookup(LookupSource::Cache);
                return Ok(key);
            }
            (Lookup::Asked(_), Some(begun)) => (Some(begun), LookupSource::Database),
            (Lookup::Asked(waiting), None) => (waiting.upgrade(), LookupSource::Shared),
            (Lookup::NoLease, _) => (None, LookupSource::Database),
        };
        let answer = match asking {
            Some(asking) => {
                self.metrics.record_lookup(answered);
                asking.await
            }
            // No lease; or whoever asked has gone in this moment.
            None => {
                self.metrics.record_lookup(LookupSource::Database);
                let found = self.store.key_by_hash(hash).await;
                found.map(|found| found.key.map(Arc::new)).map_err(Arc::new)
            }
        };
        // A process that was frozen with the answer at hand: what it says is of long ago.
        if self.clock.monotonic().saturating_sub(since) > LEASE {
            return Err(Arc::new(StoreError::timed_out()));
        }
        answer
    }

    /// Asks the database once, for everybody who wants this record meanwhile.
    fn look_up(&self, hash: TokenHash, ticket: Ticket) -> Asking {
        let (store, cache, clock) = (self.store.clone(), Arc::clone(&self.known_keys), self.clock.clone());
        let in_flight = InFlight { cache: Arc::clone(&cache), hash, ticket };
        async move {
            let _in_flight = in_flight;
            let found = store.key_by_hash(&hash).await.map_err(Arc::new)?;
            let mut shard = cache.shard(&hash);
            let now = clock.reading();
            Ok(shard.complete(&hash, ticket, found, now))
        }
        .boxed()
        .shared()
    }

    /// What a node follows the changes by; one for each process.
    pub fn change_feed(&self) -> ChangeFeed {
        self.store.change_feed()
    }

    /// Waits until this process itself has changed something: then it is time to [apply the changes](Self::apply_changes) at once.
    pub async fn changed(&self) {
        self.store.changed().await;
    }

    /// Asks what changed, drops it, and only then renews the lease. To be called each [`POLL_INTERVAL`].
    ///
    /// # Errors
    ///
    /// [`StoreError::FileReplaced`] is for good: the process is to end. After any other, ask again.
    pub async fn apply_changes(&self, change_feed: &mut ChangeFeed) -> Result<(), StoreError> {
        self.known_keys.has_feed.store(true, Ordering::Relaxed);
        let (asked, local_version) = (self.clock.reading(), self.store.local_changes());
        let change = change_feed.poll().await?;
        for shard in &self.known_keys.shards {
            lock(shard).apply(&change, asked, local_version);
        }
        self.metrics.record_poll(&change, asked.monotonic, self.clock.monotonic());
        Ok(())
    }

    /// How long what this node remembers still counts; zero without a good lease, `None` where nobody follows the changes.
    pub fn lease_left(&self) -> Option<Duration> {
        if !self.known_keys.has_feed.load(Ordering::Relaxed) {
            return None;
        }
        // Shards are renewed one after another, so the last one's lease is the oldest.
        self.known_keys.shards.last().map(|shard| lock(shard).lease_left(self.clock.reading()))
    }
}
