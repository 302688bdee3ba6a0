//! How many key records are kept in memory, by the memory that there is.

use crate::app::key_cache::{RECORD_BYTES, RECORDS};

/// The share of the memory that key records may take.
const SHARE: u64 = 16;
/// Most records without a setting: 1 GB.
const MOST: usize = 4_000_000;

/// The number of records: the setting, or as many as fit into the share of the memory if it is 0.
pub(super) fn cached_keys(setting: u64) -> usize {
    match usize::try_from(setting).unwrap_or(usize::MAX) {
        0 => records_in(memory()),
        records => records,
    }
}

fn records_in(memory: Option<u64>) -> usize {
    let records = memory.map_or(0, |bytes| bytes / SHARE / RECORD_BYTES as u64);
    usize::try_from(records).unwrap_or(usize::MAX).clamp(RECORDS, MOST)
}

/// The bytes of memory that this machine has, or its container if that is less. `None` where Linux does not say.
fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(machine_bytes);
    // "max" is no limit.
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    [machine, container].into_iter().flatten().min()
}

/// The line `MemTotal:       24105000 kB` of proc(5).
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_records_follows_the_memory_within_bounds() {
        assert_eq!(machine_bytes("MemFree: 1 kB\nMemTotal:       24105000 kB\n"), Some(24_683_520_000));
        assert_eq!(records_in(None), RECORDS);
        assert_eq!(records_in(Some(256 << 20)), RECORDS);
        assert_eq!(records_in(Some(2 << 30)), 536_870);
        assert_eq!(records_in(Some(1 << 40)), MOST);
        assert_eq!(cached_keys(7), 7);
        assert!(cached_keys(0) >= RECORDS);
    }
}
