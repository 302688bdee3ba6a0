//! Exactly one owner, whatever two do to a team at once.

use test_support::{Engine, TestApp, races};

/// Rounds of each pair; `scripts/system-tests` runs 500.
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_on_sqlite() {
    races::every_pair(&TestApp::on(Engine::Sqlite).await, ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_on_postgres() {
    races::every_pair(&TestApp::on(Engine::Postgres).await, ROUNDS).await;
}
