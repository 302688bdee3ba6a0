//! Putting a backup in the place of a database, without bringing back silently what was taken away since

mod comparison;
mod keys;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

use crate::backup::{BackupError, BackupSummary, sync_folder, verify_backup};
use crate::connect::{connect_for_maintenance, sqlite_options};
use crate::db::Engine;
use crate::error::{OpenError, explain};
use crate::location::{FILE, Location};
use crate::schema;
use crate::statement::sql;
use comparison::{Database, compare};
pub use comparison::{Returning, ReturningKind};
use keyhouse_domain::timestamp::Timestamp;

/// The folder inside the data folder in which a backup is prepared.
const STAGING: &str = "restore";
/// How long PostgreSQL may take to end the sessions of a process that has just ended.
const DISCONNECT_TIME: Duration = Duration::from_secs(3);

/// How the database that is there compares with the backup.
#[derive(Debug)]
pub enum Comparison {
    /// There is no database: what was taken away since the backup is not known.
    Absent,
    /// There is one that can't be read, for this reason.
    Unreadable(String),
    /// There is one, and it has no team in common with the backup.
    Unrelated,
    /// What the backup would bring back.
    Compared(Vec<Returning>),
}

/// Which changes since the backup are made again in the restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarryOver {
    /// None: access is as it was at the time of the backup.
    Nothing,
    /// Everything that was taken away is taken away again.
    Removals,
}

/// Why a backup was not restored. The database that is there is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup can't be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A file and a server can't replace each other.
    #[error(
        "a SQLite backup can replace only a data folder, and a PostgreSQL database only another PostgreSQL database"
    )]
    OtherEngine,
    /// The backup was made by a newer program.
    #[error("the backup's schema is version {found}, this program knows only {known}: run a newer keyhouse")]
    New {
        /// The backup's version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// Another process has the database open.
    #[error("another process has {} open: stop Keyhouse first", .0.display())]
    InUse(PathBuf),
    /// The data folder can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database refuses.
    #[error("{}", explain(.0))]
    Database(#[from] sqlx::Error),
}

/// A backup that is verified and ready to take a database's place. Dropping it leaves that database as it is.
#[derive(Debug)]
pub struct Restore {
    backup: Location,
    target: Location,
    /// What the backup holds; `None` for a PostgreSQL database.
    pub summary: Option<BackupSummary>,
    /// How it compares with the database that is there.
    pub comparison: Comparison,
    /// Held so that no other process sets up or restores the folder meanwhile.
    _lock: Option<File>,
}

impl Location {
    /// Creates the place where a backup is prepared, and returns the path of the file to copy it to. `None` for a server.
    ///
    /// # Errors
    ///
    /// The folder can't be written.
    pub fn staging_file(&self) -> Result<Option<PathBuf>, BackupError> {
        let Self::Folder(folder) = self else { return Ok(None) };
        let staging = folder.join(STAGING);
        schema::make_private(&staging).map_err(BackupError::path(&staging))?;
        clear(&staging)?;
        Ok(Some(staging.join(FILE)))
    }
}

impl Restore {
    /// Verifies a backup and compares it with the database of `target`, which stays as it is.
    ///
    /// `backup` is a PostgreSQL database that was filled from a dump, or `None` for the file at [`Location::staging_file`].
    ///
    /// # Errors
    ///
    /// See [`RestoreError`]; [`RestoreError::InUse`] if another process has the SQLite file open.
    pub async fn prepare(backup: Option<Location>, target: &Location) -> Result<Self, RestoreError> {
        let (backup, summary, lock) = match (backup, target) {
            (None, Location::Folder(folder)) => {
                let lock = schema::lock(&folder.join("keyhouse.lock")).await?;
                let staging = folder.join(STAGING);
                let summary = verify_backup(&staging.join(FILE)).await?;
                if folder.join(FILE).exists() {
                    detach(folder).await?;
                }
                (Location::Folder(staging), Some(summary), Some(lock))
            }
            (Some(backup @ Location::Postgres(_)), Location::Postgres(_)) => (backup, None, None),
            _ => return Err(RestoreError::OtherEngine),
        };
        let mut restored = connect_for_maintenance(&backup).await?;
        let version = sql("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success");
        let (found,): (i64,) = restored.first(version).await?.ok_or(sqlx::Error::RowNotFound)?;
        if found > schema::NEWEST {
            return Err(RestoreError::New { found, known: schema::NEWEST });
        }
        let comparison = compare_with(&mut restored, target).await;
        close(restored).await?;
        Ok(Self { backup, target: target.clone(), summary, comparison, _lock: lock })
    }

    /// Ends all sessions and links in the backup, gives it a new epoch, so that no node uses what it cached, and puts it in
    /// the database's place. Returns where the former SQLite file was moved to; a PostgreSQL database stays where it is.
    ///
    /// # Errors
    ///
    /// See [`RestoreError`].
    pub async fn finish(self, carry_over: CarryOver, now: Timestamp) -> Result<Option<PathBuf>, RestoreError> {
        let mut restored = connect_for_maintenance(&self.backup).await?;
        let new_epoch = match &restored {
            Engine::Sqlite(_) => "UPDATE changes SET epoch = lower(hex(randomblob(16)))",
            Engine::Postgres(_) => "UPDATE changes SET epoch = replace(gen_random_uuid()::text, '-', '')",
        };
        let mut statements = vec![
            sql(new_epoch),
            sql("UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL").bind(now),
            sql("DELETE FROM links"),
        ];
        if let (CarryOver::Removals, Comparison::Compared(returning)) = (carry_over, self.comparison) {
            statements.extend(returning.into_iter().flat_map(|one| one.carry_over));
        }
        restored.run(sql("BEGIN")).await?;
        for statement in statements {
            restored.run(statement).await?;
        }
        restored.run(sql("COMMIT")).await?;
        close(restored).await?;
        match (&self.backup, &self.target) {
            (Location::Folder(staging), Location::Folder(folder)) => Ok(swap(staging, folder, now)?),
            _ => Ok(None),
        }
    }
}

async fn compare_with(restored: &mut Database, target: &Location) -> Comparison {
    if let Location::Folder(folder) = target
        && !folder.join(FILE).exists()
    {
        return Comparison::Absent;
    }
    let compared = async {
        let mut current = connect_for_maintenance(target).await?;
        let compared = compare(restored, &mut current).await?;
        close(current).await?;
        Ok::<_, sqlx::Error>(compared)
    };
    match compared.await {
        Ok(Some(returning)) => Comparison::Compared(returning),
        Ok(None) => Comparison::Unrelated,
        Err(error) => Comparison::Unreadable(explain(&error)),
    }
}

async fn close(database: Database) -> sqlx::Result<()> {
    match database {
        Engine::Sqlite(connection) => connection.close().await,
        Engine::Postgres(connection) => connection.close().await,
    }
}

/// Folds the write-ahead log into the file and leaves the file to itself. SQLite does that only for the last connection, so
/// this also shows whether another process has the file open.
pub(crate) async fn detach(folder: &Path) -> Result<(), RestoreError> {
    let probe = async {
        let mut connection = sqlite_options(folder).connect().await?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(mode)
    };
    match probe.await {
        Ok(mode) if mode == "delete" => Ok(()),
        // Busy or locked; or the mode stays what it was.
        Ok(_) => Err(RestoreError::InUse(folder.join(FILE))),
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("5" | "6" | "261")) => {
            Err(RestoreError::InUse(folder.join(FILE)))
        }
        // A damaged file is compared as unreadable.
        Err(_) => Ok(()),
    }
}

/// Whether nodes or commands of Keyhouse are connected to a PostgreSQL database. SQLite: see [`detach`].
///
/// Asked repeatedly for up to [`DISCONNECT_TIME`], because PostgreSQL lists a session until its process has noticed the end of
/// the client.
pub(crate) async fn is_in_use(database: &mut Database) -> sqlx::Result<bool> {
    if let Engine::Sqlite(_) = database {
        return Ok(false);
    }
    const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                          AND pid <> pg_backend_pid() AND application_name = 'keyhouse'";
    let asked = async {
        while database.first::<(i64,)>(sql(OTHERS)).await?.is_some_and(|(others,)| others > 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(false)
    };
    tokio::time::timeout(DISCONNECT_TIME, asked).await.unwrap_or(Ok(true))
}

/// Puts the prepared file in the place of the one in the folder, which keeps a name of its own.
fn swap(staging: &Path, folder: &Path, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
    let (file, prepared) = (folder.join(FILE), staging.join(FILE));
    let failed = BackupError::path;
    let former = file.exists().then(|| folder.join(format!("keyhouse-replaced-{}.db", now.ms())));
    if let Some(former) = &former {
        // The file has both names until the next line, so that a crash in between leaves one of the two databases.
        std::fs::hard_link(&file, former).map_err(failed(former))?;
        for suffix in ["-wal", "-shm"] {
            // There only beside a damaged file: they would be replayed into the restored one.
            let log = folder.join(format!("{FILE}{suffix}"));
            match std::fs::rename(&log, folder.join(format!("keyhouse-replaced-{}.db{suffix}", now.ms()))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&log)(error)),
                _ => {}
            }
        }
    }
    File::open(&prepared).and_then(|file| file.sync_all()).map_err(failed(&prepared))?;
    std::fs::rename(&prepared, &file).map_err(failed(&file))?;
    sync_folder(&file)?;
    clear(staging)?;
    std::fs::remove_dir(staging).map_err(failed(staging))?;
    Ok(former)
}

/// Removes what an earlier, interrupted restore has left.
fn clear(staging: &Path) -> Result<(), BackupError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = staging.join(format!("{FILE}{suffix}"));
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::path(&file)(error)),
            _ => {}
        }
    }
    Ok(())
}
