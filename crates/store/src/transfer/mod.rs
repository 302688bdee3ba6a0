//! Moving a database from SQLite to PostgreSQL, and back

mod rows;
mod tables;

use std::path::PathBuf;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::connect::connect_for_maintenance;
use crate::db::{Engine, Pool};
use crate::error::{OpenError, explain};
use crate::location::{FILE, Location};
use crate::restore::{detach, is_in_use};
use crate::schema;
use crate::statement::sql;
use rows::Checksum;
use tables::{Table, tables};

type Database = Engine<Box<SqliteConnection>, Box<PgConnection>>;

/// In the settings of a database that is being moved or was moved: where to.
const MOVED_TO: &str = "move.to";
/// In the settings of a database that a move fills: the epoch of the one that it comes from.
const MOVED_FROM: &str = "move.from";
/// The rows of `settings` that are not moved.
const MARKS: [&str; 2] = [MOVED_TO, MOVED_FROM];
/// The value of [`MOVED_TO`] begins with one of these.
const BEGUN: &str = "begun ";
const DONE: &str = "done ";

/// What a move does right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveStep {
    /// Rows are copied.
    Copy,
    /// Rows are read on both sides and compared.
    Compare,
}

/// A table that is the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTable {
    /// The table's name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all values in the order of the primary key, in hex.
    pub checksum: String,
}

/// Why a database was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// One side has to be a folder and the other a server.
    #[error(
        "a move goes from SQLite to PostgreSQL or back; between two databases of the same kind, use backup and restore, or pg_dump"
    )]
    SameEngine,
    /// Another process has the database open.
    #[error("another process uses {0}: stop Keyhouse first")]
    InUse(String),
    /// The target has data of its own.
    #[error("{0} already contains data: name an empty database")]
    NotEmpty(String),
    /// The two sides differ after the copy.
    #[error(
        "the table {table} differs after the copy: {source_rows} rows in the source, {target_rows} in the target, or different values; empty the target and move again"
    )]
    Differs {
        /// The table.
        table: String,
        /// Its rows in the database that is moved.
        source_rows: u64,
        /// Its rows in the target.
        target_rows: u64,
    },
    /// A table can't be moved. A fault in Keyhouse: a test moves every table.
    #[error("the schema can't be moved: {0}")]
    Schema(String),
    /// One of the databases can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A database refuses. Run the move again to continue it.
    #[error("{}; run the same command again to continue", explain(.0))]
    Database(#[from] sqlx::Error),
}

/// Refuses a database that was moved away, or that a move has not filled yet.
pub(crate) async fn check_not_moved(reads: &Pool) -> Result<(), OpenError> {
    let select = sql("SELECT name, value FROM settings WHERE name IN ($1, $2)").bind(MOVED_TO).bind(MOVED_FROM);
    let Some((name, value)) = reads.fetch_all::<(String, String)>(select).await?.into_iter().next() else {
        return Ok(());
    };
    Err(match value.strip_prefix(DONE) {
        Some(to) => OpenError::Moved { to: to.to_owned() },
        None if name == MOVED_TO => {
            OpenError::MoveUnfinished { to: value.strip_prefix(BEGUN).unwrap_or(&value).to_owned() }
        }
        None => OpenError::MoveTarget,
    })
}

impl Location {
    /// Copies every row into an empty database of the other engine, in batches, and compares both sides. `progress` gets
    /// the step, the table, the rows done and their total.
    ///
    /// The database that is moved is read only, but for a mark in its settings, by which Keyhouse refuses to open it. A move
    /// that was interrupted continues where it was.
    ///
    /// # Errors
    ///
    /// See [`MoveError`].
    pub async fn move_to(
        &self,
        target: &Self,
        progress: &mut (dyn FnMut(MoveStep, &str, u64, u64) + Send),
    ) -> Result<Vec<MovedTable>, MoveError> {
        if matches!((self, target), (Self::Folder(_), Self::Folder(_)) | (Self::Postgres(_), Self::Postgres(_))) {
            return Err(MoveError::SameEngine);
        }
        let mut from = self.open_source().await?;
        schema::migrate(target).await?;
        let mut to = connect_for_maintenance(target).await?;
        let tables = match &mut from {
            Engine::Sqlite(_) => tables(&mut from).await?,
            Engine::Postgres(_) => tables(&mut to).await?,
        };
        let epoch = epoch_of(&mut from).await?.unwrap_or_default();
        let is_finished = prepare(&mut to, target, &epoch, &tables).await?;
        set_mark(&mut from, MOVED_TO, &format!("{BEGUN}{target}")).await?;
        if !is_finished {
            for table in &tables {
                copy(table, &mut from, &mut to, progress).await?;
                table.link(&mut from, &mut to).await?;
            }
        }
        let mut moved = Vec::new();
        for table in &tables {
            moved.push(compare(table, &mut from, &mut to, progress).await?);
        }
        to.run(sql("DELETE FROM settings WHERE name = $1").bind(MOVED_FROM)).await?;
        set_mark(&mut from, MOVED_TO, &format!("{DONE}{target}")).await?;
        close(from).await?;
        close(to).await?;
        Ok(moved)
    }

    /// Makes a database usable again that was moved, or whose move has not finished. `false` if it is neither.
    ///
    /// # Errors
    ///
    /// See [`MoveError`].
    pub async fn cancel_move(&self) -> Result<bool, MoveError> {
        let mut database = connect_for_maintenance(self).await?;
        let deleted = database.run(sql("DELETE FROM settings WHERE name = $1").bind(MOVED_TO)).await?;
        close(database).await?;
        Ok(deleted > 0)
    }

    /// Opens the database that is to be moved, which no other process may use.
    async fn open_source(&self) -> Result<Database, MoveError> {
        if let Self::Folder(folder) = self {
            let file: PathBuf = folder.join(FILE);
            if !file.exists() {
                return Err(OpenError::NotSetUp(folder.display().to_string()).into());
            }
            detach(folder).await.map_err(|_| MoveError::InUse(self.to_string()))?;
        }
        let mut from = connect_for_maintenance(self).await?;
        schema::check_version_of(&mut from).await?;
        if is_in_use(&mut from).await? {
            return Err(MoveError::InUse(self.to_string()));
        }
        Ok(from)
    }
}

async fn close(database: Database) -> sqlx::Result<()> {
    match database {
        Engine::Sqlite(connection) => connection.close().await,
        Engine::Postgres(connection) => connection.close().await,
    }
}

async fn epoch_of(database: &mut Database) -> sqlx::Result<Option<String>> {
    Ok(database.first::<(String,)>(sql("SELECT epoch FROM changes")).await?.map(|(epoch,)| epoch))
}

async fn set_mark(database: &mut Database, name: &str, value: &str) -> sqlx::Result<()> {
    let upsert = sql("INSERT INTO settings (name, value) VALUES ($1, $2) \
                      ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    database.run(upsert.bind(name).bind(value)).await.map(drop)
}

/// Makes the target ready for the rows of the database with this epoch. Returns whether it holds all of them already,
/// because a move was interrupted between its last two steps.
async fn prepare(to: &mut Database, target: &Location, epoch: &str, tables: &[Table]) -> Result<bool, MoveError> {
    let mark = sql("SELECT value FROM settings WHERE name = $1").bind(MOVED_FROM);
    if let Some((known,)) = to.first::<(String,)>(mark).await? {
        return if known == epoch { Ok(false) } else { Err(MoveError::NotEmpty(target.to_string())) };
    }
    if epoch_of(to).await?.as_deref() == Some(epoch) {
        return Ok(true);
    }
    let (people,): (i64,) =
        to.first(sql("SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM teams)")).await?.unwrap_or((1,));
    if people > 0 {
        return Err(MoveError::NotEmpty(target.to_string()));
    }
    // Marked first: from here on nothing else opens it.
    set_mark(to, MOVED_FROM, epoch).await?;
    for table in tables.iter().rev() {
        table.clear(to).await?;
    }
    Ok(false)
}

/// Copies the rows after the last one that the target has.
async fn copy(
    table: &Table,
    from: &mut Database,
    to: &mut Database,
    progress: &mut (dyn FnMut(MoveStep, &str, u64, u64) + Send),
) -> Result<(), MoveError> {
    let total = table.count(from).await?;
    let mut done = table.count(to).await?;
    let mut after = table.last_key(to).await?;
    loop {
        progress(MoveStep::Copy, &table.name, done, total);
        let page = table.page(from, after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(table.key_of(last));
        done += page.len() as u64;
        table.insert(to, page).await?;
    }
}

async fn compare(
    table: &Table,
    from: &mut Database,
    to: &mut Database,
    progress: &mut (dyn FnMut(MoveStep, &str, u64, u64) + Send),
) -> Result<MovedTable, MoveError> {
    let total = table.count(from).await?;
    progress(MoveStep::Compare, &table.name, 0, total);
    let (source_rows, source) = checksum(table, from).await?;
    let (target_rows, checksum) = checksum(table, to).await?;
    if (source_rows, &source) != (target_rows, &checksum) {
        return Err(MoveError::Differs { table: table.name.clone(), source_rows, target_rows });
    }
    progress(MoveStep::Compare, &table.name, total, total);
    Ok(MovedTable { name: table.name.clone(), rows: source_rows, checksum })
}

async fn checksum(table: &Table, database: &mut Database) -> sqlx::Result<(u64, String)> {
    let (mut rows, mut checksum, mut after) = (0, Checksum::default(), None);
    loop {
        let page = table.page(database, after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok((rows, checksum.hex())) };
        after = Some(table.key_of(last));
        rows += page.len() as u64;
        page.iter().for_each(|row| checksum.add(row));
    }
}
