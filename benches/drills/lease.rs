//! Nodes that lose sight of the database, or find an older one than they knew.

use std::time::Duration;

use super::load::{Answered, Client, Load, now, slowest, statuses};
use super::nodes::{Browser, Key, database, new_key, revoke, serve, set_up, steady, through, until};
use super::{Seen, rounds};
use crate::harness::process::Serving;
use crate::harness::proxy::Proxy;
use crate::harness::{Place, Server};

/// How long a node may believe what it knows after the last answer from the database.
const LEASE: Duration = Duration::from_secs(3);
/// From the verdict to the client, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// Within which a healthy node knows.
const KNOWN: Duration = Duration::from_secs(1);

pub fn cut_off() -> Seen {
    out_of_sight(|proxy| {
        proxy.cut();
        Duration::from_secs(10)
    })
}

pub fn black_holed() -> Seen {
    out_of_sight(|proxy| {
        proxy.black_hole();
        Duration::from_secs(10)
    })
}

/// Long enough for answers that are 30 s late to arrive, and be no good any more.
pub fn thirty_seconds_behind() -> Seen {
    out_of_sight(|proxy| {
        proxy.delay(Duration::from_secs(30));
        Duration::from_secs(70)
    })
}

/// Two nodes, one of which `trouble` keeps from the database for as long as it says; meanwhile a key is revoked.
fn out_of_sight(trouble: impl Fn(&Proxy) -> Duration) -> Seen {
    let server = Server::start();
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let (near, far) = (serve(&place), serve(&through(&proxy, &place)));
    let mut browser = Browser::of_owner(&near, &place);
    let (mut late, mut healthy) = (0, Duration::ZERO);
    let (mut goods, mut victims) = (Vec::new(), Vec::new());
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
        let [of_good, of_victim] = loads.map(Load::finish);
        let too_late = |answer: &&Answered| answer.status == 200 && answer.arrived() > began + LEASE + ON_THE_WAY;
        late += of_victim.iter().filter(too_late).count();
        late += of_good.iter().filter(too_late).filter(|answer| answer.arrived() < repaired).count();
        let last = of_good.iter().filter(|answer| answer.status != 200).map(Answered::arrived).max();
        healthy = healthy.max(last.unwrap_or_default().saturating_sub(repaired));
        goods.extend(of_good);
        victims.extend(of_victim);
    }
    let (of_good, of_victim) = (statuses(&goods), statuses(&victims));
    let silent = goods.iter().chain(&victims).filter(|answer| answer.status == 503 && !answer.says_when).count();
    Seen {
        figure: format!(
            "{late} admitted later than 3 s; a good key {of_good:?}, the revoked one {of_victim:?}, {silent} times 503 without Retry-After, slowest {:.2} s, healthy after {:.2} s",
            slowest(&goods).as_secs_f64(),
            healthy.as_secs_f64()
        ),
        kept: late + silent == 0
            && of_good.keys().all(|status| matches!(status, 200 | 503))
            && of_good.contains_key(&503)
            && of_victim.keys().all(|status| matches!(status, 200 | 401 | 503))
            && healthy <= Duration::from_secs(2),
    }
}

/// A node that stops, locks and all, right after it was asked to revoke; the next key of the same team is revoked at
/// another node. What the first one knew when it wakes is older than a lease.
pub fn frozen_in_a_revoke() -> Seen {
    let server = Server::start();
    let place = database(&server);
    set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut browser = Browser::of_owner(&nodes[0], &place);
    let mut elsewhere = [browser.at(&nodes[1]), browser.at(&nodes[2])];
    let (mut slowest, mut waited, mut refused, mut admitted, mut undone) = (Duration::ZERO, 0, 0, 0, 0);
    let full = rounds(60);
    for round in 0..full {
        let [first, second] = [new_key(&place), new_key(&place)];
        for key in [&first, &second] {
            until(&nodes[0], key, 200);
        }
        browser.begin_to_revoke(&first);
        // A revoke takes some milliseconds: each of them is hit in some round.
        std::thread::sleep(Duration::from_micros(round as u64 * 250 % 6000));
        nodes[0].freeze();
        let answer = elsewhere[round % 2].revoke(&second);
        refused += usize::from(answer.status != 303);
        slowest = slowest.max(answer.took);
        waited += usize::from(answer.took > Duration::from_millis(500));
        std::thread::sleep(LEASE);
        nodes[0].thaw();
        let first_call = Client::new(nodes[0].address).call(&second.ask()).map_or(0, |answer| answer.status);
        admitted += usize::from(first_call == 200);
        let acknowledged = browser.answer() == 303;
        let active = nodes[1].get("/api/v1/key", &first.token) == 200;
        undone += usize::from(acknowledged && active && until(&nodes[1], &first, 401) > KNOWN);
        if active {
            revoke(&place, &first);
        }
    }
    Seen {
        figure: format!(
            "{refused} of {full} refused, slowest {:.2} s, {waited} had to wait for the frozen one's locks; {admitted} revoked keys admitted when it woke, {undone} revocations undone",
            slowest.as_secs_f64()
        ),
        kept: refused + admitted + undone == 0 && slowest <= Duration::from_secs(2),
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

pub fn gone_back() -> Seen {
    let (mut figures, mut kept) = (Vec::new(), true);
    for back in [Back::Restored, Back::FailedOver, Back::Counter] {
        let (mut admitted, mut longest, mut refused) = (0, Duration::ZERO, 0);
        for _ in 0..rounds(5) {
            let seen = go_back(back);
            admitted += seen.admitted;
            refused += seen.refused;
            longest = longest.max(seen.revoked_after);
        }
        figures.push(format!(
            "{back:?}: {admitted} calls admitted with keys of the lost time, {refused} good calls refused, a key revoked then 401 after {:.2} s",
            longest.as_secs_f64()
        ));
        kept &= admitted + refused == 0 && longest <= KNOWN;
    }
    Seen { figure: figures.join("; "), kept }
}

struct AfterwardsSeen {
    admitted: usize,
    refused: usize,
    revoked_after: Duration,
}

/// A copy is taken, keys are made and revoked, the copy takes the database's place, and a key is revoked in it.
fn go_back(back: Back) -> AfterwardsSeen {
    let (server, older) = (Server::start(), Server::start());
    let place = database(&server);
    let proxy = Proxy::to(server.address());
    let good = set_up(&place);
    let node = serve(&through(&proxy, &place));
    let early = new_key(&place);
    let Place::Postgres { url } = &place else { unreachable!("it is on this server") };
    let copy = server.dump(url);
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
            server.restore(url, &copy);
            place
        }
        Back::FailedOver => {
            let place = database(&older);
            let Place::Postgres { url } = &place else { unreachable!("it is on this server") };
            older.restore(url, &copy);
            proxy.lead_to(older.address());
            server.kill();
            place
        }
        Back::Counter => {
            server.sql_in(url, "UPDATE changes SET seq = seq - 10");
            place
        }
    };
    afterwards(back, &node, &place, [&good, &early, &lost])
}

fn afterwards(back: Back, node: &Serving, place: &Place, [good, early, lost]: [&Key; 3]) -> AfterwardsSeen {
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
    AfterwardsSeen {
        admitted: of_lost.iter().filter(wrong).count(),
        refused: of_good.iter().filter(|answer| !matches!(answer.status, 200 | 503)).count(),
        revoked_after,
    }
}
