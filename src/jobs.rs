//! Background work: the jobs as a table, the change feed, and the heartbeat to Redis.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::app::key_cache::POLL_INTERVAL;
use crate::app::rate_limit::redis::{HEARTBEAT_INTERVAL, Heartbeat, RedisLimiter};
use crate::app::token_uses::FIRST_USE_INTERVAL;
use crate::app::usage::{FLUSH_INTERVAL, Flush};
use keyhouse_store::{ChangeFeed, StoreError};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// How often a node tries to claim a job that one of all nodes runs: the job runs that soon after its node was stopped.
const CLAIM_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long after its start a node begins to claim jobs that delete by age. A clock that was wrong when the machine booted
/// is usually set by then.
const FIRST_CLAIM_AFTER: Duration = HOUR;

/// How soon after a request `keyhouse doctor` finds what was observed of it.
const OBSERVATIONS_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two reports of how far this node has followed the changes of keys.
const REPORT_PAUSE: Duration = Duration::from_millis(20);

/// Something to be done regularly.
struct Job {
    /// As logs and the table `job_runs` have it.
    name: &'static str,
    every: Duration,
    runs_on: RunsOn,
    /// Returns how many rows or entries it dealt with.
    run: fn(&App) -> BoxFuture<'_, Result<u64, StoreError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunsOn {
    EachNode,
    /// The node that claims it first, by the table `job_runs`.
    OneNode,
}

const JOBS: [Job; 14] = [
    Job {
        name: "record first uses of new tokens",
        every: FIRST_USE_INTERVAL,
        runs_on: RunsOn::EachNode,
        run: |app| app.record_first_uses().boxed(),
    },
    Job {
        name: "write the last uses of rotated keys' tokens",
        every: Duration::from_secs(60),
        runs_on: RunsOn::EachNode,
        run: |app| async { app.record_token_uses().await.map(|()| 0) }.boxed(),
    },
    Job {
        name: "record expired keys",
        every: Duration::from_secs(15),
        runs_on: RunsOn::EachNode,
        run: |app| app.record_expiries().boxed(),
    },
    Job {
        name: "write the usage of keys",
        every: FLUSH_INTERVAL,
        runs_on: RunsOn::EachNode,
        run: |app| async { app.flush_usage(Flush::Due).await.map(|()| 0) }.boxed(),
    },
    Job {
        name: "sweep rate windows",
        every: Duration::from_secs(60),
        runs_on: RunsOn::EachNode,
        run: |app| async { Ok(app.sweep_windows()).map(|_| 0) }.boxed(),
    },
    Job {
        // A key that signs at once must be published by every node before services ask for it.
        name: "follow the keys of the signed identity",
        every: Duration::from_secs(1),
        runs_on: RunsOn::EachNode,
        run: |app| app.reload_identity_keys().boxed(),
    },
    Job {
        name: "store observations",
        every: OBSERVATIONS_INTERVAL,
        runs_on: RunsOn::EachNode,
        run: |app| app.store_observations().boxed(),
    },
    Job {
        name: "delete nodes that are silent",
        every: CLAIM_INTERVAL,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_nodes().boxed(),
    },
    Job {
        name: "redact names of keys that ended 90 days ago",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.redact_ended_key_names().boxed(),
    },
    Job {
        name: "delete expired sessions and links",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_sessions_and_links().boxed(),
    },
    Job {
        name: "delete products of deleted teams",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_products().boxed(),
    },
    Job {
        name: "delete idempotent responses after 24 hours",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_responses().boxed(),
    },
    Job {
        name: "forget signed leak reports after 90 days",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_leak_deliveries().boxed(),
    },
    Job {
        name: "delete recorded calls after 7 days, counts after 400",
        every: HOUR,
        runs_on: RunsOn::OneNode,
        run: |app| app.purge_usage().boxed(),
    },
];

/// Starts all jobs. After `stop` each ends between two runs.
pub(crate) fn spawn(app: &App, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    for job in &JOBS {
        tasks.spawn(job.run_until(app.clone(), stop.clone()));
    }
    tasks.close();
    tasks
}

impl Job {
    async fn run_until(&self, app: App, stop: CancellationToken) {
        let (first, period) = match self.runs_on {
            RunsOn::EachNode => (Duration::ZERO, self.every),
            RunsOn::OneNode => (FIRST_CLAIM_AFTER, CLAIM_INTERVAL),
        };
        repeat(self.name, first, period, stop, || self.run_if_claimed(&app)).await;
    }

    async fn run_if_claimed(&self, app: &App) -> Result<u64, StoreError> {
        let is_ours = match self.runs_on {
            RunsOn::EachNode => true,
            RunsOn::OneNode => app.try_claim_job(self.name, self.every).await?,
        };
        if is_ours { (self.run)(app).await } else { Ok(0) }
    }
}

/// Runs a job each `period` after `first`, until `stop`, between two runs. A run that takes longer than the period delays
/// the next one.
async fn repeat<F: Future<Output = Result<u64, StoreError>>>(
    name: &str,
    first: Duration,
    period: Duration,
    stop: CancellationToken,
    run: impl Fn() -> F,
) {
    let mut interval = tokio::time::interval_at(Instant::now() + first, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut failing = false;
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        match run().await {
            Ok(0) => failing = false,
            Ok(rows) => {
                failing = false;
                tracing::info!(job = name, rows, "job done");
            }
            // Once, not every second, for as long as it fails.
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(job = name, %error, "job failed, will be retried");
            }
            Err(_) => {}
        }
    }
}

/// Registers this process as a node and polls the change feed once, so that the first call finds a lease; then polls regularly.
/// Ends only with an error that another poll can't overcome.
pub(crate) async fn spawn_change_feed(app: App) -> JoinHandle<StoreError> {
    let mut feed = app.change_feed();
    if let Err(error) = app.follow_changes(&mut feed).await {
        tracing::warn!(%error, "first change poll failed, will be retried; the node is not ready");
    }
    tokio::spawn(poll_changes(app, feed))
}

/// Makes the polls follow the changes of other processes at once, until it is aborted.
pub(crate) fn spawn_change_watch(app: App) -> JoinHandle<()> {
    tokio::spawn(async move { app.watch_changes().await })
}

async fn poll_changes(app: App, mut feed: ChangeFeed) -> StoreError {
    let mut interval = tokio::time::interval(POLL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.changed() => {}
        }
        match app.follow_changes(&mut feed).await {
            Ok(()) if std::mem::replace(&mut failing, false) => tracing::info!("change polls succeed again"),
            Ok(()) => {}
            Err(error @ StoreError::FileReplaced) => return error,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                let lease_seconds = app.lease_remaining().unwrap_or_default().as_secs_f64();
                tracing::warn!(%error, lease_seconds, "change poll failed, cached keys expire with the lease");
            }
            Err(_) => {}
        }
    }
}

/// Writes how far this node has followed the changes of keys, and completes revocations, until it is stopped.
pub(crate) fn spawn_node_reports(app: App, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut failing = false;
        while stop.run_until_cancelled(app.node_report_due()).await.is_some() {
            match app.report_node().await {
                Ok(_) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "could not record that this node follows the changes of keys, will be retried");
                    }
                }
            }
            // One write for the changes of this time, however many keys change.
            let _stopped = tokio::time::timeout(REPORT_PAUSE, stop.cancelled()).await;
        }
    })
}

/// Sends heartbeats to Redis until it is aborted.
pub(crate) fn spawn_heartbeats(redis: Arc<RedisLimiter>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(HEARTBEAT_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            heartbeat(&redis).await;
        }
    })
}

/// One heartbeat; logs a change between healthy and failing.
pub(crate) async fn heartbeat(redis: &RedisLimiter) {
    match redis.heartbeat().await {
        Heartbeat::Recovered => tracing::info!("Redis counts the calls of all nodes"),
        // An answer with an error code is no outage: a wrong password (WRONGPASS, NOAUTH), or missing rights (NOPERM).
        Heartbeat::Failed(error) if error.code().is_some() => {
            let nodes = redis.nodes();
            tracing::warn!(
                %error,
                nodes,
                "Redis refuses a command, check the password in redis_url and its rights; this node enforces the rate \
                 limit divided by the nodes"
            );
        }
        Heartbeat::Failed(error) => {
            let nodes = redis.nodes();
            tracing::warn!(%error, nodes, "Redis unavailable, this node enforces the rate limit divided by the nodes");
        }
        Heartbeat::Healthy | Heartbeat::StillFailing(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_are_unique() {
        let names: std::collections::BTreeSet<_> = JOBS.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), JOBS.len(), "a claim is by name");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_fails_runs_again_after_its_period_until_it_is_stopped() {
        let (stop, runs) = (CancellationToken::new(), std::sync::Mutex::new(Vec::new()));
        let began = Instant::now();
        let run = || async {
            let mut runs = runs.lock().unwrap();
            runs.push(began.elapsed().as_secs());
            if runs.len() == 4 {
                stop.cancel();
            }
            if runs.len().is_multiple_of(2) { Ok(3) } else { Err(StoreError::timed_out()) }
        };
        repeat("test", Duration::from_secs(60), Duration::from_secs(10), stop.clone(), run).await;
        assert_eq!(*runs.lock().unwrap(), [60, 70, 80, 90]);
    }
}
