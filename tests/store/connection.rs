//! Opening and closing the database.

use keyhouse_store::{OpenError, Store};
use keyhouse_token::Brand;
use rstest::rstest;
use test_support::{Engine, TestDatabase};

use super::fixture::Fixture;

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_needs_a_database_that_is_set_up(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let database = TestDatabase::on(engine).await;
    let refused = Store::open(&database.location(), None).await;
    assert!(matches!(refused, Err(OpenError::NotSetUp(_))), "{refused:?}");
    let (store, ..) = Store::migrate_and_open(&database.location(), None).await.unwrap();
    store.close().await;
    Store::open(&database.location(), None).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_and_open_fixes_the_brand(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let database = TestDatabase::on(engine).await;
    let (_, brand, warnings) = Store::migrate_and_open(&database.location(), None).await.unwrap();
    assert_eq!((brand.as_str(), warnings.len()), ("pk", 0));
    let other = Brand::parse("acme").unwrap();
    let refused = Store::migrate_and_open(&database.location(), Some(&other)).await;
    assert!(matches!(refused, Err(OpenError::Brand { .. })), "{refused:?}");
    Store::open(&database.location(), Some(&brand)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_answers_while_the_schema_is_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.store.ping().await.unwrap();
    it.database.execute_sql("DROP TABLE changes").await.unwrap();
    it.store.ping().await.unwrap_err();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_ends_every_connection(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.store.close().await;
    it.store.ping().await.unwrap_err();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoint_and_detach_leaves_an_empty_log(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.store.checkpoint_and_detach().await.unwrap();
    if let TestDatabase::Folder(folder) = &it.database {
        assert_eq!(std::fs::metadata(folder.path().join("keyhouse.db-wal")).unwrap().len(), 0);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instance_tag_is_six_characters_that_stay(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let tag = it.queries().instance_tag().await.unwrap();
    assert_eq!((tag.len(), it.queries().instance_tag().await.unwrap()), (6, tag));
}
