//! What two people do to one team in the same moment.

use crate::Seen;
use crate::harness::{House, races};

const ROUNDS: usize = 500;

/// The pairs themselves assert what must hold; a pair that breaks it stops the run and says which.
pub fn one_owner() -> Seen {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        races::every_pair(&House::on_sqlite().await, ROUNDS).await;
        races::every_pair(&House::on_postgres().await, ROUNDS).await;
    });
    Seen { figure: format!("{} rounds, always one owner", 2 * 15 * ROUNDS), kept: true }
}
