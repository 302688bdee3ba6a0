//! The rate windows of keys on this node.
//!
//! They are kept apart from the key cache, so that renaming a key, refilling the cache or evicting an entry never gives a
//! key a fresh budget.

use crate::app::infra::sharded_map::ShardedMap;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::rate_limit::{Quota, RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct KeyWindows(ShardedMap<KeyId, Window>);

impl KeyWindows {
    /// Decides whether a call is within the limit, and counts it if it is.
    pub(crate) fn decide(&self, key: KeyId, limit: &RateLimit, at: Timestamp) -> Quota {
        self.0.shard(&key).entry(key).or_default().decide(limit, at)
    }

    /// Counts a call that Redis has admitted.
    pub(crate) fn count(&self, key: KeyId, limit: &RateLimit, at: Timestamp) {
        self.0.shard(&key).entry(key).or_default().count(limit, at);
    }

    /// Removes windows whose counts no longer matter; returns how many.
    pub(crate) fn sweep(&self, limit: &RateLimit, now: Timestamp) -> usize {
        let mut removed = 0;
        for mut shard in self.0.shards() {
            let before = shard.len();
            shard.retain(|_, window| !window.is_spent(limit, now));
            removed += before - shard.len();
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use keyhouse_domain::ids::IdSeed;

    #[test]
    fn a_window_is_kept_as_long_as_it_counts() {
        let windows = KeyWindows::default();
        let key = KeyId::new(IdSeed { ms: 1, random: 1 });
        let limit = RateLimit::new(1, Duration::from_secs(3600)).unwrap();
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        assert_eq!(windows.decide(key, &limit, at(0)).retry_after, None);
        assert_eq!(windows.sweep(&limit, at(3599)), 0);
        assert!(windows.decide(key, &limit, at(3599)).retry_after.is_some(), "no fresh budget");
        assert_eq!(windows.sweep(&limit, at(7199)), 0, "it is the window before");
        assert_eq!(windows.sweep(&limit, at(7200)), 1);
        assert_eq!(windows.0.len(), 0);
    }
}
