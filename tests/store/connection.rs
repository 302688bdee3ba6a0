//! Opening and closing the database.

use keyhouse_store::{OpenError, Store};
use keyhouse_token::Brand;
use rstest::rstest;
use test_support::wait::eventually;
use test_support::{Engine, Server, TestDatabase};

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

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_program_is_refused_and_left_as_it_is(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let database = TestDatabase::on(engine).await;
    if let TestDatabase::Folder(folder) = &database {
        std::fs::write(folder.path().join("keyhouse.db"), "").unwrap();
    }
    let table = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT, success BOOLEAN)";
    database.execute_sql(table).await.unwrap();
    database.execute_sql("INSERT INTO _sqlx_migrations VALUES (1, 'init', true)").await.unwrap();
    let refused = Store::migrate_and_open(&database.location(), None).await;
    assert!(matches!(refused, Err(OpenError::Foreign)), "{refused:?}");
    database.execute_sql("SELECT 1 FROM teams").await.expect_err("nothing was created");
}

#[tokio::test]
async fn the_files_of_a_new_folder_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let database = TestDatabase::folder();
    Store::migrate_and_open(&database.location(), None).await.unwrap();
    let TestDatabase::Folder(folder) = &database else { unreachable!("it is a folder") };
    for name in ["keyhouse.db", "keyhouse.lock"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf8_is_refused_in_words() {
    let server = test_support::Server::shared();
    let name = format!("latin1_{}", std::process::id());
    server.sql(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"));
    let location = keyhouse_store::Location::postgres(&server.url(&name)).unwrap();
    let refused = Store::migrate_and_open(&location, None).await.unwrap_err().to_string();
    assert!(refused.contains("encoding is LATIN1, and Keyhouse needs UTF8"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_150_ms_away_is_followed_and_written_to() {
    let proxy = test_support::proxy::Proxy::to(test_support::Server::shared().address());
    let url = proxy.lead(&test_support::Server::shared().new_database().await);
    let (store, ..) = Store::migrate_and_open(&keyhouse_store::Location::postgres(&url).unwrap(), None).await.unwrap();
    store.close().await;
    proxy.delay(std::time::Duration::from_millis(150));
    let (store, ..) = Store::migrate_and_open(&keyhouse_store::Location::postgres(&url).unwrap(), None).await.unwrap();
    let mut feed = store.change_feed();
    let mut polls = 1;
    while feed.poll().await.is_err() {
        polls += 1;
        assert!(polls < 6, "the connection is made within a few polls");
    }
    feed.poll().await.unwrap();
    let hour = std::time::Duration::from_secs(3600);
    store.try_claim_job("clean", super::fixture::NOW, hour).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_by_hashes_finds_each_key_and_leaves_out_unknown_hashes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let keys = [it.key(10).await, it.key(11).await, it.key(12).await];
    let hashes = [10, 11, 12, 13, 14].map(|n| it.token(n).hash());
    for number in 1..=hashes.len() {
        let found = it.store.keys_by_hashes(&hashes[..number]).await.unwrap();
        for (n, hash) in hashes.iter().enumerate() {
            let found = found.lookup(hash).unwrap();
            assert_eq!(found.key.as_ref(), keys.get(n).filter(|_| n < number));
            assert_eq!(found.seq, 3);
        }
    }
}

/// Waits for the next change, for at most 20 s.
async fn woken(store: &Store, why: &str) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), store.changed()).await;
    assert!(waited.is_ok(), "not woken {why}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_changes_wakes_one_node_when_another_has_changed_a_key(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let (node, ..) = Store::migrate_and_open(&it.database.location(), None).await.unwrap();
    let watching = node.clone();
    let watch = tokio::spawn(async move { watching.watch_changes().await });
    woken(&node, "as it begins").await;
    for n in 10..15 {
        it.key(n).await;
        woken(&node, "by a new key").await;
    }
    watch.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listener_listens_again() {
    let it = Fixture::on(Engine::Postgres).await;
    let (node, ..) = Store::migrate_and_open(&it.database.location(), None).await.unwrap();
    let watching = node.clone();
    let watch = tokio::spawn(async move { watching.watch_changes().await });
    woken(&node, "as it begins").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND query ILIKE 'listen%'";
    assert_eq!(it.database.execute_sql(end).await.unwrap(), 1);
    woken(&node, "to poll what it may have missed").await;
    woken(&node, "as it listens again").await;
    it.key(10).await;
    woken(&node, "by a new key").await;
    watch.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_sends_keepalives_to_idle_connections() {
    let it = Fixture::on(Engine::Postgres).await;
    it.store.ping().await.unwrap();
    // A timer of kind 2 is a keepalive; its time is in hundredths of a second. The default of Linux is two hours. Before the client's
    // system has acknowledged the last answer the timer is of another kind.
    let port = format!(":{:04X}", Server::shared().port());
    eventually("a keepalive within a minute", async || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_kept_alive = sockets.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (local, timer) = (fields.get(1).unwrap_or(&""), fields.get(5).unwrap_or(&""));
            let time = timer.strip_prefix("02:").and_then(|time| u64::from_str_radix(time, 16).ok());
            local.ends_with(&port) && time.is_some_and(|time| time <= 6000)
        });
        is_kept_alive.then_some(())
    })
    .await;
}
