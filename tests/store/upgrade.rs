//! A database of the first release is brought up to date with its keys, their last use and its stored responses.

use std::borrow::Cow;
use std::path::Path;

use keyhouse_domain::api_key::{KeyStatus, Revocation};
use keyhouse_domain::ids::{IdSeed, KeyId};
use keyhouse_store::Store;
use keyhouse_token::TokenHash;
use rstest::rstest;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr, SqliteConnection};

use test_support::{Engine, TestDatabase};

use super::fixture::NOW;

/// The migrations of the first release.
const FIRST_RELEASE: usize = 6;

fn first_release(engine: Engine) -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/store/migrations").join(match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    });
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let migration = |(file, version): (&std::path::PathBuf, i64)| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let sql = sqlx::AssertSqlSafe(std::fs::read_to_string(file).unwrap()).into_sql_str();
        Migration::new(version, Cow::Owned(name), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(files.iter().take(FIRST_RELEASE).zip(1..).map(migration).collect())
}

async fn set_up(place: &TestDatabase) {
    match place {
        TestDatabase::Folder(folder) => {
            let url = format!("sqlite://{}/keyhouse.db?mode=rwc", folder.path().display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            first_release(Engine::Sqlite).run(&mut connection).await.unwrap();
        }
        TestDatabase::Postgres { url } => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            first_release(Engine::Postgres).run(&mut connection).await.unwrap();
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_first_release_keeps_its_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let place = TestDatabase::on(engine).await;
    set_up(&place).await;
    let id = |n: u128| KeyId::new(IdSeed { ms: 1, random: n });
    let team = keyhouse_domain::ids::TeamId::new(IdSeed { ms: 1, random: 9 });
    let hash = |n: u8| match engine {
        Engine::Sqlite => format!("x'{}'", format!("{n:02x}").repeat(32)),
        Engine::Postgres => format!("'\\x{}'", format!("{n:02x}").repeat(32)),
    };
    for sql in [
        format!("INSERT INTO teams (id, slug, name, created_at, touched_at) VALUES ('{team}', 'acme', 'Acme', 1, 1)"),
        format!(
            "INSERT INTO keys (id, team_id, token_hash, prefix, name, mode, scope, slot, created_at, created_by_name, seq) \
             VALUES ('{}', '{team}', {}, 'pk_live_AbC', 'Backend', 'live', 'read_write', 3, 5, 'Ada', 1)",
            id(1),
            hash(1)
        ),
        format!(
            "INSERT INTO keys (id, team_id, token_hash, prefix, name, mode, scope, slot, created_at, created_by_name, seq, \
                               revoked_at, revoked_by_name) \
             VALUES ('{}', '{team}', {}, 'pk_live_XyZ', 'Old', 'live', 'read_only', 3, 6, 'Ada', 2, 7, 'Grace')",
            id(2),
            hash(2)
        ),
        format!("INSERT INTO key_usage (key_id, last_used_at, last_used_from) VALUES ('{}', 8, '192.0.2.1')", id(1)),
        format!(
            "INSERT INTO idempotency (key_id, method, path, value, body_hash, status, body, created_at) \
             VALUES ('{}', 'POST', '/api/v1/products', 'k', {}, 201, {}, 8)",
            id(1),
            hash(3),
            hash(4)
        ),
    ] {
        place.execute_sql(&sql).await.unwrap();
    }

    let (store, ..) = Store::migrate_and_open(&place.location(), None).await.unwrap();
    let key = store.queries().key(id(1)).await.unwrap().unwrap();
    assert_eq!(key.key.status(NOW), KeyStatus::Active);
    assert_eq!((key.key.token.number, key.key.prefix().as_str()), (1, "pk_live_AbC"));
    assert_eq!((key.key.token.created_at, key.key.token.ends_at), (key.key.created_at, None));
    assert_eq!(key.last_use.unwrap().from, "192.0.2.1");
    assert!(key.former.is_none() && key.current_use.is_none() && key.key.pause.is_none());
    let revoked = store.queries().key(id(2)).await.unwrap().unwrap();
    assert!(matches!(revoked.key.status(NOW), KeyStatus::Revoked(Revocation { at, by, reason: None })
        if at.ms() == 7 && by.name == "Grace"));
    assert_eq!(revoked.revocation_complete_at.map(|at| at.ms()), Some(7));
    for (n, key) in [(1, id(1)), (2, id(2))] {
        let hash = TokenHash::from_stored(&[n; 32]).unwrap();
        assert_eq!(store.key_by_hash(&hash).await.unwrap().key.unwrap().id, key);
    }
    assert_eq!(place.execute_sql("UPDATE idempotency SET status = 200").await.unwrap(), 1, "stored responses stay");
    // The foreign keys of the tables that refer to keys hold again.
    let orphan = "UPDATE key_usage SET key_id = 'key_none'";
    assert!(place.execute_sql(orphan).await.unwrap_err().as_database_error().unwrap().is_foreign_key_violation());
}
