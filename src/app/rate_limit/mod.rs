//! Who has called too often: each key by its own window, and whoever guesses tokens by the network they guess from.

pub mod login;
pub mod redis;

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use crate::app::App;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::rate_limit::{Quota, RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;
use redis::RedisLimiter;

/// Bad tokens are counted by the minute.
pub const BAD_TOKENS_WINDOW: Duration = Duration::from_secs(60);

/// Networks remembered at once: 64 ways in 1024 sets, under 5 MiB, whatever a stranger sends.
const SETS: usize = 1024;
const WAYS: usize = 64;

/// The limits in force; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Calls of one key.
    pub per_key: Option<RateLimit>,
    /// Refused credentials of one network.
    pub bad_tokens: Option<RateLimit>,
}

/// Who counts the calls of a key.
#[derive(Debug, Clone, Default)]
pub(crate) enum Limiter {
    /// Each node for itself.
    #[default]
    Node,
    /// All nodes together.
    RedisLimiter(Arc<RedisLimiter>),
}

impl App {
    /// Counts an admitted key's call: against its budget, and as its last use (a call over the budget is a use too).
    ///
    /// `None`: there is no limit. No write to the database on the call's own path.
    pub async fn count_call(&self, key: &ApiKey, from: IpAddr) -> Option<Quota> {
        let at = self.clock.now();
        let Some(limit) = &self.limits.per_key else {
            self.usage.note(key.id, at, from, |_| ());
            return None;
        };
        let Limiter::RedisLimiter(cluster) = &self.limiter else {
            return Some(self.usage.note(key.id, at, from, |window| window.judge(limit, at)));
        };
        Some(match cluster.judge(key.id, limit).await {
            Ok(quota) => {
                // Counted here too: should Redis go away, what this node let pass before is part of its share.
                let admitted = quota.retry_after.is_none();
                self.usage.note(key.id, at, from, |window| {
                    if admitted {
                        window.count(limit, at)
                    }
                });
                quota
            }
            Err(unjudged) => {
                self.metrics.record_fallback(unjudged.as_label());
                let share = cluster.share(limit);
                let quota = self.usage.note(key.id, at, from, |window| window.judge(&share, at));
                Quota { limit: limit.requests(), ..quota }
            }
        })
    }

    /// Counts a refused credential against the network it came from; over the limit, the seconds to wait.
    ///
    /// Asked only after a token was found bad, so a good one is never refused for its address.
    pub fn count_bad_token(&self, from: IpAddr) -> Option<u64> {
        let limit = self.limits.bad_tokens.as_ref()?;
        self.guesses.count(network(from), limit, self.clock.now())
    }
}

/// The part of the net that one party usually holds: /24, /64.
pub(crate) fn network(addr: IpAddr) -> IpNet {
    let addr = addr.to_canonical();
    let bits = if addr.is_ipv4() { 24 } else { 64 };
    IpNet::new(addr, bits).unwrap_or(addr.into()).trunc()
}

/// A table of fixed size. When a set is full, the network that guessed least gives its place: a flood from everywhere
/// pushes out bystanders, never the ones who guess most.
#[derive(Debug)]
pub struct AttemptTable<K = IpNet> {
    hasher: RandomState,
    sets: Box<[Mutex<Vec<Entry_<K>>>]>,
}

#[derive(Debug)]
struct Entry_<K> {
    who: K,
    window: Window,
    used: u64,
}

impl<K> Default for AttemptTable<K> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), sets: (0..SETS).map(|_| Mutex::default()).collect() }
    }
}

impl<K: Hash + Eq + Copy> AttemptTable<K> {
    fn set(&self, who: K) -> MutexGuard<'_, Vec<Entry_<K>>> {
        self.sets[self.hasher.hash_one(who) as usize % SETS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a guess; over the limit it is not counted, and the answer is the seconds to wait.
    pub(crate) fn count(&self, who: K, limit: &RateLimit, now: Timestamp) -> Option<u64> {
        let mut set = self.set(who);
        let newcomer = || Entry_ { who, window: Window::default(), used: 0 };
        let place = match set.iter().position(|known| known.who == who) {
            Some(place) => place,
            None if set.len() < WAYS => {
                set.push(newcomer());
                set.len() - 1
            }
            None => {
                let spent = set.iter().position(|known| known.window.is_spent(limit, now));
                let least = || (0..WAYS).min_by_key(|&place| set[place].used).unwrap_or(0);
                let place = spent.unwrap_or_else(least);
                set[place] = newcomer();
                place
            }
        };
        let guesser = &mut set[place];
        let quota = guesser.window.judge(limit, now);
        guesser.used = quota.limit - quota.remaining;
        quota.retry_after
    }

    /// Takes one guess back: it was none.
    pub(crate) fn refund(&self, who: K) {
        if let Some(known) = self.set(who).iter_mut().find(|known| known.who == who) {
            known.window.refund();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u64) -> RateLimit {
        RateLimit::new(requests, BAD_TOKENS_WINDOW).unwrap()
    }

    #[test]
    fn neighbours_share_a_count_and_strangers_do_not() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.254"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.9"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("::1", "0.0.0.1"));
    }

    #[test]
    fn a_million_networks_take_no_more_room_and_push_out_no_heavy_guesser() {
        let guesses = AttemptTable::default();
        let now = Timestamp::from_ms(1_795_512_600_000);
        let heavy = network("203.0.113.1".parse().unwrap());
        for _ in 0..5 {
            assert_eq!(guesses.count(heavy, &limit(5), now), None);
        }
        for stranger in 1..=1_000_000u64 {
            guesses.count(network(std::net::Ipv6Addr::from_bits(u128::from(stranger) << 64).into()), &limit(5), now);
        }
        assert!(guesses.count(heavy, &limit(5), now).is_some(), "still known");
        let places: usize = guesses.sets.iter().map(|set| set.lock().unwrap().capacity()).sum();
        assert!(places <= SETS * WAYS, "{places}");
    }
}
