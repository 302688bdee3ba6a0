//! Metrics of API calls. Each thread counts for itself; the counts are added up when they are asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::labels::{ApiOutcome, LookupSource};
use crate::app::infra::per_thread::PerThread;

#[derive(Debug)]
pub(super) struct CallMetrics(PerThread<Counts>);

#[derive(Debug, Default)]
struct Counts {
    outcomes: [u64; ApiOutcome::ALL.len()],
    lookups: [u64; LookupSource::ALL.len()],
}

impl CallMetrics {
    pub(super) fn new() -> Self {
        Self(PerThread::new(|_| Counts::default()))
    }

    pub(super) fn record_outcome(&self, outcome: ApiOutcome) {
        self.0.own().outcomes[outcome as usize] += 1;
    }

    pub(super) fn record_lookup(&self, source: LookupSource) {
        self.0.own().lookups[source as usize] += 1;
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.0.all().map(|counts| of(&counts)).sum()
    }
}

/// Registered with the metrics; it holds the same counts as they do. What has counted nothing is exported as 0, so that an
/// alert on its rate has a first value.
impl Collector for CallMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut calls =
            encoder.encode_descriptor("api_requests", "API calls, by outcome.", None, MetricType::Counter)?;
        for outcome in ApiOutcome::ALL {
            let number = self.sum(|counts| counts.outcomes[outcome as usize]);
            ConstCounter::new(number).encode(calls.encode_family(&[("outcome", outcome.as_label())])?)?;
        }
        let help = "Look-ups of the key of a token, by where the record came from.";
        let mut lookups = encoder.encode_descriptor("key_lookups", help, None, MetricType::Counter)?;
        for source in LookupSource::ALL {
            let number = self.sum(|counts| counts.lookups[source as usize]);
            ConstCounter::new(number).encode(lookups.encode_family(&[("source", source.as_label())])?)?;
        }
        Ok(())
    }
}
