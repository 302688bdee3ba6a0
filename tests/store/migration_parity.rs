//! Both engines have the same tables, columns, indexes and triggers, by name. Only SQLite has OR REPLACE, and
//! only PostgreSQL TRUNCATE: each refuses its own.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection, SqliteConnection};

use test_support::{Engine, TestApp, TestDatabase};

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    let sqlite = TestApp::on(Engine::Sqlite).await;
    let TestDatabase::Folder(folder) = &sqlite.place else { unreachable!("it is on SQLite") };
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}/keyhouse.db", folder.path().display())).await.unwrap();
    let lite: BTreeSet<String> = sqlx::query_scalar(
        "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%' \
         UNION ALL SELECT 'index ' || name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL \
         UNION ALL SELECT 'trigger ' || name FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE '%replaced'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    .into_iter()
    .collect();

    let postgres = TestApp::on(Engine::Postgres).await;
    let TestDatabase::Postgres { url } = &postgres.place else { unreachable!("it is on PostgreSQL") };
    let mut connection = PgConnection::connect(url).await.unwrap();
    let post: BTreeSet<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%' \
         UNION ALL SELECT 'index ' || indexname FROM pg_indexes WHERE schemaname = 'public' \
             AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname) \
         UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE '%truncated'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    .into_iter()
    .collect();

    assert_eq!(lite, post);
    assert!(lite.contains("key_tokens.hash") && lite.contains("index ten_active_keys_per_team"));
}

/// Setting up twice, and by several processes at once, is setting up once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn migrations_run_once_however_many_start() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let locations: Vec<_> = (0..6).map(|_| place.location()).collect();
        let starts = locations.iter().map(|location| keyhouse_store::Store::migrate_and_open(location, None));
        for start in futures_util::future::join_all(starts).await {
            start.unwrap();
        }
    }
}
