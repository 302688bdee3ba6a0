//! What a node counts, for whoever watches it: in the form that Prometheus reads. No name of a key, team or address.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::app::rate_limit::redis::FallbackReason;
use keyhouse_store::{ChangeSet, Store};

/// Upper ends of the buckets for how late changes are learnt, in seconds: the promises are among them.
const LATE: [f64; 9] = [0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0];

/// Why calls are refused: the words of `AuthError`, and what comes after it.
const REASONS: [&str; 10] = [
    "missing",
    "repeated",
    "scheme",
    "malformed",
    "unknown",
    "revoked",
    "bad_tokens",
    "rate_limit",
    "scope",
    "unavailable",
];

/// Where the record of a key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupSource {
    /// In memory, under a good lease.
    Cache,
    /// With somebody who was asking the database already.
    Shared,
    Database,
}

impl LookupSource {
    const ALL: [Self; 3] = [Self::Cache, Self::Shared, Self::Database];

    const fn as_label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Shared => "shared",
            Self::Database => "database",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Connections {
    pool: &'static str,
    state: &'static str,
}

/// All of them. Counting takes no lock that a call could wait for long on.
pub struct Metrics {
    registry: Registry,
    admitted: Counter,
    refused: Family<Reason, Counter>,
    lookups: Family<Answer, Counter>,
    limiter_fallbacks: Family<Reason, Counter>,
    change_seen: Histogram,
    change_lag: Gauge<f64, AtomicU64>,
    lease_left: Gauge<f64, AtomicU64>,
    connections: Family<Connections, Gauge>,
    /// When the last good question was asked, in milliseconds of ticks.
    asked: AtomicU64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    pub(crate) fn new(store: &Store) -> Self {
        let mut registry = Registry::with_prefix("keyhouse");
        let (admitted, connections, change_lag, lease_left) = Default::default();
        // Whoever watches should see a count of zero, not nothing.
        let zero = |words: &[&'static str]| {
            let counts = Family::<Reason, Counter>::default();
            words.iter().for_each(|&reason| drop(counts.get_or_create(&Reason { reason })));
            counts
        };
        let (refused, limiter_fallbacks) = (zero(&REASONS), zero(&FallbackReason::ALL.map(FallbackReason::as_label)));
        let lookups = Family::<Answer, Counter>::default();
        for answer in LookupSource::ALL.map(LookupSource::as_label) {
            drop(lookups.get_or_create(&Answer { answer }));
        }
        let change_seen = Histogram::new(LATE);
        registry.register(
            "calls_admitted",
            "Calls of the API with a good key, within its budget and scope",
            Counter::clone(&admitted),
        );
        registry.register("calls_refused", "Calls of the API that were refused, by reason", Family::clone(&refused));
        registry.register("key_lookups", "Where the record of a call's key was found", Family::clone(&lookups));
        registry.register(
            "limiter_fallbacks",
            "Calls judged by this node's share of the rate limit because Redis did not judge them, by reason",
            Family::clone(&limiter_fallbacks),
        );
        registry.register(
            "change_seen_seconds",
            "For each change of a key that was learnt, and for each new connection: how late at most",
            Histogram::clone(&change_seen),
        );
        registry.register(
            "change_lag_seconds",
            "How long ago the database was last asked with success what changed: nothing from before that is unknown here",
            Gauge::clone(&change_lag),
        );
        registry.register(
            "lease_seconds_left",
            "How long what is remembered of keys still counts if the database is not heard of again",
            Gauge::clone(&lease_left),
        );
        registry.register("pool_connections", "Connections to the database", Family::clone(&connections));
        let waits = store.waits();
        registry.register("pool_waits_to_write", "Changes that found no connection free", waits.writes.clone());
        registry.register("pool_waits_to_admit", "Look-ups of keys that found no connection free", waits.admit.clone());
        Self {
            registry,
            admitted,
            refused,
            lookups,
            limiter_fallbacks,
            change_seen,
            change_lag,
            lease_left,
            connections,
            asked: AtomicU64::new(0),
        }
    }

    /// Counts a call that may go on.
    pub fn admitted(&self) {
        self.admitted.inc();
    }

    /// Counts a call that may not go on, for one of the [`REASONS`].
    pub fn refused(&self, reason: &'static str) {
        debug_assert!(REASONS.contains(&reason), "{reason}");
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a call that was judged without Redis.
    pub(crate) fn record_fallback(&self, reason: &'static str) {
        self.limiter_fallbacks.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn record_lookup(&self, answer: LookupSource) {
        self.lookups.get_or_create(&Answer { answer: answer.as_label() }).inc();
    }

    /// Notes an answer about what changed. What is learnt now came after the question before: it is at most that old.
    pub(crate) fn record_poll(&self, change: &ChangeSet, asked: Duration, now: Duration) {
        let asked = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
        let before = self.asked.swap(asked, Ordering::Relaxed);
        // On a new connection nobody knows how many changed: counted as one, unless it is the first ever.
        let changes = change.changed.as_ref().map_or(usize::from(before > 0), Vec::len);
        for _ in 0..changes {
            self.change_seen.observe(now.saturating_sub(Duration::from_millis(before)).as_secs_f64());
        }
    }
}

impl App {
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All metrics of this node, as OpenMetrics text.
    pub fn metrics_text(&self) -> Result<String, fmt::Error> {
        let metrics = &self.metrics;
        let asked = Duration::from_millis(metrics.asked.load(Ordering::Relaxed));
        metrics.change_lag.set(self.clock.monotonic().saturating_sub(asked).as_secs_f64());
        metrics.lease_left.set(self.lease_left().unwrap_or_default().as_secs_f64());
        for size in self.store.pools() {
            for (state, number) in [("idle", size.idle), ("busy", size.busy)] {
                metrics.connections.get_or_create(&Connections { pool: size.pool, state }).set(number.into());
            }
        }
        let mut text = String::new();
        text::encode(&mut text, &metrics.registry)?;
        Ok(text)
    }
}
