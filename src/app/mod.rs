//! DEEDS. One function for one thing that a person or program can ask for.
//!
//! Whatever a deed needs beyond its arguments is in [`App`]: the database, the time, chance.

pub mod admit;
pub mod clock;
pub mod cluster;
pub mod dice;
mod guesses;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod links;
pub mod members;
pub mod metrics;
mod passwords;
pub mod products;
pub mod records;
mod running;
pub mod sign_in;
pub mod teams;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use admit::KeyCache;
use clock::Clock;
use cluster::{Cluster, RedisAddress};
use dice::Dice;
use guesses::SignInGuesses;
use ids::Ids;
use limits::{Guesses, Limiter, Limits};
use metrics::Metrics;
use passwords::Hasher;
use running::Running;
use usage::Usage;

use crate::domain::audit::{By, Stamp};
use crate::domain::role::{Actor, Permit, Right, SHELL};
use crate::domain::secret::Secret;
use crate::domain::token::Brand;
use crate::store::{Store, StoreError};

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
    dice: Dice,
    ids: Arc<Ids>,
    known_keys: Arc<KeyCache>,
    metrics: Arc<Metrics>,
    usage: Arc<Usage>,
    guesses: Arc<Guesses>,
    sign_ins: Arc<SignInGuesses>,
    hasher: Arc<Hasher>,
    running: Arc<Running>,
    limits: Limits,
    limiter: Limiter,
}

impl App {
    pub fn new(store: Store, brand: Brand, clock: Clock, dice: Dice, limits: Limits) -> Self {
        let ids = Arc::new(Ids::new(clock.clone(), dice.clone()));
        let metrics = Arc::new(Metrics::new(&store));
        Self {
            store,
            brand: Arc::new(brand),
            clock,
            dice,
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
        }
    }

    /// Shares one rate limit with all nodes that use this Redis. The cluster is to be [kept in touch with](Cluster::beat).
    pub fn with_redis(mut self, address: RedisAddress) -> (Self, Arc<Cluster>) {
        let cluster = Arc::new(Cluster::new(address, self.ids.request().to_string()));
        self.limiter = Limiter::Cluster(Arc::clone(&cluster));
        (self, cluster)
    }

    pub fn brand(&self) -> &Brand {
        &self.brand
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
    pub async fn part_from_file(&self) -> Result<(), StoreError> {
        self.store.part_from_file().await
    }

    /// Writes what is still in memory and closes the database.
    pub async fn close(&self) -> Result<(), StoreError> {
        let flushed = self.flush_usage(usage::Flush::Everything).await;
        self.store.close().await;
        flushed
    }

    /// Whether this node is to clear now what has had its time: one of all nodes is, once an hour.
    pub async fn is_to_clear(&self) -> Result<bool, StoreError> {
        self.store.take_duty("clear", self.clock.now(), CLEAR_EVERY).await
    }

    fn stamp(&self, by: By, origin: &str) -> Stamp {
        Stamp { seed: self.ids.seed(), at: self.clock.now(), by, origin: origin.to_owned() }
    }

    fn stamp_for<R: Right>(&self, permit: &Permit<R>) -> Stamp {
        self.stamp(permit.actor().by(), permit.origin())
    }

    fn shell_stamp(&self, user: &str) -> Stamp {
        self.stamp(Actor::Shell { user: user.to_owned() }.by(), SHELL)
    }

    fn secret(&self) -> Secret {
        Secret::from_entropy(|bytes| self.dice.fill(bytes))
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
