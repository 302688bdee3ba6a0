//! How long a revoked key goes on being admitted.

use std::time::Duration;

use super::load::{Answered, Client, Load, now, p99_of};
use super::nodes::{ClientInfo, FIFTY_A_SECOND, Key, database, new_key, revoke, serve, set_up, steady};
use super::{Outcome, rounds};
use test_support::process::ServerProcess;
use test_support::{Server, TestDatabase};

/// The browser revokes on the node that is then called, right after the answer.
pub fn same_node() -> Outcome {
    let (mut calls, mut admitted) = (0, 0);
    let server = Server::start();
    for place in [TestDatabase::folder(), database(&server)] {
        set_up(&place);
        let node = serve(&place);
        let mut browser = ClientInfo::of_owner(&node, &place);
        for _ in 0..5 {
            let victim = new_key(&place);
            let mut client = Client::new(node.address);
            let mut ask = || client.call(&victim.ask()).map_or(0, |answer| answer.status);
            assert_eq!((ask(), browser.revoke(&victim).status), (200, 303));
            let statuses: Vec<u16> = (0..rounds(100)).map(|_| ask()).collect();
            calls += statuses.len();
            admitted += statuses.iter().filter(|status| **status != 401).count();
        }
    }
    Outcome { figure: format!("{admitted} of {calls} calls admitted"), kept: admitted == 0 }
}

/// Every other revocation is a browser's on the first of three nodes, the others are the shell's.
pub fn two_other_nodes() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut browser = ClientInfo::of_owner(&nodes[0], &place);
    let mut by_browser = false;
    lateness(&place, &nodes[1..], &good, |victim| {
        by_browser = !by_browser;
        if !by_browser {
            return revoke(&place, victim);
        }
        let answer = browser.revoke(victim);
        assert_eq!(answer.status, 303, "revoked");
        answer.arrived()
    })
}

pub fn second_process() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let nodes = [serve(&place)];
    lateness(&place, &nodes, &good, |victim| revoke(&place, victim))
}

/// What clients saw of revocations, and what the nodes themselves say.
#[derive(Default)]
struct Lateness {
    /// From each revocation's answer to the last call that was admitted.
    late: Vec<Duration>,
    /// Calls admitted after one was refused.
    revived: usize,
    /// Calls with the good key that were not answered 200.
    refused: usize,
    /// The nodes' own 99th percentile and maximum, in seconds, if all of them say.
    told: Option<(f64, f64)>,
}

/// Revokes one key after the other while `nodes` are asked about each 50 times a second, and about a good key as well.
fn lateness(
    place: &TestDatabase,
    nodes: &[ServerProcess],
    good: &Key,
    mut revoke: impl FnMut(&Key) -> Duration,
) -> Outcome {
    let quiet: Vec<_> = nodes.iter().map(|node| steady(node, good)).collect();
    let mut lateness = Lateness::default();
    for round in 0..rounds(300) {
        let victim = new_key(place);
        let askers: Vec<_> = nodes.iter().map(|node| ask_until_refused(node, &victim)).collect();
        // Each round at another moment of the nodes' quarter seconds.
        std::thread::sleep(Duration::from_millis(100 + round as u64 * 37 % 250));
        let revoked = revoke(&victim);
        for asker in askers {
            lateness.add(revoked, &asker.join().expect("a client"));
        }
    }
    let of_good = quiet.into_iter().flat_map(Load::finish);
    lateness.refused = of_good.filter(|answer| answer.status != 200).count();
    lateness.told = told(nodes, 0.99).zip(told(nodes, 1.0));
    lateness.seen()
}

/// The bound under which that share of changes was learnt, on the node that was last.
fn told(nodes: &[ServerProcess], share: f64) -> Option<f64> {
    let bounds = nodes.iter().map(|node| node.metrics().quantile("keyhouse_change_seen_seconds", share));
    bounds.collect::<Option<Vec<f64>>>()?.into_iter().max_by(f64::total_cmp)
}

impl Lateness {
    fn add(&mut self, revoked: Duration, answers: &[Answered]) {
        let last = answers.iter().filter(|answer| answer.status == 200).map(Answered::arrived).max();
        self.late.push(last.expect("it was good at first").saturating_sub(revoked));
        let refused = answers.iter().position(|answer| answer.status == 401).unwrap_or(answers.len());
        self.revived += answers[refused..].iter().filter(|answer| answer.status == 200).count();
    }

    fn seen(self) -> Outcome {
        let (p99, max) = (p99_of(self.late.iter().copied()), self.late.iter().max().copied().unwrap_or_default());
        // What the program says is an upper bound; what a client sees is a call's time and a pause between two calls coarser.
        let agrees = |(told_p99, told_max): (f64, f64)| {
            p99.as_secs_f64() <= told_p99 + 0.05 && told_p99 <= 0.5 && told_max <= 1.0
        };
        let told = self.told.map_or_else(|| "nothing".to_owned(), |(p99, max)| format!("p99 ≤ {p99} s, max ≤ {max} s"));
        Outcome {
            figure: format!(
                "p99 {:.2} s, max {:.2} s of {}, {} revived, {} good calls refused; the nodes say {told}",
                p99.as_secs_f64(),
                max.as_secs_f64(),
                self.late.len(),
                self.revived,
                self.refused
            ),
            kept: p99 <= Duration::from_millis(500)
                && max <= Duration::from_secs(1)
                && self.revived + self.refused == 0
                && self.told.is_some_and(agrees),
        }
    }
}

/// Fifty calls a second, from the first 200 to the fifth refusal in a row.
fn ask_until_refused(node: &ServerProcess, key: &Key) -> std::thread::JoinHandle<Vec<Answered>> {
    let (address, request) = (node.address, key.ask());
    std::thread::spawn(move || {
        let mut client = Client::new(address);
        let mut answers: Vec<Answered> = Vec::new();
        let began = now();
        while now() - began < Duration::from_secs(10) {
            answers.extend(client.call(&request));
            if answers.iter().rev().take_while(|answer| answer.status != 200).count() >= 5 {
                break;
            }
            std::thread::sleep(FIFTY_A_SECOND.unwrap_or_default());
        }
        answers
    })
}
