//! SQLite connections, each with a thread of its own, to read or to write with
//!
//! sqlx's own pool tests each connection when it is given back. That is a round trip to the connection's thread, which takes
//! as long as a short query. This pool tests only a connection whose statement did not end.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// By how much the thread of a connection with [`Priority::Low`] is nicer than others: on a core that is fully used, it gets a
/// quarter of the time beside one other thread (the kernel's weights are 335 and 1024).
const LOW_PRIORITY: i32 = 5;

/// How the kernel prefers a connection's thread to the threads that answer calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Same,
    /// Runs when those leave it time, and a little otherwise. On Linux alone, where each thread has a priority of its own.
    Low,
}

/// A bounded number of connections to one file. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SqlitePool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SqliteConnectOptions,
    priority: Priority,
    max: u32,
    /// One permit for each connection that may be in use.
    permits: Arc<Semaphore>,
    /// The one used last is on top: the pages in its cache are the newest.
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqlitePool {
    /// Opens the first connection; the others are opened when they are needed.
    pub(crate) async fn connect(options: SqliteConnectOptions, max: u32, priority: Priority) -> sqlx::Result<Self> {
        let idle = Mutex::new(vec![open(&options, priority).await?]);
        Ok(Self(Arc::new(Shared { options, priority, max, permits: Arc::new(Semaphore::new(max as usize)), idle })))
    }

    /// A connection, as soon as one is free.
    pub(crate) async fn acquire(&self) -> sqlx::Result<PooledSqlite> {
        let acquired = Arc::clone(&self.0.permits).acquire_owned().await;
        let permit = acquired.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.0.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open(&self.0.options, self.0.priority).await?,
        };
        Ok(PooledSqlite { lent: Some(Lent { connection, shared: Arc::clone(&self.0), _permit: permit }), undo: false })
    }

    /// The largest number of connections, those that are open, and those of them that are idle.
    pub(crate) fn size(&self) -> (u32, u32, usize) {
        let free = u32::try_from(self.0.permits.available_permits()).unwrap_or(self.0.max);
        let idle = self.0.idle().len();
        (self.0.max, self.0.max.saturating_sub(free).saturating_add(u32::try_from(idle).unwrap_or(0)), idle)
    }

    /// Closes every connection, after those in use have been given back.
    pub(crate) async fn close(&self) {
        let Ok(_all) = self.0.permits.acquire_many(self.0.max).await else { return };
        self.0.permits.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "a connection to keyhouse.db was not closed in order");
            }
        }
    }
}

/// Opens a connection. A thread inherits its priority from the thread that starts it, so one with a low priority is started by
/// a thread that lowers its own and ends.
async fn open(options: &SqliteConnectOptions, priority: Priority) -> sqlx::Result<SqliteConnection> {
    if priority == Priority::Same || !cfg!(target_os = "linux") {
        return options.connect().await;
    }
    let (options, runtime) = (options.clone(), tokio::runtime::Handle::current());
    let (opened, connection) = tokio::sync::oneshot::channel();
    let starting = std::thread::Builder::new().name("sqlite start".to_owned()).spawn(move || {
        if let Err(error) = lower_priority() {
            tracing::warn!(%error, "the thread that writes to keyhouse.db keeps the priority of the others");
        }
        // The caller may have stopped waiting.
        let _ = opened.send(runtime.block_on(options.connect()));
    });
    starting.map_err(sqlx::Error::Io)?;
    connection.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Lowers the priority of the calling thread, which Linux takes as a process of its own.
fn lower_priority() -> std::io::Result<()> {
    let thread = Some(rustix::thread::gettid());
    let now = rustix::process::getpriority_process(thread)?;
    Ok(rustix::process::setpriority_process(thread, now.saturating_add(LOW_PRIORITY))?)
}

/// A connection with its place in the pool. The permit is dropped last, when the connection is idle again.
struct Lent {
    connection: SqliteConnection,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn give_back(self) {
        let Self { connection, shared, _permit } = self;
        shared.idle().push(connection);
    }

    /// Waits until the thread has ended what it was doing, and gives the connection back if it still works.
    async fn recover(mut self, undo: bool) {
        let recovered = if undo { roll_back(&mut self.connection).await } else { self.connection.ping().await };
        match recovered {
            Ok(()) => self.give_back(),
            Err(error) => tracing::warn!(%error, "closing a connection to keyhouse.db whose statement failed"),
        }
    }
}

/// Ends the transaction, if SQLite has not ended it: it does so by itself on a full disk, for example.
async fn roll_back(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    match sqlx::query("ROLLBACK").execute(connection).await {
        Err(sqlx::Error::Database(error)) if error.message().ends_with("no transaction is active") => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// A connection in use. Dropped without [`PooledSqlite::release`], it is tested before it is used again.
pub(crate) struct PooledSqlite {
    /// `None` once it was given back.
    lent: Option<Lent>,
    /// Whether a transaction may have begun on it.
    undo: bool,
}

impl PooledSqlite {
    /// Gives the connection back. Its last statement has ended without an error.
    pub(crate) fn release(mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
    }

    /// Begins a transaction that writes. It takes the write lock at once: SQLite fails a reading transaction that turns to
    /// writing, whatever its time-out. Dropped without [`PooledSqlite::commit`], the connection rolls it back.
    pub(crate) async fn begin(mut self) -> sqlx::Result<Self> {
        self.undo = true;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *self).await?;
        Ok(self)
    }

    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.release();
        Ok(())
    }
}

impl Drop for PooledSqlite {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        // Without a runtime the process ends, and the thread ends with its connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(lent.recover(self.undo));
        }
    }
}

const GIVEN_BACK: &str = "only release and drop take the connection, and both end the guard";

impl Deref for PooledSqlite {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.lent.as_ref().expect(GIVEN_BACK).connection
    }
}

impl DerefMut for PooledSqlite {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.lent.as_mut().expect(GIVEN_BACK).connection
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::connect::sqlite_options;

    async fn pool(max: u32) -> (TempDir, SqlitePool) {
        let folder = tempfile::tempdir().unwrap();
        let options = sqlite_options(folder.path()).create_if_missing(true);
        let pool = SqlitePool::connect(options, max, Priority::Low).await.unwrap();
        run(&pool, "CREATE TABLE t (x BLOB)").await.unwrap();
        (folder, pool)
    }

    async fn run(pool: &SqlitePool, sql: &'static str) -> sqlx::Result<()> {
        let mut connection = pool.acquire().await?;
        sqlx::query(sql).execute(&mut *connection).await?;
        connection.release();
        Ok(())
    }

    async fn rows(pool: &SqlitePool) -> i64 {
        let mut connection = pool.acquire().await.unwrap();
        let rows = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *connection).await.unwrap();
        connection.release();
        rows
    }

    #[tokio::test]
    async fn connections_are_opened_when_they_are_needed_up_to_the_maximum() {
        let (_folder, pool) = pool(2).await;
        assert_eq!(pool.size(), (2, 1, 1));
        let (first, second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        assert_eq!(pool.size(), (2, 2, 0));
        let mut third = Box::pin(pool.acquire());
        assert!((&mut third).now_or_never().is_none(), "it waits for a connection");
        first.release();
        third.await.unwrap().release();
        second.release();
        assert_eq!(pool.size(), (2, 2, 2));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_with_a_low_priority_is_on_a_thread_with_a_low_priority() {
        let (_folder, _pool) = pool(1).await;
        let nice = |thread| rustix::process::getpriority_process(Some(thread)).unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
            let task = task.unwrap().path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let id = task.file_name()?.to_str()?.parse().ok()?;
            name.starts_with("sqlx-sqlite-").then(|| nice(rustix::process::Pid::from_raw(id).unwrap()))
        });
        let own = nice(rustix::thread::gettid());
        assert!(threads.collect::<Vec<_>>().contains(&(own + LOW_PRIORITY)));
    }

    #[tokio::test]
    async fn a_connection_is_lent_again_only_after_its_abandoned_statement_has_ended() {
        let (_folder, pool) = pool(1).await;
        let mut connection = pool.acquire().await.unwrap();
        let long = "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000) SELECT x FROM n";
        let mut statement = Box::pin(sqlx::query(long).execute(&mut *connection));
        assert!((&mut statement).now_or_never().is_none());
        drop(statement);
        drop(connection);
        assert_eq!(pool.size(), (1, 1, 0));
        assert_eq!(rows(&pool).await, 300_000);
    }

    #[tokio::test]
    async fn a_transaction_that_was_not_committed_is_rolled_back() {
        let (_folder, pool) = pool(1).await;
        let mut transaction = pool.acquire().await.unwrap().begin().await.unwrap();
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *transaction).await.unwrap();
        drop(transaction);
        assert_eq!(rows(&pool).await, 0);

        // Abandoned, most often before SQLite has answered.
        drop(pool.acquire().await.unwrap().begin().now_or_never());
        let mut transaction = pool.acquire().await.unwrap().begin().await.unwrap();
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(rows(&pool).await, 1);
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_has_ended_by_itself_spoils_no_connection() {
        let (_folder, pool) = pool(1).await;
        run(&pool, "PRAGMA max_page_count = 20").await.unwrap();
        let mut transaction = pool.acquire().await.unwrap().begin().await.unwrap();
        let full = sqlx::query("INSERT INTO t VALUES (zeroblob(200000))").execute(&mut *transaction).await;
        assert!(full.unwrap_err().to_string().contains("full"));
        drop(transaction);
        run(&pool, "INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!((rows(&pool).await, pool.size()), (1, (1, 1, 1)));
    }

    #[tokio::test]
    async fn close_waits_for_the_connections_in_use_and_nothing_is_lent_after_it() {
        let (folder, pool) = pool(2).await;
        let connection = pool.acquire().await.unwrap();
        let mut close = Box::pin(pool.close());
        assert!((&mut close).now_or_never().is_none());
        connection.release();
        close.await;
        assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
        assert!(!folder.path().join("keyhouse.db-wal").exists(), "the last connection copies the log into the file");
    }

    #[tokio::test]
    async fn the_compiled_sqlite_does_not_prepare_a_statement_again_at_each_execution() {
        let (_folder, pool) = pool(1).await;
        let mut connection = pool.acquire().await.unwrap();
        let options: Vec<String> =
            sqlx::query_scalar("PRAGMA compile_options").fetch_all(&mut *connection).await.unwrap();
        for wanted in ["ENABLE_QPSG", "DEFAULT_MEMSTATUS=0"] {
            assert!(options.iter().any(|option| option == wanted), "{wanted}: see .cargo/config.toml; {options:?}");
        }
        assert!(!options.iter().any(|option| option == "ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
    }
}
