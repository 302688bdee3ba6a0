//! The schema: its migrations, embedded, with the same numbers and names for both engines; and which version a database has

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

use crate::connect::{check_connection, in_open_time, sqlite_options};
use crate::db::{Engine, Pool};
use crate::error::{OpenError, StoreError, is_no_such_table};
use crate::location::{FILE, Location};
use crate::statement::sql;

macro_rules! migrations {
    ($engine:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../migrations/", $engine, "/", $name, ".sql")))),*]
    };
}

const SQLITE: &[(&str, &str)] = migrations!("sqlite": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names", "0006_accounts", "0007_usage", "0008_key_lifecycle");
const POSTGRES: &[(&str, &str)] = migrations!("postgres": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names", "0006_accounts", "0007_usage", "0008_key_lifecycle");

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

/// How long a process waits for another one that migrates the same file: as long as on PostgreSQL.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it tries again.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

async fn migrate_sqlite(folder: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Path { path, error }
    };
    make_private(folder).map_err(failed(folder))?;
    let _lock = lock(&folder.join("keyhouse.lock")).await?;
    let file = folder.join(FILE);
    private_file(&file).map_err(failed(&file))?;
    warn_of_wide_rights(folder);
    let mut writer = sqlite_options(folder).create_if_missing(true).connect().await?;
    if !is_up_to_date(&mut Engine::Sqlite(&mut writer)).await? {
        sqlite().run(&mut writer).await?;
    }
    Ok(writer.close().await?)
}

/// Only one process at a time may set up a file. Polls, so that a signal can end the wait.
pub(crate) async fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Path { path: path.to_owned(), error };
    let file = private_file(path).map_err(failed)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if waited >= LOCK_TIMEOUT => {
                return Err(OpenError::Locked { lock: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => {
                if waited == Duration::from_secs(1) {
                    tracing::warn!("waiting for another keyhouse that holds {}", path.display());
                }
                tokio::time::sleep(LOCK_INTERVAL).await;
                waited += LOCK_INTERVAL;
            }
        }
    }
}

/// Existing files keep their rights, so a warning is logged if other users can read the hashes, addresses and audit log.
fn warn_of_wide_rights(folder: &Path) {
    for path in [folder.join(FILE), folder.join("keyhouse.lock")] {
        let mode = std::fs::metadata(&path).map_or(0, |file| file.permissions().mode());
        if mode & 0o077 != 0 {
            let (path, mode) = (path.display(), mode & 0o777);
            tracing::warn!("other users of this machine can open {path} (mode {mode:o}): run chmod 600 {path}");
        }
    }
}

async fn migrate_postgres(options: &PgConnectOptions) -> Result<(), OpenError> {
    // A connection of its own: no statement time-out may end a migration. sqlx takes an advisory lock; 60 s bound the wait
    // for a node that was suspended while it held it.
    let mut connection = in_open_time(async {
        let mut connection = options.connect().await?;
        check_connection(&mut connection).await?;
        Ok(connection)
    })
    .await?;
    // A role without CREATE can serve a database that is up to date.
    if !is_up_to_date(&mut Engine::Postgres(&mut connection)).await? {
        sqlx::query(
            "SELECT set_config('lock_timeout', '60000', false), set_config('statement_timeout', '0', false), \
                    set_config('idle_in_transaction_session_timeout', '60000', false)",
        )
        .execute(&mut connection)
        .await?;
        postgres().run(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

/// Whether every migration of this program has run. Nothing is written to a database whose migrations are another
/// program's.
async fn is_up_to_date(db: &mut Engine<&mut SqliteConnection, &mut PgConnection>) -> Result<bool, OpenError> {
    let select = sql("SELECT version, description, success FROM _sqlx_migrations ORDER BY version");
    let found: Vec<(i64, String, bool)> = match db.all(select).await {
        Ok(found) => found,
        Err(sqlx::Error::Database(error)) if is_no_such_table(error.as_ref()) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let name = |version: i64| usize::try_from(version - 1).ok().and_then(|index| SQLITE.get(index)).map(|file| file.0);
    let is_foreign = |(version, description, _): &(i64, String, bool)| match name(*version) {
        Some(known) => known != description,
        None => *version > NEWEST + 1000,
    };
    if found.iter().any(is_foreign) {
        return Err(OpenError::Foreign);
    }
    Ok(found.len() as i64 == NEWEST && found.iter().all(|(version, _, success)| *version <= NEWEST && *success))
}

/// Checks that the schema's version is this program's.
pub(crate) async fn check_version(reads: &Pool) -> Result<(), OpenError> {
    let select = sql("SELECT max(version) FROM _sqlx_migrations WHERE success");
    match reads.fetch_scalar::<Option<i64>>(select).await {
        Ok(Some(found)) if found == NEWEST => Ok(()),
        Ok(Some(found)) if found < NEWEST => Err(OpenError::Old { found, known: NEWEST }),
        Ok(Some(found)) => Err(OpenError::New { found, known: NEWEST }),
        Ok(None) => Err(OpenError::NotSetUp("the database".to_owned())),
        Err(StoreError::SchemaChanged(sqlx::Error::Database(error))) if is_no_such_table(error.as_ref()) => {
            Err(OpenError::NotSetUp("the database".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// As [`check_version`], on one connection.
pub(crate) async fn check_version_of(
    db: &mut Engine<Box<SqliteConnection>, Box<PgConnection>>,
) -> Result<(), OpenError> {
    match db.first::<(Option<i64>,)>(sql("SELECT max(version) FROM _sqlx_migrations WHERE success")).await {
        Ok(Some((Some(found),))) if found == NEWEST => Ok(()),
        Ok(Some((Some(found),))) if found < NEWEST => Err(OpenError::Old { found, known: NEWEST }),
        Ok(Some((Some(found),))) => Err(OpenError::New { found, known: NEWEST }),
        Ok(_) => Err(OpenError::NotSetUp("the database".to_owned())),
        Err(sqlx::Error::Database(error)) if is_no_such_table(error.as_ref()) => {
            Err(OpenError::NotSetUp("the database".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a file, and creates it with rights for its owner alone; an existing one keeps its rights.
fn private_file(file: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file)
}

/// Creates the folder with rights for its owner alone; leaves the rights of an existing one.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
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
