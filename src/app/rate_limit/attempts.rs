//! Counts attempts by network or account in a table of fixed size.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use keyhouse_domain::rate_limit::{RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;

/// Sets of the table, and entries of a set: 65,536 entries, under 5 MiB, whatever a client sends. 64 ways make it
/// improbable that the sets fill unevenly.
const SETS: usize = 1024;
const WAYS: usize = 64;

/// A set-associative table of sliding windows. When a set is full, the new entry replaces a spent one or the one with the
/// lowest count: a spray of addresses can't evict the heaviest offenders.
#[derive(Debug)]
pub(crate) struct AttemptTable<K> {
    hasher: RandomState,
    sets: Box<[Mutex<Vec<Entry<K>>>]>,
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    window: Window,
    used: u64,
}

impl<K> Default for AttemptTable<K> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), sets: (0..SETS).map(|_| Mutex::default()).collect() }
    }
}

impl<K: Hash + Eq + Copy> AttemptTable<K> {
    fn set(&self, key: K) -> MutexGuard<'_, Vec<Entry<K>>> {
        self.sets[self.hasher.hash_one(key) as usize % SETS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt. Over the limit it is not counted, and the result is the number of seconds to wait.
    pub(crate) fn count(&self, key: K, limit: &RateLimit, now: Timestamp) -> Option<u64> {
        let mut set = self.set(key);
        let new_entry = || Entry { key, window: Window::default(), used: 0 };
        let index = match set.iter().position(|entry| entry.key == key) {
            Some(index) => index,
            None if set.len() < WAYS => {
                set.push(new_entry());
                set.len() - 1
            }
            None => {
                let spent = set.iter().position(|entry| entry.window.is_spent(limit, now));
                let least_used = || (0..WAYS).min_by_key(|&index| set[index].used).unwrap_or(0);
                let index = spent.unwrap_or_else(least_used);
                set[index] = new_entry();
                index
            }
        };
        let entry = &mut set[index];
        let quota = entry.window.decide(limit, now);
        entry.used = quota.limit - quota.remaining;
        quota.retry_after
    }

    /// Whether a further attempt would be refused now. Counts nothing.
    pub(crate) fn is_exhausted(&self, key: K, limit: &RateLimit, now: Timestamp) -> bool {
        let set = self.set(key);
        // On a copy, which is thrown away.
        set.iter()
            .find(|entry| entry.key == key)
            .is_some_and(|entry| entry.window.clone().decide(limit, now).retry_after.is_some())
    }

    /// Takes one counted attempt back.
    pub(crate) fn refund(&self, key: K) {
        if let Some(entry) = self.set(key).iter_mut().find(|entry| entry.key == key) {
            entry.window.refund();
        }
    }
}

/// The network that one party usually controls: /24 for IPv4, /64 for IPv6.
pub(crate) fn network(addr: IpAddr) -> IpNet {
    let addr = addr.to_canonical();
    let bits = if addr.is_ipv4() { 24 } else { 64 };
    IpNet::new(addr, bits).unwrap_or(addr.into()).trunc()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limit(requests: u64) -> RateLimit {
        RateLimit::new(requests, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn addresses_of_one_network_share_a_count() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.254"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.9"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("::1", "0.0.0.1"));
    }

    #[test]
    fn a_million_networks_take_no_more_memory_and_do_not_evict_a_heavy_offender() {
        let attempts = AttemptTable::default();
        let now = Timestamp::from_ms(1_795_512_600_000);
        let heavy = network("203.0.113.1".parse().unwrap());
        for _ in 0..5 {
            assert_eq!(attempts.count(heavy, &limit(5), now), None);
        }
        for other in 1..=1_000_000u64 {
            attempts.count(network(std::net::Ipv6Addr::from_bits(u128::from(other) << 64).into()), &limit(5), now);
        }
        assert!(attempts.is_exhausted(heavy, &limit(5), now));
        assert!(attempts.count(heavy, &limit(5), now).is_some());
        let entries: usize = attempts.sets.iter().map(|set| set.lock().unwrap().capacity()).sum();
        assert!(entries <= SETS * WAYS, "{entries}");
    }
}
