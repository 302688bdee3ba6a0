//! Work that all nodes together do once.

use std::time::Duration;

use crate::{Result, Store, on};
use keyhouse_domain::timestamp::Timestamp;

impl Store {
    /// Whether the asker is to do it now: one of all who ask is, once in `every`. What one begins and does not end is left
    /// until `every` has passed again; what a clock far ahead has noted counts for nothing.
    pub async fn try_claim_job(&self, name: &str, now: Timestamp, every: Duration) -> Result<bool> {
        let taken = on!(&self.writes, db => sqlx::query(
            "INSERT INTO job_runs (name, started_at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE \
             SET started_at = excluded.started_at WHERE job_runs.started_at <= $3 OR job_runs.started_at > $4")
            .bind(name).bind(now.ms()).bind(now.minus(every).ms()).bind(now.plus(every).ms())
            .execute(db).await?.rows_affected());
        Ok(taken == 1)
    }
}
