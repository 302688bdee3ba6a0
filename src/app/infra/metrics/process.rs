//! Metrics of the process, under the names that Prometheus's client libraries use. Read from `/proc` when asked for;
//! what can't be read is left out.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks per second in `/proc/self/stat`: USER_HZ, which is 100 on every Linux architecture in use.
const USER_HZ: f64 = 100.0;

#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let stat = Stat::read();
        let rss = stat.as_ref().map(|stat| stat.resident_bytes);
        gauge("process_resident_memory", "Resident memory", Some(&Unit::Bytes), rss)?;
        gauge("process_open_fds", "Open file descriptors", None, open_descriptors())?;
        let started = stat.as_ref().and_then(|stat| Some(boot_time()? + stat.started_after_boot));
        gauge("process_start_time", "Start time since the Unix epoch", Some(&Unit::Seconds), started)?;
        if let Some(stat) = stat {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let help = "CPU time, user and system";
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)?;
        }
        Ok(())
    }
}

/// What `/proc/self/stat` holds, in seconds and bytes.
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?, rustix::param::page_size())
    }

    /// Fields are numbered from 1 in proc(5). The second is the command in parentheses and may hold spaces.
    fn parse(text: &str, page_size: usize) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / USER_HZ,
            started_after_boot: field(22)? / USER_HZ,
            resident_bytes: field(24)? * page_size as f64,
        })
    }
}

fn open_descriptors() -> Option<f64> {
    // The directory itself is open while it is read.
    Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as f64 - 1.0).max(0.0))
}

/// When the machine was booted, in seconds since the Unix epoch.
fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 4200 20 33 22";
        let stat = Stat::parse(&format!("7 (a (b) c) {rest}"), 4096).unwrap();
        assert_eq!((stat.cpu_seconds, stat.started_after_boot, stat.resident_bytes), (2.0, 42.0, 33.0 * 4096.0));
    }
}
