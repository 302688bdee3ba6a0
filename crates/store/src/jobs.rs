//! Which node runs a background job

use std::time::Duration;

use crate::statement::sql;
use crate::{Result, Store};
use keyhouse_domain::timestamp::Timestamp;

/// A job is not run by a clock that is further than this past its last run.
const CLOCK_JUMP: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Claims a job if no node has claimed it within `every`; returns whether this node is to run it now. A job that a node
    /// begins and does not finish runs again after `every`. A claim that lies further than `every` in the future, by a clock
    /// that was far ahead, is replaced.
    ///
    /// The first claim, and one that comes more than [`CLOCK_JUMP`] after the last, is stored and not run: this node's clock
    /// may be far ahead, and a job deletes by age. If the clock is right, the job runs after `every`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn try_claim_job(&self, name: &str, now: Timestamp, every: Duration) -> Result<bool> {
        let mut tx = self.begin_unaudited().await?;
        let insert = "INSERT INTO job_runs (name, started_at) VALUES ($1, 0) ON CONFLICT (name) DO UPDATE SET name = $1 \
                      RETURNING started_at";
        let (last,): (i64,) = tx.fetch_one(sql(insert).bind(name)).await?;
        let last = Timestamp::from_ms(last);
        if now.minus(every) < last && last <= now.plus(every) {
            return Ok(false);
        }
        tx.execute(sql("UPDATE job_runs SET started_at = $2 WHERE name = $1").bind(name).bind(now)).await?;
        tx.commit().await?;
        Ok(last > now || now <= last.plus(CLOCK_JUMP))
    }
}
