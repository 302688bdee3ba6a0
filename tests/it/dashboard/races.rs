//! Exactly one owner, whatever two do to a team at once.

use crate::harness::{House, races};

/// Rounds of each pair; `scripts/drills` runs 500.
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_on_sqlite() {
    races::every_pair(&House::on_sqlite().await, ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_on_postgres() {
    races::every_pair(&House::on_postgres().await, ROUNDS).await;
}
