//! Concurrent operations: two on one team, and a look-up with a revocation.

use crate::{Outcome, rounds};
use test_support::{Engine, TestApp, interleavings, races};

const ROUNDS: usize = 500;

/// `every_pair` asserts the invariants; a pair that breaks one stops the run with its name.
pub(crate) fn one_owner() -> Outcome {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        races::every_pair(&TestApp::on(Engine::Sqlite).await, ROUNDS).await;
        races::every_pair(&TestApp::on(Engine::Postgres).await, ROUNDS).await;
    });
    Outcome {
        n: 2 * 15 * ROUNDS,
        counts: "0 rounds without exactly one owner".to_owned(),
        passed: true,
        ..Outcome::default()
    }
}

/// The model asserts that no revoked key is admitted; a history that breaks this stops the run and is printed.
pub(crate) fn late_answers() -> Outcome {
    let histories = rounds(100_000);
    interleavings::explore(histories);
    Outcome { n: 2 * histories, counts: "0 revoked keys admitted".to_owned(), passed: true, ..Outcome::default() }
}
