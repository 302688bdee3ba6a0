//! When and from where each key was last used: noted in memory, written in the background.
//!
//! Promises: at most one write per key, node and minute; at most 60 seconds behind; nothing lost on a graceful stop; no
//! write on a call's own path.

use std::net::IpAddr;
use std::time::Duration;

use super::App;
use super::infra::sharded_map::ShardedMap;
use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::StoreError;

/// Least time between two writes for one key.
const SPACING: Duration = Duration::from_secs(60);
/// How often [`App::flush_last_used`] is called: a use whose minute is over waits no longer than this.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// What a flush writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The keys whose last write is a minute old.
    Due,
    /// Everything that is not written yet.
    Everything,
}

/// The keys in use. An entry is removed a minute after its last use was written.
#[derive(Debug, Default)]
pub(crate) struct LastUsed {
    keys: ShardedMap<KeyId, Entry>,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    from: IpAddr,
    /// When the last write began, on the monotonic clock; `None` before the first.
    written: Option<Duration>,
    dirty: bool,
}

impl LastUsed {
    /// Notes a use.
    pub(crate) fn note(&self, key: KeyId, at: Timestamp, from: IpAddr) {
        let mut keys = self.keys.shard(&key);
        let entry = keys.entry(key).or_insert(Entry { at, from, written: None, dirty: true });
        (entry.at, entry.from, entry.dirty) = (at, from, true);
    }

    /// Takes the uses that are to be written now, and removes entries that have nothing left to write.
    fn take(&self, which: Flush, monotonic: Duration) -> Vec<(KeyId, LastUse)> {
        let due = |entry: &Entry| entry.written.is_none_or(|at| monotonic.saturating_sub(at) >= SPACING);
        let mut taken = Vec::new();
        for mut keys in self.keys.shards() {
            keys.retain(|_, entry| entry.dirty || !due(entry));
            for (&key, entry) in keys.iter_mut() {
                if entry.dirty && (which == Flush::Everything || due(entry)) {
                    entry.dirty = false;
                    entry.written = Some(monotonic);
                    taken.push((key, LastUse { at: entry.at, from: entry.from.to_string() }));
                }
            }
        }
        // Sorted, so that two nodes that write the same keys at once lock rows in the same order.
        taken.sort_by_key(|(key, _)| *key);
        taken
    }

    /// Marks the keys of a failed write as due again.
    fn put_back(&self, taken: Vec<(KeyId, LastUse)>) {
        for (key, _) in taken {
            if let Some(entry) = self.keys.shard(&key).get_mut(&key) {
                entry.dirty = true;
                entry.written = None;
            }
        }
    }
}

impl App {
    /// Writes noted uses to the database.
    ///
    /// # Errors
    ///
    /// The database could not take them; they stay noted.
    pub async fn flush_last_used(&self, which: Flush) -> Result<(), StoreError> {
        let taken = self.last_used.take(which, self.clock.monotonic());
        let written = self.store.store_last_uses(&taken).await;
        if written.is_err() {
            self.last_used.put_back(taken);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyhouse_domain::ids::IdSeed;

    #[test]
    fn a_key_is_written_once_a_minute_with_its_last_use() {
        let last_used = LastUsed::default();
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        let from = IpAddr::from([192, 0, 2, 1]);
        let note = |s: u64| last_used.note(key, Timestamp::from_ms(s as i64 * 1000), from);
        let take = |s: u64| {
            let taken = last_used.take(Flush::Due, Duration::from_secs(s));
            taken.into_iter().map(|(_, used)| used.at.ms() / 1000).collect::<Vec<_>>()
        };

        note(100);
        assert_eq!(take(100), [100], "the first use is written at the next flush");
        note(101);
        note(130);
        assert_eq!(take(159), [0; 0], "the minute is not over");
        assert_eq!(take(160), [130]);
        assert_eq!(take(300), [0; 0], "nothing new");
        assert_eq!(last_used.keys.len(), 0, "a key that is not used takes no memory");

        note(400);
        let failed = last_used.take(Flush::Due, Duration::from_secs(400));
        last_used.put_back(failed);
        assert_eq!(take(401), [400], "a failed write is tried again at the next flush");
        note(402);
        assert_eq!(last_used.take(Flush::Everything, Duration::from_secs(403)).len(), 1, "a stop writes everything");
    }
}
