//! Leaked keys.

use rstest::rstest;
use std::time::Duration;

use super::fixture::{DAY, Fixture, MS, NOW, at, context};
use keyhouse_domain::audit::{Action, AuditEvent, AuditFilter};
use keyhouse_domain::leak::{LeakAction, LeakPlace};
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_token::{Brand, TokenHash};
use test_support::Engine;

type Found = Vec<(TokenHash, Option<LeakPlace>)>;

async fn events(f: &Fixture) -> Vec<AuditEvent> {
    f.queries().audit_events(f.team.id, &AuditFilter::default(), None, 100).await.unwrap()
}

fn place(text: &str) -> Option<LeakPlace> {
    LeakPlace::parse(text, &Brand::parse("pk").unwrap())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn report_leaks_revokes_active_keys_once_and_records_where_they_were_found(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    let (key, hash) = (f.key(10).await.id, f.token(10).hash());
    let unknown = f.token(9).hash();
    let found: Found = vec![(unknown, None), (hash, place("https://git.example/a/b#L3"))];
    let keys = f.store.report_leaks(&found, LeakAction::Revoke, &context(20)).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!((keys[&hash].id, keys[&hash].team, keys[&hash].is_new), (key, f.team.id, true));
    assert!(f.store.key_by_hash(&hash).await.unwrap().key.unwrap().check(NOW, [192, 0, 2, 1].into()).is_err());
    let events = events(&f).await;
    assert_eq!(events[0].action, Action::KeyRevoked);
    assert_eq!(events[1].action, Action::KeyLeaked);
    assert!(events[1].detail.ends_with(", revoked, found at https://git.example/a/b#L3"), "{}", events[1].detail);
    let again = f.store.report_leaks(&found, LeakAction::Revoke, &context(21)).await.unwrap();
    assert!(!again[&hash].is_new);
    assert_eq!(self::events(&f).await.len(), events.len(), "a repeated report writes nothing");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn report_leaks_that_flags_is_recorded_once_a_day(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let f = Fixture::on(engine).await;
    f.key(10).await;
    let hash = f.token(10).hash();
    let found: Found = vec![(hash, None)];
    let mut new = Vec::new();
    for (n, after) in [(20, Duration::ZERO), (21, DAY - MS), (22, DAY), (23, DAY + MS)] {
        let keys = f.store.report_leaks(&found, LeakAction::Flag, &at(n, NOW.plus(after))).await.unwrap();
        new.push(keys[&hash].is_new);
    }
    assert_eq!(new, [true, false, true, false]);
    assert!(f.store.key_by_hash(&hash).await.unwrap().key.unwrap().check(NOW, [192, 0, 2, 1].into()).is_ok());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn leak_notices_are_of_the_last_30_days_and_dismiss_leak_notices_hides_them(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    let (key, hash) = (f.key(10).await.id, f.token(10).hash());
    f.store.report_leaks(&[(hash, None)], LeakAction::Flag, &context(20)).await.unwrap();
    let shown = async |after| f.store.queries().leak_notices(f.team.id, NOW.plus(after)).await.unwrap();
    let notices = shown(30 * DAY - MS).await;
    assert_eq!((notices.len(), notices[0].key, notices[0].at), (1, key, NOW));
    assert_eq!(shown(30 * DAY).await, []);
    let admin = KeyAdmin::member(&f.ada, "192.0.2.1").unwrap();
    f.store.dismiss_leak_notices(&admin, &context(21)).await.unwrap().unwrap();
    assert_eq!(shown(Duration::ZERO).await, []);
    f.store.report_leaks(&[(hash, None)], LeakAction::Flag, &at(22, NOW.plus(2 * DAY))).await.unwrap();
    assert_eq!(shown(2 * DAY).await.len(), 1, "a later report is shown again");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn dismiss_leak_notices_needs_a_member_who_manages_keys(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    let admin = KeyAdmin::member(&f.ada, "192.0.2.1").unwrap();
    f.database.execute_sql("UPDATE members SET role = 'member'").await.unwrap();
    let refused = f.store.dismiss_leak_notices(&admin, &context(20)).await.unwrap();
    assert_eq!(refused, Err(Forbidden));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn has_leak_delivery_is_true_for_the_same_digest(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let f = Fixture::on(engine).await;
    assert!(!f.queries().has_leak_delivery(&[1; 32]).await.unwrap());
    f.store.remember_leak_delivery(&[1; 32], NOW).await.unwrap();
    assert!(f.queries().has_leak_delivery(&[1; 32]).await.unwrap());
    assert!(!f.queries().has_leak_delivery(&[2; 32]).await.unwrap());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn remember_leak_delivery_keeps_the_first_time(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let f = Fixture::on(engine).await;
    f.store.remember_leak_delivery(&[1; 32], NOW).await.unwrap();
    f.store.remember_leak_delivery(&[1; 32], NOW.plus(DAY)).await.unwrap();
    assert_eq!(f.store.purge_leak_deliveries(NOW.plus(MS)).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purge_leak_deliveries_deletes_what_is_older(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let f = Fixture::on(engine).await;
    f.store.remember_leak_delivery(&[1; 32], NOW).await.unwrap();
    assert_eq!(f.store.purge_leak_deliveries(NOW).await.unwrap(), 0);
    assert_eq!(f.store.purge_leak_deliveries(NOW.plus(MS)).await.unwrap(), 1);
    assert!(!f.queries().has_leak_delivery(&[1; 32]).await.unwrap());
}
