//! Databases of the first release open in this one. `tests/upgrade` has them as SQL text.

use std::process::Command;

use keyhouse_store::Store;
use rstest::rstest;
use sqlx::Connection;
use test_support::process::{ServerProcess, run, run_json};
use test_support::{Engine, Server, TestDatabase};

/// The contract's two example tokens, whose keys the fixtures hold: the first is active, the second revoked.
const LIVE: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
const REVOKED: &str = "pk_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ3KwFxC";

/// A database of the first release.
async fn first_release(engine: Engine) -> TestDatabase {
    let database = TestDatabase::on(engine).await;
    match &database {
        TestDatabase::Folder(folder) => {
            let url = format!("sqlite://{}/keyhouse.db?mode=rwc", folder.path().display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(include_str!("../upgrade/first-release.sqlite.sql")).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        TestDatabase::Postgres { url } => {
            Server::shared().restore(url, include_bytes!("../upgrade/first-release.postgres.sql"));
        }
    }
    database
}

/// Tables, indexes, triggers, constraints and functions, as text.
async fn schema_of(database: &TestDatabase) -> Vec<String> {
    match database {
        TestDatabase::Folder(folder) => {
            let url = format!("sqlite://{}/keyhouse.db", folder.path().display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let select = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema \
                          WHERE name NOT LIKE '%sqlx%' ORDER BY 1";
            sqlx::query_scalar(select).fetch_all(&mut connection).await.unwrap()
        }
        TestDatabase::Postgres { url } => {
            let dump = Command::new("pg_dump").args(["--schema-only", "--no-owner", url]).output().unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            let text = String::from_utf8(dump.stdout).unwrap();
            // Newer versions of pg_dump begin and end with a random word.
            text.lines().filter(|line| !line.starts_with('\\')).map(str::to_owned).collect()
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_first_release_has_the_schema_of_a_new_one_once_it_is_migrated(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (old, new) = (first_release(engine).await, TestDatabase::on(engine).await);
    for database in [&old, &new] {
        Store::migrate_and_open(&database.location(), None).await.unwrap().0.close().await;
    }
    assert_eq!(schema_of(&old).await, schema_of(&new).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_people_and_products_of_the_first_release_work(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let database = first_release(engine).await;
    let refused = run(&database, &["team", "list"]);
    let says = String::from_utf8(refused.stderr).unwrap();
    assert!(says.contains("the database's schema is version 4") && says.contains("run `keyhouse migrate`"), "{says}");

    let serving = ServerProcess::start(&database, "serve", "warn");
    assert_eq!((serving.get("/api/v1/key", LIVE), serving.get("/api/v1/key", REVOKED)), (200, 401));
    let request = format!(
        "GET /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {LIVE}\r\nConnection: close\r\n\r\n"
    );
    let products = serving.send(request.as_bytes());
    assert!(products.contains("Consulting 日本 €") && products.contains("\"unitPrice\":125"), "{products}");
    assert_eq!(serving.said["setUpLink"], serde_json::Value::Null, "there are people");

    let keys = run_json(&database, &["key", "list", "--team", "acme"]);
    let names: Vec<_> = keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Backend"), "{keys}");
    let members = run_json(&database, &["member", "list", "--team", "acme"]);
    assert_eq!((&members[0]["email"], members.as_array().unwrap().len()), (&"Ada@example.com".into(), 2));
    run_json(&database, &["key", "revoke", "key_01kaqty0g0000000000000000a"]);
    assert!(serving.refuses_in_time("/api/v1/key", LIVE));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_refused_in_words(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let database = TestDatabase::on(engine).await;
    Store::migrate_and_open(&database.location(), None).await.unwrap().0.close().await;
    let insert = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
                  SELECT max(version) + 1, 'later', '2027-01-01 00:00:00', true, min(checksum), 0 FROM _sqlx_migrations";
    let insert = match engine {
        Engine::Sqlite => insert.to_owned(),
        // There is no minimum of bytes.
        Engine::Postgres => insert.replace("min(checksum)", "'\\x00'::bytea").replace("'2027-01-01 00:00:00'", "now()"),
    };
    database.execute_sql(&insert).await.unwrap();
    for words in [&["team", "list"][..], &["serve", "--listen", "127.0.0.1:0"], &["migrate"]] {
        let refused = run(&database, words);
        let says = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{says}");
        assert!(says.contains("this program supports only") && says.contains("run a newer keyhouse"), "{says}");
    }
}
