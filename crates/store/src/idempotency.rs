//! Stored responses of idempotent requests, claimed and filled in the transaction of the request's change

use crate::error::{StoreError, corrupt, is_lock_timeout};
use crate::products::WriteProductError;
use crate::statement::sql;
use crate::tx::Transaction;
use crate::{Result, Store};
use keyhouse_domain::idempotency::{IdempotentRequest, RETENTION, StoredResponse};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct ResponseRow {
    body_hash: Vec<u8>,
    status: i64,
    body: Vec<u8>,
    location: Option<String>,
}

impl Transaction {
    /// Claims the request's idempotency key, or returns the response that is stored for it. A duplicate that is still running
    /// is waited for: on PostgreSQL at its row, up to `lock_timeout`; SQLite has one writer, so it has ended by now.
    ///
    /// After `None` the key is claimed, and [`Transaction::store_response`] must fill it before the commit.
    ///
    /// # Errors
    ///
    /// [`WriteProductError::OtherBody`] if the key was used with another body, [`WriteProductError::StillRunning`] if the
    /// duplicate has not ended within `lock_timeout`.
    pub(crate) async fn claim(
        &mut self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> std::result::Result<Option<StoredResponse>, WriteProductError> {
        let claim = sql("INSERT INTO idempotency (key_id, method, path, value, body_hash, status, body, created_at) \
                         VALUES ($1, $2, $3, $4, $5, 0, $6, $7) \
                         ON CONFLICT (key_id, method, path, value) DO UPDATE SET body_hash = excluded.body_hash, \
                             status = excluded.status, body = excluded.body, location = NULL, \
                             created_at = excluded.created_at \
                         WHERE idempotency.created_at <= $8")
        .bind(request.key)
        .bind(&request.method)
        .bind(&request.path)
        .bind(request.value.as_str())
        .bind(request.body_hash())
        .bind(&b""[..])
        .bind(now)
        .bind(now.minus(RETENTION));
        match self.execute(claim).await {
            Ok(1) => return Ok(None),
            Ok(_) => {}
            Err(StoreError::Unavailable(error)) if is_lock_timeout(&error) => {
                return Err(WriteProductError::StillRunning);
            }
            Err(error) => return Err(error.into()),
        }
        let select = sql("SELECT body_hash, status, body, location FROM idempotency \
                          WHERE key_id = $1 AND method = $2 AND path = $3 AND value = $4")
        .bind(request.key)
        .bind(&request.method)
        .bind(&request.path)
        .bind(request.value.as_str());
        let row: ResponseRow = self.fetch_one(select).await?;
        if row.body_hash != request.body_hash() {
            return Err(WriteProductError::OtherBody);
        }
        let status = u16::try_from(row.status).map_err(|_| corrupt("idempotency", request.value.as_str()))?;
        Ok(Some(StoredResponse { status, body: row.body, location: row.location }))
    }

    /// Fills a claimed idempotency key with the response.
    pub(crate) async fn store_response(
        &mut self,
        request: &IdempotentRequest,
        response: &StoredResponse,
    ) -> Result<()> {
        let update = sql("UPDATE idempotency SET status = $5, body = $6, location = $7 \
                          WHERE key_id = $1 AND method = $2 AND path = $3 AND value = $4")
        .bind(request.key)
        .bind(&request.method)
        .bind(&request.path)
        .bind(request.value.as_str())
        .bind(u32::from(response.status))
        .bind(&response.body[..])
        .bind(response.location.clone());
        self.execute(update).await?;
        Ok(())
    }
}

impl Store {
    /// Deletes up to `batch` responses that are older than [`RETENTION`]; returns how many. Several nodes may do it at once.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_responses(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let delete = sql("DELETE FROM idempotency WHERE (key_id, method, path, value) IN \
                          (SELECT key_id, method, path, value FROM idempotency WHERE created_at <= $1 LIMIT $2) \
                          AND created_at <= $1")
        .bind(now.minus(RETENTION))
        .bind(batch);
        self.writes.execute(delete).await
    }
}
