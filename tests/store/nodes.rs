//! Nodes, and when each of them could no longer use a revoked key.

use std::time::Duration;

use keyhouse_domain::audit::Action;
use keyhouse_domain::ids::{KeyId, NodeId};
use keyhouse_domain::node::Receipt;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::Leases;
use rstest::rstest;
use test_support::Engine;

use super::fixture::{Fixture, MS, NOW, at, context, seed};

const MINUTE: Duration = Duration::from_secs(60);

fn node(n: u32) -> NodeId {
    NodeId::new(seed(n))
}

/// So many milliseconds after [`NOW`].
fn ms(ms: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(ms))
}

impl Fixture {
    /// Registers node `n`, which has nothing in its cache.
    async fn node(&self, n: u32) {
        self.store.register_node(node(n), &format!("node-{n}"), None, NOW).await.unwrap();
    }

    /// Makes a key, revokes it at [`NOW`], and returns it with the change counter.
    async fn revoked(&self, n: u32) -> (KeyId, i64) {
        let key = self.key(n).await;
        self.store.revoke_key(&self.key_admin(), key.id, None, &context(n + 50)).await.unwrap();
        (key.id, self.store.change_feed().poll().await.unwrap().seq)
    }

    async fn followed(&self, n: u32, seq: i64, when: Timestamp) -> bool {
        self.store.record_followed(node(n), seq, when, when).await.unwrap()
    }

    async fn receipt(&self, key: KeyId) -> Receipt {
        self.queries().receipt(key).await.unwrap().expect("the key is revoked")
    }

    /// The nodes that have confirmed a revocation, with the milliseconds and whether it was by the end of the lease.
    async fn confirmed(&self, key: KeyId) -> Vec<(String, u64, bool)> {
        let receipt = self.receipt(key).await;
        receipt.nodes.iter().map(|done| (done.node.clone(), receipt.ms_after(done.at), done.by_lease)).collect()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_node_has_followed_all_changes_until_now_or_those_that_it_names(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let (_, seq) = it.revoked(10).await;
    it.node(1).await;
    it.store.register_node(node(2), "node-2", Some(seq - 1), NOW).await.unwrap();
    it.store.register_node(node(3), "node-3", Some(seq + 1), NOW).await.unwrap();
    let nodes = it.queries().nodes().await.unwrap();
    let followed: Vec<_> = nodes.iter().map(|node| (node.followed_seq, node.behind)).collect();
    assert_eq!(followed, [(seq, 0), (seq - 1, 1), (0, seq as u64)], "a counter that went back was not followed at all");

    let mut feed = it.store.change_feed();
    assert!(feed.poll().await.unwrap().is_registered, "a feed that is no node's");
    feed.check_registration_of(node(1));
    assert!(feed.poll().await.unwrap().is_registered);
    feed.check_registration_of(node(4));
    assert!(!feed.poll().await.unwrap().is_registered);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_listed_by_name_with_what_they_have_written(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.node(2).await;
    it.node(1).await;
    let (_, seq) = it.revoked(10).await;
    assert!(it.followed(1, seq, ms(100)).await);
    assert!(it.followed(1, seq, ms(5000)).await);
    let nodes = it.queries().nodes().await.unwrap();
    let first = &nodes[0];
    assert_eq!((first.name.as_str(), nodes[1].name.as_str()), ("node-1", "node-2"));
    assert_eq!((first.started_at, first.followed_at, first.seen_at, first.behind), (NOW, ms(100), ms(5000), 0));
    assert!(first.is_live(ms(19_999)) && !first.is_live(ms(20_000)), "silent after 15 s");
    assert_eq!(nodes[1].behind, seq as u64);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_followed_confirms_the_revocations_on_the_way_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.node(1).await;
    let (first, seq) = it.revoked(10).await;
    let (second, last) = it.revoked(11).await;
    assert!(it.followed(1, seq, ms(100)).await);
    assert_eq!(it.confirmed(first).await, [("node-1".to_owned(), 100, false)]);
    assert_eq!(it.confirmed(second).await, []);
    assert_eq!(it.receipt(second).await.waiting, ["node-1"]);
    assert!(it.followed(1, last, ms(200)).await);
    assert_eq!(it.confirmed(first).await, [("node-1".to_owned(), 100, false)], "the first time counts");
    assert_eq!(it.confirmed(second).await, [("node-1".to_owned(), 200, false)]);
    assert!(!it.followed(2, last, ms(300)).await, "a node that is not registered");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_revocation_waits_for_every_node_or_for_the_end_of_the_leases(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.node(1).await;
    it.node(2).await;
    let (key, seq) = it.revoked(10).await;
    let complete = async |n: u32, leases, when| it.store.complete_revocation(key, leases, &at(n, when)).await.unwrap();
    assert!(!complete(20, Leases::MayHold, ms(50)).await);
    it.followed(1, seq, ms(100)).await;
    assert!(!complete(21, Leases::MayHold, ms(150)).await, "the other node");
    assert_eq!(it.receipt(key).await.complete_at, None);
    assert!(complete(22, Leases::AreOver, ms(4000)).await);
    assert_eq!(it.confirmed(key).await, [("node-1".to_owned(), 100, false), ("node-2".to_owned(), 4000, true)]);
    assert_eq!(it.receipt(key).await.complete_at, Some(ms(4000)));
    assert_eq!(it.queries().key(key).await.unwrap().unwrap().revocation_complete_at, Some(ms(4000)));

    it.node(3).await;
    let (key, seq) = it.revoked(11).await;
    for n in 1..=3 {
        it.followed(n, seq, ms(u64::from(n) * 10)).await;
    }
    let [one, other] = [30, 31].map(|n| {
        let (store, context) = (it.store.clone(), at(n, ms(500)));
        async move { store.complete_revocation(key, Leases::MayHold, &context).await.unwrap() }
    });
    assert_eq!(tokio::join!(one, other), (true, true));
    assert_eq!(it.receipt(key).await.complete_at, Some(ms(30)), "when the last node had dropped it");
    let active = it.key(12).await.id;
    assert!(!it.store.complete_revocation(active, Leases::AreOver, &context(32)).await.unwrap(), "it is not revoked");
    let filter =
        keyhouse_domain::audit::AuditFilter { action: Some(Action::KeyRevocationCompleted), ..Default::default() };
    let events = it.queries().audit_events(it.team.id, &filter, None, 10).await.unwrap();
    let details: Vec<_> = events.iter().map(|event| event.detail.rsplit_once("”: ").unwrap().1).collect();
    assert_eq!(details, ["refused on 3 nodes after 30 ms", "refused on 2 nodes after 4000 ms"], "one event each");
    assert_eq!((events[0].by.name.as_str(), events[0].source.as_str()), ("Keyhouse", "server"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_node_confirms_what_the_node_had_not_followed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.node(1).await;
    it.node(2).await;
    let (key, seq) = it.revoked(10).await;
    it.followed(1, seq, ms(10)).await;
    it.store.remove_node(node(2), ms(70)).await.unwrap();
    it.store.remove_node(node(2), ms(90)).await.unwrap();
    assert_eq!(it.queries().nodes().await.unwrap().len(), 1);
    assert!(it.store.complete_revocation(key, Leases::MayHold, &at(20, ms(99))).await.unwrap());
    assert_eq!(it.confirmed(key).await, [("node-1".to_owned(), 10, false), ("node-2".to_owned(), 70, false)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_nodes_unregisters_a_silent_node_first_and_deletes_it_a_minute_later(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.node(1).await;
    let silent = NOW.plus(15 * MINUTE);
    assert_eq!(it.store.purge_nodes(silent).await.unwrap(), 0);
    assert!(it.followed(1, 0, silent).await, "15 minutes are not too long");
    let silent = silent.plus(15 * MINUTE + MS);
    assert_eq!(it.store.purge_nodes(silent).await.unwrap(), 0, "unregistered");
    let mut feed = it.store.change_feed();
    feed.check_registration_of(node(1));
    assert!(!feed.poll().await.unwrap().is_registered, "its next poll renews no lease");
    assert!(!it.followed(1, 0, silent).await, "and it finds out that it has to register again");
    let (key, _) = it.revoked(10).await;
    assert!(!it.store.complete_revocation(key, Leases::MayHold, &context(20)).await.unwrap(), "its lease may last");
    assert_eq!(it.store.purge_nodes(silent.plus(MINUTE - MS)).await.unwrap(), 0);
    it.store.register_node(node(1), "node-1", Some(0), silent).await.unwrap();
    assert!(feed.poll().await.unwrap().is_registered, "a node that lives registers again");
    assert_eq!(it.store.purge_nodes(silent.plus(15 * MINUTE + MS)).await.unwrap(), 0);
    assert_eq!(it.store.purge_nodes(silent.plus(16 * MINUTE + MS)).await.unwrap(), 1);
    assert!(it.queries().nodes().await.unwrap().is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipt_of_a_key_is_absent_until_it_is_revoked(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    assert_eq!(it.queries().receipt(key).await.unwrap(), None);
    it.node(1).await;
    it.store.revoke_key(&it.key_admin(), key, None, &context(20)).await.unwrap();
    let expected = Receipt { revoked_at: NOW, complete_at: None, nodes: vec![], waiting: vec!["node-1".into()] };
    assert_eq!(it.receipt(key).await, expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_revocations_are_those_without_a_complete_receipt_oldest_first(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let keys = [it.revoked(10).await.0, it.revoked(11).await.0, it.revoked(12).await.0];
    it.key(13).await;
    assert_eq!(it.queries().incomplete_revocations(10).await.unwrap(), keys);
    assert!(it.store.complete_revocation(keys[1], Leases::MayHold, &context(20)).await.unwrap(), "no node runs");
    assert_eq!(it.queries().incomplete_revocations(10).await.unwrap(), [keys[0], keys[2]]);
    assert_eq!(it.queries().incomplete_revocations(1).await.unwrap(), [keys[0]]);
}
