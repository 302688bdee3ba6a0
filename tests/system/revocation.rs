//! How long a revoked key is still admitted.

use std::time::Duration;

use super::load::{Answered, Client, Load, now};
use super::nodes::{Browser, FIFTY_A_SECOND, Key, database, new_key, revoke, serve, set_up, steady};
use super::{Outcome, Times, rounds};
use test_support::process::ServerProcess;
use test_support::{Server, TestDatabase};

/// A browser revokes on one node; calls to the same node follow right after the response.
pub(crate) fn same_node() -> Outcome {
    let (mut calls, mut admitted) = (0, 0);
    let server = Server::start();
    for place in [TestDatabase::folder(), database(&server)] {
        set_up(&place);
        let node = serve(&place);
        let mut browser = Browser::of_owner(&node, &place);
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
    Outcome { times: None, n: calls, counts: format!("{admitted} admitted"), passed: admitted == 0 }
}

/// Revocations alternate between a browser on the first of three nodes and the command line.
pub(crate) fn two_other_nodes() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let mut browser = Browser::of_owner(&nodes[0], &place);
    let mut by_browser = false;
    propagation(&place, &nodes[1..], &good, |victim| {
        by_browser = !by_browser;
        if !by_browser {
            return revoke(&place, victim);
        }
        let answer = browser.revoke(victim);
        assert_eq!(answer.status, 303, "revoked");
        answer.arrived()
    })
}

pub(crate) fn second_process() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let nodes = [serve(&place)];
    propagation(&place, &nodes, &good, |victim| revoke(&place, victim))
}

/// How late nodes refused revoked keys, as clients and the nodes' metrics measured it.
#[derive(Default)]
struct Propagation {
    /// From the response to each revocation to the last admitted call.
    late: Vec<Duration>,
    /// Calls admitted after a refused one.
    readmitted: usize,
    /// Calls with the good key that were not answered 200.
    refused: usize,
    /// The 99th percentile and the maximum in the nodes' metrics, in seconds; `None` if a metric is missing.
    reported: Option<(f64, f64)>,
}

/// Revokes one key after another while clients call `nodes` 50 times a second with that key and with a good key.
fn propagation(
    place: &TestDatabase,
    nodes: &[ServerProcess],
    good: &Key,
    mut revoke: impl FnMut(&Key) -> Duration,
) -> Outcome {
    let quiet: Vec<_> = nodes.iter().map(|node| steady(node, good)).collect();
    let mut propagation = Propagation::default();
    for round in 0..rounds(300) {
        let victim = new_key(place);
        let callers: Vec<_> = nodes.iter().map(|node| call_until_refused(node, &victim)).collect();
        // Another phase of the 250 ms poll in each round.
        std::thread::sleep(Duration::from_millis(100 + round as u64 * 37 % 250));
        let revoked = revoke(&victim);
        for caller in callers {
            propagation.add(revoked, &caller.join().expect("a client"));
        }
    }
    let of_good = quiet.into_iter().flat_map(Load::finish);
    propagation.refused = of_good.filter(|answer| answer.status != 200).count();
    propagation.reported = reported(nodes, 0.99).zip(reported(nodes, 1.0));
    propagation.outcome()
}

/// The histogram bound under which that share of changes was applied, on the slowest node.
fn reported(nodes: &[ServerProcess], share: f64) -> Option<f64> {
    let bounds = nodes.iter().map(|node| node.metrics().quantile("keyhouse_revocation_propagation_seconds", share));
    bounds.collect::<Option<Vec<f64>>>()?.into_iter().max_by(f64::total_cmp)
}

impl Propagation {
    fn add(&mut self, revoked: Duration, answers: &[Answered]) {
        let last = answers.iter().filter(|answer| answer.status == 200).map(Answered::arrived).max();
        self.late.push(last.expect("the key was good at first").saturating_sub(revoked));
        let refused = answers.iter().position(|answer| answer.status == 401).unwrap_or(answers.len());
        self.readmitted += answers[refused..].iter().filter(|answer| answer.status == 200).count();
    }

    fn outcome(self) -> Outcome {
        let times = Times::of(self.late.iter().copied());
        // The metric is an upper bound; the clients' measurement is coarser by one call and one pause between calls.
        let agrees = |(p99, max): (f64, f64)| times.p99.as_secs_f64() <= p99 + 0.05 && p99 <= 0.5 && max <= 1.0;
        let reported =
            self.reported.map_or_else(|| "missing".to_owned(), |(p99, max)| format!("p99 ≤ {p99} s, max ≤ {max} s"));
        Outcome {
            times: Some(times),
            n: self.late.len(),
            counts: format!(
                "{} admitted again, {} good calls refused; metrics: {reported}",
                self.readmitted, self.refused
            ),
            passed: times.p99 <= Duration::from_millis(500)
                && times.max <= Duration::from_secs(1)
                && self.readmitted + self.refused == 0
                && self.reported.is_some_and(agrees),
        }
    }
}

/// 50 calls a second until five in a row are refused, for at most 10 s.
fn call_until_refused(node: &ServerProcess, key: &Key) -> std::thread::JoinHandle<Vec<Answered>> {
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
