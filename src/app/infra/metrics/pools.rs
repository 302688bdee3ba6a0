//! Metrics of the database connection pools, read from the store when asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use keyhouse_store::Store;

#[derive(Debug)]
pub(super) struct PoolCollector(pub(super) Store);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    pool: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: &'static str,
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut connections =
            encoder.encode_descriptor("db_pool_connections", "Database connections", None, MetricType::Gauge)?;
        for size in self.0.pools() {
            for (state, number) in [("idle", size.idle), ("busy", size.busy)] {
                let labels = ConnectionLabels { pool: size.pool, state };
                ConstGauge::new(i64::from(number)).encode(connections.encode_family(&labels)?)?;
            }
        }
        let help = "Requests for a database connection that found none free";
        let mut waits = encoder.encode_descriptor("db_pool_waits", help, None, MetricType::Counter)?;
        for (pool, counter) in [("writes", &self.0.waits().writes), ("auth", &self.0.waits().auth)] {
            ConstCounter::new(counter.get()).encode(waits.encode_family(&PoolLabel { pool })?)?;
        }
        Ok(())
    }
}
