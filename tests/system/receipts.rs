//! Receipts of revocations, and rotation, while clients call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use keyhouse_domain::timestamp::Timestamp;
use serde_json::Value;

use super::load::{Answered, Client, get, now};
use super::nodes::{FIFTY_A_SECOND, Key, database, new_key, serve, set_up, steady};
use super::{Outcome, Times, rounds};
use test_support::Server;
use test_support::process::{ServerProcess, run_json};

/// In one round of so many a node is suspended, so that the receipt waits for the end of its lease.
const SUSPENDED_EVERY: usize = 30;
/// How long clients go on after the receipt.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// Calls 50 times a second until it is stopped.
fn caller(node: &ServerProcess, key: &Key, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<Answered>> {
    let (address, request, stop) = (node.address, key.ask(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut client = Client::new(address);
        let mut answers = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            answers.extend(client.call(&request));
            std::thread::sleep(FIFTY_A_SECOND.unwrap_or_default());
        }
        answers
    })
}

/// Revokes with `--wait` while three nodes are called with the key: no call that begins after the receipt is admitted.
pub(crate) fn receipts_under_load() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let quiet: Vec<_> = nodes.iter().map(|node| steady(node, &good)).collect();
    let (mut times, mut admitted, mut calls, mut by_lease, mut wrong) = (Vec::new(), 0, 0, 0, 0);
    let n = rounds(300);
    for round in 0..n {
        let victim = new_key(&place);
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = nodes.iter().map(|node| caller(node, &victim, &stop)).collect();
        // Another phase of the 250 ms poll in each round.
        std::thread::sleep(Duration::from_millis(100 + round as u64 * 37 % 250));
        let is_suspended = round % SUSPENDED_EVERY == SUSPENDED_EVERY - 1;
        if is_suspended {
            nodes[2].freeze();
        }
        let receipt = run_json(&place, &["key", "revoke", &victim.id, "--wait"]);
        let complete = now();
        if is_suspended {
            nodes[2].thaw();
        }
        std::thread::sleep(AFTERWARDS);
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            let answers = caller.join().expect("a client");
            let later: Vec<_> = answers.iter().filter(|answer| answer.at > complete).collect();
            calls += later.len();
            admitted += later.iter().filter(|answer| answer.status != 401).count();
        }
        let rows = receipt["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let ended = rows.iter().filter(|row| row["byLease"] == true).count();
        by_lease += ended;
        wrong += usize::from(rows.len() != nodes.len() || ended != usize::from(is_suspended));
        if !is_suspended {
            let after = rows.iter().filter_map(|row| row["afterMs"].as_u64()).max().unwrap_or(u64::MAX);
            times.push(Duration::from_millis(after));
        }
    }
    let of_good = quiet.into_iter().flat_map(|load| load.finish());
    // A suspended node answers late, and it answers.
    let refused = of_good.filter(|answer| answer.status != 200).count();
    Outcome {
        times: Some(Times::of(times)),
        n,
        counts: format!(
            "{admitted} of {calls} calls after a receipt admitted; {by_lease} nodes by the end of their lease, {wrong} receipts \
             with other nodes than expected, {refused} good calls refused"
        ),
        passed: admitted + wrong + refused == 0 && calls > n,
    }
}

/// Clients of the rotation, each of which calls ten times a second.
const CLIENTS: usize = 20;
const TENTH: Duration = Duration::from_millis(100);
/// From one client's switch to the next.
const SWITCH_EVERY: Duration = Duration::from_millis(250);
const OVERLAP: &str = "8s";

/// What one client of a rotation saw.
struct Seen {
    refused: usize,
    calls: usize,
}

/// 200 calls a second over three nodes, while the clients switch to the new token one by one; a watcher on each node calls
/// with the former token until it is refused.
pub(crate) fn rotation() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let key = set_up(&place);
    let nodes = [serve(&place), serve(&place), serve(&place)];
    let (mut off, mut refused, mut calls, mut readmitted) = (Vec::new(), 0, 0, 0);
    let mut token = key.token.clone();
    let n = rounds(5);
    for _ in 0..n {
        let switched = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let rotated = Arc::new(std::sync::OnceLock::<String>::new());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, former) = (nodes[client % nodes.len()].address, token.clone());
                let (switched, stop, rotated) = (Arc::clone(&switched), Arc::clone(&stop), Arc::clone(&rotated));
                std::thread::spawn(move || {
                    let mut connection = Client::new(address);
                    let mut seen = Seen { refused: 0, calls: 0 };
                    while !stop.load(Ordering::Relaxed) {
                        let began = now();
                        let has_switched = client < switched.load(Ordering::Relaxed);
                        let current = if has_switched { rotated.get().unwrap_or(&former) } else { &former };
                        let answer = connection.call(&get("/api/v1/key", current));
                        seen.calls += 1;
                        seen.refused += usize::from(answer.is_none_or(|answer| answer.status != 200));
                        std::thread::sleep(TENTH.saturating_sub(now() - began));
                    }
                    seen
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let made = run_json(&place, &["key", "rotate", &key.id, "--overlap", OVERLAP]);
        let new = made["token"].as_str().expect("a token").to_owned();
        rotated.set(new.clone()).expect("one rotation");
        for client in 1..=CLIENTS {
            switched.store(client, Ordering::Relaxed);
            std::thread::sleep(SWITCH_EVERY);
        }
        let watchers: Vec<_> = nodes.iter().map(|node| watch(node, &token)).collect();
        let shown = run_json(&place, &["key", "show", &key.id]);
        let end = former_end(&shown);
        for watcher in watchers {
            let (last, again) = watcher.join().expect("a client");
            off.push(Duration::from_millis(last.ms().abs_diff(end.ms())));
            readmitted += again;
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let seen = client.join().expect("a client");
            (refused, calls) = (refused + seen.refused, calls + seen.calls);
        }
        token = new;
    }
    let times = Times::of(off);
    Outcome {
        times: Some(times),
        n: calls,
        counts: format!(
            "{refused} calls refused in {n} rotations, {readmitted} calls of a former token admitted again"
        ),
        passed: refused + readmitted == 0 && times.max <= Duration::from_secs(1),
    }
}

/// When the former token ends, as `key show --json` has it.
fn former_end(shown: &Value) -> Timestamp {
    let end = shown["tokens"][1]["endsAt"].as_str().expect("the former token is accepted");
    let end: jiff::Timestamp = end.parse().expect("a time");
    Timestamp::from_ms(end.as_millisecond())
}

/// Calls with a former token until ten calls in a row were refused, for at most a minute. Returns when the last one was admitted,
/// and how many were admitted after a refused one.
fn watch(node: &ServerProcess, token: &str) -> JoinHandle<(Timestamp, usize)> {
    let (address, request) = (node.address, get("/api/v1/key", token));
    std::thread::spawn(move || {
        let mut client = Client::new(address);
        let (mut last, mut refused, mut again) = (Clock::System.now(), 0, 0);
        let began = now();
        while refused < 10 && now() - began < Duration::from_secs(60) {
            if client.call(&request).is_some_and(|answer| answer.status == 200) {
                again += usize::from(refused > 0);
                last = Clock::System.now();
            } else {
                refused += 1;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        (last, again)
    })
}
