//! Connecting to the database: options, pools, and what each connection is set to

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgPool, Row, SqliteConnection};
use tokio::time::Instant;

use crate::db::{Engine, Pool, STATEMENT_TIMEOUT};
use crate::error::{OpenError, StoreError, Warning};
use crate::location::{FILE, Location};
use crate::sqlite_pool::{Priority, SqlitePool};
use crate::statement::sql;
use crate::{ChangeFeed, Queries, Store, schema, transfer};
use keyhouse_token::Brand;

/// How long a statement of a server waits for SQLite's one writer, and SQLite for another process's write.
pub(crate) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for the command line, where a person waits: a backup tool may hold the write lock for many seconds while a
/// leaked key has to be revoked.
pub(crate) const SQLITE_CLI_BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time that making one connection to PostgreSQL may take, in the background: at 150 ms per round trip a connection
/// with TLS and SCRAM takes about 1.3 s.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that the test of an idle connection may take. A firewall that has forgotten the connection drops packets
/// without an answer.
const IDLE_TEST_TIMEOUT: Duration = Duration::from_millis(200);
/// A connection that was used more recently than this is not tested again.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// How PostgreSQL shows the `lock_timeout` that `configure_session` sets.
pub(crate) const LOCK_TIMEOUT_SHOWN: &str = "2s";
/// Idle connections are closed after this: common firewalls forget a connection after 350 s or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Connections of a node to PostgreSQL, in pools apart from each other: writes that wait for a lock never delay reads, and
/// neither delays authentication, and searches delay nothing. With the change feed's and the listener's a node uses up to 32.
const POSTGRES_WRITERS: u32 = 10;
const POSTGRES_READERS: u32 = 10;
const POSTGRES_AUTH: u32 = 8;
const SQLITE_READERS: u32 = 4;
const POSTGRES_SEARCHES: u32 = 2;
/// Few, because look-ups that wait become one query: more connections would make smaller ones.
const SQLITE_AUTH: u32 = 2;
const SQLITE_SEARCHES: u32 = 2;
/// Pages that a reading connection caches, as the pragma `cache_size` takes it: 256 KiB in place of SQLite's 2 MiB. The pages are in
/// the operating system's cache too, once for all connections.
const SQLITE_READER_CACHE: &str = "-256";
/// How long a look-up of a key relies on a check of the SQLite file. Short against the change poll, which makes the same
/// check every 250 ms and until which cached keys are used too. A check is a task on another thread.
const FILE_CHECK_HOLDS: Duration = Duration::from_millis(100);

/// How many connections a process opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// One: PostgreSQL's default limit is 100 for all clients.
    Cli,
    /// A pool for each kind of work.
    Server,
}

impl Store {
    /// Opens the database, sets it up or brings it up to date, and checks that it keeps what it acknowledges.
    ///
    /// `brand` is the setting: it fixes the brand of a new database, and must not differ from the brand of an existing one.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub async fn migrate_and_open(
        location: &Location,
        brand: Option<&Brand>,
    ) -> Result<(Self, Brand, Vec<Warning>), OpenError> {
        schema::migrate(location).await?;
        let store = Self::connect(location, Size::Server).await?;
        transfer::check_not_moved(&store.queries.reads).await?;
        let insert = sql("INSERT INTO settings (name, value) VALUES ('token.brand', $1) ON CONFLICT (name) DO NOTHING");
        store.writes.execute(insert.bind(brand.map_or("pk", Brand::as_str))).await?;
        let brand = store.check_brand(brand).await?;
        let warnings = store.check_durability().await?;
        Ok((store, brand, warnings))
    }

    /// Opens a database that is set up and up to date, and changes nothing in it.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub async fn open(location: &Location, brand: Option<&Brand>) -> Result<(Self, Brand, Vec<Warning>), OpenError> {
        if let Location::Folder(folder) = location {
            let there = folder.join(FILE).try_exists();
            if !there.map_err(|error| OpenError::Path { path: folder.clone(), error })? {
                return Err(OpenError::NotSetUp(folder.display().to_string()));
            }
        }
        let store = Self::connect(location, Size::Cli).await?;
        schema::check_version(&store.queries.reads).await?;
        transfer::check_not_moved(&store.queries.reads).await?;
        let brand = store.check_brand(brand).await?;
        let warnings = store.check_durability().await?;
        Ok((store, brand, warnings))
    }

    async fn connect(location: &Location, size: Size) -> Result<Self, OpenError> {
        match location {
            Location::Folder(folder) => {
                let (busy_timeout, writer) = match size {
                    Size::Cli => (SQLITE_CLI_BUSY_TIMEOUT, Priority::Same),
                    // A flush of usage must not delay the calls that are answered meanwhile.
                    Size::Server => (SQLITE_BUSY_TIMEOUT, Priority::Low),
                };
                let options = sqlite_options(folder).busy_timeout(busy_timeout);
                // The writer first: it creates the shared-memory file that readers need.
                let writes = SqlitePool::connect(options.clone(), 1, writer).await?;
                let options = options.read_only(true).pragma("cache_size", SQLITE_READER_CACHE);
                let reads = SqlitePool::connect(options.clone(), SQLITE_READERS, Priority::Same).await?;
                let auth = SqlitePool::connect(options.clone(), SQLITE_AUTH, Priority::Same).await?;
                let searches = SqlitePool::connect(options, SQLITE_SEARCHES, Priority::Same).await?;
                let [writes, reads, auth, searches] = [writes, reads, auth, searches].map(Engine::Sqlite);
                Ok(Self::of(location, writes, auth, Queries { reads, searches }))
            }
            Location::Postgres(options) => {
                // A pool retries and then reports only that it timed out; this connection reports the server's reason.
                in_open_time(async {
                    let mut first = options.connect().await?;
                    configure_session(&mut first).await?;
                    first.close().await
                })
                .await?;
                let pool = |connections| Engine::Postgres(postgres_pool(options, connections));
                Ok(match size {
                    Size::Cli => {
                        let only = pool(1);
                        let queries = Queries { reads: only.clone(), searches: only.clone() };
                        Self::of(location, only.clone(), only, queries)
                    }
                    Size::Server => {
                        let queries = Queries { reads: pool(POSTGRES_READERS), searches: pool(POSTGRES_SEARCHES) };
                        Self::of(location, pool(POSTGRES_WRITERS), pool(POSTGRES_AUTH), queries)
                    }
                })
            }
        }
    }

    fn of(location: &Location, writes: Pool, auth: Pool, queries: Queries) -> Self {
        let (file_checked, local_changes, waits) = Default::default();
        let file = location.file().ok().flatten();
        Self { writes, auth, queries, location: location.clone(), file, file_checked, local_changes, waits }
    }

    /// The number of queries of [`Store::keys_by_hashes`] that run at once; further ones wait for a connection. Half the
    /// connections on PostgreSQL, where a query may wait for the network.
    pub fn lookups_at_once(&self) -> usize {
        let connections = match &self.auth {
            Engine::Sqlite(_) => SQLITE_AUTH,
            Engine::Postgres(_) => POSTGRES_AUTH / 2,
        };
        connections as usize
    }

    /// As [`Store::check_file`], but a check that began at most [`FILE_CHECK_HOLDS`] ago counts.
    pub(crate) async fn check_file_recently(&self) -> crate::Result<()> {
        let checked = *lock(&self.file_checked);
        match checked {
            Some(at) if at.elapsed() <= FILE_CHECK_HOLDS => Ok(()),
            _ => self.check_file().await,
        }
    }

    /// Checks that the SQLite file at the path is still the one that is open: a backup may have been put in its place.
    /// The file system is asked on a thread for blocking calls: a disk that does not answer holds up no other request.
    pub(crate) async fn check_file(&self) -> crate::Result<()> {
        let Location::Folder(_) = &self.location else { return Ok(()) };
        let (location, began) = (self.location.clone(), Instant::now());
        let asked = tokio::task::spawn_blocking(move || location.file());
        let checked = match tokio::time::timeout(STATEMENT_TIMEOUT, asked).await {
            Ok(Ok(Ok(file))) if file != self.file => Err(StoreError::FileReplaced),
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(StoreError::Unavailable(sqlx::Error::Io(error))),
            Ok(Err(_)) => Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)),
            Err(_) => Err(StoreError::timed_out()),
        };
        *lock(&self.file_checked) = checked.is_ok().then_some(began);
        checked
    }

    /// The database file was replaced: copies our write-ahead log into the old file, so that SQLite does not replay it into the
    /// new one and damage it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if another connection holds the log.
    pub async fn checkpoint_and_detach(&self) -> crate::Result<()> {
        if let Engine::Sqlite(_) = &self.writes {
            let busy: i64 = self.writes.fetch_scalar(sql("PRAGMA wal_checkpoint(TRUNCATE)")).await?;
            if busy != 0 {
                return Err(StoreError::timed_out());
            }
        }
        Ok(())
    }

    /// The change feed of a node, on a connection of its own that the first poll makes.
    pub fn change_feed(&self) -> ChangeFeed {
        ChangeFeed::new(self.clone())
    }

    async fn check_brand(&self, asked: Option<&Brand>) -> Result<Brand, OpenError> {
        let select = sql("SELECT value FROM settings WHERE name = 'token.brand'");
        let stored: String = self.queries.reads.fetch_scalar(select).await?;
        match Brand::parse(&stored) {
            Ok(brand) if asked.is_none_or(|asked| *asked == brand) => Ok(brand),
            _ => Err(OpenError::Brand { stored, asked: asked.map_or("?", Brand::as_str).to_owned() }),
        }
    }

    /// Reads back the settings that make commits durable: `kill -9` tests don't prove that data is flushed to disk.
    async fn check_durability(&self) -> Result<Vec<Warning>, OpenError> {
        match &self.writes {
            Engine::Sqlite(_) => {
                let journal: String = self.writes.fetch_scalar(sql("PRAGMA journal_mode")).await?;
                let synchronous: i64 = self.writes.fetch_scalar(sql("PRAGMA synchronous")).await?;
                check_sqlite_durability(journal, synchronous).map(|()| Vec::new())
            }
            Engine::Postgres(pool) => {
                let mut warnings = Vec::new();
                for (name, loses) in [
                    ("fsync", "a crash of its machine can lose or damage everything"),
                    ("full_page_writes", "a crash of its machine can damage the database"),
                ] {
                    let value: String =
                        sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(pool).await?;
                    if value == "off" {
                        warnings.push(Warning(format!("PostgreSQL runs with {name} = off: {loses}. Set it to on.")));
                    }
                }
                let followed_loosely: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM pg_stat_replication) AND current_setting('synchronous_standby_names') = ''",
                )
                .fetch_one(pool)
                .await?;
                if followed_loosely {
                    let loses = "a failover can lose changes that Keyhouse has acknowledged, revocations among them";
                    warnings.push(Warning(format!(
                        "PostgreSQL does not wait for its standbys: {loses}. Name one in synchronous_standby_names."
                    )));
                }
                Ok(warnings)
            }
        }
    }
}

fn lock(checked: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    checked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether SQLite flushes its write-ahead log at each commit. A file system without shared memory, such as NFS, keeps it
/// from using one.
fn check_sqlite_durability(journal: String, synchronous: i64) -> Result<(), OpenError> {
    // 2 is FULL.
    if journal == "wal" && synchronous >= 2 { Ok(()) } else { Err(OpenError::NotDurable { journal, synchronous }) }
}

/// One connection to a database that is set up, for reading alone, outside every pool.
pub(crate) async fn connect_dedicated(
    location: &Location,
) -> sqlx::Result<Engine<Box<SqliteConnection>, Box<PgConnection>>> {
    Ok(match location {
        Location::Folder(folder) => Engine::Sqlite(Box::new(sqlite_options(folder).read_only(true).connect().await?)),
        Location::Postgres(options) => {
            let mut connection = options.connect().await?;
            configure_session(&mut connection).await?;
            Engine::Postgres(Box::new(connection))
        }
    })
}

/// One connection outside every pool and without time-outs: for commands that read or write the whole database.
pub(crate) async fn connect_for_maintenance(
    location: &Location,
) -> sqlx::Result<Engine<Box<SqliteConnection>, Box<PgConnection>>> {
    Ok(match location {
        Location::Folder(folder) => {
            let options = sqlite_options(folder).busy_timeout(SQLITE_CLI_BUSY_TIMEOUT);
            Engine::Sqlite(Box::new(options.connect().await?))
        }
        Location::Postgres(options) => Engine::Postgres(Box::new(
            in_open_time(async {
                let mut connection = options.connect().await?;
                check_connection(&mut connection).await?;
                Ok(connection)
            })
            .await?,
        )),
    })
}

fn postgres_pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .acquire_timeout(CONNECT_TIMEOUT)
        .max_connections(connections)
        .idle_timeout(IDLE_TIMEOUT)
        // sqlx's own test has no time-out: on a forgotten connection it would take the whole time of a call.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < TEST_AFTER_IDLE {
                    return Ok(true);
                }
                let answered = tokio::time::timeout(IDLE_TEST_TIMEOUT, connection.ping()).await;
                Ok(matches!(answered, Ok(Ok(()))))
            })
        })
        .after_connect(|connection, _| Box::pin(configure_session(connection)))
        .connect_lazy_with(options.clone())
}

/// Bounds the first connection: a server may accept it and never answer.
pub(crate) async fn in_open_time<T>(opening: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 seconds"));
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.map_err(late)?
}

/// Checks and configures a connection to PostgreSQL before its first use, in one round trip.
///
/// The time-outs, in milliseconds, keep a client that is suspended from blocking the others. A TCP keepalive of the server after
/// 60 s without traffic keeps firewalls from forgetting an idle connection; sqlx has no setting for those of the client.
/// `synchronous_commit` is raised where the server's default would acknowledge a commit before it is on disk.
async fn configure_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let configure = "SELECT pg_is_in_recovery(), current_setting('server_encoding'), \
                     set_config('idle_in_transaction_session_timeout', '1000', false), \
                     set_config('lock_timeout', '2000', false), set_config('statement_timeout', '3000', false), \
                     set_config('tcp_keepalives_idle', '60', false), \
                     CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') \
                          THEN set_config('synchronous_commit', 'on', false) END";
    let row = sqlx::raw_sql(configure).fetch_one(connection).await?;
    check_server(row.try_get(0)?, row.try_get(1)?)
}

/// Refuses a standby, which may not have a revocation yet (sqlx does not read `target_session_attrs`), and a database that
/// can't store every character.
fn check_server(is_standby: bool, encoding: &str) -> Result<(), sqlx::Error> {
    if is_standby {
        return Err(sqlx::Error::Configuration("the server is a standby, not the primary".into()));
    }
    if encoding != "UTF8" {
        let create = "create it again with ENCODING 'UTF8' TEMPLATE template0";
        let error = format!("the database's encoding is {encoding}, and Keyhouse needs UTF8: {create}");
        return Err(sqlx::Error::Configuration(error.into()));
    }
    Ok(())
}

/// As [`configure_session`], without its time-outs: for migrations.
pub(crate) async fn check_connection(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let select = "SELECT pg_is_in_recovery(), current_setting('server_encoding')";
    let row = sqlx::raw_sql(select).fetch_one(connection).await?;
    check_server(row.try_get(0)?, row.try_get(1)?)
}

pub(crate) fn sqlite_options(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_not_flushed_at_each_commit_is_refused_with_the_remedy() {
        assert!(check_sqlite_durability("wal".to_owned(), 2).is_ok());
        for (journal, synchronous) in [("delete", 2), ("wal", 1), ("memory", 0)] {
            let error = check_sqlite_durability(journal.to_owned(), synchronous).unwrap_err().to_string();
            assert!(error.contains(journal) && error.contains("put the data folder on a local file system"), "{error}");
        }
    }
}
