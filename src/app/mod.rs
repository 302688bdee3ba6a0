//! Application services: one method of [`App`] per use case.
//!
//! What a use case needs beyond its arguments is in `App`: the store, the clock, random bytes, and what is in memory.

pub mod accounts;
pub mod authenticate;
pub mod digests;
pub mod identity;
pub mod infra;
pub mod key_cache;
pub mod key_changes;
pub mod keys;
pub mod leaks;
pub mod links;
pub mod members;
pub mod nodes;
pub mod observations;
pub mod products;
pub mod rate_limit;
pub mod search;
pub mod sessions;
pub mod teams;
pub mod token_uses;
pub mod usage;

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{OnceCell, Semaphore};

use identity::Identity;
use infra::clock::Clock;
use infra::id_generator::Ids;
use infra::keyed_locks::KeyedLocks;
use infra::metrics::Metrics;
use infra::password_hasher::Hasher;
use infra::rng::Rng;
use infra::traces::{TraceSink, TraceSource};
use key_cache::{KeyCache, LEASE};
use nodes::NodeState;
use observations::Observations;
use rate_limit::login::LoginThrottle;
use rate_limit::redis::RedisLimiter;
use rate_limit::{AttemptTable, KeyWindows, Limits};
use token_uses::TokenUses;
use usage::Usage;

use keyhouse_domain::audit::{AuditActor, AuditContext};
use keyhouse_domain::ids::{PersonId, SessionId};
use keyhouse_domain::permission::{Actor, Permission, Permit, SHELL};
use keyhouse_domain::secret::Secret;
use keyhouse_store::{Queries, Store, StoreError};
use keyhouse_token::Brand;

/// Why a node should get no requests for now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no change poll has succeeded for {} s", LEASE.as_secs())]
    NoLease,
}

/// The application: a use case is a method. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Services>);

/// What the use cases work with.
#[derive(Debug)]
pub struct Services {
    store: Store,
    brand: Brand,
    clock: Clock,
    rng: Rng,
    ids: Ids,
    key_cache: KeyCache,
    node: NodeState,
    metrics: Metrics,
    usage: Usage,
    token_uses: TokenUses,
    limits: Limits,
    /// Counts the calls of a key on all nodes together; unset: each node counts for itself.
    redis: OnceLock<Arc<RedisLimiter>>,
    windows: KeyWindows,
    /// Refused credentials by network.
    bad_tokens: AttemptTable<IpNet>,
    /// One permit: see [`App::authenticate`].
    cold_lookups: Semaphore,
    login_throttle: LoginThrottle,
    /// Leak reports by network.
    leak_reports: AttemptTable<IpNet>,
    /// Calls of sessions that may change something.
    session_calls: AttemptTable<SessionId>,
    hasher: Hasher,
    /// Idempotent requests that run or wait, by key, method, value and path: a duplicate waits here instead of holding a
    /// database connection.
    in_flight: KeyedLocks<String>,
    searches: KeyedLocks<PersonId>,
    instance_tag: OnceCell<String>,
    /// Signs the identity of forwarded calls; unset: the setting is off.
    identity: OnceLock<Identity>,
    observations: Observations,
    /// Unset: traces are not exported.
    traces: OnceLock<TraceSink>,
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl App {
    /// The application with a key cache of the usual size.
    pub fn new(store: Store, brand: Brand, clock: Clock, rng: Rng, limits: Limits) -> Self {
        Self::with_cached_keys(store, brand, clock, rng, limits, key_cache::RECORDS)
    }

    /// The application; `cached_keys` is about the number of keys whose records are kept in memory.
    pub fn with_cached_keys(
        store: Store,
        brand: Brand,
        clock: Clock,
        rng: Rng,
        limits: Limits,
        cached_keys: usize,
    ) -> Self {
        Self(Arc::new(Services {
            ids: Ids::new(clock.clone(), rng.clone()),
            metrics: Metrics::new(&store),
            key_cache: KeyCache::new(store.clone(), clock.clone(), cached_keys),
            node: NodeState::default(),
            store,
            brand,
            clock,
            rng,
            usage: Usage::default(),
            token_uses: TokenUses::default(),
            limits,
            redis: OnceLock::new(),
            windows: KeyWindows::default(),
            bad_tokens: AttemptTable::default(),
            cold_lookups: Semaphore::new(1),
            login_throttle: LoginThrottle::default(),
            leak_reports: AttemptTable::default(),
            session_calls: AttemptTable::default(),
            hasher: Hasher::default(),
            in_flight: KeyedLocks::default(),
            searches: KeyedLocks::default(),
            instance_tag: OnceCell::new(),
            identity: OnceLock::new(),
            observations: Observations::default(),
            traces: OnceLock::new(),
        }))
    }

    /// Hands the spans of requests to the exporter that takes them from the returned source.
    /// Call it once, before requests are served.
    pub(crate) fn trace_source(&self) -> TraceSource {
        let (sink, source) = TraceSink::new(self.metrics.dropped_spans());
        let _only_once = self.traces.set(sink);
        source
    }

    pub(crate) fn traces(&self) -> Option<&TraceSink> {
        self.traces.get()
    }

    pub(crate) fn rng(&self) -> &Rng {
        &self.rng
    }

    /// What can be read from the database.
    pub fn queries(&self) -> &Queries {
        self.store.queries()
    }

    pub fn brand(&self) -> &Brand {
        &self.brand
    }

    /// Identifies this database among others, for names that browsers share between them. Read once.
    pub async fn instance_tag(&self) -> Result<&str, StoreError> {
        self.instance_tag.get_or_try_init(|| self.queries().instance_tag()).await.map(String::as_str)
    }

    /// An application on the same database, whose wall clock runs this much behind the system's: for sample data with a
    /// history.
    pub fn behind(&self, by: Duration) -> Self {
        Self::new(self.store.clone(), self.brand.clone(), Clock::Behind(by), self.rng.clone(), self.limits)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Whether this node can answer API calls now.
    ///
    /// # Errors
    ///
    /// The database does not answer, or no change poll has succeeded within the lease.
    pub async fn ready(&self) -> Result<(), NotReady> {
        self.store.ping().await?;
        if self.lease_remaining().is_some_and(|left| left.is_zero()) { Err(NotReady::NoLease) } else { Ok(()) }
    }

    /// Folds the write-ahead log into a database file that was moved or replaced, so that it is not replayed into the file
    /// that lies there now. Call it before [`App::close`].
    ///
    /// # Errors
    ///
    /// The log could not be folded in.
    pub async fn checkpoint_and_detach(&self) -> Result<(), StoreError> {
        self.store.checkpoint_and_detach().await
    }

    /// Writes the usage of keys that is still in memory and closes the database.
    ///
    /// # Errors
    ///
    /// It could not be written; the database is closed all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        let recorded = self.record_token_uses().await;
        let flushed = self.flush_usage(usage::Flush::Everything).await;
        self.store.close().await;
        recorded.and(flushed)
    }

    /// Claims a job that one of all nodes runs once in `every`; `false` if another node has claimed it.
    pub(crate) async fn try_claim_job(&self, name: &str, every: Duration) -> Result<bool, StoreError> {
        self.store.try_claim_job(name, self.clock.now(), every).await
    }

    fn context(&self, by: AuditActor, source: &str) -> AuditContext {
        AuditContext { seed: self.ids.seed(), at: self.clock.now(), by, source: source.to_owned() }
    }

    fn audit_context<R: Permission>(&self, permit: &Permit<R>) -> AuditContext {
        self.context(permit.actor().by(), permit.source())
    }

    fn shell_context(&self, user: &str) -> AuditContext {
        self.context(Actor::Shell { user: user.to_owned() }.by(), SHELL)
    }

    fn secret(&self) -> Secret {
        Secret::from_entropy(|bytes| self.rng.fill_bytes(bytes))
    }
}

/// Rows deleted in one statement, so that no lock is held for long.
const BATCH: u32 = 500;

/// Deletes batch after batch until one is not full; returns the number of rows.
async fn in_batches<F: Future<Output = Result<u64, StoreError>>>(delete: impl Fn(u32) -> F) -> Result<u64, StoreError> {
    let mut deleted = 0;
    loop {
        let batch = delete(BATCH).await?;
        deleted += batch;
        if batch < u64::from(BATCH) {
            return Ok(deleted);
        }
    }
}
