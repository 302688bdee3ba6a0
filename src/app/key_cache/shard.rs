//! One shard of the key cache: the records behind one lock, and the look-ups in flight for them.
//!
//! Pure data: no clock, no database, no waiting. A model checker runs every interleaving of its methods
//! (`crates/test-support/src/interleavings.rs`). The invariants are in the documentation of the parent module.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::lease::Lease;
use crate::app::infra::clock::ClockReading;
use keyhouse_domain::api_key::{ApiKey, KeyState, Revocation};
use keyhouse_store::{ChangeSet, Changed, KeyLookup};
use keyhouse_token::TokenHash;

/// How long the absence of a key is cached (negative cache). Creating a key is a change that invalidates the entry, so
/// this is not needed for correctness; it lets a look-up repeat if a key was written to the database by other means.
const ABSENCE_TTL: Duration = Duration::from_secs(1);

/// Upper limits of a cache or of one shard.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Key records.
    pub records: usize,
    /// Bytes of key records.
    pub bytes: usize,
    /// Hashes for which no key exists.
    pub absent: usize,
}

/// Records, absences and look-ups in flight of one shard. `H` is the handle by which further callers wait for a look-up
/// that is in flight.
pub struct Shard<H> {
    lease: Option<Lease>,
    /// Epoch and change sequence of the last applied poll.
    epoch: String,
    seq: i64,
    /// The value of the local change counter when the last applied poll was sent: the poll's answer includes all of them.
    polled_version: u64,
    records: Cache<TokenHash, Record, RecordWeight>,
    absent: Cache<TokenHash, Absence>,
    in_flight: HashMap<TokenHash, InFlight<H>>,
    next_id: u64,
}

#[derive(Debug, Clone)]
struct Record {
    key: Arc<ApiKey>,
    /// The value of the local change counter when the look-up began.
    read_version: u64,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    read_version: u64,
    until: Duration,
}

struct InFlight<H> {
    id: u64,
    read_version: u64,
    handle: H,
}

/// Identifies a look-up, so that its result is discarded if the look-up was invalidated or replaced.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    id: u64,
    read_version: u64,
}

/// The result of [`Shard::get_or_begin`].
#[derive(Debug)]
pub enum Lookup<H> {
    /// A cached result under a valid lease; `None`: no key has this hash.
    Cached(Option<Arc<ApiKey>>),
    /// Another caller's look-up is in flight: wait for it.
    InFlight(H),
    /// Nothing usable is cached: look the hash up under this ticket.
    Begin(Ticket),
    /// No valid lease: query the database and cache nothing.
    NoLease,
}

impl<H: Clone> Shard<H> {
    /// An empty shard without a lease.
    pub fn new(capacity: Capacity) -> Self {
        let least = (capacity.bytes / capacity.records.max(1)) as u64;
        Self {
            lease: None,
            epoch: String::new(),
            seq: 0,
            polled_version: 0,
            records: Cache::with_weighter(capacity.records, capacity.bytes as u64, RecordWeight { least }),
            absent: Cache::new(capacity.absent),
            in_flight: HashMap::new(),
            next_id: 0,
        }
    }

    /// Time until the lease ends; zero without a valid lease.
    pub fn lease_remaining(&self, now: ClockReading) -> Duration {
        self.lease.map_or(Duration::ZERO, |lease| lease.remaining(now))
    }

    /// Whether what was read at `read_version` includes the first `local_version` local changes: either the read began
    /// after them, or the last applied poll did (and would have invalidated the entry).
    fn includes(&self, read_version: u64, local_version: u64) -> bool {
        read_version.max(self.polled_version) >= local_version
    }

    /// Finds the cached result or the look-up in flight for `hash`.
    ///
    /// `local_version` is the current value of the local change counter, read under the shard's lock. After
    /// [`Lookup::Begin`] the caller [registers](Self::register) its look-up before it releases the lock.
    pub fn get_or_begin(&mut self, hash: &TokenHash, now: ClockReading, local_version: u64) -> Lookup<H> {
        if self.lease_remaining(now).is_zero() {
            return Lookup::NoLease;
        }
        if let Some(record) = self.records.get(hash)
            && self.includes(record.read_version, local_version)
        {
            return Lookup::Cached(Some(Arc::clone(&record.key)));
        }
        if let Some(absence) = self.absent.get(hash)
            && self.includes(absence.read_version, local_version)
            && now.monotonic < absence.until
        {
            return Lookup::Cached(None);
        }
        // A look-up that began before a local change may miss it, so later callers don't join it.
        if let Some(in_flight) = self.in_flight.get(hash)
            && self.includes(in_flight.read_version, local_version)
        {
            return Lookup::InFlight(in_flight.handle.clone());
        }
        self.next_id += 1;
        Lookup::Begin(Ticket { id: self.next_id, read_version: local_version })
    }

    /// Lets later callers join the look-up that [`Lookup::Begin`] asked for; it replaces an older one of the same hash.
    pub fn register(&mut self, hash: &TokenHash, ticket: Ticket, handle: H) {
        self.in_flight.insert(*hash, InFlight { id: ticket.id, read_version: ticket.read_version, handle });
    }

    /// Ends a look-up and returns its result. The result is cached unless the look-up was invalidated meanwhile, the lease
    /// has ended, or the server that answered is behind the last applied poll (a replica, a restored database).
    pub fn complete(
        &mut self,
        hash: &TokenHash,
        ticket: Ticket,
        found: KeyLookup,
        now: ClockReading,
    ) -> Option<Arc<ApiKey>> {
        let key = found.key.map(Arc::new);
        let is_behind = found.epoch != self.epoch || found.seq < self.seq;
        let still_valid = self.finish(hash, ticket);
        if still_valid && !is_behind && !self.lease_remaining(now).is_zero() {
            let read_version = ticket.read_version;
            match &key {
                Some(key) => self.records.insert(*hash, Record { key: Arc::clone(key), read_version }),
                None => self.absent.insert(*hash, Absence { read_version, until: now.monotonic + ABSENCE_TTL }),
            }
        }
        key
    }

    /// Removes a look-up from those in flight. `false` if it was invalidated or replaced before.
    pub fn finish(&mut self, hash: &TokenHash, ticket: Ticket) -> bool {
        let is_registered = self.in_flight.get(hash).is_some_and(|in_flight| in_flight.id == ticket.id);
        if is_registered {
            self.in_flight.remove(hash);
        }
        is_registered
    }

    /// Invalidates what a poll reports as changed, then renews the lease.
    ///
    /// `poll_sent` and `local_version` were read before the poll was sent.
    pub fn apply(&mut self, changes: &ChangeSet, poll_sent: ClockReading, local_version: u64) {
        match &changes.changed {
            Changed::All => {
                self.records.clear();
                self.absent.clear();
                self.in_flight.clear();
            }
            Changed::Only(hashes) => {
                for hash in hashes {
                    self.records.remove(hash);
                    self.absent.remove(hash);
                    self.in_flight.remove(hash);
                }
            }
        }
        self.epoch.clone_from(&changes.epoch);
        self.seq = changes.seq;
        self.polled_version = local_version;
        self.lease = Some(Lease { poll_sent });
    }
}

/// Bytes that quick_cache needs for an entry besides hash and record: 16 in its list, and at most 12 in its table.
const ENTRY_OVERHEAD: usize = 28;
/// Bytes that an allocation takes besides its content, most of the time at most: the two counters of an `Arc`, the header that
/// glibc's allocator keeps, and the rest up to a multiple of 16.
const ALLOCATION_OVERHEAD: usize = 32;

/// Entry weight in bytes of memory, with a floor of `bytes / records`, so that the weight limit also limits the number of
/// entries.
#[derive(Debug, Clone)]
struct RecordWeight {
    least: u64,
}

impl Weighter<TokenHash, Record> for RecordWeight {
    fn weight(&self, _hash: &TokenHash, record: &Record) -> u64 {
        let entry = size_of::<TokenHash>() + size_of::<Record>() + ENTRY_OVERHEAD;
        let key = size_of::<ApiKey>() + ALLOCATION_OVERHEAD;
        let networks = match record.key.conditions.allowed.iter().count() {
            0 => 0,
            number => number * size_of::<IpNet>() + ALLOCATION_OVERHEAD,
        };
        let revocation = match &record.key.state {
            KeyState::Active => 0,
            KeyState::Revoked(revocation) => {
                let reason = revocation.reason.as_ref().map_or(0, |reason| reason.as_str().len());
                let texts = revocation.by.name.capacity() + reason + 2 * ALLOCATION_OVERHEAD;
                size_of::<Revocation>() + ALLOCATION_OVERHEAD + texts
            }
        };
        self.least.max((entry + key + networks + revocation) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RECORD_BYTES, SHARDS};
    use super::*;
    use crate::app::infra::clock::Clock;
    use keyhouse_domain::api_key::{Conditions, KeyToken};
    use keyhouse_domain::ids::{IdSeed, KeyId, TeamId};
    use keyhouse_domain::scope::Scope;
    use keyhouse_domain::timestamp::Timestamp;
    use keyhouse_token::{Mode, TokenPrefix};

    const KEYS: usize = 200_000;

    /// What this process holds in memory, without the pages of files: its code is loaded as it runs.
    fn anonymous_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: Vec<usize> = statm.split_whitespace().map(|pages| pages.parse().unwrap()).collect();
        let (resident, shared) = (pages[1], pages[2]);
        (resident - shared) * rustix::param::page_size()
    }

    fn key(n: usize) -> ApiKey {
        let (seed, at) = (IdSeed { ms: 1, random: n as u128 }, Timestamp::from_ms(1));
        ApiKey {
            id: KeyId::new(seed),
            team: TeamId::new(seed),
            mode: Mode::Live,
            scope: Scope::ReadOnly,
            created_at: at,
            state: KeyState::Active,
            token: KeyToken {
                number: 1,
                prefix: TokenPrefix::from_stored("pk_live_AbC").unwrap(),
                created_at: at,
                first_used_at: None,
                ends_at: None,
            },
            conditions: Conditions::default(),
            pause: None,
        }
    }

    #[test]
    fn an_active_key_takes_at_most_250_bytes_of_memory() {
        let records = KEYS / SHARDS;
        let capacity = Capacity { records, bytes: records * RECORD_BYTES, absent: 1 };
        let now = Clock::System.reading();
        let poll = ChangeSet { changed: Changed::All, epoch: String::new(), seq: 1, is_registered: true };
        let mut shards: Vec<Shard<()>> = std::iter::repeat_with(|| Shard::new(capacity)).take(SHARDS).collect();
        shards.iter_mut().for_each(|shard| shard.apply(&poll, now, 0));
        let before = anonymous_bytes();
        for n in 0..KEYS {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            let (hash, shard) = (TokenHash::from_stored(&hash).unwrap(), &mut shards[n % SHARDS]);
            let Lookup::Begin(ticket) = shard.get_or_begin(&hash, now, 0) else { panic!("no look-up has begun") };
            shard.register(&hash, ticket, ());
            shard.complete(&hash, ticket, KeyLookup { key: Some(key(n)), epoch: String::new(), seq: 1 }, now);
        }
        let grown = (anonymous_bytes() - before) / KEYS;
        assert_eq!(shards.iter().map(|shard| shard.records.len()).sum::<usize>(), KEYS, "all of them are kept");
        println!("{grown} bytes for each key");
        assert!(grown <= RECORD_BYTES, "{grown} bytes for each key");
    }
}
