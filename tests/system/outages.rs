//! Processes, databases and disks that go away.

use std::process::Command;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use serde_json::Value;

use super::load::{Answered, Client, Load, get, now, post, slowest, statuses};
use super::nodes::{ClientInfo, Key, UNLIMITED, database, new_key, revoke, serve, set_up, until, url};
use super::{Outcome, rounds};
use test_support::process::{ServerProcess, run_json};
use test_support::{Server, TestDatabase};

const PRODUCT: &str = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
/// A lease is good for 3 s from the question, of which there are four a second; less what a busy machine takes.
const LEASE_LEFT: Duration = Duration::from_millis(2500);

/// Writers make products and a shell makes and revokes keys when the axe falls; whatever was acknowledged must be there.
pub fn kill_nine() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let (mut made, mut longest) = (0, Duration::ZERO);
    let mut revoked: Vec<Key> = Vec::new();
    for round in 0..rounds(200) {
        let began = now();
        let mut serving = serve(&place);
        assert_eq!(serving.get("/api/v1/key", &good.token), 200);
        longest = longest.max(now() - began);
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
        figure: format!(
            "{lost} of {made} lost, {alive} revoked alive, ready in {:.2} s at most",
            longest.as_secs_f64()
        ),
        kept: lost == 0 && alive == 0 && longest < Duration::from_secs(2),
    }
}

/// How many there are, page by page.
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

/// Sixteen clients call as fast as they can when the process is asked to stop, with a grace of a second.
pub fn terminate() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let (mut calls, mut broken, mut slowest, mut unwritten) = (0, 0, Duration::ZERO, 0);
    for _ in 0..rounds(50) {
        let mut settings = UNLIMITED.to_vec();
        settings.push(("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "1"));
        let mut serving = ServerProcess::start_with(&place, "serve", "error", &settings);
        let load = Load::behind_a_balancer(serving.address, 16, &get("/api/v1/products", &good.token));
        std::thread::sleep(Duration::from_millis(200));
        let (asked, asked_at) = (now(), Clock::System.now());
        let ended = serving.terminate();
        slowest = slowest.max(now() - asked);
        let answers = load.finish();
        // No earlier than the last call that was answered began, in the milliseconds that a last use has.
        let last = answers.iter().map(|answer| answer.at).max().unwrap_or_default();
        let since = asked_at.ms() - 1 + (last.as_millis().cast_signed() - asked.as_millis().cast_signed()) as i64;
        unwritten += usize::from(!ended.success() || last_use(&place) < since);
        calls += answers.len();
        broken += answers.iter().filter(|answer| answer.status != 200).count();
    }
    Outcome {
        figure: format!(
            "{broken} of {calls} calls broken, exit in {:.1} s at most, {unwritten} last uses lost",
            slowest.as_secs_f64()
        ),
        kept: broken == 0 && unwritten == 0 && slowest < Duration::from_secs(10),
    }
}

/// When a key was last used, by the list of keys, in Unix milliseconds.
fn last_use(place: &TestDatabase) -> i64 {
    let listed = run_json(place, &["key", "list", "--team", "acme"]);
    let used = listed.as_array().into_iter().flatten().filter_map(|key| key["lastUsedAt"].as_str());
    used.filter_map(|at| at.parse::<jiff::Timestamp>().ok())
        .map(jiff::Timestamp::as_millisecond)
        .max()
        .unwrap_or_default()
}

pub fn postgres_restart() -> Outcome {
    outage(|server, _| {
        server.kill();
        std::thread::sleep(Duration::from_secs(3));
        server.resume();
    })
}

pub fn postgres_frozen() -> Outcome {
    outage(|server, _| {
        server.freeze();
        std::thread::sleep(Duration::from_secs(20));
        server.thaw();
    })
}

/// Somebody locks what every call needs: each connection of the node's pools waits for it, and calls wait for those.
pub fn pool_exhausted() -> Outcome {
    outage(|server, url| {
        server.sql_in(url, "LOCK TABLE keys, products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20)");
    })
}

/// 50 calls a second, a fifth of which need no more than the key's record and two fifths write, before, while and after
/// `what` happens to the server.
fn outage(what: impl FnOnce(&Server, &str)) -> Outcome {
    let server = Server::start();
    let place = database(&server);
    let good = set_up(&place);
    let serving = serve(&place);
    let load = |clients: usize, request: &str| {
        Load::start(serving.address, clients, request, Some(Duration::from_millis(clients as u64 * 1000 / 10)))
    };
    let verdicts = load(4, &good.ask());
    let reads = [load(5, &get("/api/v1/products", &good.token)), load(5, &get("/api/v1/products", &good.token))];
    let writes = [load(5, &post(&good.token, PRODUCT)), load(5, &post(&good.token, PRODUCT))];
    std::thread::sleep(Duration::from_secs(2));
    let began = now();
    what(&server, url(&place));
    let back = now();
    std::thread::sleep(Duration::from_secs(10));
    let verdicts = verdicts.finish();
    let leased: Vec<Answered> =
        verdicts.iter().filter(|answer| answer.at > began && answer.arrived() < began + LEASE_LEFT).copied().collect();
    let admitted = leased.iter().filter(|answer| answer.status == 200).count();
    let others = reads.into_iter().chain(writes).flat_map(Load::finish);
    let answers: Vec<Answered> = verdicts.into_iter().chain(others).collect();
    let normal = answers.iter().filter(|answer| answer.status >= 500).map(Answered::arrived).max();
    let normal = normal.unwrap_or_default().saturating_sub(back);
    let (seen, slowest) = (statuses(&answers), slowest(&answers));
    Outcome {
        figure: format!(
            "{seen:?}, {admitted} of {} verdicts under the lease 200, slowest {:.2} s, normal after {:.2} s",
            leased.len(),
            slowest.as_secs_f64(),
            normal.as_secs_f64()
        ),
        kept: seen.keys().all(|status| matches!(status, 200 | 201 | 503))
            && answers.iter().all(|answer| answer.status != 503 || answer.says_when)
            && admitted == leased.len()
            && slowest <= Duration::from_secs(3)
            && normal <= Duration::from_secs(5),
    }
}

/// On a file system of 8 MiB that fills up; needs the right to mount one.
pub fn disk_full() -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs", &path]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return Outcome { figure: "not run: no right to mount".to_owned(), kept: false };
    }
    let place = TestDatabase::Folder(folder);
    let good = set_up(&place);
    let (by_browser, by_shell) = (new_key(&place), new_key(&place));
    let serving = serve(&place);
    let mut browser = ClientInfo::of_owner(&serving, &place);
    let mut client = Client::new(serving.address);
    let mut call = |request: &str| client.call(request).map_or(0, |answer| answer.status);
    let warm = [&by_browser, &by_shell].map(|key| call(&key.ask()));
    assert_eq!(warm, [200, 200]);

    let filler = std::path::Path::new(&path).join("filler");
    // All but nothing: the first write may still find room in a page.
    let _full = Command::new("dd").args(["if=/dev/zero", "bs=4k", &format!("of={}", filler.display())]).output();
    let body = format!(r#"{{"name":"x","unitPrice":1,"currency":"EUR","description":"{}"}}"#, "x".repeat(2000));
    let writes: Vec<u16> = (0..20).map(|_| call(&post(&good.token, &body))).collect();
    let reads: Vec<u16> = (0..20).map(|_| call(&get("/api/v1/products?limit=1", &good.token))).collect();
    std::fs::remove_file(&filler).expect("the filler goes");
    let again = call(&post(&good.token, &body));
    let revoked = (browser.revoke(&by_browser).status, call(&by_browser.ask()));
    revoke(&place, &by_shell);
    let late = until(&serving, &by_shell, 401);
    drop(serving);
    let _unmounted = Command::new("umount").args(["-l", &path]).status();
    let refused = writes.iter().filter(|status| **status == 503).count();
    Outcome {
        figure: format!(
            "{refused} of 20 writes 503, {} of 20 reads 200; then a write {again}, a key revoked there {}, in the shell 401 after {:.2} s",
            reads.iter().filter(|status| **status == 200).count(),
            revoked.1,
            late.as_secs_f64()
        ),
        // The first writes may still find room in a page.
        kept: writes[2..].iter().all(|status| *status == 503)
            && writes.iter().all(|status| matches!(status, 201 | 503))
            && reads.iter().all(|status| *status == 200)
            && again == 201
            && revoked == (303, 401)
            && late <= Duration::from_secs(1),
    }
}
