//! Wakes the change poll when another process has changed a key, so that a revocation does not wait for the next poll.
//!
//! PostgreSQL notifies: the statement that advances the change counter sends a notification, which is delivered when its
//! transaction commits, and each node listens on a connection of its own. With SQLite the write-ahead log of the database is looked at: every commit writes to
//! it. Correctness does not depend on either: the poll on its timer finds each change, only later.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};

use crate::connect::in_open_time;
use crate::location::FILE;
use crate::statement::sql;
use crate::{Location, Store};

/// The channel on which `bump_change_seq` sends.
const CHANNEL: &str = "keyhouse_changes";
/// How often the write-ahead log is looked at: a change by another process is seen within this time and the time of a poll.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long after a failure the listener connects again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a notification that the node sends to itself may take. Behind a pooler in transaction mode none arrives.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How long no notification may arrive until the node sends one to itself: a firewall may have forgotten the connection.
const PROBE_AFTER: Duration = Duration::from_secs(60);

impl Store {
    /// Wakes [`Store::changed`] after each change by any process, until this future is dropped. Logs when it has to leave
    /// that to the timer of the poll, and when it works again.
    pub async fn watch_changes(&self) {
        match &self.location {
            Location::Folder(folder) => self.watch_log(folder).await,
            Location::Postgres(options) => self.listen(options).await,
        }
    }

    async fn listen(&self, options: &PgConnectOptions) {
        let mut is_failing = false;
        loop {
            let ended = self.listen_once(options, &mut is_failing).await;
            // The changes since the connection was lost.
            self.local_changes.wake();
            if !std::mem::replace(&mut is_failing, true) {
                let error: &dyn std::error::Error = &ended;
                tracing::warn!(
                    error,
                    "notifications of changes do not arrive: changes by other nodes are found by the poll every 250 ms"
                );
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Listens until the connection is lost.
    async fn listen_once(&self, options: &PgConnectOptions, is_failing: &mut bool) -> sqlx::Error {
        let listening = async {
            // A pool of one, from which the listener takes its connection.
            let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            // A lost connection ends this attempt: the next one probes again.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let mut listener = match in_open_time(listening).await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        // The first probe is sent at once.
        let mut quiet = Duration::ZERO;
        loop {
            let notified = match tokio::time::timeout(quiet, listener.try_recv()).await {
                Ok(notified) => notified,
                Err(_) => match self.probe(&mut listener).await {
                    Ok(notified) => notified,
                    Err(error) => return error,
                },
            };
            match notified {
                Ok(Some(_)) => self.local_changes.wake(),
                Ok(None) => {
                    return sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionReset, "the connection was lost"));
                }
                Err(error) => return error,
            }
            quiet = PROBE_AFTER;
            if std::mem::replace(is_failing, false) {
                tracing::info!("notifications of changes arrive again");
            }
        }
    }

    /// Sends a notification on another connection and waits for it.
    ///
    /// # Errors
    ///
    /// It could not be sent, or did not arrive.
    async fn probe(&self, listener: &mut PgListener) -> sqlx::Result<sqlx::Result<Option<PgNotification>>> {
        let send = sql("SELECT pg_notify($1, 'probe')::text").bind(CHANNEL);
        let sent = self.queries.reads.fetch_optional::<(Option<String>,)>(send).await;
        sent.map_err(|error| sqlx::Error::Io(io::Error::other(error)))?;
        let text = "a notification sent to itself did not arrive, as behind a pooler in transaction mode";
        let late = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text));
        tokio::time::timeout(PROBE_TIME, listener.try_recv()).await.map_err(late)
    }

    async fn watch_log(&self, folder: &Path) {
        let log = folder.join(format!("{FILE}-wal"));
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            interval.tick().await;
            let now = state_of(log.clone()).await;
            if now != before {
                before = now;
                self.local_changes.wake();
            }
        }
    }
}

/// When a file was last written and how long it is; `None` if it is not there. Asked for on a thread for blocking calls: a
/// network file system may take long to answer.
async fn state_of(file: PathBuf) -> Option<(SystemTime, u64)> {
    let state = move || {
        let file = std::fs::metadata(file).ok()?;
        Some((file.modified().ok()?, file.len()))
    };
    tokio::task::spawn_blocking(state).await.ok().flatten()
}
