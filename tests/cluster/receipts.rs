//! Receipts of revocations: when the last node could no longer use a revoked key, and never earlier.

use std::time::Duration;

use keyhouse::app::App;
use keyhouse::app::key_cache::LEASES_END_WITHIN;
use keyhouse_domain::audit::{Action, AuditFilter};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::node::Receipt;
use keyhouse_domain::scope::Scope;
use keyhouse_store::ChangeFeed;
use keyhouse_token::{Mode, RawToken};
use rstest::rstest;
use serde_json::Value;

use test_support::process::{ServerProcess, run, run_json};
use test_support::wait::{eventually, eventually_blocking};
use test_support::{Engine, TestApp, TestDatabase, open};

const MS: Duration = Duration::from_millis(1);

/// A node in this process, which polls and writes when the test says so.
struct Node {
    app: App,
    feed: ChangeFeed,
}

impl Node {
    async fn new(app: &TestApp, seed: u64) -> Self {
        let node = open(&app.place, app.clock.clone(), seed).await;
        node.set_node_name(&format!("node-{seed}"));
        let mut node = Self { feed: node.change_feed(), app: node };
        node.poll().await;
        node
    }

    async fn poll(&mut self) {
        let Self { app, feed } = self;
        eventually("a poll", async || app.follow_changes(feed).await.ok()).await;
    }

    /// Writes how far the node has followed; returns how many revocations are not complete.
    async fn report(&self) -> usize {
        self.app.report_node().await.unwrap()
    }

    async fn admits(&self, token: &str) -> bool {
        let token = RawToken::parse(token.as_bytes(), self.app.brand()).unwrap();
        self.app.authenticate(token, std::net::Ipv4Addr::LOCALHOST.into()).await.is_ok()
    }
}

async fn receipt(app: &TestApp, key: KeyId) -> Receipt {
    app.inner.queries().receipt(key).await.unwrap().expect("the key is revoked")
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_complete_when_the_last_node_has_confirmed_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let (mut one, mut two) = (Node::new(&app, 2).await, Node::new(&app, 3).await);
    assert!(one.admits(key.token.expose()).await && two.admits(key.token.expose()).await);
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    app.advance(100 * MS);
    one.poll().await;
    assert_eq!(one.report().await, 1);
    app.advance(100 * MS);
    assert!(two.admits(key.token.expose()).await, "under its lease");
    assert_eq!((one.report().await, two.report().await), (1, 1));
    assert_eq!(receipt(&app, key.key.id).await.waiting, ["node-3"]);
    two.poll().await;
    assert!(!two.admits(key.token.expose()).await);
    assert_eq!((two.report().await, one.report().await), (0, 0));
    let receipt = receipt(&app, key.key.id).await;
    let after: Vec<_> = receipt.nodes.iter().map(|node| (node.node.as_str(), receipt.ms_after(node.at))).collect();
    assert_eq!(after, [("node-2", 100), ("node-3", 200)]);
    assert_eq!(receipt.complete_at.map(|at| receipt.ms_after(at)), Some(200));
    let filter = AuditFilter { action: Some(Action::KeyRevocationCompleted), ..Default::default() };
    assert_eq!(app.inner.queries().audit_events(team.id, &filter, None, 10).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_waited_for_until_its_lease_must_be_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let mut one = Node::new(&app, 2).await;
    let cut_off = Node::new(&app, 3).await;
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    one.poll().await;
    assert_eq!(one.report().await, 1, "found now");
    app.advance(LEASES_END_WITHIN);
    assert_eq!(one.report().await, 1, "not a millisecond too early");
    app.advance(MS);
    assert_eq!(one.report().await, 0);
    assert!(!cut_off.admits(key.token.expose()).await);
    let receipt = receipt(&app, key.key.id).await;
    let done: Vec<_> = receipt.nodes.iter().map(|node| (node.node.as_str(), node.by_lease)).collect();
    assert_eq!(done, [("node-2", false), ("node-3", true)]);
}

/// Deleting the row of a node that lives must not make receipts come too early.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_row_was_deleted_gets_no_lease_until_it_has_registered_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let mut node = Node::new(&app, 2).await;
    assert!(node.app.lease_remaining().is_some_and(|left| !left.is_zero()));
    app.place.execute_sql("DELETE FROM nodes").await.unwrap();
    app.advance(LEASES_END_WITHIN);
    node.poll().await;
    assert_eq!(node.app.lease_remaining(), Some(Duration::ZERO), "the poll found no row");
    node.poll().await;
    assert!(node.app.lease_remaining().is_some_and(|left| !left.is_zero()));
    assert_eq!(app.inner.queries().nodes().await.unwrap().len(), 1);
    node.app.remove_node().await.unwrap();
    assert!(app.inner.queries().nodes().await.unwrap().is_empty());
}

/// The nodes in the JSON of a revoked key, with whether each was by the end of its lease.
fn nodes_of(key: &Value) -> Vec<(&str, bool)> {
    let nodes = key["nodes"].as_array().expect("a receipt");
    nodes.iter().map(|node| (node["node"].as_str().unwrap(), node["byLease"].as_bool().unwrap())).collect()
}

/// Real processes: three nodes on PostgreSQL, or two on one SQLite file.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_revoke_wait_returns_when_every_process_refuses_the_key(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let place = TestDatabase::on(engine).await;
    let count = if engine == Engine::Sqlite { 2 } else { 3 };
    let mut nodes: Vec<_> = (0..count).map(|_| ServerProcess::start(&place, "serve", "info")).collect();
    let listed = run_json(&place, &["node", "list"]);
    let live = listed.as_array().unwrap().iter().filter(|node| node["status"] == "live").count();
    assert_eq!(live, count, "{listed}");
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let [first, second] = [(), ()].map(|()| run_json(&place, &create));
    let token = |key: &Value| key["token"].as_str().unwrap().to_owned();
    for node in &nodes {
        assert_eq!((node.get("/api/v1/key", &token(&first)), node.get("/api/v1/key", &token(&second))), (200, 200));
    }

    let revoked = run_json(&place, &["key", "revoke", first["id"].as_str().unwrap(), "--wait"]);
    assert!(nodes.iter().all(|node| node.get("/api/v1/key", &token(&first)) == 401));
    assert!(revoked["revocationCompleteAt"].is_string(), "{revoked}");
    assert_eq!(nodes_of(&revoked).len(), count, "{revoked}");
    assert!(nodes_of(&revoked).iter().all(|(_, by_lease)| !by_lease), "{revoked}");
    let shown = run_json(&place, &["key", "show", first["id"].as_str().unwrap()]);
    assert_eq!(nodes_of(&shown), nodes_of(&revoked));

    // One node is suspended: the receipt has to wait for the end of its lease.
    nodes[0].freeze();
    let said = run(&place, &["key", "revoke", second["id"].as_str().unwrap(), "--wait"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.contains(&format!("Complete: refused on all {count} nodes after ")), "{text}");
    let suspended = format!(":{} ", nodes[0].address.port());
    let row = text.lines().find(|line| line.contains(&suspended)).expect("the node's row");
    assert!(row.contains("(lease ended)"), "{text}");
    nodes[0].thaw();
    assert!(nodes.iter().all(|node| node.get("/api/v1/key", &token(&second)) == 401));

    assert!(nodes[1].terminate().success());
    assert_eq!(run_json(&place, &["node", "list"]).as_array().unwrap().len(), count - 1, "a node that stops leaves");
    nodes[0].kill();
    let silent = eventually_blocking("a killed node to be silent", || {
        let listed = run_json(&place, &["node", "list"]);
        let silent = listed.as_array().unwrap().iter().filter(|node| node["status"] == "silent").count();
        (silent > 0).then_some(silent)
    });
    assert_eq!(silent, 1);
}

#[test]
fn a_receipt_that_can_not_be_confirmed_fails_and_says_that_the_key_is_revoked() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let id = run_json(&place, &create)["id"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refuse =
        "CREATE TRIGGER refuse BEFORE UPDATE OF revocation_complete_at ON keys BEGIN SELECT RAISE(ABORT, 'no'); END";
    runtime.block_on(place.execute_sql(refuse)).unwrap();
    let said = run(&place, &["key", "revoke", &id, "--wait"]);
    assert_eq!(said.status.code(), Some(1));
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(error.contains("the key is revoked, but it is not confirmed that every node refuses it"), "{error}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("Revoked K ("));
    assert_eq!(run_json(&place, &["key", "show", &id])["status"], "revoked");
    runtime.block_on(place.execute_sql("DROP TRIGGER refuse")).unwrap();
    let again = run(&place, &["key", "revoke", &id, "--wait"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Complete: no node accepts it."));
}
