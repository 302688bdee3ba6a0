//! Backups of a SQLite database, made while servers run

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::connect::{SQLITE_CLI_BUSY_TIMEOUT, sqlite_options};
use crate::error::explain;
use crate::location::{FILE, Location};

/// What a verified backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The size of the file.
    pub bytes: u64,
    /// The schema's version.
    pub version: i64,
    /// Teams that are not deleted.
    pub teams: i64,
    /// Keys that are not revoked.
    pub active_keys: i64,
}

/// Why a backup was not made, or can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has its own tool for this.
    #[error("PostgreSQL is backed up with pg_dump")]
    Postgres,
    /// The data folder has no database.
    #[error("{} contains no Keyhouse database", .0.display())]
    NotSetUp(PathBuf),
    /// A file can't be written or read.
    #[error("{}: {error}", path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// SQLite reports damage in the copy.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// What SQLite's integrity check reports.
        problem: String,
    },
    /// The file is a SQLite database of something else.
    #[error("{} is not a Keyhouse backup", .0.display())]
    Foreign(PathBuf),
    /// SQLite refuses.
    #[error("{}", explain(.0))]
    Database(#[from] sqlx::Error),
}

impl BackupError {
    pub(crate) fn path(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Path { path, error }
    }
}

impl Location {
    /// Copies the SQLite database into a new file with rights for its owner alone, and verifies the copy by opening it.
    ///
    /// One read transaction makes the copy: it holds every change that was acknowledged before the call, and writers
    /// continue meanwhile.
    ///
    /// # Errors
    ///
    /// See [`BackupError`]. A file that exists is not overwritten, and no partial copy is left.
    pub async fn back_up(&self, to: &Path) -> Result<BackupSummary, BackupError> {
        let Self::Folder(folder) = self else { return Err(BackupError::Postgres) };
        if !folder.join(FILE).try_exists().map_err(BackupError::path(folder))? {
            return Err(BackupError::NotSetUp(folder.clone()));
        }
        if to.try_exists().map_err(BackupError::path(to))? {
            return Err(BackupError::path(to)(io::ErrorKind::AlreadyExists.into()));
        }
        // A copy that a crash interrupts never has the final name.
        let mut partial = to.to_owned().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let made = async {
            copy(folder, &partial).await?;
            let summary = verify_backup(&partial).await?;
            std::fs::rename(&partial, to).map_err(BackupError::path(to))?;
            sync_folder(to)?;
            Ok(summary)
        };
        made.await.inspect_err(|_| {
            let _already_failing = std::fs::remove_file(&partial);
        })
    }
}

async fn copy(folder: &Path, to: &Path) -> Result<(), BackupError> {
    // `VACUUM INTO` writes to a file that is missing or empty; this one is private from the beginning.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(to).map_err(BackupError::path(to))?;
    let text = to.to_str().ok_or_else(|| BackupError::path(to)(io::ErrorKind::InvalidFilename.into()))?;
    let options = sqlite_options(folder).read_only(true).busy_timeout(SQLITE_CLI_BUSY_TIMEOUT);
    let mut source = options.connect().await?;
    sqlx::query("VACUUM INTO $1").bind(text).execute(&mut source).await?;
    source.close().await?;
    file.sync_all().map_err(BackupError::path(to))
}

/// Opens a backup, runs SQLite's integrity and foreign key checks, and reads what it holds.
///
/// # Errors
///
/// See [`BackupError`].
pub(crate) async fn verify_backup(file: &Path) -> Result<BackupSummary, BackupError> {
    let bytes = std::fs::metadata(file).map_err(BackupError::path(file))?.len();
    let damaged = |problem: String| BackupError::Damaged { path: file.to_owned(), problem };
    let foreign = |error: sqlx::Error| match error {
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("26" | "11") => damaged(error.message().to_owned()),
            _ => BackupError::Foreign(file.to_owned()),
        },
        error => error.into(),
    };
    let mut backup = SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let check: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(3)").fetch_all(&mut backup).await.map_err(foreign)?;
    if check != ["ok"] {
        return Err(damaged(check.join("; ")));
    }
    let dangling: Vec<String> =
        sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_check LIMIT 3").fetch_all(&mut backup).await?;
    if !dangling.is_empty() {
        return Err(damaged(format!("rows of {} refer to rows that are missing", dangling.join(", "))));
    }
    let version = scalar(&mut backup, "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success");
    let version = version.await.map_err(foreign)?;
    let teams = scalar(&mut backup, "SELECT count(*) FROM teams WHERE deleted_at IS NULL").await.map_err(foreign)?;
    // A column that the schema has had from the first version on.
    let keys = scalar(&mut backup, "SELECT count(*) FROM keys WHERE revoked_at IS NULL").await.map_err(foreign)?;
    backup.close().await?;
    Ok(BackupSummary { bytes, version, teams, active_keys: keys })
}

async fn scalar(backup: &mut SqliteConnection, select: &'static str) -> sqlx::Result<i64> {
    sqlx::query_scalar(select).fetch_one(backup).await
}

/// Flushes the folder of a file, so that the file's name survives a crash.
pub(crate) fn sync_folder(file: &Path) -> Result<(), BackupError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::path(folder))
}
