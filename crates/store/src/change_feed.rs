//! Following the change counter: one question, on a connection of its own, about everything that changed since the last.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::connect::connect_dedicated;
use crate::{Engine, Result, Store, corrupt, record, timed_out};
use keyhouse_token::TokenHash;

/// How long a question may take, its connection included. Short against the lease, so that a dead connection is given up
/// and a new one tried before the lease is over, and soon after the database is back.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(900);
/// Most changed keys that are named one by one.
const NAMED_MAX: usize = 10_000;

/// What changed since the question before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    pub epoch: String,
    pub seq: i64,
    pub changed: Changed,
}

/// Whose records changed since the last successful poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Any key may have changed: the connection is new, the database was restored, or more than 10,000 keys changed.
    All,
    /// The keys with these token hashes, and no others.
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

/// Asks again and again; see [`ChangeFeed::poll`].
#[derive(Debug)]
pub struct ChangeFeed {
    store: Store,
    /// None before the first question, and after one that failed.
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    connection: Engine<SqliteConnection, PgConnection>,
    /// How far the last answer went; `None` on a new connection.
    seen: Option<(String, i64)>,
}

record!(ChangeRow { epoch: String, seq: i64, token_hash: Option<Vec<u8>> });

impl ChangeFeed {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, connected: None }
    }

    /// How far the counter is now, and what changed since the last answer: one statement, so one snapshot.
    ///
    /// Whoever has seen `seq` has seen everything up to it, because each change holds the counter to its commit.
    pub async fn poll(&mut self) -> Result<ChangeSet> {
        self.store.check_file()?;
        // Taken out, and put back only after a good answer: whatever goes wrong, the next question has a new connection.
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
        let limit = i64::try_from(NAMED_MAX + 1).unwrap_or(i64::MAX);
        let sql = "SELECT epoch, changes.seq, token_hash FROM changes LEFT JOIN keys ON keys.seq > $1 LIMIT $2";
        match &mut self.connection {
            Engine::Sqlite(db) => sqlx::query_as(sql).bind(since).bind(limit).fetch_all(db).await,
            Engine::Postgres(db) => sqlx::query_as(sql).bind(since).bind(limit).fetch_all(db).await,
        }
    }

    fn read(&mut self, rows: Vec<ChangeRow>) -> Result<ChangeSet> {
        let first = rows.first().ok_or_else(|| corrupt("changes", "1"))?;
        let (epoch, seq) = (first.epoch.clone(), first.seq);
        let next_tick = self.seen.as_ref().is_some_and(|(known, since)| *known == epoch && *since <= seq);
        let changed = if next_tick && rows.len() <= NAMED_MAX {
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
