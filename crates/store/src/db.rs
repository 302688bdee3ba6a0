//! What runs statements: the only match over the two engines
//!
//! Dialects differ in `connect.rs`, `schema.rs` and `migrations/` alone.

use std::ops::DerefMut;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, FromRow, PgPool, Postgres, SqlSafeStr, Sqlite};

use crate::connect::{CONNECT_TIMEOUT, SQLITE_BUSY_TIMEOUT};
use crate::error::timed_out;
use crate::sqlite_pool::{PooledSqlite, SqlitePool};
use crate::statement::{Placeholder, Statement};

use crate::Result;

/// Longest time a statement may take, waiting for a free connection included. Measured here and not by the server,
/// because a server that is suspended does not enforce its own time-outs.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_millis(2500);

/// The same thing for either database: a pool, a connection or a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Engine<S, P> {
    Sqlite(S),
    Postgres(P),
}

pub(crate) type Pool = Engine<SqlitePool, PgPool>;
type Pooled = Engine<PooledSqlite, PoolConnection<Postgres>>;
pub(crate) type RawTransaction = Engine<PooledSqlite, sqlx::Transaction<'static, Postgres>>;

/// A row that both engines can return.
pub(crate) trait AnyRow: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> AnyRow for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<S, P> Engine<S, P> {
    /// The quickest placeholders for a statement with many arguments.
    pub(crate) fn placeholder(&self) -> Placeholder {
        match self {
            Self::Sqlite(_) => Placeholder::Next,
            Self::Postgres(_) => Placeholder::Numbered,
        }
    }
}

/// Runs statements without a time-out of its own; [`Pool`] and [`Transaction`](crate::tx::Transaction) add it.
impl<S, P> Engine<S, P>
where
    S: DerefMut<Target = SqliteConnection> + Send,
    P: DerefMut<Target = PgConnection> + Send,
{
    pub(crate) async fn run(&mut self, statement: Statement) -> sqlx::Result<u64> {
        let Statement { sql, args } = statement;
        Ok(match self {
            Self::Sqlite(db) => {
                sqlx::query_with(sql, Statement::arguments::<Sqlite>(args)?).execute(&mut **db).await?.rows_affected()
            }
            Self::Postgres(db) => {
                sqlx::query_with(sql, Statement::arguments::<Postgres>(args)?).execute(&mut **db).await?.rows_affected()
            }
        })
    }

    pub(crate) async fn first<T: AnyRow>(&mut self, statement: Statement) -> sqlx::Result<Option<T>> {
        let Statement { sql, args } = statement;
        match self {
            Self::Sqlite(db) => {
                sqlx::query_as_with(sql, Statement::arguments::<Sqlite>(args)?).fetch_optional(&mut **db).await
            }
            Self::Postgres(db) => {
                sqlx::query_as_with(sql, Statement::arguments::<Postgres>(args)?).fetch_optional(&mut **db).await
            }
        }
    }

    pub(crate) async fn all<T: AnyRow>(&mut self, statement: Statement) -> sqlx::Result<Vec<T>> {
        let Statement { sql, args } = statement;
        match self {
            Self::Sqlite(db) => {
                sqlx::query_as_with(sql, Statement::arguments::<Sqlite>(args)?).fetch_all(&mut **db).await
            }
            Self::Postgres(db) => {
                sqlx::query_as_with(sql, Statement::arguments::<Postgres>(args)?).fetch_all(&mut **db).await
            }
        }
    }
}

/// Runs a statement's future for at most [`STATEMENT_TIMEOUT`].
pub(crate) async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Longest wait for a connection to write with while all of them are in use: with the 2 s that a statement may then wait for
/// a lock, less than 3 s in all.
const WRITE_ACQUIRE_TIMEOUT: Duration = Duration::from_millis(900);
/// Longest wait for a connection to SQLite's writer, by the command line too, whose `busy_timeout` is 30 s.
const SQLITE_BEGIN_TIMEOUT: Duration = Duration::from_secs(31);
/// A wait of the command line that is longer than this is logged.
const SQLITE_BEGIN_NOTICE: Duration = Duration::from_millis(2500);

/// A connection from a pool. A new one is made in a task of its own: a caller that stops waiting does not end it, so that a
/// far server's connections get into the pool even if each takes longer than a caller waits.
async fn acquire_postgres(pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
    if pool.num_idle() > 0 || pool.size() >= pool.options().get_max_connections() {
        return pool.acquire().await;
    }
    let pool = pool.clone();
    let connecting = tokio::spawn(async move {
        match tokio::time::timeout(CONNECT_TIMEOUT, pool.acquire()).await {
            // The pool retries what looks transient and keeps no reason: one attempt outside the pool reports it.
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => match pool.connect_options().connect().await {
                Ok(connection) => connection.close().await.and(Err(sqlx::Error::PoolTimedOut)),
                Err(error) => Err(error),
            },
            Ok(outcome) => outcome,
        }
    });
    connecting.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Runs a statement that may wait for another process's write lock, and logs once that it waits. The connection's own
/// `busy_timeout` ends a server's wait after 2 s.
async fn with_notice<T>(limit: Duration, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let mut statement = std::pin::pin!(statement);
    if let Ok(done) = tokio::time::timeout(SQLITE_BEGIN_NOTICE, &mut statement).await {
        return done;
    }
    tracing::warn!(
        "another process holds the write lock of keyhouse.db (a backup, a database browser); waiting up to 30 s"
    );
    tokio::time::timeout(limit, statement).await.unwrap_or_else(|_| Err(timed_out()))
}

impl Pooled {
    /// Gives the connection back. Its last statement has ended without an error.
    fn release(self) {
        if let Self::Sqlite(connection) = self {
            connection.release();
        }
    }
}

impl Pool {
    async fn acquire(&self) -> sqlx::Result<Pooled> {
        Ok(match self {
            Self::Sqlite(pool) => Engine::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Engine::Postgres(acquire_postgres(pool).await?),
        })
    }

    /// Runs a statement on a connection of this pool.
    async fn with<T>(&self, statement: impl AsyncFnOnce(&mut Pooled) -> sqlx::Result<T>) -> Result<T> {
        let outcome = in_time(async {
            let mut connection = self.acquire().await?;
            let outcome = statement(&mut connection).await?;
            connection.release();
            Ok(outcome)
        });
        Ok(outcome.await?)
    }

    /// Runs a statement that returns no rows; the number of rows it wrote.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64> {
        self.with(async |connection| connection.run(statement).await).await
    }

    pub(crate) async fn fetch_optional<T: AnyRow>(&self, statement: Statement) -> Result<Option<T>> {
        self.with(async |connection| connection.first(statement).await).await
    }

    pub(crate) async fn fetch_one<T: AnyRow>(&self, statement: Statement) -> Result<T> {
        self.fetch_optional(statement).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    pub(crate) async fn fetch_all<T: AnyRow>(&self, statement: Statement) -> Result<Vec<T>> {
        self.with(async |connection| connection.all(statement).await).await
    }

    /// The only column of the only row.
    pub(crate) async fn fetch_scalar<T>(&self, statement: Statement) -> Result<T>
    where
        (T,): AnyRow,
    {
        Ok(self.fetch_one::<(T,)>(statement).await?.0)
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<RawTransaction> {
        Ok(match self {
            Self::Sqlite(pool) => {
                let begin = async {
                    let acquired = tokio::time::timeout(SQLITE_BUSY_TIMEOUT, pool.acquire()).await;
                    acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))?.begin().await
                };
                Engine::Sqlite(with_notice(SQLITE_BEGIN_TIMEOUT, begin).await?)
            }
            // Pinned: at REPEATABLE READ the snapshot is older than the team's lock, and the lock protects nothing.
            Self::Postgres(pool) => {
                let is_full = pool.num_idle() == 0 && pool.size() >= pool.options().get_max_connections();
                let wait = if is_full { WRITE_ACQUIRE_TIMEOUT } else { STATEMENT_TIMEOUT };
                let acquired = tokio::time::timeout(wait, acquire_postgres(pool)).await;
                let connection = acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED".into_sql_str();
                Engine::Postgres(in_time(sqlx::Transaction::begin(connection, Some(begin))).await?)
            }
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// The largest number of connections, those that are open, and those of them that are idle.
    pub(crate) fn size(&self) -> (u32, u32, usize) {
        match self {
            Self::Sqlite(pool) => pool.size(),
            Self::Postgres(pool) => (pool.options().get_max_connections(), pool.size(), pool.num_idle()),
        }
    }

    /// Counts a wait if every connection is in use.
    pub(crate) fn count_wait(&self, waits: &Counter) {
        let (max, open, idle) = self.size();
        if idle == 0 && open >= max {
            waits.inc();
        }
    }
}
