//! What happens in the same moment: two deeds on one team, a look-up and a revocation.

use crate::{Outcome, rounds};
use test_support::{Engine, TestApp, interleavings, races};

const ROUNDS: usize = 500;

/// The pairs themselves assert what must hold; a pair that breaks it stops the run and says which.
pub fn one_owner() -> Outcome {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        races::every_pair(&TestApp::on(Engine::Sqlite).await, ROUNDS).await;
        races::every_pair(&TestApp::on(Engine::Postgres).await, ROUNDS).await;
    });
    Outcome { figure: format!("{} rounds, always one owner", 2 * 15 * ROUNDS), kept: true }
}

/// The model itself asserts that no key comes back; a history in which one does stops the run and is printed.
pub fn late_answers() -> Outcome {
    let histories = rounds(100_000);
    interleavings::explore(histories);
    Outcome { figure: format!("0 revived in {} histories", 2 * histories), kept: true }
}
