//! A long day, in half an hour: does anything grow that should not?

use std::path::PathBuf;
use std::time::Duration;

use super::load::{Load, get, now, post, statuses};
use super::nodes::{FIFTY_A_SECOND, Key, database, new_key, revoke, serve, set_up, steady};
use super::{Outcome, setting};
use test_support::process::ServerProcess;
use test_support::{Server, TestDatabase};

/// By then, a sixth of the time, a node has seen all that it will be asked.
const WARM_UP_SHARE: u32 = 6;
/// Connections of clients and to the database come and go.
const SPARE_DESCRIPTORS: usize = 8;

/// What a process holds of the machine.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
}

impl Held {
    fn by(node: &ServerProcess) -> Self {
        let process = PathBuf::from(format!("/proc/{}", node.pid()));
        let descriptors = std::fs::read_dir(process.join("fd")).expect("the process runs").count();
        Self { resident_kib: node.resident_kib(), descriptors }
    }
}

/// A node of each engine side by side, under reads, writes, pages, verdicts, guesses, and keys that come and go.
pub fn half_an_hour() -> Outcome {
    let whole = Duration::from_secs(60 * setting("DRILL_MINUTES").unwrap_or(30) as u64);
    let server = Server::start();
    let worlds: Vec<_> = [("SQLite", TestDatabase::folder()), ("PostgreSQL", database(&server))]
        .into_iter()
        .map(|(engine, place)| {
            let key = set_up(&place);
            let node = serve(&place);
            (engine, place, key, node)
        })
        .collect();
    let loads: Vec<Load> = worlds.iter().flat_map(|(_, _, key, node)| mixed(node, key)).collect();
    let began = now();
    let (mut samples, mut churned) = (Vec::new(), 0);
    while now() - began < whole {
        for (_, place, _, _) in &worlds {
            revoke(place, &new_key(place));
            churned += 1;
        }
        std::thread::sleep(Duration::from_secs(1));
        if now() - began > whole / WARM_UP_SHARE {
            samples.push(worlds.iter().map(|(.., node)| Held::by(node)).collect::<Vec<_>>());
        }
    }
    let answers: Vec<_> = loads.into_iter().flat_map(Load::finish).collect();
    let statuses = statuses(&answers);
    let by_engine: Vec<Outcome> = worlds
        .iter()
        .enumerate()
        .map(|(nth, (engine, ..))| growth(engine, &samples.iter().map(|sample| sample[nth]).collect::<Vec<_>>()))
        .collect();
    let figures: Vec<_> = by_engine.iter().map(|seen| seen.figure.as_str()).collect();
    Outcome {
        figure: format!(
            "{:.0} minutes, {statuses:?}, {churned} keys made and revoked; {}",
            whole.as_secs_f64() / 60.0,
            figures.join("; ")
        ),
        kept: by_engine.iter().all(|seen| seen.kept)
            && statuses.keys().all(|status| matches!(status, 200 | 201 | 401 | 429)),
    }
}

fn growth(engine: &str, held: &[Held]) -> Outcome {
    let (first, last) = (held[0], held[held.len() - 1]);
    let most_kib = held.iter().map(|held| held.resident_kib).max().unwrap_or_default();
    let most_descriptors = held.iter().map(|held| held.descriptors).max().unwrap_or_default();
    let grown = most_kib as f64 / first.resident_kib as f64 - 1.0;
    Outcome {
        figure: format!(
            "{engine}: RSS {} MiB after the warm-up, + {:.1} % at most, {} MiB at the end; descriptors {}, {most_descriptors} at most, {} at the end",
            first.resident_kib / 1024,
            grown * 100.0,
            last.resident_kib / 1024,
            first.descriptors,
            last.descriptors
        ),
        kept: grown <= 0.05 && most_descriptors <= first.descriptors + SPARE_DESCRIPTORS,
    }
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
