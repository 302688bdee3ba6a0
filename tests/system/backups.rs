//! Backups that are made while clients write, and what a restore brings back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::Connection;
use tokio::runtime::Runtime;

use super::load::{Client, now, post};
use super::nodes::{InProcessApp, Key, revoke, serve, set_up};
use super::{Outcome, Times, rounds};
use test_support::TestDatabase;
use test_support::process::{keyhouse, run_json};

/// Clients, and the time from one write of a client to its next: 500 writes a second together.
const WRITERS: usize = 10;
const EVERY: Duration = Duration::from_millis(20);

/// A backup, and what was acknowledged before it began.
struct Taken {
    file: String,
    took: Duration,
    /// Names of products.
    created: Vec<String>,
    /// A key that was revoked before.
    revoked: Key,
}

/// What a run with backups leaves.
struct Made {
    backups: Vec<Taken>,
    /// Keys that were revoked after the last backup.
    later: Vec<Key>,
    /// Acknowledged writes.
    writes: usize,
    period: Duration,
}

/// Backs a SQLite database up twenty times under 500 writes a second. Each backup is restored into a folder of its own; the
/// last one also over the database that is there.
pub(crate) fn under_writes() -> Outcome {
    let place = TestDatabase::folder();
    let good = set_up(&place);
    let files = tempfile::tempdir().expect("a folder");
    // For each backup one key that is revoked before it, and one that is revoked after the last.
    let teams = InProcessApp::of(&place);
    let keys: Vec<Vec<Key>> = (0..rounds(20)).map(|n| teams.team(&format!("Team {n}"), 2)).collect();
    drop(teams);
    let made = write_and_back_up(&place, &good, keys, files.path());

    let (mut missing, mut alive) = (0, 0);
    for taken in &made.backups {
        let second = TestDatabase::folder();
        let restored = run_json(&second, &["restore", &taken.file]);
        assert_eq!(restored["compared"], false, "there is nothing to compare with in a new folder");
        let there = products(&second);
        missing += taken.created.iter().filter(|name| !there.contains(*name)).count();
        let serving = serve(&second);
        assert_eq!(serving.get("/api/v1/key", &good.token), 200, "the restored database serves");
        alive += usize::from(serving.get("/api/v1/key", &taken.revoked.token) != 401);
    }
    let last = made.backups.last().expect("at least one backup");
    let expected: HashSet<String> = made.later.iter().map(|key| key.id.clone()).collect();
    let (listed, unaccepted, accepted) = restore_over(&place, &last.file, &made.later);
    let times = Times::of(made.backups.iter().map(|taken| taken.took));
    let rate = made.writes as f64 / made.period.as_secs_f64();
    Outcome {
        times: Some(times),
        n: made.backups.len(),
        counts: format!(
            "{rate:.0} writes a second; {missing} acknowledged products missing, {alive} keys revoked before a backup \
             admitted; of {} keys revoked after the last backup {} listed, {unaccepted} admitted without --accept, \
             {accepted} with it; the times are those of a backup",
            expected.len(),
            listed.intersection(&expected).count()
        ),
        passed: missing == 0 && alive == 0 && listed == expected && unaccepted == 0 && accepted == expected.len(),
    }
}

/// One backup a second, each after the revocation of a key.
fn write_and_back_up(place: &TestDatabase, good: &Key, keys: Vec<Vec<Key>>, files: &Path) -> Made {
    let serving = serve(place);
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let (mut backups, mut later) = (Vec::new(), Vec::new());
    let began = now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (acknowledged, stop, address) = (&acknowledged, &stop, serving.address);
            scope.spawn(move || {
                let (mut client, mut due) = (Client::new(address), now());
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("{writer}-{n}");
                    let request = post(&good.token, &format!(r#"{{"name":"{name}","unitPrice":1,"currency":"EUR"}}"#));
                    if client.call(&request).is_some_and(|answer| answer.status == 201) {
                        acknowledged.lock().expect("no writer panicked").push(name);
                    }
                    // Writes that are late are made up for, so that the rate is kept.
                    due += EVERY;
                    std::thread::sleep(due.saturating_sub(now()));
                }
            });
        }
        for (n, pair) in keys.into_iter().enumerate() {
            std::thread::sleep(Duration::from_secs(1));
            let [before, after] = <[Key; 2]>::try_from(pair).expect("two keys");
            revoke(place, &before);
            let file = files.join(format!("{n}.db")).display().to_string();
            let created = acknowledged.lock().expect("no writer panicked").clone();
            let start = now();
            assert_eq!(run_json(place, &["backup", &file])["verified"], true);
            let took = now() - start;
            backups.push(Taken { file, took, created, revoked: before });
            later.push(after);
        }
        for key in &later {
            revoke(place, key);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let writes = acknowledged.into_inner().expect("no writer panicked").len();
    Made { backups, later, writes, period: now() - began }
}

/// Restores a backup over the database that is there. Returns the keys that it lists as returning, how many of `revoked` are
/// admitted after `--carry-over`, and how many after `--accept`.
fn restore_over(place: &TestDatabase, file: &str, revoked: &[Key]) -> (HashSet<String>, usize, usize) {
    let accepting = copy_of(place);
    let refused = keyhouse(place, &["restore", file, "--json"]).output().expect("keyhouse runs");
    assert_eq!(refused.status.code(), Some(1), "a backup that gives access back is not restored unless it is accepted");
    let report: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    let returning = report["returning"].as_array().expect("a list");
    let listed =
        |key: &&Key| returning.iter().any(|one| one["subject"].as_str().is_some_and(|it| it.contains(&key.id)));
    let listed: HashSet<String> = revoked.iter().filter(listed).map(|key| key.id.clone()).collect();
    let admitted = |place: &TestDatabase| {
        let serving = serve(place);
        revoked.iter().filter(|key| serving.get("/api/v1/key", &key.token) != 401).count()
    };
    run_json(place, &["restore", file, "--carry-over"]);
    let unaccepted = admitted(place);
    run_json(&accepting, &["restore", file, "--accept", &returning.len().to_string()]);
    (listed, unaccepted, admitted(&accepting))
}

/// A copy of a database that no process uses.
fn copy_of(place: &TestDatabase) -> TestDatabase {
    let copy = TestDatabase::folder();
    for file in std::fs::read_dir(folder(place)).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder(&copy).join(file.file_name())).expect("a copy");
    }
    copy
}

fn folder(place: &TestDatabase) -> &Path {
    match place {
        TestDatabase::Folder(folder) => folder.path(),
        TestDatabase::Postgres { .. } => unreachable!("it is a folder"),
    }
}

/// The names of all products.
fn products(place: &TestDatabase) -> HashSet<String> {
    let url = format!("sqlite://{}", folder(place).join("keyhouse.db").display());
    let names: Vec<String> = Runtime::new().expect("a runtime").block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the restored database");
        sqlx::query_scalar("SELECT name FROM products").fetch_all(&mut connection).await.expect("names")
    });
    names.into_iter().collect()
}
