//! Cold starts, rolling restarts and database failover with several nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

use super::load::{Answered, Client, Load, count, now, statuses};
use super::nodes::{Browser, InProcessApp, Key, UNLIMITED, database, serve, set_up, steady, through, url};
use super::{Outcome, Times, rounds, status_counts};
use test_support::balancer::Balancer;
use test_support::process::ServerProcess;
use test_support::proxy::Proxy;
use test_support::{Server, TestDatabase, child_process};

pub(crate) fn one_cold_key() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let key = set_up(&place);
    let node = serve(&place);
    let asked = || node.metrics().value("keyhouse_key_lookups_total{source=\"database\"}");
    let before = asked().unwrap_or_default();
    let answers = count(all_at_once(connected(&node, 1000), &vec![key; 1000]));
    let lookups = asked().map(|after| after - before);
    Outcome {
        times: None,
        n: 1000,
        counts: format!("{}; {} look-ups in the database", status_counts(&answers), lookups.unwrap_or(f64::NAN)),
        passed: answers == BTreeMap::from([(200, 1000)]) && lookups == Some(1.0),
    }
}

/// Keys of a hundred teams, none of them cached. The table is locked at first, so that every query stays in flight.
pub(crate) fn many_cold_keys() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    set_up(&place);
    let in_process = InProcessApp::of(&place);
    let keys: Vec<Key> = (0..100).flat_map(|team| in_process.team(&format!("Team {team}"), 10)).collect();
    drop(in_process);
    let (mut most, mut answers) = (0, Vec::new());
    for _ in 0..rounds(10) {
        let node = serve(&place);
        let clients = connected(&node, keys.len());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| most_in_flight(&server, &done));
            scope
                .spawn(|| server.sql_in(url(&place), "LOCK TABLE keys IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5)"));
            wait_for_lock(&server);
            answers.extend(all_at_once(clients, &keys));
            done.store(true, Ordering::Relaxed);
            most = most.max(watcher.join().expect("PostgreSQL answers"));
        });
    }
    let answers = count(answers);
    Outcome {
        times: None,
        n: answers.values().sum(),
        counts: format!("at most {most} queries in flight; {}", status_counts(&answers)),
        passed: (1..=16).contains(&most) && answers.keys().all(|status| *status == 200),
    }
}

/// Waits, for at most 10 s, until the session that locks the table sleeps.
fn wait_for_lock(server: &Server) {
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let began = now();
    while server.sql(asleep) != "1" {
        assert!(now() - began < Duration::from_secs(10), "no session has locked the table");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// That many clients, each with an open connection.
fn connected(node: &ServerProcess, clients: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..clients).map(|_| Client::new(node.address)).collect();
    for client in &mut clients {
        client.connect().expect("the server accepts connections");
    }
    clients
}

/// One call with each key, all of them sent before the first answer is read.
fn all_at_once(mut clients: Vec<Client>, keys: &[Key]) -> Vec<u16> {
    for (client, key) in clients.iter_mut().zip(keys) {
        client.send(&key.ask()).expect("it listens");
    }
    clients.iter_mut().map(|client| client.receive().status).collect()
}

/// The largest number of Keyhouse statements that PostgreSQL executed at once; samples until `done`.
fn most_in_flight(server: &Server, done: &AtomicBool) -> i64 {
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name = 'keyhouse'";
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&server.url("postgres")).await.expect("PostgreSQL answers");
        let mut most = 0;
        while !done.load(Ordering::Relaxed) {
            let count: i64 = sqlx::query_scalar(active).fetch_one(&mut connection).await.expect("PostgreSQL answers");
            most = most.max(count);
        }
        most
    })
}

/// As an operator does it: stop one node, start its replacement, and continue when that is ready.
pub(crate) fn rolling_restart() -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let addresses = [(); 3].map(|()| child_process::free_address());
    let mut nodes = addresses.map(|address| serve_at(address, &place));
    let balancer = Balancer::in_front_of(&addresses);
    std::thread::sleep(Duration::from_secs(2));
    let load = Load::start(balancer.address(), 10, &good.ask(), Some(Duration::from_millis(100)));
    let full = rounds(5);
    for _ in 0..full {
        for (node, address) in nodes.iter_mut().zip(addresses) {
            assert!(node.terminate().success(), "it stops in order");
            *node = serve_at(address, &place);
            // The balancer checks every 0.5 s and needs one success.
            std::thread::sleep(Duration::from_secs(2));
        }
    }
    let answers = load.finish();
    let failed = answers.iter().filter(|answer| answer.status != 200).count();
    Outcome {
        times: Some(Times::of(answers.iter().map(|answer| answer.took))),
        n: answers.len(),
        counts: format!("{failed} failed in {full} rounds"),
        passed: failed == 0,
    }
}

fn serve_at(address: SocketAddr, place: &TestDatabase) -> ServerProcess {
    let mut settings = UNLIMITED.to_vec();
    settings.push(("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "2"));
    ServerProcess::start_at(address, place, "serve", "error", &settings)
}

/// Two browsers revoke, at a node each, while the address moves from the primary to its standby.
pub(crate) fn primary_killed() -> Outcome {
    let (mut acknowledged, mut lost, mut recovered) = (0, 0, true);
    let (mut calls, mut revocations) = (Vec::new(), Vec::new());
    for _ in 0..rounds(5) {
        let seen = fail_over();
        acknowledged += seen.acknowledged;
        lost += seen.lost;
        // The last response of each node comes from the new primary.
        recovered &=
            seen.calls.iter().map(|answers| answers.last()).all(|last| last.is_some_and(|last| last.status == 200));
        recovered &= seen.revocations.last().is_some_and(|last| last.status == 303);
        calls.extend(seen.calls.into_iter().flatten());
        revocations.extend(seen.revocations);
    }
    let (calls, revocations) = (statuses(&calls), statuses(&revocations));
    Outcome {
        times: None,
        n: acknowledged,
        counts: format!("{lost} lost; good key {}; revocations {}", status_counts(&calls), status_counts(&revocations)),
        passed: lost == 0
            && acknowledged > 0
            && recovered
            && calls.keys().all(|status| matches!(status, 200 | 503))
            && revocations.keys().all(|status| matches!(status, 303 | 503)),
    }
}

struct FailOver {
    acknowledged: usize,
    lost: usize,
    /// Of each node's own clients.
    calls: [Vec<Answered>; 2],
    revocations: Vec<Answered>,
}

fn fail_over() -> FailOver {
    let primary = Server::start();
    let standby = Server::standby_of(&primary);
    let proxy = Proxy::to(primary.address());
    let place = through(&proxy, &database(&primary));
    let good = set_up(&place);
    let in_process = InProcessApp::of(&place);
    let victims: Vec<Key> = (0..14).flat_map(|team| in_process.team(&format!("Team {team}"), 10)).collect();
    drop(in_process);
    let nodes = [serve(&place), serve(&place)];
    let browser = Browser::of_owner(&nodes[0], &place);
    let loads = nodes.each_ref().map(|node| steady(node, &good));
    let done: Vec<(&Key, Answered)> = std::thread::scope(|scope| {
        let revokers: Vec<_> = nodes
            .iter()
            .zip(victims.chunks(victims.len().div_ceil(2)))
            .map(|(node, victims)| {
                let browser = browser.at(node);
                scope.spawn(move || revoke_all(browser, victims))
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        primary.kill();
        std::thread::sleep(Duration::from_secs(2));
        standby.promote();
        proxy.lead_to(standby.address());
        revokers.into_iter().flat_map(|revoker| revoker.join().expect("a browser")).collect()
    });
    // The other node has 1 s to apply a revocation.
    std::thread::sleep(Duration::from_secs(1));
    let acknowledged: Vec<&Key> = done.iter().filter(|(_, answer)| answer.status == 303).map(|(key, _)| *key).collect();
    let is_refused = |key: &&Key| nodes.iter().all(|node| node.get("/api/v1/key", &key.token) == 401);
    FailOver {
        acknowledged: acknowledged.len(),
        lost: acknowledged.iter().filter(|key| !is_refused(key)).count(),
        calls: loads.map(Load::finish),
        revocations: done.into_iter().map(|(_, answer)| answer).collect(),
    }
}

/// Ten per second, each requested once.
fn revoke_all(mut browser: Browser, victims: &[Key]) -> Vec<(&Key, Answered)> {
    let mut answers = Vec::new();
    for victim in victims {
        let answer = browser.revoke(victim);
        answers.push((victim, answer));
        std::thread::sleep((answer.at + Duration::from_millis(100)).saturating_sub(now()));
    }
    answers
}
