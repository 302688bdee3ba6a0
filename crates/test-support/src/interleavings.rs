//! A shard of the key cache under many thread schedules, chosen by shuttle: look-ups that complete late, revocations on this
//! node and on another, new keys, a restored database, a server that is behind, passing time.

use std::time::Duration;

use keyhouse::app::infra::clock::ClockReading;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::key_cache::{Capacity, LEASE, Lookup, Shard};
use keyhouse_domain::api_key::{ApiKey, Conditions, KeyState, KeyToken, Revocation};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{IdSeed, KeyId, TeamId};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeSet, Changed, KeyLookup};
use keyhouse_token::Mode;
use keyhouse_token::{Brand, RawToken, TokenHash};
use shuttle::rand::Rng as _;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// The result of a look-up, once it has completed.
type Query = Arc<(Mutex<Option<Option<std::sync::Arc<ApiKey>>>>, Condvar)>;

/// A database with at most one key.
#[derive(Clone)]
struct Database {
    epoch: u32,
    seq: i64,
    key: Option<ApiKey>,
    key_seq: i64,
    /// When the key changed, in milliseconds of the simulated clock.
    changed_at: Option<u64>,
}

struct Simulation {
    hash: TokenHash,
    key: ApiKey,
    shard: Mutex<Shard<Query>>,
    database: Mutex<Database>,
    /// The state from which look-ups are answered instead, by a server that is behind.
    behind: Mutex<Option<Database>>,
    monotonic: AtomicU64,
    local_version: AtomicU64,
    /// 1 once the change that was made on this node has been acknowledged to its caller.
    answered: AtomicU64,
    /// Up to which epoch and sequence the node has confirmed that it followed the changes.
    confirmed: Mutex<Option<(u32, i64)>>,
}

/// What happens to the key while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    RevokedHere,
    RevokedElsewhere,
    CreatedHere,
    CreatedElsewhere,
    /// The database is restored to a state in which the key is revoked, with a new epoch.
    Restored,
    /// The same, with the old epoch: only the lower sequence shows it.
    SequenceLowered,
    /// The key is revoked, and look-ups are answered by a server that has not applied it yet.
    RevokedBehind,
    /// The database is restored, and look-ups are answered by a server that still has the old state.
    RestoredBehind,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario::RevokedHere,
    Scenario::RevokedElsewhere,
    Scenario::CreatedHere,
    Scenario::CreatedElsewhere,
    Scenario::Restored,
    Scenario::SequenceLowered,
    Scenario::RevokedBehind,
    Scenario::RestoredBehind,
];

impl Scenario {
    fn ends_active(self) -> bool {
        matches!(self, Self::CreatedHere | Self::CreatedElsewhere)
    }

    /// Whether look-ups see the database as it was. Then only what is cached in the end is checked.
    fn is_behind(self) -> bool {
        matches!(self, Self::RevokedBehind | Self::RestoredBehind)
    }

    fn is_here(self) -> bool {
        matches!(self, Self::RevokedHere | Self::CreatedHere)
    }
}

impl Simulation {
    fn new(scenario: Scenario) -> Self {
        let (rng, brand) = (Rng::seeded(1), Brand::parse("pk").expect("a brand"));
        let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| rng.fill_bytes(bytes));
        let seed = IdSeed { ms: 1, random: 1 };
        let key = ApiKey {
            id: KeyId::new(seed),
            team: TeamId::new(seed),
            mode: Mode::Live,
            scope: Scope::ReadOnly,
            created_at: Timestamp::from_ms(0),
            state: KeyState::Active,
            token: KeyToken {
                number: 1,
                prefix: token.prefix(),
                created_at: Timestamp::from_ms(0),
                first_used_at: None,
                ends_at: None,
            },
            conditions: Conditions::default(),
            pause: None,
        };
        let database = Database {
            epoch: 0,
            seq: 5,
            key: (!scenario.ends_active()).then(|| key.clone()),
            key_seq: 5,
            changed_at: None,
        };
        Self {
            hash: token.hash(),
            key,
            shard: Mutex::new(Shard::new(Capacity { records: 10, bytes: 10_000, absent: 10 })),
            behind: Mutex::new(scenario.is_behind().then(|| database.clone())),
            database: Mutex::new(database),
            monotonic: AtomicU64::new(0),
            local_version: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            confirmed: Mutex::new(None),
        }
    }

    fn reading(&self) -> ClockReading {
        let milliseconds = self.monotonic.load(Ordering::SeqCst);
        ClockReading {
            monotonic: Duration::from_millis(milliseconds),
            wall: Timestamp::from_ms(milliseconds.cast_signed()),
        }
    }

    fn found(&self) -> KeyLookup {
        let behind = self.behind.lock().expect("no thread panics first").clone();
        let database = behind.unwrap_or_else(|| self.database.lock().expect("no thread panics first").clone());
        KeyLookup { key: database.key, seq: database.seq, epoch: database.epoch.to_string() }
    }

    /// As `KeyCache::find` does it.
    fn call(&self) -> Option<std::sync::Arc<ApiKey>> {
        let (query, ticket) = {
            let mut shard = self.shard.lock().expect("no thread panics first");
            let (now, local_version) = (self.reading(), self.local_version.load(Ordering::SeqCst));
            match shard.get_or_begin(&self.hash, now, local_version) {
                Lookup::Cached(key) => return key,
                Lookup::NoLease => {
                    drop(shard);
                    return self.found().key.map(std::sync::Arc::new);
                }
                Lookup::InFlight(query) => (query, None),
                Lookup::Begin(ticket) => {
                    let query = Query::default();
                    shard.register(&self.hash, ticket, query.clone());
                    (query, Some(ticket))
                }
            }
        };
        if let Some(ticket) = ticket {
            let found = self.found();
            let mut shard = self.shard.lock().expect("no thread panics first");
            let now = self.reading();
            let key = shard.complete(&self.hash, ticket, found, now);
            drop(shard);
            *query.0.lock().expect("no thread panics first") = Some(key);
            query.1.notify_all();
        }
        let mut result = query.0.lock().expect("no thread panics first");
        while result.is_none() {
            result = query.1.wait(result).expect("no thread panics first");
        }
        result.clone().expect("waited for")
    }

    /// Whether a receipt says that the change is complete: the node has confirmed it. A counter that went back without a
    /// new epoch is no state in which receipts are given.
    fn has_receipt(&self, scenario: Scenario) -> bool {
        let confirmed = *self.confirmed.lock().expect("no thread panics first");
        let database = self.database.lock().expect("no thread panics first");
        let is_confirmed = confirmed.is_some_and(|(epoch, seq)| epoch == database.epoch && seq >= database.key_seq);
        database.changed_at.is_some() && is_confirmed && scenario != Scenario::SequenceLowered
    }

    /// A call, and the result that it must have under every schedule.
    fn checked_call(&self, scenario: Scenario) {
        let has_receipt = self.has_receipt(scenario);
        let over_here = scenario.is_here() && self.answered.load(Ordering::SeqCst) == 1;
        let changed_at = self.database.lock().expect("no thread panics first").changed_at;
        let over_everywhere = changed_at.is_some_and(|at| self.reading().monotonic > Duration::from_millis(at) + LEASE);
        let active = self.call().is_some_and(|key| key.is_active(Timestamp::from_ms(1)));
        if (over_here || over_everywhere || has_receipt) && !scenario.is_behind() {
            assert_eq!(active, scenario.ends_active(), "{scenario:?}: the change is over");
        }
    }

    fn change(&self, scenario: Scenario) {
        let mut database = self.database.lock().expect("no thread panics first");
        let by = AuditActor { person: None, name: "tester".to_owned() };
        let key = ApiKey {
            state: match scenario.ends_active() {
                true => KeyState::Active,
                false => KeyState::Revoked(Box::new(Revocation { at: Timestamp::from_ms(1), by, reason: None })),
            },
            ..self.key.clone()
        };
        match scenario {
            Scenario::Restored => (database.epoch, database.seq) = (1, 7),
            Scenario::RestoredBehind => (database.epoch, database.seq) = (1, 3),
            Scenario::SequenceLowered => database.seq = 3,
            _ => database.seq += 1,
        }
        (database.key, database.key_seq) = (Some(key), database.seq);
        database.changed_at = Some(self.monotonic.load(Ordering::SeqCst));
        drop(database);
        if scenario.is_here() {
            self.local_version.fetch_add(1, Ordering::SeqCst);
            self.answered.store(1, Ordering::SeqCst);
        }
    }

    /// As `ChangeFeed::poll` and `App::apply_changes` do it; `seen` is the change feed's state.
    fn apply_changes(&self, seen: &mut Option<(u32, i64)>) {
        let (asked, local_version) = (self.reading(), self.local_version.load(Ordering::SeqCst));
        let change = {
            let database = self.database.lock().expect("no thread panics first");
            let since = seen.filter(|(epoch, seq)| *epoch == database.epoch && *seq <= database.seq);
            *seen = Some((database.epoch, database.seq));
            ChangeSet {
                epoch: database.epoch.to_string(),
                seq: database.seq,
                is_registered: true,
                changed: match since {
                    None => Changed::All,
                    Some((_, seq)) if database.key_seq > seq => Changed::Only(vec![self.hash]),
                    Some(_) => Changed::Only(Vec::new()),
                },
            }
        };
        self.shard.lock().expect("no thread panics first").apply(&change, asked, local_version);
        // As `App::report_node` writes it: after the cache has dropped what changed.
        *self.confirmed.lock().expect("no thread panics first") = *seen;
    }
}

/// One history, as the scheduler has it.
fn history() {
    let scenario = SCENARIOS[shuttle::rand::thread_rng().gen_range(0..SCENARIOS.len())];
    let simulation = Arc::new(Simulation::new(scenario));
    let mut seen = None;
    simulation.apply_changes(&mut seen);
    let mut threads = Vec::new();
    for _ in 0..3 {
        let simulation = Arc::clone(&simulation);
        threads.push(thread::spawn(move || (0..3).for_each(|_| simulation.checked_call(scenario))));
    }
    let changes = Arc::clone(&simulation);
    threads.push(thread::spawn(move || changes.change(scenario)));
    let follows = Arc::clone(&simulation);
    let change_feed = thread::spawn(move || {
        (0..3).for_each(|_| follows.apply_changes(&mut seen));
        seen
    });
    let time = Arc::clone(&simulation);
    threads.push(thread::spawn(move || {
        for _ in 0..4 {
            time.monotonic.fetch_add(1400, Ordering::SeqCst);
            thread::yield_now();
        }
    }));
    for thread in threads {
        thread.join().expect("the model holds");
    }
    // Every look-up has completed: none may bring the old record back.
    let mut seen = change_feed.join().expect("the model holds");
    *simulation.behind.lock().expect("no thread panics first") = None;
    simulation.apply_changes(&mut seen);
    assert_eq!(
        simulation.call().is_some_and(|key| key.is_active(Timestamp::from_ms(1))),
        scenario.ends_active(),
        "{scenario:?}: in the end"
    );
}

/// So many histories in random order, and as many in which few threads overtake others at the worst of moments.
pub fn explore(histories: usize) {
    shuttle::check_random(history, histories);
    shuttle::check_pct(history, histories, 3);
}
