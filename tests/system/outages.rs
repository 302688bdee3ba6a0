//! Processes that are killed, databases that stop, a disk that is full.

use std::process::Command;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use serde_json::Value;

use super::load::{Answered, Client, Load, get, now, post, statuses};
use super::nodes::{Browser, Key, UNLIMITED, database, new_key, revoke, serve, set_up, until, url};
use super::{Outcome, Times, rounds, status_counts};
use test_support::process::{ServerProcess, run_json};
use test_support::{Server, TestDatabase};

const PRODUCT: &str = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
/// A lease lasts 3 s from a poll, and nodes poll every 250 ms; minus 250 ms for a busy machine.
const LEASE_LEFT: Duration = Duration::from_millis(2500);

/// Kills the process while clients create products and the command line creates and revokes keys. What was acknowledged
/// must be in the database.
pub(crate) fn kill_nine() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let (mut made, mut starts) = (0, Vec::new());
    let mut revoked: Vec<Key> = Vec::new();
    for round in 0..rounds(200) {
        let began = now();
        let mut serving = serve(&place);
        assert_eq!(serving.get("/api/v1/key", &good.token), 200);
        starts.push(now() - began);
        let load = Load::start(serving.address, 4, &post(&good.token, PRODUCT), None);
        let victim = new_key(&place);
        revoke(&place, &victim);
        revoked.push(victim);
        std::thread::sleep(Duration::from_millis(round as u64 % 20));
        serving.kill();
        made += load.finish().iter().filter(|answer| answer.status == 201).count();
    }
    let serving = serve(&place);
    let alive = revoked.iter().filter(|key| serving.get("/api/v1/key", &key.token) != 401).count();
    let lost = made.saturating_sub(products(&serving, &good));
    Outcome {
        n: starts.len(),
        passed: lost == 0 && alive == 0 && starts.iter().all(|start| *start < Duration::from_secs(2)),
        times: Some(Times::of(starts)),
        counts: format!("{lost} of {made} writes lost, {alive} revoked keys admitted"),
    }
}

/// How many products the key lists, over all pages.
fn products(serving: &ServerProcess, key: &Key) -> usize {
    let mut client = Client::new(serving.address);
    let (mut there, mut after) = (0, String::new());
    loop {
        let request = get(&format!("/api/v1/products?limit=100{after}"), &key.token);
        let reply = client.fetch(&request).expect("the node listens");
        let page: Value = serde_json::from_str(&reply.body).expect("JSON");
        there += page["data"]["data"].as_array().expect("rows").len();
        match page["data"]["nextCursor"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return there,
        }
    }
}

/// Sends SIGTERM while 16 clients call as fast as they can; the grace period is 1 s.
pub(crate) fn terminate() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let (mut calls, mut broken, mut exits, mut unwritten) = (0, 0, Vec::new(), 0);
    for _ in 0..rounds(50) {
        let mut settings = UNLIMITED.to_vec();
        settings.push(("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "1"));
        let mut serving = ServerProcess::start_with(&place, "serve", "error", &settings);
        let load = Load::behind_a_balancer(serving.address, 16, &get("/api/v1/products", &good.token));
        std::thread::sleep(Duration::from_millis(200));
        let (asked, asked_at) = (now(), Clock::System.now());
        let ended = serving.terminate();
        exits.push(now() - asked);
        let answers = load.finish();
        // The start of the last answered call, in the milliseconds of a last use.
        let last = answers.iter().map(|answer| answer.at).max().unwrap_or_default();
        let since = asked_at.ms() - 1 + (last.as_millis().cast_signed() - asked.as_millis().cast_signed()) as i64;
        unwritten += usize::from(!ended.success() || last_use(&place) < since);
        calls += answers.len();
        broken += answers.iter().filter(|answer| answer.status != 200).count();
    }
    Outcome {
        n: exits.len(),
        passed: broken == 0 && unwritten == 0 && exits.iter().all(|exit| *exit < Duration::from_secs(10)),
        times: Some(Times::of(exits)),
        counts: format!("{broken} of {calls} calls broken, {unwritten} last uses lost"),
    }
}

/// The newest last use in the list of keys, in Unix milliseconds.
fn last_use(place: &TestDatabase) -> i64 {
    let listed = run_json(place, &["key", "list", "--team", "acme"]);
    let used = listed.as_array().into_iter().flatten().filter_map(|key| key["lastUsedAt"].as_str());
    used.filter_map(|at| at.parse::<jiff::Timestamp>().ok())
        .map(jiff::Timestamp::as_millisecond)
        .max()
        .unwrap_or_default()
}

pub(crate) fn postgres_restart() -> Outcome {
    outage(|server, _| {
        server.kill();
        std::thread::sleep(Duration::from_secs(3));
        server.resume();
    })
}

pub(crate) fn postgres_frozen() -> Outcome {
    outage(|server, _| {
        server.freeze();
        std::thread::sleep(Duration::from_secs(20));
        server.thaw();
    })
}

/// Locks the tables that every call needs, so that all connections of the pools wait and calls wait for connections.
pub(crate) fn pool_exhausted() -> Outcome {
    outage(|server, url| {
        server.sql_in(url, "LOCK TABLE keys, products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20)");
    })
}

/// 50 calls a second before, during and after `fault`. A fifth of them need only the key's record, two fifths write.
fn outage(fault: impl FnOnce(&Server, &str)) -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let serving = serve(&place);
    let load = |clients: usize, request: &str| {
        Load::start(serving.address, clients, request, Some(Duration::from_millis(clients as u64 * 1000 / 10)))
    };
    let lookups = load(4, &good.ask());
    let reads = [load(5, &get("/api/v1/products", &good.token)), load(5, &get("/api/v1/products", &good.token))];
    let writes = [load(5, &post(&good.token, PRODUCT)), load(5, &post(&good.token, PRODUCT))];
    std::thread::sleep(Duration::from_secs(2));
    let began = now();
    fault(&server, url(&place));
    let back = now();
    std::thread::sleep(Duration::from_secs(10));
    let lookups = lookups.finish();
    let leased: Vec<Answered> =
        lookups.iter().filter(|answer| answer.at > began && answer.arrived() < began + LEASE_LEFT).copied().collect();
    let admitted = leased.iter().filter(|answer| answer.status == 200).count();
    let others = reads.into_iter().chain(writes).flat_map(Load::finish);
    let answers: Vec<Answered> = lookups.into_iter().chain(others).collect();
    let normal = answers.iter().filter(|answer| answer.status >= 500).map(Answered::arrived).max();
    let normal = normal.unwrap_or_default().saturating_sub(back);
    let (seen, times) = (statuses(&answers), Times::of(answers.iter().map(|answer| answer.took)));
    Outcome {
        times: Some(times),
        n: answers.len(),
        counts: format!(
            "{}; {admitted} of {} look-ups under the lease 200; normal after {:.2} s",
            status_counts(&seen),
            leased.len(),
            normal.as_secs_f64()
        ),
        passed: seen.keys().all(|status| matches!(status, 200 | 201 | 503))
            && answers.iter().all(|answer| answer.status != 503 || answer.has_retry_after)
            && admitted == leased.len()
            && times.max <= Duration::from_secs(3)
            && normal <= Duration::from_secs(5),
    }
}

/// On a tmpfs of 8 MiB that fills up; needs the right to mount it.
pub(crate) fn disk_full() -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs", &path]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return Outcome { counts: "not run: mounting a tmpfs is not permitted".to_owned(), ..Outcome::default() };
    }
    let place = TestDatabase::Folder(folder);
    let good = set_up(&place);
    let (by_browser, by_shell) = (new_key(&place), new_key(&place));
    let serving = serve(&place);
    let mut browser = Browser::of_owner(&serving, &place);
    let mut client = Client::new(serving.address);
    let mut call = |request: &str| client.call(request).map_or(0, |answer| answer.status);
    let warm = [&by_browser, &by_shell].map(|key| call(&key.ask()));
    assert_eq!(warm, [200, 200]);

    let filler = std::path::Path::new(&path).join("filler");
    let _full = Command::new("dd").args(["if=/dev/zero", "bs=4k", &format!("of={}", filler.display())]).output();
    let body = format!(r#"{{"name":"x","unitPrice":1,"currency":"EUR","description":"{}"}}"#, "x".repeat(2000));
    let writes: Vec<u16> = (0..20).map(|_| call(&post(&good.token, &body))).collect();
    let reads: Vec<u16> = (0..20).map(|_| call(&get("/api/v1/products?limit=1", &good.token))).collect();
    std::fs::remove_file(&filler).expect("the filler can be removed");
    let again = call(&post(&good.token, &body));
    let revoked = (browser.revoke(&by_browser).status, call(&by_browser.ask()));
    revoke(&place, &by_shell);
    let late = until(&serving, &by_shell, 401);
    drop(serving);
    let _unmounted = Command::new("umount").args(["-l", &path]).status();
    let refused = writes.iter().filter(|status| **status == 503).count();
    Outcome {
        times: None,
        n: writes.len() + reads.len(),
        counts: format!(
            "{refused} of 20 writes 503, {} of 20 reads 200; with space again a write {again}, a key revoked in the \
             browser {}, one revoked on the command line 401 after {:.2} s",
            reads.iter().filter(|status| **status == 200).count(),
            revoked.1,
            late.as_secs_f64()
        ),
        // The first two writes may still fit into allocated pages.
        passed: writes[2..].iter().all(|status| *status == 503)
            && writes.iter().all(|status| matches!(status, 201 | 503))
            && reads.iter().all(|status| *status == 200)
            && again == 201
            && revoked == (303, 401)
            && late <= Duration::from_secs(1),
    }
}
