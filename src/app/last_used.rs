//! The keys in use, one small entry each: the key's rate window, and its last use.
//!
//! Last used is noted in memory on each admitted call and written in batches in the background: at most one write per key,
//! node and minute; at most 60 seconds behind; nothing lost on a graceful stop. The window is here and not in any cache
//! of keys, so no refill or rename ever gives a fresh budget.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::App;
use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::rate_limit::{RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::StoreError;

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

/// An entry goes once its key has rested: its use is written, and its window is spent.
#[derive(Debug, Default)]
pub struct Usage {
    keys: Mutex<HashMap<KeyId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    from: IpAddr,
    /// When the last write began, in monotonic; `None` before the first.
    written: Option<Duration>,
    dirty: bool,
    window: Window,
}

impl Usage {
    /// Notes a use, and does with the key's window what its limit asks for.
    pub(crate) fn note<T>(&self, key: KeyId, at: Timestamp, from: IpAddr, judge: impl FnOnce(&mut Window) -> T) -> T {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let entry =
            keys.entry(key).or_insert(Entry { at, from, written: None, dirty: true, window: Window::default() });
        (entry.at, entry.from, entry.dirty) = (at, from, true);
        judge(&mut entry.window)
    }

    /// Takes what is to be written now, and lets rested entries go.
    fn take(
        &self,
        which: Flush,
        monotonic: Duration,
        now: Timestamp,
        limit: Option<&RateLimit>,
    ) -> Vec<(KeyId, LastUse)> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |entry: &Entry| entry.written.is_none_or(|at| monotonic.saturating_sub(at) >= SPACING);
        let spent = |entry: &Entry| limit.is_none_or(|limit| entry.window.is_spent(limit, now));
        keys.retain(|_, entry| entry.dirty || !due(entry) || !spent(entry));
        let mut taken = Vec::new();
        for (&key, entry) in keys.iter_mut() {
            if entry.dirty && (which == Flush::Everything || due(entry)) {
                entry.dirty = false;
                entry.written = Some(monotonic);
                taken.push((key, LastUse { at: entry.at, from: entry.from.to_string() }));
            }
        }
        // In one order on every node: two that write the same keys at once would else wait for each other.
        taken.sort_by_key(|(key, _)| *key);
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
        let taken = self.usage.take(which, self.clock.monotonic(), self.clock.now(), self.limits.per_key.as_ref());
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
    use keyhouse_domain::ids::IdSeed;

    #[test]
    fn one_write_a_minute_and_the_last_use_is_kept() {
        let usage = Usage::default();
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        let from = IpAddr::from([192, 0, 2, 1]);
        let at = |s: u64| Timestamp::from_ms(s as i64 * 1000);
        let note = |s: u64| usage.note(key, at(s), from, |_| ());
        let take = |s: u64| {
            let taken = usage.take(Flush::Due, Duration::from_secs(s), at(s), None);
            taken.into_iter().map(|(_, used)| used.at.ms() / 1000).collect::<Vec<_>>()
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
        let failed = usage.take(Flush::Due, Duration::from_secs(400), at(400), None);
        usage.put_back(failed);
        assert_eq!(take(401), [400], "a failed write is tried again at once");
        note(402);
        assert_eq!(
            usage.take(Flush::Everything, Duration::from_secs(403), at(403), None).len(),
            1,
            "a stop writes all"
        );
    }
    #[test]
    fn a_window_that_still_counts_is_kept() {
        let usage = Usage::default();
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        let (from, limit) = (IpAddr::from([192, 0, 2, 1]), RateLimit::new(1, Duration::from_secs(3600)));
        let at = |s: u64| Timestamp::from_ms(s as i64 * 1000);
        let refused = |s: u64| usage.note(key, at(s), from, |window| window.judge(&limit.unwrap(), at(s)).retry_after);
        assert_eq!(refused(0), None);
        usage.take(Flush::Due, Duration::ZERO, at(0), limit.as_ref());
        usage.take(Flush::Due, Duration::from_secs(3599), at(3599), limit.as_ref());
        assert!(refused(3599).is_some(), "no fresh budget");
        usage.take(Flush::Due, Duration::from_secs(7100), at(7100), limit.as_ref());
        usage.take(Flush::Due, Duration::from_secs(7200), at(7200), limit.as_ref());
        assert!(usage.keys.lock().unwrap().is_empty());
    }
}
