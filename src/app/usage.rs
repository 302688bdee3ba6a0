//! Last used: noted in memory on each admitted call, written in batches in the background.
//!
//! At most one write per key, node and minute; at most 60 seconds behind; nothing lost on a graceful stop.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::App;
use crate::domain::ids::KeyId;
use crate::domain::key::LastUse;
use crate::domain::timestamp::Timestamp;
use crate::store::StoreError;

/// Least time between two writes for one key.
const SPACING: Duration = Duration::from_secs(60);

/// How often [`App::flush_usage`] is called. A divisor of [`SPACING`], so that a use right after a write waits no longer.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What a flush writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The keys whose minute has passed.
    Due,
    /// All that is not written yet.
    Everything,
}

/// The keys in use, one small entry each; an entry goes once its key has rested for a minute.
#[derive(Debug, Default)]
pub struct Usage {
    keys: Mutex<HashMap<KeyId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    from: IpAddr,
    /// When the last write began, in ticks; `None` before the first.
    written: Option<Duration>,
    dirty: bool,
}

impl Usage {
    pub(super) fn note(&self, key: KeyId, at: Timestamp, from: IpAddr) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = keys.entry(key).or_insert(Entry { at, from, written: None, dirty: true });
        *entry = Entry { at, from, written: entry.written, dirty: true };
    }

    /// Takes what is to be written now, and lets rested entries go.
    fn take(&self, which: Flush, ticks: Duration) -> Vec<(KeyId, LastUse)> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |entry: &Entry| entry.written.is_none_or(|at| ticks.saturating_sub(at) >= SPACING);
        keys.retain(|_, entry| entry.dirty || !rested(entry));
        let mut taken = Vec::new();
        for (&key, entry) in keys.iter_mut() {
            if entry.dirty && (which == Flush::Everything || rested(entry)) {
                entry.dirty = false;
                entry.written = Some(ticks);
                taken.push((key, LastUse { at: entry.at, from: entry.from.to_string() }));
            }
        }
        taken
    }

    /// A write failed: its keys are due again, unless used since.
    fn put_back(&self, taken: Vec<(KeyId, LastUse)>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in taken {
            if let Some(entry) = keys.get_mut(&key) {
                entry.dirty = true;
                entry.written = None;
            }
        }
    }
}

impl App {
    /// Writes noted uses to the database. What can't be written stays noted.
    pub async fn flush_usage(&self, which: Flush) -> Result<(), StoreError> {
        let taken = self.usage.take(which, self.clock.ticks());
        let written = self.store.note_uses(&taken).await;
        if written.is_err() {
            self.usage.put_back(taken);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IdSeed;

    #[test]
    fn one_write_a_minute_and_the_last_use_is_kept() {
        let usage = Usage::default();
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        let from = IpAddr::from([192, 0, 2, 1]);
        let note = |s: i64| usage.note(key, Timestamp::from_ms(s * 1000), from);
        let take = |s: u64| {
            usage
                .take(Flush::Due, Duration::from_secs(s))
                .into_iter()
                .map(|(_, u)| u.at.ms() / 1000)
                .collect::<Vec<_>>()
        };

        note(100);
        assert_eq!(take(100), [100], "the first use is written at the next flush");
        note(101);
        note(130);
        assert_eq!(take(159), [0; 0], "the minute is not over");
        assert_eq!(take(160), [130]);
        assert_eq!(take(300), [0; 0], "nothing new");
        assert!(usage.keys.lock().unwrap().is_empty(), "a rested key takes no memory");

        note(400);
        let failed = usage.take(Flush::Due, Duration::from_secs(400));
        usage.put_back(failed);
        assert_eq!(take(401), [400], "a failed write is tried again at once");
        note(402);
        assert_eq!(usage.take(Flush::Everything, Duration::from_secs(403)).len(), 1, "a stop writes all");
    }
}
