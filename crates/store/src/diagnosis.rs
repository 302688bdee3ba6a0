//! What `keyhouse doctor` reads from a database: its delay, its clock, pending addresses, unused and expiring keys, observations

use std::time::Duration;

use tokio::time::Instant;

use crate::db::Engine;
use crate::statement::sql;
use crate::{Queries, Result, Store};
use keyhouse_domain::timestamp::Timestamp;

/// How often the round trip is measured; the shortest counts.
const ROUND_TRIPS: usize = 5;
/// The names of observations in the table of settings begin with this.
const OBSERVED: &str = "observed.";
/// Most rows that a list shows.
const LISTED: u32 = 20;

/// How far the database is, and how its clock compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurements {
    /// The shortest of five round trips.
    pub round_trip: Duration,
    /// The server's clock, by which PostgreSQL answered halfway through a round trip; `None` on SQLite.
    pub server_time: Option<Timestamp>,
    /// The time of the newest event, session or job in the database.
    pub newest: Timestamp,
}

/// A person whose new address waits for its one-time link.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PendingAddress {
    /// The address that counts.
    pub email: String,
    /// The address that waits.
    pub pending_email: String,
}

/// An active key that was not used for a long time.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UnusedKey {
    /// The key's id.
    pub id: String,
    /// Its name, unless it was redacted.
    pub name: Option<String>,
    /// The slug of its team.
    pub slug: String,
}

/// An active key that expires soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringKey {
    /// The key's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The slug of its team.
    pub slug: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Queries {
    /// Measures the round trip and reads the clocks.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn measurements(&self) -> Result<Measurements> {
        let select = match &self.reads {
            Engine::Sqlite(_) => "SELECT CAST(NULL AS BIGINT)",
            Engine::Postgres(_) => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        };
        let (mut round_trip, mut server_time) = (Duration::MAX, None);
        for _ in 0..ROUND_TRIPS {
            let sent = Instant::now();
            let time: Option<i64> = self.reads.fetch_scalar(sql(select)).await?;
            let took = sent.elapsed();
            if took < round_trip {
                (round_trip, server_time) = (took, time.map(Timestamp::from_ms));
            }
        }
        let newest = "SELECT max(at) FROM (SELECT max(at) AS at FROM audit UNION ALL SELECT max(seen_at) FROM sessions \
                      UNION ALL SELECT max(started_at) FROM job_runs) AS newest";
        let newest: Option<i64> = self.reads.fetch_scalar(sql(newest)).await?;
        Ok(Measurements { round_trip, server_time, newest: Timestamp::from_ms(newest.unwrap_or(0)) })
    }

    /// Addresses that wait for their one-time link: the first twenty.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn pending_addresses(&self) -> Result<Vec<PendingAddress>> {
        let select = "SELECT email, pending_email FROM people WHERE pending_email IS NOT NULL AND removed_at IS NULL \
                      ORDER BY email LIMIT $1";
        self.reads.fetch_all(sql(select).bind(LISTED)).await
    }

    /// Active keys that were neither created nor used since `since`: the first twenty.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn unused_keys(&self, since: Timestamp) -> Result<Vec<UnusedKey>> {
        let select = "SELECT keys.id, keys.name, slug FROM keys JOIN teams ON teams.id = team_id \
                      LEFT JOIN key_usage ON key_id = keys.id WHERE ended_at IS NULL AND keys.created_at < $1 \
                      AND (last_used_at IS NULL OR last_used_at < $1) ORDER BY keys.id LIMIT $2";
        self.reads.fetch_all(sql(select).bind(since).bind(LISTED)).await
    }

    /// Active keys that expire after `now` and at `until` at the latest: the first twenty to expire.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn expiring_keys(&self, now: Timestamp, until: Timestamp) -> Result<Vec<ExpiringKey>> {
        let select = "SELECT keys.id, keys.name, slug, expires_at FROM keys JOIN teams ON teams.id = team_id \
                      WHERE ended_at IS NULL AND expires_at > $1 AND expires_at <= $2 ORDER BY expires_at, keys.id LIMIT $3";
        type Row = (String, Option<String>, String, i64);
        let rows: Vec<Row> = self.reads.fetch_all(sql(select).bind(now).bind(until).bind(LISTED)).await?;
        let key =
            |(id, name, slug, expires_at)| ExpiringKey { id, name, slug, expires_at: Timestamp::from_ms(expires_at) };
        Ok(rows.into_iter().map(key).collect())
    }

    /// What servers have observed about the requests that reach them, by name; see [`Store::set_observation`].
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn observations(&self) -> Result<Vec<(String, String)>> {
        let select = sql("SELECT name, value FROM settings WHERE name LIKE 'observed.%' ORDER BY name");
        let rows: Vec<(String, String)> = self.reads.fetch_all(select).await?;
        Ok(rows.into_iter().map(|(name, value)| (name.trim_start_matches(OBSERVED).to_owned(), value)).collect())
    }
}

impl Store {
    /// Stores what a server observed about its requests, for `keyhouse doctor`. A newer observation replaces the former.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn set_observation(&self, name: &str, value: &str) -> Result<()> {
        let upsert = sql("INSERT INTO settings (name, value) VALUES ($1, $2) \
                          ON CONFLICT (name) DO UPDATE SET value = excluded.value");
        self.writes.execute(upsert.bind(format!("{OBSERVED}{name}")).bind(value)).await.map(drop)
    }
}
