//! The metrics of a node, as OpenMetrics text for Prometheus. No label holds a name, an address or an id.

mod calls;
mod http;
mod labels;
mod pools;
mod process;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::app::infra::log_queue;
use crate::app::key_cache::Poll;
use crate::app::rate_limit::redis::FallbackReason;
use crate::build_info;
use calls::CallMetrics;
use http::HttpMetrics;
use keyhouse_store::Store;
use labels::ReasonLabel;
pub(crate) use labels::{ApiOutcome, LookupSource, method_label};

/// Upper bounds of the revocation histogram's buckets in seconds. The promised 0.5 s (p99), 1 s and 3 s are among them.
const PROPAGATION_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0];
/// All metrics of a node. What a request records takes no lock that threads share.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Arc<CallMetrics>,
    limiter_fallbacks: Family<ReasonLabel, Counter>,
    log_lines_dropped: Counter,
    http: Arc<HttpMetrics>,
    propagation: Histogram,
    dropped_spans: Counter,
    change_lag: Gauge<f64, AtomicU64>,
    lease_remaining: Gauge<f64, AtomicU64>,
    /// When the last successful poll was sent, in milliseconds of the monotonic clock; 0 before the first.
    last_poll: AtomicU64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    pub(crate) fn new(store: &Store) -> Self {
        let this = Self {
            registry: Registry::default(),
            calls: Arc::new(CallMetrics::new()),
            limiter_fallbacks: Family::default(),
            log_lines_dropped: Counter::default(),
            http: Arc::new(HttpMetrics::new()),
            propagation: Histogram::new(PROPAGATION_BUCKETS),
            dropped_spans: Counter::default(),
            change_lag: Gauge::default(),
            lease_remaining: Gauge::default(),
            last_poll: AtomicU64::new(0),
        };
        // A counter that has counted nothing is exported as 0, so that an alert on its rate has a first value.
        for reason in FallbackReason::ALL {
            drop(this.limiter_fallbacks.get_or_create(&ReasonLabel { reason: reason.as_label() }));
        }
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("keyhouse");
        own.register_collector(Box::new(Arc::clone(&this.calls)));
        this.register_own(own, store);
        registry.register_collector(Box::new(Arc::clone(&this.http)));
        registry.register_collector(Box::new(process::ProcessCollector));
        Self { registry, ..this }
    }

    fn register_own(&self, registry: &mut Registry, store: &Store) {
        registry.register(
            "log_lines_dropped",
            "Log lines that were dropped because they were not read fast enough",
            self.log_lines_dropped.clone(),
        );
        registry.register(
            "limiter_fallbacks",
            "API calls that were limited by this node alone because Redis did not answer, by reason",
            Family::clone(&self.limiter_fallbacks),
        );
        registry.register_with_unit(
            "revocation_propagation",
            "For each changed key that a poll reported: time since the poll before it, an upper bound of its delay",
            Unit::Seconds,
            self.propagation.clone(),
        );
        registry.register_with_unit(
            "change_lag",
            "Time since the last successful change poll was sent",
            Unit::Seconds,
            self.change_lag.clone(),
        );
        registry.register_with_unit(
            "key_cache_lease_remaining",
            "Time for which cached keys may still be used if no further change poll succeeds",
            Unit::Seconds,
            self.lease_remaining.clone(),
        );
        registry.register(
            "trace_spans_dropped",
            "Spans that were dropped because the collector took them too slowly",
            self.dropped_spans.clone(),
        );
        let build = [("version", build_info::VERSION), ("commit", build_info::COMMIT), ("date", build_info::DATE)];
        registry.register("build", "The build that runs: always 1", Info::new(build));
        registry.register_collector(Box::new(pools::PoolCollector(store.clone())));
    }

    /// The counter of spans that were dropped.
    pub(crate) fn dropped_spans(&self) -> Counter {
        self.dropped_spans.clone()
    }

    /// Counts an API call.
    pub(crate) fn record_api_request(&self, outcome: ApiOutcome) {
        self.calls.record_outcome(outcome);
    }

    /// Counts a call that was limited without Redis.
    pub(crate) fn record_fallback(&self, reason: FallbackReason) {
        self.limiter_fallbacks.get_or_create(&ReasonLabel { reason: reason.as_label() }).inc();
    }

    pub(crate) fn record_lookup(&self, source: LookupSource) {
        self.calls.record_lookup(source);
    }

    /// Counts an answered HTTP request; `route` is the template of its route, if one matched.
    pub(crate) fn record_http(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        self.http.record(route, method, status, took);
    }

    /// Records a successful poll. A change that it reports happened after the poll before it was sent.
    pub(crate) fn record_poll(&self, poll: &Poll) {
        let sent = u64::try_from(poll.sent.as_millis()).unwrap_or(u64::MAX);
        let before = self.last_poll.swap(sent, Ordering::Relaxed);
        // A new connection can't say how many keys changed: counted as one, unless it is the first.
        let changes = poll.changes.unwrap_or(usize::from(before > 0));
        for _ in 0..changes {
            self.propagation.observe(poll.applied.saturating_sub(Duration::from_millis(before)).as_secs_f64());
        }
    }
}

impl App {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All metrics of this node, as OpenMetrics text.
    ///
    /// # Errors
    ///
    /// A metric that can't be formatted, which is a programming error.
    pub fn metrics_text(&self) -> Result<String, fmt::Error> {
        let metrics = &self.metrics;
        let last_poll = Duration::from_millis(metrics.last_poll.load(Ordering::Relaxed));
        metrics.change_lag.set(self.clock.monotonic().saturating_sub(last_poll).as_secs_f64());
        metrics.lease_remaining.set(self.lease_remaining().unwrap_or_default().as_secs_f64());
        let dropped = log_queue::current().map_or(0, log_queue::LogQueue::dropped);
        metrics.log_lines_dropped.inner().store(dropped, Ordering::Relaxed);
        let mut text = String::new();
        text::encode(&mut text, &metrics.registry)?;
        Ok(text)
    }
}
