//! What one lock of the key cache guards: records of keys, the lease under which they count, and the look-ups under way.
//!
//! Pure: no clock, no database and no waiting, so that a model can try every order of things
//! (`tests/it/harness/interleavings.rs`). A record is believed only if it is known to say what the database said at most
//! [`LEASE`] ago, and nothing that this process itself has changed since.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::app::infra::clock::ClockReading;
use keyhouse_domain::api_key::{ApiKey, KeyState};
use keyhouse_store::{ChangeSet, Found};
use keyhouse_token::TokenHash;

/// How long what is known counts, from the moment the database was asked.
pub const LEASE: Duration = Duration::from_secs(3);
/// How far the wall's clock may move against the ticks under one lease: more, and the machine may have stood still.
const DRIFT_MAX: Duration = Duration::from_secs(1);
/// How long a token that nobody has is remembered as such. New keys are among the changes, so this only bounds memory.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// How much a cache may hold.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    pub records: usize,
    pub bytes: usize,
    pub unknown: usize,
}

/// `W` is what those wait for who want a record that somebody is looking up already.
pub struct Shard<W> {
    lease: Option<Lease>,
    /// How far the changes are known: everything up to `seq` of this `epoch` has been dropped.
    epoch: String,
    seq: i64,
    /// How many of this process's own changes are among them.
    local_version: u64,
    records: Cache<TokenHash, Record, ByBytes>,
    unknown: Cache<TokenHash, Unknown>,
    pending: HashMap<TokenHash, PendingLookup<W>>,
    last_lookup_id: u64,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    asked: ClockReading,
}

impl Lease {
    fn left(&self, now: ClockReading) -> Duration {
        if now.drift_from(&self.asked) > DRIFT_MAX {
            return Duration::ZERO;
        }
        (self.asked.monotonic + LEASE).saturating_sub(now.monotonic)
    }
}

#[derive(Debug, Clone)]
struct Record {
    key: Arc<ApiKey>,
    /// How many own changes were over when the database was asked for it.
    local_version: u64,
}

#[derive(Debug, Clone, Copy)]
struct Unknown {
    local_version: u64,
    until: Duration,
}

struct PendingLookup<W> {
    number: u64,
    local_version: u64,
    waiting: W,
}

/// Which look-up an answer belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    number: u64,
    local_version: u64,
}

/// What is known of a token.
#[derive(Debug)]
pub enum Lookup<W> {
    /// What the database last said; `None`: no key has it.
    Known(Option<Arc<ApiKey>>),
    /// The database is being asked, by this look or one before.
    Asked(W),
    /// There is no good lease: ask for yourself, remember nothing.
    NoLease,
}

impl<W: Clone> Shard<W> {
    pub fn new(room: Capacity) -> Self {
        let least = (room.bytes / room.records.max(1)) as u64;
        Self {
            lease: None,
            epoch: String::new(),
            seq: 0,
            local_version: 0,
            records: Cache::with_weighter(room.records, room.bytes as u64, ByBytes { least }),
            unknown: Cache::new(room.unknown),
            pending: HashMap::new(),
            last_lookup_id: 0,
        }
    }

    /// How long what is in here still counts.
    pub fn lease_left(&self, now: ClockReading) -> Duration {
        self.lease.map_or(Duration::ZERO, |lease| lease.left(now))
    }

    /// Looks a token up. `local_version`: how many own changes are over now; `ask` begins a look-up, to be [completed](Self::complete).
    pub fn get_or_begin(
        &mut self,
        hash: &TokenHash,
        now: ClockReading,
        local_version: u64,
        ask: impl FnOnce(Ticket) -> W,
    ) -> Lookup<W> {
        if self.lease_left(now).is_zero() {
            return Lookup::NoLease;
        }
        let caught_up = self.local_version;
        let counts = |of: u64| of.max(caught_up) >= local_version;
        if let Some(record) = self.records.get(hash).filter(|record| counts(record.local_version)) {
            return Lookup::Known(Some(Arc::clone(&record.key)));
        }
        if self.unknown.get(hash).is_some_and(|unknown| counts(unknown.local_version) && now.monotonic < unknown.until)
        {
            return Lookup::Known(None);
        }
        // One that began before an own change may not know of it: whoever comes after does not join.
        if let Some(flight) = self.pending.get(hash).filter(|flight| counts(flight.local_version)) {
            return Lookup::Asked(flight.waiting.clone());
        }
        self.last_lookup_id += 1;
        let ticket = Ticket { number: self.last_lookup_id, local_version };
        let waiting = ask(ticket);
        self.pending.insert(*hash, PendingLookup { number: ticket.number, local_version, waiting: waiting.clone() });
        Lookup::Asked(waiting)
    }

    /// Takes in what a look-up found, and hands it to those who wait. It is not remembered if the record was dropped
    /// meanwhile, or if the database that answered is not as far as is known here.
    pub fn complete(
        &mut self,
        hash: &TokenHash,
        ticket: Ticket,
        found: Found,
        now: ClockReading,
    ) -> Option<Arc<ApiKey>> {
        let key = found.key.map(Arc::new);
        let as_far = found.epoch == self.epoch && found.seq >= self.seq;
        if self.finish(hash, ticket) && as_far && !self.lease_left(now).is_zero() {
            match &key {
                Some(key) => {
                    self.records.insert(*hash, Record { key: Arc::clone(key), local_version: ticket.local_version })
                }
                None => self
                    .unknown
                    .insert(*hash, Unknown { local_version: ticket.local_version, until: now.monotonic + UNKNOWN_FOR }),
            }
        }
        key
    }

    /// Ends a look-up; `false` if it was dropped, or another took its place.
    pub fn finish(&mut self, hash: &TokenHash, ticket: Ticket) -> bool {
        let ours = self.pending.get(hash).is_some_and(|flight| flight.number == ticket.number);
        if ours {
            self.pending.remove(hash);
        }
        ours
    }

    /// Drops what changed, then renews the lease. `asked` and `local_version` are of before the database was asked.
    pub fn apply(&mut self, change: &ChangeSet, asked: ClockReading, local_version: u64) {
        match &change.changed {
            None => {
                self.records.clear();
                self.unknown.clear();
                self.pending.clear();
            }
            Some(changed) => {
                for hash in changed {
                    self.records.remove(hash);
                    self.unknown.remove(hash);
                    self.pending.remove(hash);
                }
            }
        }
        self.epoch.clone_from(&change.epoch);
        self.seq = change.seq;
        self.local_version = local_version;
        self.lease = Some(Lease { asked });
    }
}

/// The bytes of a record, and never less than would let more of them in than there is room for.
#[derive(Debug, Clone)]
struct ByBytes {
    least: u64,
}

impl Weighter<TokenHash, Record> for ByBytes {
    fn weight(&self, _hash: &TokenHash, record: &Record) -> u64 {
        let who = match &record.key.state {
            KeyState::Active => 0,
            KeyState::Revoked { by, .. } => by.name.capacity(),
        };
        let bytes =
            size_of::<TokenHash>() + size_of::<Record>() + size_of::<ApiKey>() + record.key.prefix.as_str().len() + who;
        self.least.max(bytes as u64)
    }
}
