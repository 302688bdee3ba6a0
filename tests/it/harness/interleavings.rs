//! The key cache under every order of things that a scheduler can make up: look-ups that land late, revocations here and
//! elsewhere, new keys, a database put back, time. For the tests and, longer, the drills.

use std::time::Duration;

use keyhouse::app::clock::Moment;
use keyhouse::app::dice::Dice;
use keyhouse::app::records::{LEASE, Look, Records, Room};
use keyhouse::domain::audit::By;
use keyhouse::domain::ids::{IdSeed, KeyId, TeamId};
use keyhouse::domain::key::{ApiKey, KeyState, Mode, Scope};
use keyhouse::domain::timestamp::Timestamp;
use keyhouse::domain::token::{Brand, RawToken, TokenHash};
use keyhouse::store::{Change, Found};
use shuttle::rand::Rng;
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
    /// When the key changed, in ticks.
    changed_at: Option<u64>,
}

struct World {
    hash: TokenHash,
    key: ApiKey,
    records: Mutex<Records<Waiting>>,
    database: Mutex<Database>,
    /// What look-ups are answered from in its place.
    behind: Mutex<Option<Database>>,
    ticks: AtomicU64,
    own: AtomicU64,
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

impl World {
    fn new(story: Story) -> Self {
        let (dice, brand) = (Dice::seeded(1), Brand::parse("pk").expect("a brand"));
        let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| dice.fill(bytes));
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
            records: Mutex::new(Records::new(Room { records: 10, bytes: 10_000, unknown: 10 })),
            behind: Mutex::new(story.is_behind().then(|| database.clone())),
            database: Mutex::new(database),
            ticks: AtomicU64::new(0),
            own: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    fn moment(&self) -> Moment {
        let ticks = self.ticks.load(Ordering::SeqCst);
        Moment { ticks: Duration::from_millis(ticks), wall: Timestamp::from_ms(ticks.cast_signed()) }
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
            let (now, own) = (self.moment(), self.own.load(Ordering::SeqCst));
            records.look(&self.hash, now, own, |ticket| {
                begun = Some(ticket);
                Waiting::default()
            })
        };
        match look {
            Look::Known(key) => key,
            Look::NoLease => self.found().key.map(std::sync::Arc::new),
            Look::Asked(waiting) => {
                if let Some(ticket) = begun {
                    let found = self.found();
                    let mut records = self.records.lock().expect("no thread panics first");
                    let now = self.moment();
                    let key = records.land(&self.hash, ticket, found, now);
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
        let over_everywhere = changed_at.is_some_and(|at| self.moment().ticks > Duration::from_millis(at) + LEASE);
        let active = self.call().is_some_and(|key| key.is_active());
        if (over_here || over_everywhere) && !story.is_behind() {
            assert_eq!(active, story.ends_active(), "{story:?}: what is over is known");
        }
    }

    fn change(&self, story: Story) {
        let mut database = self.database.lock().expect("no thread panics first");
        let by = By { person: None, name: "tester".to_owned() };
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
        database.changed_at = Some(self.ticks.load(Ordering::SeqCst));
        drop(database);
        if story.is_here() {
            self.own.fetch_add(1, Ordering::SeqCst);
            self.answered.store(1, Ordering::SeqCst);
        }
    }

    /// As `Follower::ask` and `App::follow` do it; `seen` is the follower's own.
    fn follow(&self, seen: &mut Option<(u32, i64)>) {
        let (asked, own) = (self.moment(), self.own.load(Ordering::SeqCst));
        let change = {
            let database = self.database.lock().expect("no thread panics first");
            let goes_on = seen.filter(|(epoch, seq)| *epoch == database.epoch && *seq <= database.seq);
            *seen = Some((database.epoch, database.seq));
            Change {
                epoch: database.epoch.to_string(),
                seq: database.seq,
                changed: goes_on.map(|(_, seq)| if database.key_seq > seq { vec![self.hash] } else { Vec::new() }),
            }
        };
        self.records.lock().expect("no thread panics first").learn(&change, asked, own);
    }
}

/// One history, as the scheduler has it.
fn history() {
    let story = STORIES[shuttle::rand::thread_rng().gen_range(0..STORIES.len())];
    let world = Arc::new(World::new(story));
    let mut seen = None;
    world.follow(&mut seen);
    let mut threads = Vec::new();
    for _ in 0..3 {
        let world = Arc::clone(&world);
        threads.push(thread::spawn(move || (0..3).for_each(|_| world.judged_call(story))));
    }
    let changes = Arc::clone(&world);
    threads.push(thread::spawn(move || changes.change(story)));
    let follows = Arc::clone(&world);
    let follower = thread::spawn(move || {
        (0..3).for_each(|_| follows.follow(&mut seen));
        seen
    });
    let time = Arc::clone(&world);
    threads.push(thread::spawn(move || {
        for _ in 0..4 {
            time.ticks.fetch_add(1400, Ordering::SeqCst);
            thread::yield_now();
        }
    }));
    for thread in threads {
        thread.join().expect("the model holds");
    }
    // Whatever was in flight has landed: nothing comes back.
    let mut seen = follower.join().expect("the model holds");
    *world.behind.lock().expect("no thread panics first") = None;
    world.follow(&mut seen);
    assert_eq!(world.call().is_some_and(|key| key.is_active()), story.ends_active(), "{story:?}: in the end");
}

/// So many histories in random order, and as many in which few threads overtake others at the worst of moments.
pub fn explore(histories: usize) {
    shuttle::check_random(history, histories);
    shuttle::check_pct(history, histories, 3);
}
