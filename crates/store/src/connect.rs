//! Connecting to the database: options, pools, and what each connection is set to

use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::db::{Engine, Pool, sql};
use crate::error::{OpenError, StoreError, Warning};
use crate::location::{FILE, Location};
use crate::{ChangeFeed, Queries, Store, schema};
use keyhouse_token::Brand;

/// How long a call waits for SQLite's one writer, and SQLite for another process's write, before it is `Unavailable`.
const SQLITE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a call waits for a free connection to PostgreSQL to read, and to write: with the 2 seconds that a change may
/// then wait for one lock, less than 3 in all.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(2);
const POSTGRES_WRITERS_PATIENCE: Duration = Duration::from_millis(900);
/// Connections of a node to PostgreSQL, apart from each other: what waits for a lock keeps nobody from reading, and
/// neither keeps keys from being judged.
const POSTGRES_WRITERS: u32 = 10;
const POSTGRES_READERS: u32 = 10;
const POSTGRES_AUTH: u32 = 8;
/// How long a server may take to answer when it is first asked.
const OPEN_TIME: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const SQLITE_AUTH: u32 = 4;

/// How much of the database's room a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// One connection: a hundred shells at once still fit into PostgreSQL's hundred.
    Cli,
    Server,
}

impl Store {
    /// Opens the database, sets it up or brings it up to date, and proves that what it acknowledges it keeps.
    ///
    /// `brand` is what the settings ask for; it only counts for a new database, and must not differ later.
    pub async fn migrate_and_open(
        location: &Location,
        brand: Option<&Brand>,
    ) -> Result<(Self, Brand, Vec<Warning>), OpenError> {
        schema::migrate(location).await?;
        let store = Self::connect(location, Size::Server).await?;
        let insert = sql("INSERT INTO settings (name, value) VALUES ('token.brand', $1) ON CONFLICT (name) DO NOTHING");
        store.writes.execute(insert.bind(brand.map_or("pk", Brand::as_str))).await?;
        let brand = store.check_brand(brand).await?;
        let warnings = store.check_durability().await?;
        Ok((store, brand, warnings))
    }

    /// Opens a database that is set up and up to date, and changes nothing in it.
    pub async fn open(location: &Location, brand: Option<&Brand>) -> Result<(Self, Brand, Vec<Warning>), OpenError> {
        if let Location::Folder(folder) = location {
            let there = folder.join(FILE).try_exists();
            if !there.map_err(|error| OpenError::Folder { folder: folder.clone(), error })? {
                return Err(OpenError::NotSetUp(folder.display().to_string()));
            }
        }
        let store = Self::connect(location, Size::Cli).await?;
        schema::check_version(&store.queries.reads).await?;
        let brand = store.check_brand(brand).await?;
        let warnings = store.check_durability().await?;
        Ok((store, brand, warnings))
    }

    async fn connect(location: &Location, size: Size) -> Result<Self, OpenError> {
        match location {
            Location::Folder(folder) => {
                let options = sqlite_options(folder);
                let pool = SqlitePoolOptions::new().acquire_timeout(SQLITE_PATIENCE);
                // The writer first: it makes the shared-memory file that readers need.
                let writes = pool
                    .clone()
                    .max_connections(1)
                    // A full disk makes SQLite roll back by itself, and sqlx then fails to and counts the transaction as
                    // open for ever: such a connection is thrown away, or nothing could be written again.
                    .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
                    .connect_with(options.clone())
                    .await?;
                let reads =
                    pool.clone().max_connections(SQLITE_READERS).connect_with(options.clone().read_only(true)).await?;
                let auth = pool.max_connections(SQLITE_AUTH).connect_with(options.read_only(true)).await?;
                let [writes, reads, auth] = [writes, reads, auth].map(Engine::Sqlite);
                Ok(Self::of(location, writes, reads, auth))
            }
            Location::Postgres(options) => {
                // A pool tries again until its patience ends and then says no more than that; this one says why.
                in_open_time(async {
                    let mut first = options.connect().await?;
                    configure_session(&mut first).await?;
                    first.close().await
                })
                .await?;
                let pool = |connections, patience| {
                    let pool = PgPoolOptions::new()
                        .acquire_timeout(patience)
                        .max_connections(connections)
                        .after_connect(|connection, _| Box::pin(configure_session(connection)))
                        .connect_lazy_with(PgConnectOptions::clone(options));
                    Engine::Postgres(pool)
                };
                Ok(match size {
                    Size::Cli => {
                        let only = pool(1, POSTGRES_PATIENCE);
                        Self::of(location, only.clone(), only.clone(), only)
                    }
                    Size::Server => Self::of(
                        location,
                        pool(POSTGRES_WRITERS, POSTGRES_WRITERS_PATIENCE),
                        pool(POSTGRES_READERS, POSTGRES_PATIENCE),
                        pool(POSTGRES_AUTH, POSTGRES_PATIENCE),
                    ),
                })
            }
        }
    }

    fn of(location: &Location, writes: Pool, reads: Pool, auth: Pool) -> Self {
        let (local_changes, waits) = Default::default();
        let file = location.file().ok().flatten();
        Self { writes, auth, queries: Queries { reads }, location: location.clone(), file, local_changes, waits }
    }

    /// Whether the file that is open is still the one that others find: a backup that was put in its place is not.
    pub(crate) fn check_file(&self) -> crate::Result<()> {
        match self.location.file() {
            Ok(file) if file != self.file => Err(StoreError::FileReplaced),
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::Unavailable(sqlx::Error::Io(error))),
        }
    }

    /// Brings what is in SQLite's log home into the file that is open, which nobody else finds any more: left where it is,
    /// the log would be taken for that of the file in its place, and ruin it.
    pub async fn checkpoint_and_detach(&self) -> crate::Result<()> {
        if let Engine::Sqlite(pool) = &self.writes {
            let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(pool).await?;
            if busy != 0 {
                return Err(StoreError::timed_out());
            }
        }
        Ok(())
    }

    /// A connection of its own, by which a node follows the change counter; made when it is first needed.
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

    /// kill -9 can't tell a durable setting from a careless one, so the settings themselves are read back.
    async fn check_durability(&self) -> Result<Vec<Warning>, OpenError> {
        match &self.writes {
            Engine::Sqlite(pool) => {
                let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await?;
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(pool).await?;
                // 2 is FULL: the log is flushed at each commit.
                if journal != "wal" || synchronous < 2 {
                    return Err(OpenError::NotDurable { journal, synchronous });
                }
                Ok(Vec::new())
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

/// A server that takes a connection and says nothing is given up.
pub(crate) async fn in_open_time<T>(opening: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 seconds"));
    tokio::time::timeout(OPEN_TIME, opening).await.map_err(late)?
}

/// What every connection to PostgreSQL promises before it is used.
async fn configure_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // One stuck client must not stop everybody. SET is per session; the numbers are milliseconds.
    refuse_standby(connection).await?;
    sqlx::query(
        "SELECT set_config('idle_in_transaction_session_timeout', '1000', false), \
                set_config('lock_timeout', '2000', false), \
                set_config('statement_timeout', '3000', false)",
    )
    .execute(&mut *connection)
    .await?;
    // The server's default may be less; for us a commit is on disk, there and on a standby that is waited for.
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A standby may not know of a revocation yet. sqlx ignores `target_session_attrs`, hence here.
pub(crate) async fn refuse_standby(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await? {
        true => Err(sqlx::Error::Configuration("the server is a standby, not the primary".into())),
        false => Ok(()),
    }
}

pub(crate) fn sqlite_options(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_PATIENCE)
}
