//! Why a statement failed, and why a database could not be opened

use std::io;
use std::path::PathBuf;

use sqlx::error::DatabaseError;

use crate::schema;

/// Why a statement failed. Absence is not an error: it is `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is down, too slow, full, or not the primary. The same statement may succeed later.
    #[error("the database can't be reached or does not respond: {0}")]
    Unavailable(sqlx::Error),
    /// A unique index refused the row.
    #[error("the row collides with another: {0}")]
    Conflict(sqlx::Error),
    /// The SQLite file at the path is not the one that is open: writes would be lost and reads are stale.
    #[error("the database file was moved or replaced while Keyhouse ran")]
    FileReplaced,
    /// A stored value that Keyhouse never writes.
    #[error("the database holds a value that can't be read: {table} {id}")]
    Corrupt {
        /// The table of the value.
        table: &'static str,
        /// The row's id.
        id: String,
    },
    /// A table or a column is missing that was there at the start: a newer version has changed the schema.
    #[error("a newer version has changed the database's schema: install it on this node ({0})")]
    SchemaChanged(sqlx::Error),
    /// A statement that the database does not accept: a fault in Keyhouse, or a database changed by hand.
    #[error("the database refused a statement: {0}")]
    Rejected(sqlx::Error),
}

/// The result of a statement.
pub(crate) type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// No answer within the time-out.
    pub fn timed_out() -> Self {
        Self::Unavailable(timed_out())
    }
}

pub(crate) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) if db.is_unique_violation() => Self::Conflict(error),
            sqlx::Error::Database(db) if is_transient(db.as_ref()) => Self::Unavailable(error),
            sqlx::Error::Database(db) if is_schema_mismatch(db.as_ref()) => Self::SchemaChanged(error),
            // `Configuration` is what `refuse_standby` raises: an address that follows the primary may lead to a standby
            // for a moment.
            sqlx::Error::Configuration(_)
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Rejected(error),
        }
    }
}

/// A stored value that can't be read.
pub(crate) fn corrupt(table: &'static str, id: &str) -> StoreError {
    StoreError::Corrupt { table, id: id.to_owned() }
}

/// Something an operator should read that does not keep Keyhouse from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder can't be made or read.
    #[error("can't use {}: {error}; it must belong to the user that runs Keyhouse", path.display())]
    Path {
        /// The data folder, or the file in it.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The database does not answer, or refuses.
    #[error("can't open the database: {}", explain(.0))]
    Database(sqlx::Error),
    /// A migration failed.
    #[error("can't bring the database's schema up to date: {}", explain_migration(.0))]
    Migrate(sqlx::migrate::MigrateError),
    /// The table of migrations is another program's.
    #[error(
        "this database belongs to another program, whose migrations are in its table _sqlx_migrations: give Keyhouse a database or a schema of its own"
    )]
    Foreign,
    /// Another process holds the lock of the data folder.
    #[error("another Keyhouse process holds {}: stop it first, or wait until it has migrated the database", lock.display())]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// There is no Keyhouse schema.
    #[error(
        "{0} does not contain a Keyhouse database yet: run `keyhouse migrate` or `keyhouse serve` with the same setting first"
    )]
    NotSetUp(String),
    /// The schema is older than this program.
    #[error("the database's schema is version {found}, this program needs {known}: run `keyhouse migrate`")]
    Old {
        /// The schema's version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// The schema is newer than this program.
    #[error("the database's schema is version {found}, this program supports only {known}: run a newer keyhouse")]
    New {
        /// The schema's version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// The database was moved to another one.
    #[error(
        "this database was moved to {to}: use that one. To use this one again, without what has changed in the other since, run `keyhouse move --cancel` with the same setting"
    )]
    Moved {
        /// The other database.
        to: String,
    },
    /// A move of this database has begun and not finished.
    #[error(
        "a move of this database to {to} has not finished: run `keyhouse move` again to finish it, or `keyhouse move --cancel` to use this one again"
    )]
    MoveUnfinished {
        /// The other database.
        to: String,
    },
    /// A move into this database has begun and not finished.
    #[error(
        "a move into this database has not finished: run `keyhouse move` again, with the setting of the database that it comes from"
    )]
    MoveTarget,
    /// The setting `token.brand` differs from the database's.
    #[error(
        "this database's tokens begin with \"{stored}\", but token.brand is \"{asked}\": the brand is fixed when a database is set up"
    )]
    Brand {
        /// The brand of the database.
        stored: String,
        /// The brand of the settings.
        asked: String,
    },
    /// SQLite does not run with a write-ahead log that is flushed at each commit.
    #[error(
        "SQLite can't guarantee that acknowledged changes are kept (journal_mode {journal}, synchronous {synchronous}): put the data folder on a local file system"
    )]
    NotDurable {
        /// `PRAGMA journal_mode`.
        journal: String,
        /// `PRAGMA synchronous`; 2 is FULL.
        synchronous: i64,
    },
}

impl OpenError {
    /// Whether the server refuses connections for now: it does not run yet, or it is starting or stopping.
    pub fn is_not_accepting(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match error {
            sqlx::Error::Io(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
            }
            // cannot_connect_now
            sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
            _ => false,
        }
    }
}

/// A database's error with what an operator can do about it. PostgreSQL's message alone: sqlx adds the line of the server's
/// source code, which reads like a line of the settings file.
pub(crate) fn explain(error: &sqlx::Error) -> String {
    let Some(error) = error.as_database_error() else { return error.to_string() };
    let code = error.code().unwrap_or_default().into_owned();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        let advice = match code.parse::<u32>().unwrap_or_default() & 0xff {
            // Corrupt, not a database.
            11 | 26 => {
                "; if keyhouse.db was restored from a backup, keyhouse.db-wal and keyhouse.db-shm belong to the old file: \
                 remove both and copy the backup again"
            }
            // Can't open, read-only, I/O error.
            14 | 8 | 10 => {
                "; check that keyhouse.db, keyhouse.db-wal, keyhouse.db-shm and their folder belong to the user that runs \
                 Keyhouse, and that the disk is not full"
            }
            _ => "",
        };
        return format!("{error}{advice}");
    }
    let advice = match code.as_str() {
        "42501" => "; let the role own the schema, or run GRANT USAGE, CREATE ON SCHEMA public TO the role",
        "53300" => "; raise max_connections: a node uses up to 32 connections, and each command one",
        "42P05" | "26000" => "; a pooler in transaction mode loses prepared statements: set it to session mode",
        _ => "",
    };
    format!("{}{advice}", error.message())
}

fn explain_migration(error: &sqlx::migrate::MigrateError) -> String {
    match error {
        sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
            explain(error)
        }
        error => error.to_string(),
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error)
            | StoreError::Conflict(error)
            | StoreError::SchemaChanged(error)
            | StoreError::Rejected(error) => Self::Database(error),
            error @ (StoreError::FileReplaced | StoreError::Corrupt { .. }) => {
                Self::Database(sqlx::Error::Configuration(Box::new(error)))
            }
        }
    }
}

impl From<sqlx::migrate::MigrateError> for OpenError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            // The database has a migration that this program lacks: a newer program ran it.
            sqlx::migrate::MigrateError::VersionMissing(found) => Self::New { found, known: schema::NEWEST },
            error => Self::Migrate(error),
        }
    }
}

pub(crate) fn is_no_such_table(error: &(dyn DatabaseError + 'static)) -> bool {
    // SQLite has one code for every statement that it can't prepare.
    error.code().is_some_and(|code| code == "42P01") || error.message().starts_with("no such table")
}

/// Whether a statement names a table or a column that the database does not have.
fn is_schema_mismatch(error: &(dyn DatabaseError + 'static)) -> bool {
    // undefined_column. SQLite has no code for it.
    let is_column = |message: &str| message.starts_with("no such column") || message.contains(" has no column named ");
    is_no_such_table(error) || error.code().is_some_and(|code| code == "42703") || is_column(error.message())
}

/// Whether a database's error is about its state now, and not about the statement.
fn is_transient(error: &(dyn DatabaseError + 'static)) -> bool {
    let Some(code) = error.code() else { return false };
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // Primary codes: busy, locked, read-only, I/O error, full, can't open. The upper bits hold the extended code.
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14));
    }
    // Classes: connection, credentials, resources, operator intervention, system; then a write on a standby, the
    // time-outs of an idle or long transaction, a database that does not exist, serialization, deadlock, lock time-out.
    ["08", "28", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code.as_ref(), "25006" | "25P03" | "25P04" | "3D000" | "40001" | "40P01" | "55P03")
}

/// PostgreSQL's 55P03: another transaction held the row for the whole `lock_timeout`.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "55P03")
}
