//! Processes, databases and disks that go away.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Seen;
use super::load::{Answered, Client, Load, get, now, post};
use crate::harness::process::{Serving, run_json};
use crate::harness::{Place, Server};

const NO_LIMIT: &[(&str, &str)] = &[("KEYHOUSE_RATE_LIMIT_REQUESTS", "0"), ("KEYHOUSE_LOG", "error")];

fn setup(place: &Place) -> String {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    key(place)["token"].as_str().expect("a token").to_owned()
}

fn key(place: &Place) -> Value {
    run_json(place, &["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"])
}

fn serve(place: &Place) -> Serving {
    Serving::start_with(place, "serve", "error", NO_LIMIT)
}

/// Writers make products and a shell makes and revokes keys when the axe falls; whatever was acknowledged must be there.
pub fn kill_nine() -> Seen {
    let place = Place::folder();
    let token = setup(&place);
    let (mut made, mut slowest, mut lost) = (0, Duration::ZERO, 0);
    let mut revoked: Vec<String> = Vec::new();
    for round in 0..200 {
        let began = now();
        let mut serving = serve(&place);
        assert_eq!(serving.get("/api/v1/key", &token), 200);
        slowest = slowest.max(now() - began);
        let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
        let load = Load::start(serving.address, 4, &post(&token, body), None);
        let victim = key(&place);
        run_json(&place, &["key", "revoke", victim["id"].as_str().expect("an id")]);
        revoked.push(victim["token"].as_str().expect("a token").to_owned());
        std::thread::sleep(Duration::from_millis(round % 20));
        serving.kill();
        made += load.finish().iter().filter(|answer| answer.status == 201).count();
    }
    let serving = serve(&place);
    let alive = revoked.iter().filter(|token| serving.get("/api/v1/key", token) != 401).count();
    let (mut there, mut after) = (0, String::new());
    loop {
        let request = format!(
            "GET /api/v1/products?limit=100{after} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let page = serving.send(request.as_bytes());
        let page: Value = serde_json::from_str(page.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
        there += page["data"]["data"].as_array().expect("rows").len();
        match page["data"]["nextCursor"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    lost += made.saturating_sub(there);
    Seen {
        figure: format!(
            "{lost} of {made} lost, {alive} revoked alive, ready in {:.2} s at most",
            slowest.as_secs_f64()
        ),
        kept: lost == 0 && alive == 0 && slowest < Duration::from_secs(2),
    }
}

/// Sixteen clients call as fast as they can when the process is asked to stop, with a grace of a second.
pub fn terminate() -> Seen {
    let place = Place::folder();
    let token = setup(&place);
    let (mut calls, mut broken, mut slowest, mut unwritten) = (0, 0, Duration::ZERO, 0);
    for _ in 0..50 {
        let mut settings = NO_LIMIT.to_vec();
        settings.push(("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "1"));
        let mut serving = Serving::start_with(&place, "serve", "error", &settings);
        let load = Load::behind_a_balancer(serving.address, 16, &get("/api/v1/products", &token));
        std::thread::sleep(Duration::from_millis(200));
        let asked = now();
        let ended = serving.terminate();
        slowest = slowest.max(now() - asked);
        unwritten += usize::from(!ended.success());
        let answers = load.finish();
        calls += answers.len();
        broken += answers.iter().filter(|answer| answer.status != 200).count();
    }
    Seen {
        figure: format!(
            "{broken} of {calls} calls broken, exit in {:.1} s at most, {unwritten} last uses lost",
            slowest.as_secs_f64()
        ),
        kept: broken == 0 && unwritten == 0 && slowest < Duration::from_secs(10),
    }
}

pub fn postgres_restart() -> Seen {
    outage(Duration::from_secs(3), |server| {
        server.kill();
        std::thread::sleep(Duration::from_secs(3));
        server.resume();
    })
}

pub fn postgres_frozen() -> Seen {
    outage(Duration::from_secs(5), |server| {
        server.freeze();
        std::thread::sleep(Duration::from_secs(20));
        server.thaw();
    })
}

/// 50 calls a second, half of them writes, before, while and after `what` happens to the server.
fn outage(limit: Duration, what: impl FnOnce(&Server)) -> Seen {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = Place::Postgres { url: runtime.block_on(server.new_database()) };
    let token = setup(&place);
    let serving = serve(&place);
    let pause = Some(Duration::from_millis(400));
    let reads = Load::start(serving.address, 10, &get("/api/v1/products", &token), pause);
    let writes =
        Load::start(serving.address, 10, &post(&token, r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#), pause);
    std::thread::sleep(Duration::from_secs(2));
    what(&server);
    let back = now();
    std::thread::sleep(Duration::from_secs(10));
    let answers: Vec<Answered> = reads.finish().into_iter().chain(writes.finish()).collect();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in &answers {
        *statuses.entry(answer.status).or_default() += 1;
    }
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    let bad = |answer: &&Answered| answer.status >= 500;
    let normal =
        answers.iter().filter(bad).map(|answer| answer.at + answer.took).max().unwrap_or_default().saturating_sub(back);
    Seen {
        figure: format!(
            "{statuses:?}, slowest {:.2} s, normal after {:.2} s",
            slowest.as_secs_f64(),
            normal.as_secs_f64()
        ),
        kept: statuses.keys().all(|status| matches!(status, 200 | 201 | 503))
            && slowest <= limit
            && normal <= Duration::from_secs(5),
    }
}

/// On a file system of 8 MiB that fills up; needs the right to mount one.
pub fn disk_full() -> Seen {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs", &path]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return Seen { figure: "not run: no right to mount".to_owned(), kept: true };
    }
    let place = Place::Folder(folder);
    let token = setup(&place);
    let spare = key(&place);
    let serving = serve(&place);
    let filler = std::path::Path::new(&path).join("filler");
    // All but nothing: the first write may still find room in a page.
    let _full = Command::new("dd").args(["if=/dev/zero", "bs=4k", &format!("of={}", filler.display())]).output();
    let mut client = Client::new(serving.address);
    let body = format!(r#"{{"name":"x","unitPrice":1,"currency":"EUR","description":"{}"}}"#, "x".repeat(2000));
    let mut call = |request: &str| client.call(request).map_or(0, |answer| answer.status);
    let writes: Vec<u16> = (0..20).map(|_| call(&post(&token, &body))).collect();
    let reads: Vec<u16> = (0..20).map(|_| call(&get("/api/v1/products?limit=1", &token))).collect();
    std::fs::remove_file(&filler).expect("the filler goes");
    let again = call(&post(&token, &body));
    run_json(&place, &["key", "revoke", spare["id"].as_str().expect("an id")]);
    let revoked = call(&get("/api/v1/key", spare["token"].as_str().expect("a token")));
    drop(serving);
    let _unmounted = Command::new("umount").args(["-l", &path]).status();
    let refused = writes.iter().filter(|status| **status == 503).count();
    Seen {
        figure: format!(
            "{refused} of 20 writes 503, {} of 20 reads 200, then a write {again}, a revoked key {revoked}",
            reads.iter().filter(|s| **s == 200).count()
        ),
        kept: refused > 0
            && writes.iter().all(|s| matches!(s, 201 | 503))
            && reads.iter().all(|s| *s == 200)
            && again == 201
            && revoked == 401,
    }
}
