//! The change feed: one statement, on a connection of its own, that returns everything changed since the last poll

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::connect::connect_dedicated;
use crate::db::{Engine, sql};
use crate::error::{corrupt, timed_out};
use crate::{Result, Store};
use keyhouse_token::TokenHash;

/// Longest time a poll may take, connecting included. Short against the lease of 3 s, so that a dead connection is given up
/// and a new one tried before the lease ends, and soon after the database is back.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(900);
/// Most keys that a poll lists one by one.
const LISTED_MAX: usize = 10_000;

/// What changed since the poll before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Names one history of the database: another epoch means that a backup was restored.
    pub epoch: String,
    /// The change counter.
    pub seq: i64,
    /// The keys whose records changed.
    pub changed: Changed,
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
    /// `None` before the first poll, and after one that failed.
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    connection: Engine<Box<SqliteConnection>, Box<PgConnection>>,
    /// The epoch and counter of the last answer; `None` on a new connection.
    seen: Option<(String, i64)>,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    epoch: String,
    seq: i64,
    token_hash: Option<Vec<u8>>,
}

impl ChangeFeed {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, connected: None }
    }

    /// Reads the counter and the keys changed since the last poll, in one statement and so in one snapshot. Each change holds
    /// the counter until its commit, so an answer with `seq` contains every change up to `seq`.
    ///
    /// # Errors
    ///
    /// [`StoreError::FileReplaced`](crate::StoreError::FileReplaced) if the SQLite file is another one now: polling again
    /// can't succeed. Any other [`StoreError`](crate::StoreError) of a read: poll again.
    pub async fn poll(&mut self) -> Result<ChangeSet> {
        self.store.check_file()?;
        // Taken out, and put back only after a good answer: after any failure the next poll has a new connection.
        let connected = self.connected.take();
        let answered = async {
            let mut connected = match connected {
                Some(connected) => connected,
                None => Connected { connection: connect_dedicated(&self.store.location).await?, seen: None },
            };
            let rows = connected.rows().await?;
            Ok::<_, sqlx::Error>((connected, rows))
        };
        let (mut connected, rows) =
            tokio::time::timeout(POLL_TIMEOUT, answered).await.unwrap_or_else(|_| Err(timed_out()))?;
        let change = connected.read(rows)?;
        self.connected = Some(connected);
        Ok(change)
    }
}

impl Connected {
    async fn rows(&mut self) -> sqlx::Result<Vec<ChangeRow>> {
        let since = self.seen.as_ref().map_or(i64::MAX, |(_, seq)| *seq);
        let select = sql("SELECT epoch, changes.seq, token_hash FROM changes LEFT JOIN keys ON keys.seq > $1 LIMIT $2");
        self.connection.all(select.bind(since).bind(LISTED_MAX as i64 + 1)).await
    }

    fn read(&mut self, rows: Vec<ChangeRow>) -> Result<ChangeSet> {
        let first = rows.first().ok_or_else(|| corrupt("changes", "1"))?;
        let (epoch, seq) = (first.epoch.clone(), first.seq);
        let continues = self.seen.as_ref().is_some_and(|(known, since)| *known == epoch && *since <= seq);
        let changed = if continues && rows.len() <= LISTED_MAX {
            let hashes = rows.into_iter().filter_map(|row| row.token_hash);
            let read = hashes.map(|hash| TokenHash::from_stored(&hash).ok_or_else(|| corrupt("keys", "token_hash")));
            Changed::Only(read.collect::<Result<_>>()?)
        } else {
            Changed::All
        };
        self.seen = Some((epoch.clone(), seq));
        Ok(ChangeSet { epoch, seq, changed })
    }
}
