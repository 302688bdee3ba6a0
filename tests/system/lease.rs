//! Nodes that lose their database connection, or whose database goes back to an older state.

use std::time::Duration;

use super::load::{Answered, Load, now, statuses};
use super::nodes::{Browser, Key, database, new_key, revoke, serve, set_up, steady, through, until, url};
use super::{Outcome, Times, rounds, status_counts};
use test_support::process::ServerProcess;
use test_support::proxy::Proxy;
use test_support::{Server, TestDatabase};

/// How long cached records are valid after the last successful change poll was sent.
const LEASE: Duration = Duration::from_secs(3);
/// From the decision to the client, on a busy machine.
const DELIVERY: Duration = Duration::from_millis(100);
/// Within which a healthy node applies a revocation.
const PROPAGATION: Duration = Duration::from_secs(1);

pub(crate) fn cut_off() -> Outcome {
    partitioned(|proxy| {
        proxy.cut();
        Duration::from_secs(10)
    })
}

pub(crate) fn black_holed() -> Outcome {
    partitioned(|proxy| {
        proxy.black_hole();
        Duration::from_secs(10)
    })
}

/// Long enough for responses that are 30 s late to arrive; by then they are stale.
pub(crate) fn thirty_seconds_behind() -> Outcome {
    partitioned(|proxy| {
        proxy.delay(Duration::from_secs(30));
        Duration::from_secs(70)
    })
}

/// The responses of a node that can not reach the database.
#[derive(Default)]
struct Partitioned {
    /// To a good key and to the revoked one.
    good: Vec<Answered>,
    revoked: Vec<Answered>,
    /// Admitted after the lease.
    late: usize,
    /// From each repair to the last call with the good key that was not admitted.
    recoveries: Vec<Duration>,
}

/// Two nodes; `fault` keeps one of them from the database for the time that it returns. Meanwhile a key is revoked.
fn partitioned(fault: impl Fn(&Proxy) -> Duration) -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let (near, far) = (serve(&place), serve(&through(&proxy, &place)));
    let mut browser = Browser::of_owner(&near, &place);
    let mut all = Partitioned::default();
    for _ in 0..rounds(5) {
        let victim = new_key(&place);
        let loads = [steady(&far, &good), steady(&far, &victim)];
        std::thread::sleep(Duration::from_secs(1));
        let began = now();
        let lasts = fault(&proxy);
        assert_eq!(browser.revoke(&victim).status, 303, "the other node is not affected");
        std::thread::sleep(lasts);
        let repaired = now();
        proxy.pass();
        std::thread::sleep(Duration::from_secs(4));
        all.add([began, repaired], loads.map(Load::finish));
    }
    all.outcome()
}

impl Partitioned {
    fn add(&mut self, [began, repaired]: [Duration; 2], [good, revoked]: [Vec<Answered>; 2]) {
        let is_late = |answer: &&Answered| answer.status == 200 && answer.arrived() > began + LEASE + DELIVERY;
        self.late += revoked.iter().filter(is_late).count();
        self.late += good.iter().filter(is_late).filter(|answer| answer.arrived() < repaired).count();
        let last = good.iter().filter(|answer| answer.status != 200).map(Answered::arrived).max();
        self.recoveries.push(last.unwrap_or_default().saturating_sub(repaired));
        self.good.extend(good);
        self.revoked.extend(revoked);
    }

    fn outcome(self) -> Outcome {
        let (good, revoked) = (statuses(&self.good), statuses(&self.revoked));
        let all = self.good.iter().chain(&self.revoked);
        let without_retry_after = all.filter(|answer| answer.status == 503 && !answer.has_retry_after).count();
        let recovery = self.recoveries.iter().max().copied().unwrap_or_default();
        Outcome {
            times: Some(Times::of(self.good.iter().map(|answer| answer.took))),
            n: self.good.len() + self.revoked.len(),
            counts: format!(
                "{} admitted later than 3 s; good key {}; revoked key {}; {without_retry_after} × 503 without \
                 Retry-After; healthy {:.2} s after the repair",
                self.late,
                status_counts(&good),
                status_counts(&revoked),
                recovery.as_secs_f64()
            ),
            passed: self.late + without_retry_after == 0
                && good.keys().all(|status| matches!(status, 200 | 503))
                && good.contains_key(&503)
                && revoked.keys().all(|status| matches!(status, 200 | 401 | 503))
                && recovery <= Duration::from_secs(2),
        }
    }
}

/// Suspends a node right after it got a request to revoke, so that it may hold locks; then another node revokes another
/// key of the same team. When the first node resumes, its cache is older than a lease.
pub(crate) fn suspended_in_a_revocation() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut frozen = Browser::of_owner(&nodes[0], &place);
    let mut others = [frozen.at(&nodes[1]), frozen.at(&nodes[2])];
    let (mut answers, mut admitted, mut undone) = (Vec::new(), 0, 0);
    for round in 0..rounds(60) {
        let [first, second] = [new_key(&place), new_key(&place)];
        for key in [&first, &second] {
            until(&nodes[0], key, 200);
        }
        frozen.begin_to_revoke(&first);
        // A revocation takes some milliseconds; the rounds suspend it at different points.
        std::thread::sleep(Duration::from_micros(round as u64 * 250 % 6000));
        nodes[0].freeze();
        answers.push(others[round % 2].revoke(&second));
        std::thread::sleep(LEASE);
        nodes[0].thaw();
        admitted += usize::from(nodes[0].get("/api/v1/key", &second.token) == 200);
        let acknowledged = frozen.answer() == 303;
        if nodes[1].get("/api/v1/key", &first.token) == 200 {
            undone += usize::from(acknowledged && until(&nodes[1], &first, 401) > PROPAGATION);
            revoke(&place, &first);
        }
    }
    let refused = answers.iter().filter(|answer| answer.status != 303).count();
    let waited = answers.iter().filter(|answer| answer.took > Duration::from_millis(500)).count();
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    Outcome {
        times: Some(Times::of(answers.iter().map(|answer| answer.took))),
        n: answers.len(),
        counts: format!(
            "{refused} refused, {waited} waited for locks of the suspended node; {admitted} revoked keys admitted after \
             it resumed, {undone} revocations undone"
        ),
        // If no call waited, no suspension hit a revocation in progress.
        passed: refused + admitted + undone == 0 && slowest <= Duration::from_secs(2) && waited > 0,
    }
}

/// How a database gets to an older state than a node has read from it.
#[derive(Debug, Clone, Copy)]
enum Rollback {
    /// Restored from a dump in place.
    Restored,
    /// The address leads to another server, which has an older copy.
    FailedOver,
    /// Only the change counter is set back.
    Counter,
}

pub(crate) fn rolled_back() -> Outcome {
    let all = [Rollback::Restored, Rollback::FailedOver, Rollback::Counter].map(|rollback| {
        let mut all = Afterwards::default();
        for _ in 0..rounds(5) {
            all.add(&roll_back(rollback));
        }
        (rollback, all)
    });
    let counts = all.each_ref().map(|(rollback, after)| {
        format!("{rollback:?}: {} calls admitted with lost keys, {} good calls refused", after.admitted, after.refused)
    });
    let times = Times::of(all.iter().flat_map(|(_, after)| after.revoked_after.iter().copied()));
    Outcome {
        times: Some(times),
        n: all.iter().map(|(_, after)| after.revoked_after.len()).sum(),
        counts: counts.join("; "),
        passed: all.iter().all(|(_, after)| after.admitted + after.refused == 0) && times.max <= PROPAGATION,
    }
}

/// The responses of a node after the database was rolled back.
#[derive(Default)]
struct Afterwards {
    admitted: usize,
    refused: usize,
    /// From a revocation to its first refusal.
    revoked_after: Vec<Duration>,
}

impl Afterwards {
    fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.revoked_after.extend(&other.revoked_after);
    }
}

/// Dumps the database, creates and revokes keys, replaces the database with the dump, and revokes a key in it.
fn roll_back(rollback: Rollback) -> Afterwards {
    let (server, older) = (Server::start(), Server::start());
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let node = serve(&through(&proxy, &place));
    let early = new_key(&place);
    let copy = server.dump(url(&place));
    // The node reads a counter well above that of the dump.
    for _ in 0..5 {
        revoke(&place, &new_key(&place));
    }
    let lost = new_key(&place);
    for key in [&good, &early, &lost] {
        until(&node, key, 200);
    }
    let place = match rollback {
        Rollback::Restored => {
            server.restore(url(&place), &copy);
            place
        }
        Rollback::FailedOver => {
            let place = database(&older);
            older.restore(url(&place), &copy);
            proxy.lead_to(older.address());
            server.kill();
            place
        }
        Rollback::Counter => {
            server.sql_in(url(&place), "UPDATE changes SET seq = seq - 10");
            place
        }
    };
    afterwards(rollback, &node, &place, [&good, &early, &lost])
}

fn afterwards(
    rollback: Rollback,
    node: &ServerProcess,
    place: &TestDatabase,
    [good, early, lost]: [&Key; 3],
) -> Afterwards {
    let loads = [steady(node, good), steady(node, lost)];
    let returned = now();
    let revoked = revoke(place, early);
    until(node, early, 401);
    let revoked_after = now() - revoked;
    std::thread::sleep(LEASE);
    let [of_good, of_lost] = loads.map(Load::finish);
    // Where only the counter was set back, the lost key still exists.
    let is_known = matches!(rollback, Rollback::Counter);
    let wrong = |answer: &&Answered| answer.status == 200 && !is_known && answer.arrived() > returned + PROPAGATION;
    Afterwards {
        admitted: of_lost.iter().filter(wrong).count(),
        refused: of_good.iter().filter(|answer| !matches!(answer.status, 200 | 503)).count(),
        revoked_after: vec![revoked_after],
    }
}
