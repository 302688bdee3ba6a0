//! Which node runs a background job

use std::time::Duration;

use crate::db::sql;
use crate::{Result, Store};
use keyhouse_domain::timestamp::Timestamp;

impl Store {
    /// Claims a job if no node has claimed it within `every`; returns whether this node got it. A job that a node begins and
    /// does not finish runs again after `every`. A claim that lies further than `every` in the future, by a clock that was
    /// far ahead, is ignored.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn try_claim_job(&self, name: &str, now: Timestamp, every: Duration) -> Result<bool> {
        let claim = sql("INSERT INTO job_runs (name, started_at) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET started_at = excluded.started_at \
                         WHERE job_runs.started_at <= $3 OR job_runs.started_at > $4")
        .bind(name)
        .bind(now)
        .bind(now.minus(every))
        .bind(now.plus(every));
        Ok(self.writes.execute(claim).await? == 1)
    }
}
