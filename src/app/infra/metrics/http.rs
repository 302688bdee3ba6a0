//! Metrics of HTTP requests. Each thread counts for itself; the counts are added up when they are asked for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use foldhash::fast::RandomState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::labels::{HttpLabels, RouteLabel, method_label};
use crate::app::infra::per_thread::PerThread;

/// Upper bounds of the latency histogram's buckets in seconds: from a cached call (some 10 µs of work) to the longest time
/// that a call may take for its body. All that took longer is in a last bucket.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, f64::MAX];

/// The answered requests by the template of their route; `-` for those of unknown paths.
#[derive(Debug)]
pub(super) struct HttpMetrics(PerThread<HashMap<Box<str>, RouteCounts, RandomState>>);

#[derive(Debug, Clone, Default)]
struct RouteCounts {
    /// By method and status. A route has few of them.
    requests: Vec<(&'static str, u16, u64)>,
    buckets: [u64; BUCKETS.len()],
    took: Duration,
}

impl HttpMetrics {
    pub(super) fn new() -> Self {
        Self(PerThread::new(|_| HashMap::default()))
    }

    pub(super) fn record(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        let route = route.unwrap_or("-");
        let mut routes = self.0.own();
        let counts = match routes.get_mut(route) {
            Some(counts) => counts,
            None => routes.entry(route.into()).or_default(),
        };
        counts.add_requests(method_label(method), status, 1);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len() - 1);
        counts.buckets[bucket] += 1;
        counts.took += took;
    }

    fn sums(&self) -> BTreeMap<Box<str>, RouteCounts> {
        let mut sums: BTreeMap<Box<str>, RouteCounts> = BTreeMap::new();
        for routes in self.0.all() {
            for (route, counts) in routes.iter() {
                sums.entry(route.clone()).or_default().add(counts);
            }
        }
        sums
    }
}

impl RouteCounts {
    fn add_requests(&mut self, method: &'static str, status: u16, number: u64) {
        match self.requests.iter_mut().find(|known| (known.0, known.1) == (method, status)) {
            Some(known) => known.2 += number,
            None => self.requests.push((method, status, number)),
        }
    }

    fn add(&mut self, other: &Self) {
        for &(method, status, number) in &other.requests {
            self.add_requests(method, status, number);
        }
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, number)| *sum += number);
        self.took += other.took;
    }
}

/// Registered with the metrics; it holds the same counts as they do.
impl Collector for HttpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sums = self.sums();
        let mut requests =
            encoder.encode_descriptor("http_requests", "HTTP requests answered.", None, MetricType::Counter)?;
        for (route, counts) in &sums {
            for &(method, status, number) in &counts.requests {
                let labels = HttpLabels::new(route, method, status);
                ConstCounter::new(number).encode(requests.encode_family(&labels)?)?;
            }
        }
        let mut durations = encoder.encode_descriptor(
            "http_request_duration",
            "Time from a request's head to its response's head.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (route, counts) in &sums {
            let buckets: Vec<(f64, u64)> = BUCKETS.into_iter().zip(counts.buckets).collect();
            let number = counts.buckets.iter().sum();
            let label = RouteLabel::new(route);
            let mut durations = durations.encode_family(&label)?;
            durations.encode_histogram::<NoLabelSet>(counts.took.as_secs_f64(), number, &buckets, None)?;
        }
        Ok(())
    }
}
