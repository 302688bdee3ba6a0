//! The key cache under every order of things that a scheduler can make up: look-ups that land late, revocations here and
//! elsewhere, new keys, a database put back, time. For the tests and, longer, the drills.

use std::time::Duration;

use keyhouse::app::infra::clock::ClockReading;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::key_cache::{Capacity, LEASE, Lookup, Shard};
use keyhouse_domain::api_key::{ApiKey, KeyState};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{IdSeed, KeyId, TeamId};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeSet, Found};
use keyhouse_token::Mode;
use keyhouse_token::{Brand, RawToken, TokenHash};
use shuttle::rand::Rng as _;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// What a look-up found, once it has.
type Waiting = Arc<(Mutex<Option<Option<std::sync::Arc<ApiKey>>>>, Condvar)>;

/// A database with one key in it, which may be revoked, or come into being.
#[derive(Clone)]
struct Database {
    epoch: u32,
    seq: i64,
    key: Option<ApiKey>,
    key_seq: i64,
    /// When the key changed, in milliseconds.
    changed_at: Option<u64>,
}

struct Simulation {
    hash: TokenHash,
    key: ApiKey,
    records: Mutex<Shard<Waiting>>,
    database: Mutex<Database>,
    /// What look-ups are answered from in its place.
    behind: Mutex<Option<Database>>,
    monotonic: AtomicU64,
    local_version: AtomicU64,
    /// Whether the person who changed the key through this node has had their answer.
    answered: AtomicU64,
}

/// What happens to the key while it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    RevokedHere,
    RevokedElsewhere,
    MadeHere,
    MadeElsewhere,
    /// The database is put back to a state in which the key is revoked, and says so by its epoch.
    PutBack,
    /// The same, and only the counter tells.
    SetBack,
    /// Look-ups are answered by a server that has not heard of the revocation yet.
    RevokedBehind,
    /// Look-ups are answered by a server that has not heard that the database was put back.
    PutBackBehind,
}

const STORIES: [Story; 8] = [
    Story::RevokedHere,
    Story::RevokedElsewhere,
    Story::MadeHere,
    Story::MadeElsewhere,
    Story::PutBack,
    Story::SetBack,
    Story::RevokedBehind,
    Story::PutBackBehind,
];

impl Story {
    fn ends_active(self) -> bool {
        matches!(self, Self::MadeHere | Self::MadeElsewhere)
    }

    /// Whether look-ups see the database as it was, so that nothing but memory is judged, and that at the end.
    fn is_behind(self) -> bool {
        matches!(self, Self::RevokedBehind | Self::PutBackBehind)
    }

    fn is_here(self) -> bool {
        matches!(self, Self::RevokedHere | Self::MadeHere)
    }
}

impl Simulation {
    fn new(story: Story) -> Self {
        let (rng, brand) = (Rng::seeded(1), Brand::parse("pk").expect("a brand"));
        let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| rng.fill_bytes(bytes));
        let seed = IdSeed { ms: 1, random: 1 };
        let key = ApiKey {
            id: KeyId::new(seed),
            team: TeamId::new(seed),
            prefix: token.prefix(),
            mode: Mode::Live,
            scope: Scope::ReadOnly,
            created_at: Timestamp::from_ms(0),
            state: KeyState::Active,
        };
        let database = Database {
            epoch: 0,
            seq: 5,
            key: (!story.ends_active()).then(|| key.clone()),
            key_seq: 5,
            changed_at: None,
        };
        Self {
            hash: token.hash(),
            key,
            records: Mutex::new(Shard::new(Capacity { records: 10, bytes: 10_000, unknown: 10 })),
            behind: Mutex::new(story.is_behind().then(|| database.clone())),
            database: Mutex::new(database),
            monotonic: AtomicU64::new(0),
            local_version: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    fn reading(&self) -> ClockReading {
        let milliseconds = self.monotonic.load(Ordering::SeqCst);
        ClockReading {
            monotonic: Duration::from_millis(milliseconds),
            wall: Timestamp::from_ms(milliseconds.cast_signed()),
        }
    }

    fn found(&self) -> Found {
        let behind = self.behind.lock().expect("no thread panics first").clone();
        let database = behind.unwrap_or_else(|| self.database.lock().expect("no thread panics first").clone());
        Found { key: database.key, seq: database.seq, epoch: database.epoch.to_string() }
    }

    /// As `App::record` does it.
    fn call(&self) -> Option<std::sync::Arc<ApiKey>> {
        let mut begun = None;
        let look = {
            let mut records = self.records.lock().expect("no thread panics first");
            let (now, local_version) = (self.reading(), self.local_version.load(Ordering::SeqCst));
            records.get_or_begin(&self.hash, now, local_version, |ticket| {
                begun = Some(ticket);
                Waiting::default()
            })
        };
        match look {
            Lookup::Known(key) => key,
            Lookup::NoLease => self.found().key.map(std::sync::Arc::new),
            Lookup::Asked(waiting) => {
                if let Some(ticket) = begun {
                    let found = self.found();
                    let mut records = self.records.lock().expect("no thread panics first");
                    let now = self.reading();
                    let key = records.complete(&self.hash, ticket, found, now);
                    drop(records);
                    *waiting.0.lock().expect("no thread panics first") = Some(key);
                    waiting.1.notify_all();
                }
                let mut answer = waiting.0.lock().expect("no thread panics first");
                while answer.is_none() {
                    answer = waiting.1.wait(answer).expect("no thread panics first");
                }
                answer.clone().expect("waited for")
            }
        }
    }

    /// A call, and what it must be told whatever else goes on.
    fn judged_call(&self, story: Story) {
        let over_here = story.is_here() && self.answered.load(Ordering::SeqCst) == 1;
        let changed_at = self.database.lock().expect("no thread panics first").changed_at;
        let over_everywhere = changed_at.is_some_and(|at| self.reading().monotonic > Duration::from_millis(at) + LEASE);
        let active = self.call().is_some_and(|key| key.is_active());
        if (over_here || over_everywhere) && !story.is_behind() {
            assert_eq!(active, story.ends_active(), "{story:?}: what is over is known");
        }
    }

    fn change(&self, story: Story) {
        let mut database = self.database.lock().expect("no thread panics first");
        let by = AuditActor { person: None, name: "tester".to_owned() };
        let key = ApiKey {
            state: match story.ends_active() {
                true => KeyState::Active,
                false => KeyState::Revoked { at: Timestamp::from_ms(1), by },
            },
            ..self.key.clone()
        };
        match story {
            Story::PutBack => (database.epoch, database.seq) = (1, 7),
            Story::PutBackBehind => (database.epoch, database.seq) = (1, 3),
            Story::SetBack => database.seq = 3,
            _ => database.seq += 1,
        }
        (database.key, database.key_seq) = (Some(key), database.seq);
        database.changed_at = Some(self.monotonic.load(Ordering::SeqCst));
        drop(database);
        if story.is_here() {
            self.local_version.fetch_add(1, Ordering::SeqCst);
            self.answered.store(1, Ordering::SeqCst);
        }
    }

    /// As `ChangeFeed::ask` and `App::follow` do it; `seen` is the follower's own.
    fn apply_changes(&self, seen: &mut Option<(u32, i64)>) {
        let (asked, local_version) = (self.reading(), self.local_version.load(Ordering::SeqCst));
        let change = {
            let database = self.database.lock().expect("no thread panics first");
            let next_tick = seen.filter(|(epoch, seq)| *epoch == database.epoch && *seq <= database.seq);
            *seen = Some((database.epoch, database.seq));
            ChangeSet {
                epoch: database.epoch.to_string(),
                seq: database.seq,
                changed: next_tick.map(|(_, seq)| if database.key_seq > seq { vec![self.hash] } else { Vec::new() }),
            }
        };
        self.records.lock().expect("no thread panics first").apply(&change, asked, local_version);
    }
}

/// One history, as the scheduler has it.
fn history() {
    let story = STORIES[shuttle::rand::thread_rng().gen_range(0..STORIES.len())];
    let world = Arc::new(Simulation::new(story));
    let mut seen = None;
    world.apply_changes(&mut seen);
    let mut threads = Vec::new();
    for _ in 0..3 {
        let world = Arc::clone(&world);
        threads.push(thread::spawn(move || (0..3).for_each(|_| world.judged_call(story))));
    }
    let changes = Arc::clone(&world);
    threads.push(thread::spawn(move || changes.change(story)));
    let follows = Arc::clone(&world);
    let change_feed = thread::spawn(move || {
        (0..3).for_each(|_| follows.apply_changes(&mut seen));
        seen
    });
    let time = Arc::clone(&world);
    threads.push(thread::spawn(move || {
        for _ in 0..4 {
            time.monotonic.fetch_add(1400, Ordering::SeqCst);
            thread::yield_now();
        }
    }));
    for thread in threads {
        thread.join().expect("the model holds");
    }
    // Whatever was in flight has landed: nothing comes back.
    let mut seen = change_feed.join().expect("the model holds");
    *world.behind.lock().expect("no thread panics first") = None;
    world.apply_changes(&mut seen);
    assert_eq!(world.call().is_some_and(|key| key.is_active()), story.ends_active(), "{story:?}: in the end");
}

/// So many histories in random order, and as many in which few threads overtake others at the worst of moments.
pub fn explore(histories: usize) {
    shuttle::check_random(history, histories);
    shuttle::check_pct(history, histories, 3);
}
