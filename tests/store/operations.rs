//! Backups and restores.

use std::time::Duration;

use keyhouse_store::{
    BackupError, CarryOver, Comparison, Location, MoveStep, OpenError, Restore, RestoreError, ReturningKind, Store,
};
use rstest::rstest;
use test_support::{Engine, Server, TestDatabase};

use super::fixture::{Fixture, MS, NOW, context};

/// A copy of the fixture's database, as `Restore::prepare` takes it.
async fn copy_of(it: &Fixture) -> Option<Location> {
    let location = it.database.location();
    match &it.database {
        TestDatabase::Folder(_) => {
            let staging = location.staging_file().unwrap().unwrap();
            location.back_up(&staging).await.unwrap();
            None
        }
        TestDatabase::Postgres { url } => {
            let server = Server::shared();
            let copy = server.new_database().await;
            server.restore(&copy, &server.dump(url));
            Some(Location::postgres(&copy).unwrap())
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_up_copies_sqlite_and_leaves_postgres_to_its_own_tool(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.key(9).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    let made = it.database.location().back_up(&file).await;
    match engine {
        Engine::Sqlite => {
            let summary = made.unwrap();
            assert_eq!((summary.teams, summary.active_keys), (1, 1));
            assert_eq!(summary.bytes, std::fs::metadata(&file).unwrap().len());
        }
        Engine::Postgres => assert!(matches!(made, Err(BackupError::Postgres)), "{made:?}"),
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepare_lists_what_was_revoked_since(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (kept, revoked) = (it.key(9).await, it.key(10).await);
    let backup = copy_of(&it).await;
    it.store.revoke_key(&it.key_admin(), revoked.id, None, &context(20)).await.unwrap();
    it.store.close().await;
    let prepared = Restore::prepare(backup, &it.database.location()).await.unwrap();
    let Comparison::Compared(returning) = &prepared.comparison else { panic!("{:?}", prepared.comparison) };
    assert_eq!(returning.len(), 1, "{returning:?}");
    assert_eq!((returning[0].kind, returning[0].team.as_deref()), (ReturningKind::Key, Some("acme")));
    assert!(returning[0].subject.contains(&revoked.id.to_string()), "{returning:?} and not {}", kept.id);
    assert_eq!(returning[0].ended_at, Some(NOW));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_gives_a_new_epoch_and_carries_revocations_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let (kept, revoked) = (it.key(9).await, it.key(10).await);
    let before = it.store.key_by_hash(&it.token(9).hash()).await.unwrap();
    let backup = copy_of(&it).await;
    it.store.revoke_key(&it.key_admin(), revoked.id, None, &context(20)).await.unwrap();
    it.store.close().await;
    let restored = backup.clone().unwrap_or_else(|| it.database.location());
    let prepared = Restore::prepare(backup, &it.database.location()).await.unwrap();
    let former = prepared.finish(CarryOver::Removals, NOW).await.unwrap();
    assert_eq!(former.is_some(), engine == Engine::Sqlite);
    let (store, ..) = Store::open(&restored, None).await.unwrap();
    let after = store.key_by_hash(&it.token(9).hash()).await.unwrap();
    assert_ne!(before.epoch, after.epoch);
    assert!(after.key.unwrap().is_active(NOW), "{} was not revoked", kept.id);
    let after = store.key_by_hash(&it.token(10).hash()).await.unwrap();
    assert!(!after.key.unwrap().is_active(NOW), "the revocation was carried over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_open_elsewhere_is_not_replaced() {
    let it = Fixture::on(Engine::Sqlite).await;
    copy_of(&it).await;
    let refused = Restore::prepare(None, &it.database.location()).await;
    assert!(matches!(refused, Err(RestoreError::InUse(_))), "{refused:?}");
    it.store.ping().await.unwrap();
}

fn other(engine: Engine) -> Engine {
    match engine {
        Engine::Sqlite => Engine::Postgres,
        Engine::Postgres => Engine::Sqlite,
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_to_copies_every_table_and_the_source_is_refused_afterwards(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(9).await;
    let before = it.store.key_by_hash(&it.token(9).hash()).await.unwrap();
    it.store.close().await;
    let target = TestDatabase::on(other(engine)).await;
    let mut steps = Vec::new();
    let mut note = |step, table: &str, done, total| steps.push((step, table.to_owned(), done, total));
    let moved = it.database.location().move_to(&target.location(), &mut note).await.unwrap();
    assert!(moved.iter().any(|table| table.name == "keys" && table.rows == 1), "{moved:?}");
    assert!(steps.contains(&(MoveStep::Compare, "keys".to_owned(), 1, 1)), "{steps:?}");
    let (store, ..) = Store::open(&target.location(), None).await.unwrap();
    let after = store.key_by_hash(&it.token(9).hash()).await.unwrap();
    assert_eq!(before, after, "{} and the change counter are the same", key.id);
    let refused = Store::open(&it.database.location(), None).await;
    assert!(matches!(refused, Err(OpenError::Moved { .. })), "{refused:?}");
    let refused = Store::migrate_and_open(&it.database.location(), None).await;
    assert!(matches!(refused, Err(OpenError::Moved { .. })), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_move_makes_the_source_usable_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.store.close().await;
    assert!(!it.database.location().cancel_move().await.unwrap());
    let target = TestDatabase::on(other(engine)).await;
    it.database.location().move_to(&target.location(), &mut |_, _, _, _| {}).await.unwrap();
    assert!(it.database.location().cancel_move().await.unwrap());
    Store::open(&it.database.location(), None).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measurements_have_the_server_s_clock_and_the_newest_entry(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let found = it.queries().measurements().await.unwrap();
    assert_eq!(found.server_time.is_some(), engine == Engine::Postgres);
    assert_eq!(found.newest, NOW);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_addresses_are_listed_with_the_address_that_counts(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().pending_addresses().await.unwrap().len(), 0);
    it.database.execute_sql("UPDATE people SET pending_email = 'new@example.com'").await.unwrap();
    let pending = it.queries().pending_addresses().await.unwrap();
    assert_eq!((&*pending[0].email, &*pending[0].pending_email), ("Ada@example.com", "new@example.com"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_keys_were_neither_created_nor_used_since(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(9).await;
    assert_eq!(it.queries().unused_keys(NOW).await.unwrap(), []);
    let unused = it.queries().unused_keys(NOW.plus(MS)).await.unwrap();
    assert_eq!((unused.len(), &*unused[0].id, &*unused[0].slug), (1, &*key.id.to_string(), "acme"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiring_keys_are_active_and_end_within_the_period(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(9).await;
    it.key(10).await;
    let end = NOW.plus(Duration::from_secs(60));
    let expire = format!("UPDATE keys SET expires_at = {} WHERE id = '{}'", end.ms(), key.id);
    it.database.execute_sql(&expire).await.unwrap();
    let found = it.queries().expiring_keys(NOW, end).await.unwrap();
    assert_eq!((found.len(), &*found[0].id, found[0].expires_at), (1, &*key.id.to_string(), end));
    // Neither one that ends later nor one that has ended.
    assert_eq!(it.queries().expiring_keys(NOW, end.minus(MS)).await.unwrap(), []);
    assert_eq!(it.queries().expiring_keys(end, end.plus(MS)).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observations_and_set_observation_keep_the_newest_value(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    for value in ["10.0.0.1", "10.0.0.2"] {
        it.store.set_observation("unlisted_proxy", value).await.unwrap();
    }
    let found = it.queries().observations().await.unwrap();
    assert_eq!(found, [("unlisted_proxy".to_owned(), "10.0.0.2".to_owned())]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_observation_is_no_setting_that_a_start_reads(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.store.set_observation("other_origin", "http://a").await.unwrap();
    Store::migrate_and_open(&it.database.location(), None).await.unwrap();
}
