//! Stored answers ⇄ rows, claimed and filled inside the transaction of what the call does.

use crate::{Result, Store, StoreError, Tx, on, record};
use keyhouse_domain::idempotency::{IdempotentRequest, RETENTION, StoredResponse};
use keyhouse_domain::timestamp::Timestamp;

/// What is known of a call that says it may have been sent before.
#[derive(Debug, PartialEq, Eq)]
pub enum Replay {
    /// It was done: this was the answer.
    Done(StoredResponse),
    /// The same value came with another body.
    OtherBody,
    /// Its twin is still running, and was waited for long enough.
    InFlightRequests,
}

record!(Row {
    body_hash: Vec<u8>,
    status: i64,
    body: Vec<u8>,
    location: Option<String>,
});

impl Tx {
    /// Takes the call's place, or says what is known of it. A twin that is still running is waited for: on PostgreSQL at
    /// its row, up to the lock time-out; on SQLite there is one writer, so it has ended by now.
    ///
    /// `None`: the place is taken, and [`Tx::keep_answer`] must fill it before the commit.
    pub(crate) async fn claim(&mut self, call: &IdempotentRequest, now: Timestamp) -> Result<Option<Replay>> {
        let claimed = on!(&mut self.0, db => sqlx::query(
            "INSERT INTO idempotency (key_id, method, path, value, body_hash, status, body, created_at) \
             VALUES ($1, $2, $3, $4, $5, 0, $6, $7) \
             ON CONFLICT (key_id, method, path, value) DO UPDATE SET body_hash = excluded.body_hash, \
                 status = excluded.status, body = excluded.body, location = NULL, created_at = excluded.created_at \
             WHERE idempotency.created_at <= $8")
            .bind(call.key.to_string()).bind(&call.method).bind(&call.path).bind(call.value.as_str())
            .bind(call.body_hash()).bind(&b""[..]).bind(now.ms()).bind(now.minus(RETENTION).ms())
            .execute(&mut **db).await.map(|done| done.rows_affected()));
        match claimed.map_err(StoreError::from) {
            Ok(1) => return Ok(None),
            Ok(_) => {}
            Err(StoreError::Unavailable(error)) if is_lock_timeout(&error) => {
                return Ok(Some(Replay::InFlightRequests));
            }
            Err(error) => return Err(error),
        }
        let row: Row = on!(&mut self.0, db => sqlx::query_as(
            "SELECT body_hash, status, body, location FROM idempotency \
             WHERE key_id = $1 AND method = $2 AND path = $3 AND value = $4")
            .bind(call.key.to_string()).bind(&call.method).bind(&call.path).bind(call.value.as_str())
            .fetch_one(&mut **db).await?);
        if row.body_hash != call.body_hash() {
            return Ok(Some(Replay::OtherBody));
        }
        let status = u16::try_from(row.status).map_err(|_| crate::corrupt("idempotency", call.value.as_str()))?;
        Ok(Some(Replay::Done(StoredResponse { status, body: row.body, location: row.location })))
    }

    pub(crate) async fn keep_answer(&mut self, call: &IdempotentRequest, answer: &StoredResponse) -> Result<()> {
        on!(&mut self.0, db => sqlx::query(
            "UPDATE idempotency SET status = $5, body = $6, location = $7 \
             WHERE key_id = $1 AND method = $2 AND path = $3 AND value = $4")
            .bind(call.key.to_string()).bind(&call.method).bind(&call.path).bind(call.value.as_str())
            .bind(i64::from(answer.status)).bind(&answer.body).bind(&answer.location)
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }
}

impl Store {
    /// Deletes up to `batch` answers that have been kept for 24 hours; says how many. Harmless on several nodes at once.
    pub async fn purge_answers(&self, now: Timestamp, batch: u32) -> Result<u64> {
        Ok(on!(&self.writes, db => sqlx::query(
            "DELETE FROM idempotency WHERE (key_id, method, path, value) IN \
             (SELECT key_id, method, path, value FROM idempotency WHERE created_at <= $1 LIMIT $2) AND created_at <= $1")
            .bind(now.minus(RETENTION).ms()).bind(i64::from(batch)).execute(db).await?.rows_affected()))
    }
}

/// PostgreSQL's 55P03: somebody else held the row for the whole lock time-out.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}
