//! How keys are used: noted in memory once a call is answered, written to the database in the background.
//!
//! Promises: at most one write per key, node and minute; at most 60 seconds behind; nothing lost on a graceful stop; no
//! write on a call's own path. What is held for a key between two writes has a fixed size, and so has the sum over all keys.

mod noted;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use noted::Noted;

use super::infra::sharded_map::ShardedMap;
use super::{App, in_batches};
use keyhouse_domain::ids::{KeyId, RequestId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::Outcome;
use keyhouse_store::StoreError;

/// Least time between two writes for one key.
const SPACING: Duration = Duration::from_secs(60);
/// How often [`App::flush_usage`] is called: a use whose minute is over waits no longer than this.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Keys in one transaction, so that other writes never wait long for it: as many as the store writes with one statement
/// for each table.
const KEYS_PER_WRITE: usize = 64;
/// Addresses and recent calls that a node holds for all keys together: less than 15 MB. Above it, calls are only counted.
const HELD_MAX: usize = 50_000;

/// What a flush writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The keys whose last write is a minute old.
    Due,
    /// Everything that is not written yet.
    Everything,
}

/// A call with a key's token that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub key: KeyId,
    pub request: RequestId,
    pub at: Timestamp,
    pub from: IpAddr,
    /// The `User-Agent` header; empty if there was none.
    pub agent: &'a [u8],
    pub method: &'static str,
    /// The template of the route, `-` if no route matched.
    pub route: &'static str,
    pub status: u16,
    pub outcome: Outcome,
}

/// The keys in use. An entry is removed a minute after its last call was written.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    keys: ShardedMap<KeyId, Entry>,
    /// Addresses and recent calls in all entries, and in what has been taken and is not written yet.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Entry {
    /// When the last write began, on the monotonic clock; `None` before the first.
    written: Option<Duration>,
    noted: Noted,
}

impl Usage {
    /// Notes a call.
    pub(crate) fn note(&self, call: &Call<'_>) {
        let mut keys = self.keys.shard(&call.key);
        keys.entry(call.key).or_default().noted.note(call, &self.held);
    }

    /// Takes what is to be written now, in the order of the keys, and removes entries that have nothing left to write.
    fn take(&self, which: Flush, monotonic: Duration) -> Vec<(KeyId, Noted)> {
        let due = |entry: &Entry| entry.written.is_none_or(|at| monotonic.saturating_sub(at) >= SPACING);
        let mut taken = Vec::new();
        for mut keys in self.keys.shards() {
            keys.retain(|_, entry| !entry.noted.is_empty() || !due(entry));
            for (&key, entry) in keys.iter_mut() {
                if !entry.noted.is_empty() && (which == Flush::Everything || due(entry)) {
                    entry.written = Some(monotonic);
                    taken.push((key, std::mem::take(&mut entry.noted)));
                }
            }
        }
        taken.sort_by_key(|(key, _)| *key);
        taken
    }

    /// Gives back the room of what was taken and is done with.
    fn release(&self, taken: &[(KeyId, Noted)]) {
        let held = taken.iter().map(|(_, noted)| noted.held()).sum();
        self.held.fetch_sub(held, Ordering::Relaxed);
    }

    /// Notes again what could not be written; it is due at once.
    fn put_back(&self, taken: Vec<(KeyId, Noted)>) {
        for (key, older) in taken {
            let mut keys = self.keys.shard(&key);
            let entry = keys.entry(key).or_default();
            entry.written = None;
            let held = entry.noted.held() + older.held();
            entry.noted.add(older);
            self.held.fetch_sub(held - entry.noted.held(), Ordering::Relaxed);
        }
    }
}

impl App {
    /// Notes an answered call with a key's token. Writes nothing to the database.
    pub fn record_call(&self, call: &Call<'_>) {
        self.usage.note(call);
    }

    /// Writes noted calls to the database.
    ///
    /// # Errors
    ///
    /// The database could not take them. They stay noted, unless it refused them, which it would do again.
    pub async fn flush_usage(&self, which: Flush) -> Result<(), StoreError> {
        let mut taken = self.usage.take(which, self.clock.monotonic());
        while !taken.is_empty() {
            // From the end: what is left of 100,000 keys is not moved for each batch.
            let batch = taken.split_off(taken.len().saturating_sub(KEYS_PER_WRITE));
            let usage: Vec<_> = batch.iter().map(|(key, noted)| noted.usage(*key)).collect();
            if let Err(error) = self.store.store_usage(&usage, self.clock.now()).await {
                if matches!(error, StoreError::Rejected(_) | StoreError::SchemaChanged(_)) {
                    self.usage.release(&batch);
                } else {
                    self.usage.put_back(batch);
                }
                self.usage.put_back(taken);
                return Err(error);
            }
            self.usage.release(&batch);
        }
        Ok(())
    }

    /// Deletes recorded calls, counts and addresses that are past their time; returns how many rows.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub(crate) async fn purge_usage(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.purge_usage(self.clock.now(), batch)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use keyhouse_domain::ids::IdSeed;
    use keyhouse_domain::usage::{AGENT_MAX, KeyUsage, UtcDay};

    fn key(n: u128) -> KeyId {
        KeyId::new(IdSeed { ms: 1, random: n })
    }

    /// The call `n`, in the second `at`.
    fn call(n: u64, at: u64) -> Call<'static> {
        let request = RequestId::new(IdSeed { ms: n, random: 1 });
        Call {
            key: key(1),
            request,
            at: self::at(at),
            from: IpAddr::from([192, 0, 2, 1]),
            agent: b"curl/8",
            method: "GET",
            route: "/api/v1/key",
            status: 200,
            outcome: Outcome::Admitted,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ms(seconds as i64 * 1000)
    }

    fn written(usage: &Usage, which: Flush, seconds: u64) -> Vec<KeyUsage> {
        let taken = usage.take(which, Duration::from_secs(seconds));
        usage.release(&taken);
        taken.iter().map(|(key, noted)| noted.usage(*key)).collect()
    }

    #[test]
    fn a_key_is_written_once_a_minute_with_its_last_use() {
        let usage = Usage::default();
        let note = |s: u64| usage.note(&call(s, s));
        let last_use = |noted: KeyUsage| noted.last_use.unwrap().at.ms() / 1000;
        let take = |s: u64| written(&usage, Flush::Due, s).into_iter().map(last_use).collect::<Vec<_>>();

        note(100);
        assert_eq!(take(100), [100], "the first use is written at the next flush");
        note(101);
        note(130);
        assert_eq!(take(159), [0; 0], "the minute is not over");
        assert_eq!(take(160), [130]);
        assert_eq!(take(300), [0; 0], "nothing new");
        assert_eq!(usage.keys.len(), 0, "a key that is not used takes no memory");
        assert_eq!(usage.held.load(Ordering::Relaxed), 0);

        note(400);
        let failed = usage.take(Flush::Due, Duration::from_secs(400));
        note(401);
        assert_eq!(
            usage.held.load(Ordering::Relaxed),
            4,
            "what is being written takes room too: two addresses, two calls"
        );
        usage.put_back(failed);
        assert_eq!(usage.held.load(Ordering::Relaxed), 3, "the same address");
        let both = written(&usage, Flush::Due, 401);
        assert_eq!((both[0].days[0].2, both[0].addresses[0].calls, both[0].calls.len()), (2, 2, 2), "tried again");
        note(402);
        assert_eq!(written(&usage, Flush::Everything, 403).len(), 1, "a stop writes everything");
    }

    #[test]
    fn a_refused_token_is_counted_and_is_no_use() {
        let usage = Usage::default();
        usage.note(&Call { outcome: Outcome::Revoked, status: 401, ..call(1, 1) });
        let noted = written(&usage, Flush::Due, 1).remove(0);
        assert_eq!(noted.last_use, None);
        assert_eq!(noted.days, [(UtcDay::of(at(1)), Outcome::Revoked, 1)]);
        assert_eq!((noted.addresses[0].refused, noted.addresses[0].accepted_at), (1, None));
    }

    #[test]
    fn the_newest_calls_are_kept_and_errors_come_first() {
        let usage = Usage::default();
        for n in 1..=1000 {
            usage.note(&call(n, 1));
        }
        for n in [3, 5] {
            usage.note(&Call { status: 404, outcome: Outcome::ClientError, ..call(n, 1) });
        }
        let noted = written(&usage, Flush::Due, 1).remove(0);
        let kept: Vec<_> = noted.calls.iter().map(|call| call.request).collect();
        let expected: Vec<_> = [3, 5].into_iter().chain(983..=1000).map(|n| call(n, 1).request).collect();
        assert_eq!(kept, expected);
        assert_eq!(noted.days.iter().map(|(_, _, calls)| calls).sum::<u64>(), 1002, "all are counted");
    }

    #[test]
    fn what_is_held_is_bounded_in_addresses_and_bytes() {
        let usage = Usage::default();
        let agent = vec![b'a'; 16_000];
        for n in 0..10_000_u32 {
            usage.note(&Call { from: IpAddr::from(n.to_be_bytes()), agent: &agent, ..call(n.into(), n.into()) });
        }
        let noted = written(&usage, Flush::Due, 1).remove(0);
        assert_eq!((noted.addresses.len(), noted.calls.len()), (20, 20));
        assert!(noted.addresses.iter().all(|seen| seen.agent.len() == AGENT_MAX && seen.last_at >= at(9980)));

        let all = (0..6000).map(key);
        for key in all.clone() {
            for n in 0..30_u8 {
                usage.note(&Call { key, from: IpAddr::from([192, 0, 2, n]), ..call(n.into(), 1) });
            }
        }
        assert_eq!(usage.held.load(Ordering::Relaxed), HELD_MAX);
        let counts: HashMap<_, _> = written(&usage, Flush::Everything, 1)
            .into_iter()
            .map(|noted| (noted.key, noted.days.iter().map(|(_, _, calls)| *calls).sum::<u64>()))
            .collect();
        assert!(all.map(|key| counts[&key]).all(|calls| calls == 30), "calls are counted all the same");
        assert_eq!(usage.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn agents_that_are_no_text_are_stored_as_text() {
        let usage = Usage::default();
        for agent in [&b"\xff\xfe"[..], b"\xff\xfe", "ä".repeat(150).as_bytes()] {
            usage.note(&Call { agent, ..call(1, 1) });
        }
        let noted = written(&usage, Flush::Due, 1).remove(0);
        assert_eq!(noted.addresses.len(), 2, "each agent once");
    }
}
