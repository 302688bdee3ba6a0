//! System tests: release processes under load while a dependency fails, at full counts. `scripts/system-tests` runs them.
//!
//! Each scenario prints one table row: the promise, the measured times, the number of measurements and other counts. A
//! scenario that breaks its promise fails the run. Latencies that depend on the machine are compared with the same
//! machine without load.

mod abuse;
mod backups;
mod cluster;
mod histories;
mod lease;
mod limits;
mod load;
mod nodes;
mod outages;
mod races;
mod receipts;
mod report;
mod revocation;
mod soak;

use std::process::ExitCode;

pub(crate) use report::{Outcome, Times, status_counts};

/// A promise and the function that tests it.
struct Scenario {
    name: &'static str,
    promise: &'static str,
    run: fn() -> Outcome,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "revoke, same node, 1,000 calls after the answer",
        promise: "0 admitted",
        run: revocation::same_node,
    },
    Scenario {
        name: "revoke, two other nodes under load, 300 times",
        promise: "p99 0.5 s, max 1 s, by the clients and by the metrics of the nodes",
        run: revocation::two_other_nodes,
    },
    Scenario {
        name: "revoke, SQLite and a second process, 300 times",
        promise: "p99 0.5 s, max 1 s, by the clients and by the metrics of the node",
        run: revocation::second_process,
    },
    Scenario {
        name: "revoke and wait for the receipt, three nodes under load, one of them suspended now and then, 300 times",
        promise: "0 calls that begin after the receipt admitted",
        run: receipts::receipts_under_load,
    },
    Scenario {
        name: "rotation while 20 clients switch one by one, 200 calls a second on three nodes, 5 times",
        promise: "0 calls refused, former token dead at its end ± 1 s",
        run: receipts::rotation,
    },
    Scenario {
        name: "one node disconnected from the database",
        promise: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::cut_off,
    },
    Scenario {
        name: "one node black-holed from the database",
        promise: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::black_holed,
    },
    Scenario {
        name: "one node with 30 s of latency to the database",
        promise: "nothing admitted later than 3 s, then 503 + Retry-After, healthy 2 s after repair",
        run: lease::thirty_seconds_behind,
    },
    Scenario {
        name: "one node suspended during a revocation, 60 times",
        promise: "revocations on other nodes succeed within 2 s",
        run: lease::suspended_in_a_revocation,
    },
    Scenario {
        name: "database restored from a backup, failed over, counter set back",
        promise: "no cached record from before is used: 0 admitted",
        run: lease::rolled_back,
    },
    Scenario {
        name: "100,000 random and 100,000 forced interleavings of late look-ups",
        promise: "0 revoked keys admitted again or after a receipt",
        run: races::late_answers,
    },
    Scenario {
        name: "random histories of 10,000 steps, both engines",
        promise: "0 differences from the model",
        run: histories::histories,
    },
    Scenario {
        name: "random lives of keys on three nodes, 10,000 steps, both engines",
        promise: "0 differences from the model, 0 calls admitted after a receipt",
        run: histories::lifecycles,
    },
    Scenario {
        name: "one limit over three nodes with Redis, at 0.5, 1, 2 and 10 times the limit",
        promise: "95 to 105 % admitted, every key expires",
        run: limits::shared,
    },
    Scenario {
        name: "Redis absent",
        promise: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::absent,
    },
    Scenario {
        name: "Redis stalled",
        promise: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::stalled,
    },
    Scenario {
        name: "Redis flushed",
        promise: "99.9 % good, p99 + 25 ms, twice the limit in the window of the fault at most",
        run: limits::flushed,
    },
    Scenario {
        name: "kill -9 under writes, 200 times",
        promise: "0 acknowledged changes lost, ready in 2 s",
        run: outages::kill_nine,
    },
    Scenario {
        name: "SIGTERM under load, 50 times",
        promise: "0 calls broken, exit in 10 s, last use kept",
        run: outages::terminate,
    },
    Scenario {
        name: "PostgreSQL restarted under 50 calls a second",
        promise: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::postgres_restart,
    },
    Scenario {
        name: "PostgreSQL frozen for 20 s under 50 calls a second",
        promise: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::postgres_frozen,
    },
    Scenario {
        name: "PostgreSQL's tables locked for 20 s and the pools exhausted, under 50 calls a second",
        promise: "200 under a good lease, else 503, each in 3 s, normal in 5 s",
        run: outages::pool_exhausted,
    },
    Scenario {
        name: "two concurrent operations on one team: every pair, 500 rounds, both engines",
        promise: "exactly one owner, and at least one operation succeeds",
        run: races::one_owner,
    },
    Scenario {
        name: "SQLite on a full disk",
        promise: "writes 503, reads continue, recovers by itself, revoke works at once",
        run: outages::disk_full,
    },
    Scenario {
        name: "20 backups of SQLite under 500 writes a second",
        promise: "0 changes missing that were acknowledged before a backup began; keys revoked after it are listed, and not admitted unless accepted",
        run: backups::under_writes,
    },
    Scenario {
        name: "1,000,000 invented tokens",
        promise: "RSS + 32 MiB, no look-up for a bad checksum, a good key never refused, its p99 under 2 times that without load",
        run: abuse::invented_tokens,
    },
    Scenario {
        name: "guesses at a password from 1,000 networks",
        promise: "the owner signs in 10 times and revokes 5 keys meanwhile, RSS + 48 MiB",
        run: abuse::guesses,
    },
    Scenario {
        name: "1,000 cold calls with one key",
        promise: "1 look-up in the database",
        run: cluster::one_cold_key,
    },
    Scenario {
        name: "1,000 keys at once after a restart",
        promise: "16 queries in flight at most",
        run: cluster::many_cold_keys,
    },
    Scenario {
        name: "rolling restart of three nodes behind HAProxy, 100 calls a second",
        promise: "0 failed calls",
        run: cluster::rolling_restart,
    },
    Scenario {
        name: "PostgreSQL's primary killed, its synchronous standby promoted",
        promise: "0 revocations lost, only 503 meanwhile",
        run: cluster::primary_killed,
    },
    Scenario {
        name: "500 slow heads, 500 slow bodies, 500 slow readers",
        promise: "all closed, a good client's p99 under 2 times that without load",
        run: abuse::slow_clients,
    },
    Scenario {
        name: "mixed load for half an hour, both engines",
        promise: "RSS within 5 % after a warm-up, descriptors constant",
        run: soak::half_an_hour,
    },
];

/// The number of repetitions: `full`, or the share of it that `SYSTEM_TEST_PERCENT` sets, and at least 1.
pub(crate) fn rounds(full: usize) -> usize {
    (full * setting("SYSTEM_TEST_PERCENT").unwrap_or(100) / 100).max(1)
}

#[expect(clippy::disallowed_methods, reason = "settings of the tests, not of the program")]
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    println!("{}", report::HEADER);
    let mut failed = 0;
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&wanted)) {
        let outcome = (scenario.run)();
        failed += u8::from(!outcome.passed);
        println!("{}", outcome.row(scenario.name, scenario.promise));
    }
    ExitCode::from(u8::from(failed > 0))
}
