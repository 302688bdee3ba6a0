//! What takes real time and full counts: release processes under load, while things break. `scripts/drills` runs it.
//!
//! Each drill prints one row: what was done, the figure that was promised, the figure that was seen. A drill that misses
//! its figure says so and fails the run; figures that a noisy machine can spoil are ratios to the same machine, quiet.

mod abuse;
mod cluster;
mod histories;
mod lease;
mod limits;
mod load;
mod nodes;
mod outages;
mod races;
mod revocation;
mod soak;

use std::process::ExitCode;

/// What a drill saw: its figure in words, and whether it is what was promised.
pub struct Outcome {
    pub figure: String,
    pub kept: bool,
}

/// A promise and the drill that tries it.
struct Scenario {
    name: &'static str,
    promised: &'static str,
    run: fn() -> Outcome,
}

const DRILLS: &[Scenario] = &[
    Scenario {
        name: "revoke, same node, 1,000 calls after the answer",
        promised: "0 admitted",
        run: revocation::same_node,
    },
    Scenario {
        name: "revoke, two other nodes under load, 300 times",
        promised: "p99 0.5 s, max 1 s, and the nodes say so too",
        run: revocation::two_other_nodes,
    },
    Scenario {
        name: "revoke, SQLite and a second process, 300 times",
        promised: "p99 0.5 s, max 1 s, and the node says so too",
        run: revocation::second_process,
    },
    Scenario {
        name: "one node cut off from the database",
        promised: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::cut_off,
    },
    Scenario {
        name: "one node black-holed from the database",
        promised: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::black_holed,
    },
    Scenario {
        name: "one node 30 s behind the database",
        promised: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::thirty_seconds_behind,
    },
    Scenario {
        name: "one node frozen in the middle of a revoke, 60 times",
        promised: "the others' revokes go on in 2 s",
        run: lease::frozen_in_a_revoke,
    },
    Scenario {
        name: "database restored from a backup, failed over, counter set back",
        promised: "no record from before is believed: 0 admitted",
        run: lease::gone_back,
    },
    Scenario {
        name: "100,000 forced interleavings of look-ups that land late, and as many that overtake",
        promised: "0 revived keys",
        run: races::late_answers,
    },
    Scenario {
        name: "random histories of 10,000 steps, both engines",
        promised: "0 differences from the model",
        run: histories::histories,
    },
    Scenario {
        name: "one limit over three nodes with Redis, at 0.5, 1, 2 and 10 times the limit",
        promised: "95 to 105 % admitted, every key expires",
        run: limits::shared,
    },
    Scenario {
        name: "Redis absent",
        promised: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::absent,
    },
    Scenario {
        name: "Redis stalled",
        promised: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::stalled,
    },
    Scenario {
        name: "Redis flushed",
        promised: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::flushed,
    },
    Scenario {
        name: "kill -9 under writes, 200 times",
        promised: "0 acknowledged changes lost, ready in 2 s",
        run: outages::kill_nine,
    },
    Scenario {
        name: "SIGTERM under load, 50 times",
        promised: "0 calls broken, exit in 10 s, last use kept",
        run: outages::terminate,
    },
    Scenario {
        name: "PostgreSQL restarted under 50 calls a second",
        promised: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::postgres_restart,
    },
    Scenario {
        name: "PostgreSQL frozen for 20 s under 50 calls a second",
        promised: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::postgres_frozen,
    },
    Scenario {
        name: "PostgreSQL's tables locked for 20 s and the pools exhausted, under 50 calls a second",
        promised: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::pool_exhausted,
    },
    Scenario {
        name: "two deeds on one team at once: every pair, 500 rounds, both engines",
        promised: "one owner, and a deed that is done",
        run: races::one_owner,
    },
    Scenario {
        name: "SQLite on a full disk",
        promised: "writes 503, reads go on, recovers by itself, revoke works at once",
        run: outages::disk_full,
    },
    Scenario {
        name: "1,000,000 made-up tokens",
        promised: "RSS + 32 MiB, no look-up for a bad checksum, a good key never refused, its p99 under 2 x quiet",
        run: abuse::made_up_tokens,
    },
    Scenario {
        name: "1,000 cold calls with one key",
        promised: "1 look-up in the database",
        run: cluster::one_cold_key,
    },
    Scenario {
        name: "1,000 keys at once after a restart",
        promised: "16 queries in flight at most",
        run: cluster::many_cold_keys,
    },
    Scenario {
        name: "rolling restart of three nodes behind HAProxy, 100 calls a second",
        promised: "0 failed calls",
        run: cluster::rolling_restart,
    },
    Scenario {
        name: "PostgreSQL's primary killed, its synchronous standby promoted",
        promised: "0 revocations lost, only 503 meanwhile",
        run: cluster::primary_killed,
    },
    Scenario {
        name: "500 slow heads, 500 slow bodies, 500 slow readers",
        promised: "all closed, a good client's p99 under 2 x quiet",
        run: abuse::slow_clients,
    },
    Scenario {
        name: "mixed load for half an hour, both engines",
        promised: "RSS within 5 % after a warm-up, descriptors flat",
        run: soak::half_an_hour,
    },
];

/// How often to do something: as often as promised, or a share of it for a first look (`DRILL_PERCENT=5`).
pub fn rounds(full: usize) -> usize {
    (full * setting("DRILL_PERCENT").unwrap_or(100) / 100).max(1)
}

#[expect(clippy::disallowed_methods, reason = "settings of the drills, not of the program")]
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

/// What a node says of itself, if it does.
pub fn said(value: Option<f64>) -> String {
    value.map_or_else(|| "unsaid".to_owned(), |value| value.to_string())
}

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    println!("| drill | promised | seen | |\n|---|---|---|---|");
    let mut missed = 0;
    for drill in DRILLS.iter().filter(|drill| drill.name.contains(&wanted)) {
        let seen = (drill.run)();
        missed += u8::from(!seen.kept);
        println!(
            "| {} | {} | {} | {} |",
            drill.name,
            drill.promised,
            seen.figure,
            if seen.kept { "kept" } else { "MISSED" }
        );
    }
    ExitCode::from(u8::from(missed > 0))
}
