//! The change feed: one statement, on a connection of its own, that returns everything changed since the last poll

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use crate::connect::{LOCK_TIMEOUT_SHOWN, connect_dedicated, in_open_time};
use crate::db::Engine;
use crate::error::{StoreError, corrupt, timed_out};
use crate::statement::sql;
use crate::{Result, Store};
use keyhouse_domain::ids::NodeId;
use keyhouse_token::TokenHash;

/// Longest time a poll may take on an open connection. Short against the lease of 3 s, so that a dead connection is given up and a new one tried
/// before the lease ends, and soon after the database is back. Making a connection to a far server may take longer: it
/// continues from one poll to the next, for up to 5 s.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(900);
/// Most tokens of changed keys that a poll lists one by one.
const LISTED_MAX: usize = 10_000;

/// What changed since the poll before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Names one history of the database: another epoch means that a backup was restored.
    pub epoch: String,
    /// The change counter.
    pub seq: i64,
    /// The keys whose records changed, by the hashes of all their tokens.
    pub changed: Changed,
    /// Whether the node that polls is registered; `true` for a feed without a node. A node that is not must drop the answer.
    pub is_registered: bool,
}

/// Which cached keys a poll invalidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// All: the connection is new, the database went back to an earlier state, or more than 10,000 keys changed.
    All,
    /// These.
    Only(Vec<TokenHash>),
}

impl Changed {
    /// The number of changed keys; `None` for [`Changed::All`].
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Only(hashes) => Some(hashes.len()),
        }
    }
}

/// Polls the change counter; see [`ChangeFeed::poll`].
#[derive(Debug)]
pub struct ChangeFeed {
    store: Store,
    /// The node whose registration each poll checks.
    node: Option<NodeId>,
    /// `None` before the first poll, and after one that failed.
    connected: Option<Connected>,
    /// A connection that is being made.
    connecting: Option<Connecting>,
}

/// The task that makes a connection; aborted when this is dropped.
#[derive(Debug)]
struct Connecting(JoinHandle<sqlx::Result<Connected>>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Connected {
    connection: Engine<Box<SqliteConnection>, Box<PgConnection>>,
    /// The epoch and counter of the last answer; `None` on a new connection.
    seen: Option<(String, i64)>,
    /// PostgreSQL's process that gave the last answer.
    backend: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    epoch: String,
    seq: i64,
    hash: Option<Vec<u8>>,
    registered: i64,
    /// PostgreSQL's process behind the connection.
    backend: Option<i64>,
    /// The session's `lock_timeout`, as PostgreSQL shows it.
    lock_timeout: Option<String>,
}

const SELECT_SQLITE: &str = "SELECT epoch, changes.seq, hash, NULL AS backend, NULL AS lock_timeout, \
                                    (SELECT count(*) FROM nodes WHERE id = $3 AND stopped_at IS NULL) AS registered \
                             FROM changes LEFT JOIN keys ON keys.seq > $1 \
                             LEFT JOIN key_tokens ON key_id = keys.id LIMIT $2";
const SELECT_POSTGRES: &str = "SELECT epoch, changes.seq, hash, pg_backend_pid()::bigint AS backend, \
                                      current_setting('lock_timeout') AS lock_timeout, \
                                      (SELECT count(*) FROM nodes WHERE id = $3 AND stopped_at IS NULL) AS registered \
                               FROM changes LEFT JOIN keys ON keys.seq > $1 \
                               LEFT JOIN key_tokens ON key_id = keys.id LIMIT $2";
/// A pooler in transaction mode gives each transaction any server session, so that the time-outs of `configure_session` and
/// its check for a standby hold for none.
const TRANSACTION_POOLING: &str = "the connection to PostgreSQL goes through a pooler in transaction mode, which loses \
                                   session settings such as lock_timeout: set the pooler to session mode";

impl ChangeFeed {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, node: None, connected: None, connecting: None }
    }

    /// Makes each poll check that this node is registered.
    pub fn check_registration_of(&mut self, node: NodeId) {
        self.node = Some(node);
    }

    /// Reads the counter and the keys changed since the last poll, in one statement and so in one snapshot. Each change holds
    /// the counter until its commit, so an answer with `seq` contains every change up to `seq`.
    ///
    /// # Errors
    ///
    /// [`StoreError::FileReplaced`] if the SQLite file is another one now: polling again
    /// can't succeed. Any other [`StoreError`] of a read: poll again.
    pub async fn poll(&mut self) -> Result<ChangeSet> {
        self.store.check_file().await?;
        // Taken out, and put back only after a good answer: after any failure the next poll has a new connection.
        let connected = self.connected.take();
        let mut connected = match connected {
            Some(connected) => connected,
            None => in_poll_time(self.connect()).await?,
        };
        let rows = in_poll_time(connected.rows(self.node)).await?;
        let mut change = connected.read(rows)?;
        change.is_registered |= self.node.is_none();
        self.connected = Some(connected);
        Ok(change)
    }
}

async fn in_poll_time<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(POLL_TIMEOUT, step).await.unwrap_or_else(|_| Err(timed_out()))
}

impl ChangeFeed {
    /// Waits for the connection that is being made, or for a new one. A call that is cancelled leaves it to the next call.
    async fn connect(&mut self) -> sqlx::Result<Connected> {
        let location = self.store.location.clone();
        let connecting = self.connecting.get_or_insert_with(|| {
            Connecting(tokio::spawn(async move {
                let connection = in_open_time(connect_dedicated(&location)).await?;
                Ok(Connected { connection, seen: None, backend: None })
            }))
        });
        let connected = (&mut connecting.0).await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
        self.connecting = None;
        connected
    }
}

impl Connected {
    async fn rows(&mut self, node: Option<NodeId>) -> sqlx::Result<Vec<ChangeRow>> {
        let since = self.seen.as_ref().map_or(i64::MAX, |(_, seq)| *seq);
        let select = sql(match &self.connection {
            Engine::Sqlite(_) => SELECT_SQLITE,
            Engine::Postgres(_) => SELECT_POSTGRES,
        });
        self.connection.all(select.bind(since).bind(LISTED_MAX as i64 + 1).bind(node)).await
    }

    fn read(&mut self, rows: Vec<ChangeRow>) -> Result<ChangeSet> {
        let first = rows.first().ok_or_else(|| corrupt("changes", "1"))?;
        let (epoch, seq, is_registered) = (first.epoch.clone(), first.seq, first.registered > 0);
        if first.lock_timeout.as_deref().is_some_and(|timeout| timeout != LOCK_TIMEOUT_SHOWN) {
            return Err(StoreError::Unavailable(sqlx::Error::Configuration(TRANSACTION_POOLING.into())));
        }
        // Another server process behind the same connection counts as a new connection.
        let same_backend = self.backend.is_none_or(|known| Some(known) == first.backend);
        self.backend = first.backend;
        let continues =
            same_backend && self.seen.as_ref().is_some_and(|(known, since)| *known == epoch && *since <= seq);
        let changed = if continues && rows.len() <= LISTED_MAX {
            let hashes = rows.into_iter().filter_map(|row| row.hash);
            let read = hashes.map(|hash| TokenHash::from_stored(&hash).ok_or_else(|| corrupt("key_tokens", "hash")));
            Changed::Only(read.collect::<Result<_>>()?)
        } else {
            Changed::All
        };
        self.seen = Some((epoch.clone(), seq));
        Ok(ChangeSet { epoch, seq, changed, is_registered })
    }
}
