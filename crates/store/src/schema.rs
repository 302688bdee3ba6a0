//! The schema: its migrations, embedded, with the same numbers and names for both engines; and which version a database has

use std::borrow::Cow;
use std::io;
use std::path::Path;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use crate::connect::{in_open_time, refuse_standby, sqlite_options};
use crate::db::{Pool, sql};
use crate::error::{OpenError, StoreError, is_no_such_table};
use crate::location::{FILE, Location};

macro_rules! migrations {
    ($engine:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../migrations/", $engine, "/", $name, ".sql")))),*]
    };
}

const SQLITE: &[(&str, &str)] = migrations!("sqlite": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names");
const POSTGRES: &[(&str, &str)] = migrations!("postgres": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names");

/// The number of the newest migration that this program knows.
pub(crate) const NEWEST: i64 = SQLITE.len() as i64;

fn sqlite() -> Migrator {
    migrator(SQLITE)
}

fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(files: &'static [(&'static str, &'static str)]) -> Migrator {
    let numbered = files.iter().zip(1..).map(|(&(name, sql), version)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(numbered.collect())
}

/// Sets the database up, or brings it up to date.
pub(crate) async fn migrate(location: &Location) -> Result<(), OpenError> {
    match location {
        Location::Folder(folder) => migrate_sqlite(folder).await,
        Location::Postgres(options) => migrate_postgres(options).await,
    }
}

async fn migrate_sqlite(folder: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Folder { folder: folder.to_owned(), error };
    make_private(folder).map_err(failed)?;
    // Only one process at a time may set up a file.
    let path = folder.join("keyhouse.lock");
    let locked = move || std::fs::File::create(path).and_then(|file| file.lock().map(|()| file));
    let _lock = tokio::task::spawn_blocking(locked).await.map_err(io::Error::other).flatten().map_err(failed)?;
    create_private(&folder.join(FILE)).map_err(failed)?;
    let mut writer = sqlite_options(folder).create_if_missing(true).connect().await?;
    sqlite().run(&mut writer).await?;
    Ok(writer.close().await?)
}

async fn migrate_postgres(options: &PgConnectOptions) -> Result<(), OpenError> {
    // A connection of its own: no statement time-out may end a migration. sqlx takes an advisory lock; 60 s bound the wait
    // for a node that was suspended while it held it.
    let mut connection = in_open_time(async {
        let mut connection = options.connect().await?;
        refuse_standby(&mut connection).await?;
        Ok(connection)
    })
    .await?;
    sqlx::query(
        "SELECT set_config('lock_timeout', '60000', false), set_config('statement_timeout', '0', false), \
                set_config('idle_in_transaction_session_timeout', '60000', false)",
    )
    .execute(&mut connection)
    .await?;
    postgres().run(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Checks that the schema's version is this program's.
pub(crate) async fn check_version(reads: &Pool) -> Result<(), OpenError> {
    let select = sql("SELECT max(version) FROM _sqlx_migrations WHERE success");
    match reads.fetch_scalar::<Option<i64>>(select).await {
        Ok(Some(found)) if found == NEWEST => Ok(()),
        Ok(Some(found)) if found < NEWEST => Err(OpenError::Old { found, known: NEWEST }),
        Ok(Some(found)) => Err(OpenError::New { found, known: NEWEST }),
        Ok(None) => Err(OpenError::NotSetUp("the database".to_owned())),
        Err(StoreError::Rejected(sqlx::Error::Database(error))) if is_no_such_table(error.as_ref()) => {
            Err(OpenError::NotSetUp("the database".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates the file with rights for its owner alone; leaves the rights of an existing one.
fn create_private(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file).map(drop)
}

/// Creates the folder with rights for its owner alone; leaves the rights of an existing one.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations_numbered_in_order() {
        let names = |files: &[(&'static str, &str)]| files.iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        for (version, name) in (1..).zip(names(SQLITE)) {
            assert!(name.starts_with(&format!("{version:04}_")), "{name} is number {version}");
        }
    }
}
