//! DEEDS. One function for one thing that a person or program can ask for.
//!
//! Whatever a deed needs beyond its arguments is in [`App`]: the database, the time, chance.

pub mod authenticate;
mod idempotency;
pub mod infra;
pub mod key_cache;
pub mod keys;
pub mod last_used;
pub mod links;
pub mod members;
pub mod products;
pub mod rate_limit;
pub mod sessions;
pub mod teams;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use authenticate::KeyCache;
use idempotency::InFlightRequests;
use infra::clock::Clock;
use infra::id_generator::Ids;
use infra::metrics::Metrics;
use infra::password_hasher::Hasher;
use infra::rng::Rng;
use last_used::Usage;
use rate_limit::login::LoginThrottle;
use rate_limit::redis::{RedisAddress, RedisLimiter};
use rate_limit::{AttemptTable, Limiter, Limits};

use keyhouse_domain::audit::{AuditActor, AuditContext};
use keyhouse_domain::permission::{Actor, Permission, Permit, SHELL};
use keyhouse_domain::secret::Secret;
use keyhouse_store::{Store, StoreError};
use keyhouse_token::Brand;

/// Why a node should get no calls for now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("for 3 seconds nobody could say which keys have changed")]
    NoLease,
}

/// Everything that a deed may use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    store: Store,
    brand: Arc<Brand>,
    clock: Clock,
    rng: Rng,
    ids: Arc<Ids>,
    known_keys: Arc<KeyCache>,
    metrics: Arc<Metrics>,
    usage: Arc<Usage>,
    guesses: Arc<AttemptTable>,
    sign_ins: Arc<LoginThrottle>,
    hasher: Arc<Hasher>,
    running: Arc<InFlightRequests>,
    limits: Limits,
    limiter: Limiter,
    instance_tag: Arc<OnceCell<String>>,
}

impl App {
    pub fn new(store: Store, brand: Brand, clock: Clock, rng: Rng, limits: Limits) -> Self {
        let ids = Arc::new(Ids::new(clock.clone(), rng.clone()));
        let metrics = Arc::new(Metrics::new(&store));
        Self {
            store,
            brand: Arc::new(brand),
            clock,
            rng,
            ids,
            known_keys: Arc::default(),
            metrics,
            usage: Arc::default(),
            guesses: Arc::default(),
            sign_ins: Arc::default(),
            hasher: Arc::default(),
            running: Arc::default(),
            limits,
            limiter: Limiter::default(),
            instance_tag: Arc::default(),
        }
    }

    /// Shares one rate limit with all nodes that use this Redis. The caller runs
    /// [`heartbeat`](crate::app::rate_limit::redis::RedisLimiter::heartbeat) in the background.
    pub fn with_redis(mut self, address: RedisAddress) -> (Self, Arc<RedisLimiter>) {
        let cluster = Arc::new(RedisLimiter::new(address, self.ids.request().to_string()));
        self.limiter = Limiter::RedisLimiter(Arc::clone(&cluster));
        (self, cluster)
    }

    pub fn brand(&self) -> &Brand {
        &self.brand
    }

    /// Identifies this database among others, for names that browsers share between them. Read once.
    pub async fn instance_tag(&self) -> Result<&str, StoreError> {
        self.instance_tag.get_or_try_init(|| self.store.instance_tag()).await.map(String::as_str)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Whether this node can do its work now.
    pub async fn ready(&self) -> Result<(), NotReady> {
        self.store.ping().await?;
        if self.lease_left().is_some_and(|left| left.is_zero()) { Err(NotReady::NoLease) } else { Ok(()) }
    }

    /// Leaves a database file that is no longer found where it was, before [`App::close`]. The file in its place is then
    /// good to start on.
    pub async fn checkpoint_and_detach(&self) -> Result<(), StoreError> {
        self.store.checkpoint_and_detach().await
    }

    /// Writes what is still in memory and closes the database.
    pub async fn close(&self) -> Result<(), StoreError> {
        let flushed = self.flush_usage(last_used::Flush::Everything).await;
        self.store.close().await;
        flushed
    }

    /// Whether this node is to clear now what has had its time: one of all nodes is, once an hour.
    pub async fn claim_cleanup(&self) -> Result<bool, StoreError> {
        self.store.try_claim_job("clear", self.clock.now(), CLEAR_EVERY).await
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

/// How often what has had its time is cleared.
const CLEAR_EVERY: Duration = Duration::from_secs(60 * 60);

/// Rows cleared in one statement, so that no lock is held for long.
const BATCH: u32 = 500;

/// Clears batch after batch until one is not full; says how many rows that were.
async fn in_batches<F: Future<Output = Result<u64, StoreError>>>(clear: impl Fn(u32) -> F) -> Result<u64, StoreError> {
    let mut cleared = 0;
    loop {
        let batch = clear(BATCH).await?;
        cleared += batch;
        if batch < u64::from(BATCH) {
            return Ok(cleared);
        }
    }
}
