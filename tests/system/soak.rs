//! Half an hour of mixed load: resident memory and file descriptors must not grow.

use std::path::PathBuf;
use std::time::Duration;

use super::load::{Load, get, now, post, statuses};
use super::nodes::{FIFTY_A_SECOND, Key, database, new_key, revoke, serve, set_up, steady};
use super::{Outcome, setting, status_counts};
use test_support::process::ServerProcess;
use test_support::{Server, TestDatabase};

/// The warm-up is a sixth of the run; by then every kind of request was made many times.
const WARM_UP_SHARE: u32 = 6;
/// Connections to clients and to the database are opened and closed all the time.
const SPARE_DESCRIPTORS: usize = 8;

/// The resources of a process.
#[derive(Debug, Clone, Copy)]
struct Usage {
    resident_kib: u64,
    descriptors: usize,
}

impl Usage {
    fn by(node: &ServerProcess) -> Self {
        let process = PathBuf::from(format!("/proc/{}", node.pid()));
        let descriptors = std::fs::read_dir(process.join("fd")).expect("the process runs").count();
        Self { resident_kib: node.resident_kib(), descriptors }
    }
}

/// A node on each engine side by side, under reads, writes, pages, bad tokens, and keys that are created and revoked.
pub(crate) fn half_an_hour() -> Outcome {
    let whole = Duration::from_secs(60 * setting("SYSTEM_TEST_MINUTES").unwrap_or(30) as u64);
    let server = Server::start();
    let nodes: Vec<_> = [("SQLite", TestDatabase::folder()), ("PostgreSQL", database(&server))]
        .into_iter()
        .map(|(engine, place)| {
            let key = set_up(&place);
            let node = serve(&place);
            (engine, place, key, node)
        })
        .collect();
    let loads: Vec<Load> = nodes.iter().flat_map(|(_, _, key, node)| mixed(node, key)).collect();
    let began = now();
    let (mut samples, mut churned) = (Vec::new(), 0);
    while now() - began < whole {
        for (_, place, _, _) in &nodes {
            revoke(place, &new_key(place));
            churned += 1;
        }
        std::thread::sleep(Duration::from_secs(1));
        if now() - began > whole / WARM_UP_SHARE {
            samples.push(nodes.iter().map(|(.., node)| Usage::by(node)).collect::<Vec<_>>());
        }
    }
    let answers: Vec<_> = loads.into_iter().flat_map(Load::finish).collect();
    let statuses = statuses(&answers);
    let by_engine: Vec<(String, bool)> = nodes
        .iter()
        .enumerate()
        .map(|(nth, (engine, ..))| growth(engine, &samples.iter().map(|sample| sample[nth]).collect::<Vec<_>>()))
        .collect();
    let counts: Vec<_> = by_engine.iter().map(|(counts, _)| counts.as_str()).collect();
    Outcome {
        times: None,
        n: answers.len(),
        counts: format!(
            "{:.0} minutes, {}; {churned} keys created and revoked; {}",
            whole.as_secs_f64() / 60.0,
            status_counts(&statuses),
            counts.join("; ")
        ),
        passed: by_engine.iter().all(|(_, passed)| *passed)
            && statuses.keys().all(|status| matches!(status, 200 | 201 | 401 | 429)),
    }
}

/// The growth after the warm-up in words, and whether it is within the limits.
fn growth(engine: &str, usage: &[Usage]) -> (String, bool) {
    let (first, last) = (usage[0], usage[usage.len() - 1]);
    let most_kib = usage.iter().map(|usage| usage.resident_kib).max().unwrap_or_default();
    let most_descriptors = usage.iter().map(|usage| usage.descriptors).max().unwrap_or_default();
    let grown = most_kib as f64 / first.resident_kib as f64 - 1.0;
    let text = format!(
        "{engine}: RSS {} MiB after the warm-up, at most + {:.1} %, {} MiB at the end; descriptors {}, at most \
         {most_descriptors}, {} at the end",
        first.resident_kib / 1024,
        grown * 100.0,
        last.resident_kib / 1024,
        first.descriptors,
        last.descriptors
    );
    (text, grown <= 0.05 && most_descriptors <= first.descriptors + SPARE_DESCRIPTORS)
}

fn mixed(node: &ServerProcess, key: &Key) -> Vec<Load> {
    let unknown = format!("{}0", &key.token[..49]);
    let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let load = |request: &str, every| Load::start(node.address, 1, request, every);
    vec![
        steady(node, key),
        load(&get("/api/v1/products?limit=20", &key.token), FIFTY_A_SECOND),
        load(&post(&key.token, product), Some(Duration::from_millis(200))),
        load(&get("/api/v1/key", &unknown), Some(Duration::from_millis(100))),
        load(&get("/sign-in", "none"), Some(Duration::from_millis(100))),
    ]
}
