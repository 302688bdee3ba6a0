//! MEMORY. The only room that knows SQL.
//!
//! Two engines, one text: a statement is written once and runs on whichever database is open; each engine type-checks
//! it for itself. Where they differ is `open.rs` and `migrations/`, nowhere else. A transaction begins and ends inside
//! one function, and locks in one order: the teams by id, then `changes`, then the rows.

mod audit;
mod change_feed;
mod connect;
mod idempotency;
mod jobs;
mod keys;
mod last_used;
mod links;
mod location;
mod locks;
mod members;
mod people;
mod products;
mod schema;
mod teams;

pub use change_feed::{ChangeFeed, ChangeSet, Changed, POLL_TIMEOUT};
pub use connect::{OpenError, Warning};
pub use idempotency::Replay;
pub use keys::{Found, Inserted, NewRow, Renamed, Revoked};
pub use links::{Invited, Joining, LinkUsed, NewLink, NewPerson};
pub use location::Location;
pub use members::{MemberChanged, NewMember};
pub use people::{Credentials, EmailTaken, NewSession};
pub use products::{Idempotency, ProductWritten};
pub use teams::NewTeam;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::sync::Notify;

use location::FileId;

/// The same thing for either database: a pool, or a transaction.
#[derive(Debug, Clone)]
enum Engine<S, P> {
    Sqlite(S),
    Postgres(P),
}

type Pool = Engine<SqlitePool, PgPool>;

impl Pool {
    /// Connections at most, in all, and those that are free.
    fn size(&self) -> (u32, u32, usize) {
        match self {
            Self::Sqlite(pool) => (pool.options().get_max_connections(), pool.size(), pool.num_idle()),
            Self::Postgres(pool) => (pool.options().get_max_connections(), pool.size(), pool.num_idle()),
        }
    }

    fn note_wait(&self, waits: &Counter) {
        let (most, all, idle) = self.size();
        if idle == 0 && all >= most {
            waits.inc();
        }
    }
}

/// How long a statement may take in all, as our own clock has it: a server that is frozen keeps no time-out of its own.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_millis(2500);

/// Runs the same tokens on whichever engine is open, and gives up on an engine that does not answer.
macro_rules! on {
    ($engine:expr, $db:ident => $body:expr) => {
        match $engine {
            $crate::Engine::Sqlite($db) => $crate::in_time(async { Ok($body) }).await?,
            $crate::Engine::Postgres($db) => $crate::in_time(async { Ok($body) }).await?,
        }
    };
}

async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or_else(|_| Err(timed_out()))
}

/// A row by its columns' names, readable from both engines.
macro_rules! record {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        struct $name {
            $($field: $type),*
        }

        impl sqlx::FromRow<'_, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
                use sqlx::Row;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }

        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                use sqlx::Row;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}

use {on, record};

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// SQLite: the one writing connection.
    writes: Pool,
    /// Lists and single rows.
    reads: Pool,
    /// Whose token is this? Apart from the rest, so that slow pages never keep the API from judging keys.
    admit: Pool,
    location: Location,
    /// What the SQLite file was when it was opened.
    file: Option<FileId>,
    local_changes: LocalChanges,
    waits: PoolWaits,
}

/// How often somebody found no connection free and had to wait for one.
#[derive(Debug, Clone, Default)]
pub struct PoolWaits {
    /// To begin a change.
    pub writes: Counter,
    /// To learn whose token it is.
    pub admit: Counter,
}

/// How many connections a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    pub pool: &'static str,
    pub idle: u32,
    pub busy: u32,
}

/// How many transactions of this process have advanced the change counter, as far as it can know: one whose outcome is
/// unknown counts too.
#[derive(Debug, Clone, Default)]
struct LocalChanges(Arc<LocalChange>);

#[derive(Debug, Default)]
struct LocalChange {
    count: AtomicU64,
    /// Wakes whoever follows the changes.
    told: Notify,
}

/// Why the database did not do it. Absence is no error: it is `Option`. Each tells its cause itself, once.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Away, too slow, full, or not the primary: true for now, and worth another try.
    #[error("the database can't be reached or can't answer now: {0}")]
    Unavailable(sqlx::Error),
    /// A unique index refused the row.
    #[error("the row collides with another: {0}")]
    Conflict(sqlx::Error),
    /// The SQLite file is not the one that was opened: what is written now would be lost, what is read is the past.
    #[error("the database file was moved or replaced while Keyhouse ran")]
    FileReplaced,
    /// A row that no code of ours could have written.
    #[error("the database holds a value that can't be read: {table} {id}")]
    Corrupt { table: &'static str, id: String },
    /// A statement that the database does not accept: a fault in Keyhouse, or a database changed by hand.
    #[error("the database refused a statement: {0}")]
    Rejected(sqlx::Error),
}

impl StoreError {
    /// No answer in time.
    pub fn timed_out() -> Self {
        Self::Unavailable(timed_out())
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) if db.is_unique_violation() => Self::Conflict(error),
            sqlx::Error::Database(db) if connect::is_transient(db.as_ref()) => Self::Unavailable(error),
            // A standby: what follows the primary may lead to one for a moment.
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

type Result<T> = std::result::Result<T, StoreError>;

/// A writing transaction. Dropped before its commit, it leaves nothing.
struct Tx(Engine<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>, ChangeGuard);

/// Whether a transaction has advanced the change counter. Counted when it goes, whichever way: after a commit is over and
/// before anybody hears of it.
struct ChangeGuard {
    own: LocalChanges,
    yes: bool,
}

impl Drop for ChangeGuard {
    fn drop(&mut self) {
        if self.yes {
            self.own.0.count.fetch_add(1, Ordering::SeqCst);
            self.own.0.told.notify_one();
        }
    }
}

impl Store {
    async fn begin(&self) -> Result<Tx> {
        self.check_file()?;
        self.writes.note_wait(&self.waits.writes);
        let transaction = match &self.writes {
            // The write lock at once: a reading transaction that turns to writing can fail past every time-out.
            Engine::Sqlite(pool) => Engine::Sqlite(in_time(pool.begin_with("BEGIN IMMEDIATE")).await?),
            // Pinned: at REPEATABLE READ the snapshot is older than the team's lock, and the lock protects nothing.
            Engine::Postgres(pool) => {
                Engine::Postgres(in_time(pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")).await?)
            }
        };
        Ok(Tx(transaction, ChangeGuard { own: self.local_changes.clone(), yes: false }))
    }

    /// Grows with each transaction of this process that changed, or may have changed, what a key's record says: before
    /// the deed is answered.
    pub fn local_changes(&self) -> u64 {
        self.local_changes.0.count.load(Ordering::SeqCst)
    }

    /// Waits for the next own change, or returns at once if there was one since the last wait.
    pub async fn changed(&self) {
        self.local_changes.0.told.notified().await;
    }

    /// Whether the database answers, and is one of ours.
    pub async fn ping(&self) -> Result<()> {
        let _seq: i64 = on!(&self.admit, db => sqlx::query_scalar("SELECT seq FROM changes").fetch_one(db).await?);
        Ok(())
    }

    /// Six characters that identify this database: of its epoch, which is random.
    pub async fn instance_tag(&self) -> Result<String> {
        let epoch: String =
            on!(&self.reads, db => sqlx::query_scalar("SELECT epoch FROM changes").fetch_one(db).await?);
        Ok(epoch.chars().filter(char::is_ascii_alphanumeric).take(6).collect())
    }

    pub fn waits(&self) -> &PoolWaits {
        &self.waits
    }

    /// The pools as they are now.
    pub fn pools(&self) -> [PoolSize; 3] {
        [("writes", &self.writes), ("reads", &self.reads), ("admit", &self.admit)].map(|(name, pool)| {
            let (_, all, idle) = pool.size();
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(all);
            PoolSize { pool: name, idle, busy: all - idle }
        })
    }

    /// Closes every connection; SQLite folds its write-ahead log into the file.
    pub async fn close(&self) {
        for pool in [&self.admit, &self.reads, &self.writes] {
            match pool {
                Engine::Sqlite(pool) => pool.close().await,
                Engine::Postgres(pool) => pool.close().await,
            }
        }
    }
}

impl Tx {
    async fn commit(self) -> Result<()> {
        on!(self.0, tx => tx.commit().await?);
        Ok(())
    }
}

/// A stored value that has no reading.
fn corrupt(table: &'static str, id: &str) -> StoreError {
    StoreError::Corrupt { table, id: id.to_owned() }
}

/// A pattern for `LIKE … ESCAPE '!'` that is met by whatever holds the text. NUL, which no text holds, is left out.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars().filter(|c| *c != '\0') {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}
