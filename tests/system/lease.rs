//! Nodes that lose sight of the database, or find an older one than they knew.

use std::time::Duration;

use super::load::{Answered, Load, now, slowest, statuses};
use super::nodes::{ClientInfo, Key, database, new_key, revoke, serve, set_up, steady, through, until, url};
use super::{Outcome, rounds};
use test_support::process::ServerProcess;
use test_support::proxy::Proxy;
use test_support::{Server, TestDatabase};

/// How long a node may believe what it knows after the last answer from the database.
const LEASE: Duration = Duration::from_secs(3);
/// From the verdict to the client, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// Within which a healthy node knows.
const KNOWN: Duration = Duration::from_secs(1);

pub fn cut_off() -> Outcome {
    out_of_sight(|proxy| {
        proxy.cut();
        Duration::from_secs(10)
    })
}

pub fn black_holed() -> Outcome {
    out_of_sight(|proxy| {
        proxy.black_hole();
        Duration::from_secs(10)
    })
}

/// Long enough for answers that are 30 s late to arrive, and be no good any more.
pub fn thirty_seconds_behind() -> Outcome {
    out_of_sight(|proxy| {
        proxy.delay(Duration::from_secs(30));
        Duration::from_secs(70)
    })
}

/// What was answered by a node that can't see the database.
#[derive(Default)]
struct OutOfSight {
    goods: Vec<Answered>,
    victims: Vec<Answered>,
    /// Admitted after the lease.
    late: usize,
    /// From the repair to the last call with a good key that was not admitted.
    healthy: Duration,
}

/// Two nodes, one of which `trouble` keeps from the database for as long as it says; meanwhile a key is revoked.
fn out_of_sight(trouble: impl Fn(&Proxy) -> Duration) -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let (near, far) = (serve(&place), serve(&through(&proxy, &place)));
    let mut browser = ClientInfo::of_owner(&near, &place);
    let mut all = OutOfSight::default();
    for _ in 0..rounds(5) {
        let victim = new_key(&place);
        let loads = [steady(&far, &good), steady(&far, &victim)];
        std::thread::sleep(Duration::from_secs(1));
        let began = now();
        let lasts = trouble(&proxy);
        assert_eq!(browser.revoke(&victim).status, 303, "the other node goes on");
        std::thread::sleep(lasts);
        let repaired = now();
        proxy.pass();
        std::thread::sleep(Duration::from_secs(4));
        all.add([began, repaired], loads.map(Load::finish));
    }
    all.seen()
}

impl OutOfSight {
    fn add(&mut self, [began, repaired]: [Duration; 2], [goods, victims]: [Vec<Answered>; 2]) {
        let is_late = |answer: &&Answered| answer.status == 200 && answer.arrived() > began + LEASE + ON_THE_WAY;
        self.late += victims.iter().filter(is_late).count();
        self.late += goods.iter().filter(is_late).filter(|answer| answer.arrived() < repaired).count();
        let last = goods.iter().filter(|answer| answer.status != 200).map(Answered::arrived).max();
        self.healthy = self.healthy.max(last.unwrap_or_default().saturating_sub(repaired));
        self.goods.extend(goods);
        self.victims.extend(victims);
    }

    fn seen(self) -> Outcome {
        let (goods, victims) = (statuses(&self.goods), statuses(&self.victims));
        let all = self.goods.iter().chain(&self.victims);
        let silent = all.filter(|answer| answer.status == 503 && !answer.says_when).count();
        Outcome {
            figure: format!(
                "{} admitted later than 3 s; a good key {goods:?}, the revoked one {victims:?}, {silent} times 503 without Retry-After, slowest {:.2} s, healthy after {:.2} s",
                self.late,
                slowest(&self.goods).as_secs_f64(),
                self.healthy.as_secs_f64()
            ),
            kept: self.late + silent == 0
                && goods.keys().all(|status| matches!(status, 200 | 503))
                && goods.contains_key(&503)
                && victims.keys().all(|status| matches!(status, 200 | 401 | 503))
                && self.healthy <= Duration::from_secs(2),
        }
    }
}

/// A node that stops, locks and all, right after it was asked to revoke; the next key of the same team is revoked at
/// another node. What the first one knew when it wakes is older than a lease.
pub fn frozen_in_a_revoke() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut frozen = ClientInfo::of_owner(&nodes[0], &place);
    let mut others = [frozen.at(&nodes[1]), frozen.at(&nodes[2])];
    let (mut answers, mut admitted, mut undone) = (Vec::new(), 0, 0);
    for round in 0..rounds(60) {
        let [first, second] = [new_key(&place), new_key(&place)];
        for key in [&first, &second] {
            until(&nodes[0], key, 200);
        }
        frozen.begin_to_revoke(&first);
        // A revoke takes some milliseconds: each of them is hit in some round.
        std::thread::sleep(Duration::from_micros(round as u64 * 250 % 6000));
        nodes[0].freeze();
        answers.push(others[round % 2].revoke(&second));
        std::thread::sleep(LEASE);
        nodes[0].thaw();
        admitted += usize::from(nodes[0].get("/api/v1/key", &second.token) == 200);
        let acknowledged = frozen.answer() == 303;
        if nodes[1].get("/api/v1/key", &first.token) == 200 {
            undone += usize::from(acknowledged && until(&nodes[1], &first, 401) > KNOWN);
            revoke(&place, &first);
        }
    }
    let refused = answers.iter().filter(|answer| answer.status != 303).count();
    let waited = answers.iter().filter(|answer| answer.took > Duration::from_millis(500)).count();
    let slowest = slowest(&answers);
    Outcome {
        figure: format!(
            "{refused} of {} refused, slowest {:.2} s, {waited} had to wait for the frozen one's locks; {admitted} revoked keys admitted when it woke, {undone} revocations undone",
            answers.len(),
            slowest.as_secs_f64()
        ),
        // If nobody had to wait, no freeze has hit a revoke in its middle.
        kept: refused + admitted + undone == 0 && slowest <= Duration::from_secs(2) && waited > 0,
    }
}

/// How a database comes to be older than what a node has seen of it.
#[derive(Debug, Clone, Copy)]
enum Back {
    /// Put back from a dump, in its place.
    Restored,
    /// The address leads to another server, which has an older copy.
    FailedOver,
    /// Only the counter.
    Counter,
}

pub fn gone_back() -> Outcome {
    let all = [Back::Restored, Back::FailedOver, Back::Counter].map(|back| {
        let mut all = Afterwards::default();
        for _ in 0..rounds(5) {
            all.add(&go_back(back));
        }
        (back, all)
    });
    let figures = all.each_ref().map(|(back, seen)| {
        format!(
            "{back:?}: {} calls admitted with keys of the lost time, {} good calls refused, a key revoked then 401 after {:.2} s",
            seen.admitted,
            seen.refused,
            seen.revoked_after.as_secs_f64()
        )
    });
    let is_kept = |seen: &Afterwards| seen.admitted + seen.refused == 0 && seen.revoked_after <= KNOWN;
    Outcome { figure: figures.join("; "), kept: all.iter().all(|(_, seen)| is_kept(seen)) }
}

/// What a node answers once the database is older than what it knew.
#[derive(Default)]
struct Afterwards {
    admitted: usize,
    refused: usize,
    revoked_after: Duration,
}

impl Afterwards {
    fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.revoked_after = self.revoked_after.max(other.revoked_after);
    }
}

/// A copy is taken, keys are made and revoked, the copy takes the database's place, and a key is revoked in it.
fn go_back(back: Back) -> Afterwards {
    let (server, older) = (Server::start(), Server::start());
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let node = serve(&through(&proxy, &place));
    let early = new_key(&place);
    let copy = server.dump(url(&place));
    // The node sees the counter rise well above what the copy says.
    for _ in 0..5 {
        revoke(&place, &new_key(&place));
    }
    let lost = new_key(&place);
    for key in [&good, &early, &lost] {
        until(&node, key, 200);
    }
    let place = match back {
        Back::Restored => {
            server.restore(url(&place), &copy);
            place
        }
        Back::FailedOver => {
            let place = database(&older);
            older.restore(url(&place), &copy);
            proxy.lead_to(older.address());
            server.kill();
            place
        }
        Back::Counter => {
            server.sql_in(url(&place), "UPDATE changes SET seq = seq - 10");
            place
        }
    };
    afterwards(back, &node, &place, [&good, &early, &lost])
}

fn afterwards(back: Back, node: &ServerProcess, place: &TestDatabase, [good, early, lost]: [&Key; 3]) -> Afterwards {
    let loads = [steady(node, good), steady(node, lost)];
    let returned = now();
    let revoked = revoke(place, early);
    until(node, early, 401);
    let revoked_after = now() - revoked;
    std::thread::sleep(LEASE);
    let [of_good, of_lost] = loads.map(Load::finish);
    // A lost key is known where only the counter went back.
    let is_known = matches!(back, Back::Counter);
    let wrong = |answer: &&Answered| answer.status == 200 && !is_known && answer.arrived() > returned + KNOWN;
    Afterwards {
        admitted: of_lost.iter().filter(wrong).count(),
        refused: of_good.iter().filter(|answer| !matches!(answer.status, 200 | 503)).count(),
        revoked_after,
    }
}
