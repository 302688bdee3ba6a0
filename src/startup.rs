//! Opens the doors: settings become an [`App`], background work starts, the port is served, and all of it stops in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::app::App;
use crate::app::authenticate::POLL_INTERVAL;
use crate::app::infra::clock::Clock;
use crate::app::infra::rng::Rng;
use crate::app::last_used::{FLUSH_EVERY, Flush};
use crate::app::rate_limit::redis::{HEARTBEAT_INTERVAL, Heartbeat, RedisLimiter};
use crate::config::Config;
use crate::web::metrics_server::Ops;
use crate::web::{self, AppState};
use keyhouse_store::{ChangeFeed, Location, OpenError, Store, StoreError, Warning};

/// How often a node asks whether it is its turn to clear what has had its time: names of keys revoked 90 days ago, answers
/// kept for 24 hours. A process that is restarted each night gets there too.
const ASK_TO_CLEAR_EVERY: Duration = Duration::from_secs(10 * 60);
/// From SIGTERM until calls that still run are cut off, grace included. With what follows it stays under 10 seconds.
const CALLS_END_WITHIN: Duration = Duration::from_millis(6500);
/// For background writes that are under way when their tasks are to end; and once more for the last one.
const WRITES_END_WITHIN: Duration = Duration::from_millis(1500);

/// Opens the database after bringing it up to date. For `serve`, `demo` and `migrate` alone.
pub async fn migrate_and_open(config: &Config) -> anyhow::Result<App> {
    let opened = Store::migrate_and_open(&config.database, config.brand.as_ref()).await;
    let (store, brand, warnings) = opened.map_err(|error| with_address(error, &config.database))?;
    warn(warnings);
    Ok(App::new(store, brand, Clock::System, Rng::System, config.limits))
}

/// Opens a database that is up to date already.
pub async fn open(config: &Config) -> anyhow::Result<App> {
    let opened = Store::open(&config.database, config.brand.as_ref()).await;
    let (store, brand, warnings) = opened.map_err(|error| with_address(error, &config.database))?;
    warn(warnings);
    Ok(App::new(store, brand, Clock::System, Rng::System, config.limits))
}

/// A server that can't be reached is named, by its address alone; a folder names itself.
fn with_address(error: OpenError, database: &Location) -> anyhow::Error {
    match (&error, database) {
        (OpenError::Database(_), Location::Postgres(_)) => anyhow::Error::from(error).context(database.to_string()),
        _ => error.into(),
    }
}

fn warn(warnings: Vec<Warning>) {
    for warning in warnings {
        tracing::warn!("{}", warning.0);
    }
}

/// The OpenAPI document, as a server with this configuration serves it.
pub fn openapi(config: &Config) -> serde_json::Value {
    web::openapi::document(config.public_url.as_ref())
}

/// The ports, taken before anything is promised about them.
pub struct Listeners {
    main: TcpListener,
    /// Where the pages and the API are.
    pub address: SocketAddr,
    ops: Option<TcpListener>,
    /// Where the metrics are.
    pub ops_address: Option<SocketAddr>,
}

/// To be taken up before anybody is told that the doors are open: they may ask for a stop in the next moment.
pub struct ShutdownSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignal {
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at SIGTERM or SIGINT, whichever comes first.
    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub async fn listen(config: &Config) -> anyhow::Result<Listeners> {
    let take = async |asked: SocketAddr, flag: &str| {
        let taken =
            || format!("can't listen on {asked}; choose another with {flag}, {}:0 for any free port", asked.ip());
        TcpListener::bind(asked).await.with_context(taken)
    };
    let main = take(config.listen, "--listen").await?;
    let ops = match config.ops_listen {
        Some(asked) => Some(take(asked, "--ops-listen").await?),
        None => None,
    };
    let ops_address = ops.as_ref().map(TcpListener::local_addr).transpose()?;
    Ok(Listeners { address: main.local_addr()?, main, ops, ops_address })
}

/// Serves until SIGTERM or Ctrl-C, then stops in order: not ready, grace, finish what runs, flush, close.
pub async fn serve(config: &Config, app: App, doors: Listeners, stop_signal: ShutdownSignal) -> anyhow::Result<()> {
    let mut change_feed = app.change_feed();
    // So that the first call finds a lease. If the database is away in this moment, the task below goes on asking.
    if let Err(error) = app.apply_changes(&mut change_feed).await {
        tracing::warn!(%error, "the changes of keys can't be followed yet");
    }
    let (app, cluster) = match config.redis.clone() {
        Some(address) => {
            let (app, cluster) = app.with_redis(address);
            heartbeat(&cluster).await;
            (app, Some(cluster))
        }
        None => (app, None),
    };
    let (not_ready, stopping) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let service = web::service(AppState {
        app: app.clone(),
        trusted_proxies: config.trusted_proxies.clone().into(),
        public_url: config.public_url.clone(),
        forward_auth: config.forward_auth.clone(),
        stopping,
    });
    let mut following = spawn_following(app.clone(), change_feed);
    let heartbeats = cluster.clone().map(spawn_heartbeats);
    let work = [spawn_usage(app.clone(), stopped.clone()), spawn_clearing(app.clone(), stopped.clone())];
    let (stop_ops, ops_stopped) = watch::channel(false);
    if let Some(listener) = doors.ops {
        tokio::spawn(web::server::serve(listener, Ops(app.clone()), ops_stopped, Duration::ZERO));
    }

    let grace = config.shutdown_grace;
    let order = async {
        let failed = tokio::select! {
            () = stop_signal.wait() => None,
            ended = &mut following => Some(ended),
        };
        tracing::info!(grace_seconds = grace.as_secs(), "stopping");
        not_ready.send_replace(true);
        if failed.is_none() {
            tokio::time::sleep(grace).await;
        }
        stop.send_replace(true);
        failed
    };
    let finish = CALLS_END_WITHIN.saturating_sub(grace);
    let (failed, ()) = tokio::join!(order, web::server::serve(doors.main, service, stopped, finish));
    // It writes nothing, and the last call needs it as the first did.
    following.abort();

    // They end between two writes, so that what one has taken up is written or noted again.
    let ended = futures_util::future::join_all(work);
    let _ended = tokio::time::timeout(WRITES_END_WITHIN, ended).await;
    let lost = "the last uses of some keys could not be written";
    if matches!(failed, Some(Ok(StoreError::FileReplaced))) {
        // With the log gone, the file that lies there now can be started on.
        let parted = tokio::time::timeout(WRITES_END_WITHIN, app.checkpoint_and_detach()).await;
        if !matches!(parted, Ok(Ok(()))) {
            tracing::error!(
                "before the next start remove keyhouse.db-wal and keyhouse.db-shm: they belong to the file that is gone"
            );
        }
    }
    let closed = tokio::time::timeout(WRITES_END_WITHIN, app.close()).await;
    if let (Some(cluster), Some(heartbeats)) = (cluster, heartbeats) {
        heartbeats.abort();
        let _aborted = heartbeats.await;
        cluster.leave().await;
    }
    stop_ops.send_replace(true);
    if let Some(failed) = failed {
        let failed = failed.map_or_else(anyhow::Error::from, anyhow::Error::from);
        return Err(failed.context("stopped, because the changes of keys can't be followed any more"));
    }
    closed.with_context(|| format!("{lost}: the database does not answer"))?.context(lost)?;
    tracing::info!("stopped");
    Ok(())
}

/// Ends only with what can't be mended by asking again.
fn spawn_following(app: App, mut change_feed: ChangeFeed) -> JoinHandle<StoreError> {
    tokio::spawn(async move {
        let mut heartbeat = tokio::time::interval(POLL_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lost = false;
        loop {
            tokio::select! {
                _ = heartbeat.tick() => {}
                () = app.changed() => {}
            }
            let followed = app.apply_changes(&mut change_feed).await;
            match &followed {
                Ok(()) if lost => tracing::info!("the changes of keys are followed again"),
                Err(error) if !lost => tracing::warn!(%error, "the changes of keys can't be followed now"),
                Ok(()) | Err(_) => {}
            }
            lost = followed.is_err();
            if let Err(error @ StoreError::FileReplaced) = followed {
                return error;
            }
        }
    })
}

fn spawn_heartbeats(cluster: Arc<RedisLimiter>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(HEARTBEAT_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            heartbeat(&cluster).await;
        }
    })
}

async fn heartbeat(cluster: &RedisLimiter) {
    match cluster.heartbeat().await {
        Heartbeat::Back => tracing::info!("Redis counts the calls of all nodes"),
        Heartbeat::Lost(error) => {
            let nodes = cluster.nodes();
            tracing::warn!(%error, nodes, "Redis is away: this node lets its share of the rate limit pass, one of so many nodes");
        }
        Heartbeat::Well | Heartbeat::Away(_) => {}
    }
}

fn spawn_usage(app: App, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut heartbeat = tokio::time::interval(FLUSH_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while next_tick(&mut heartbeat, &mut stopped).await {
            if let Err(error) = app.flush_usage(Flush::Due).await {
                tracing::warn!(%error, "last uses are not written yet; they stay noted");
            }
        }
    })
}

fn spawn_clearing(app: App, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut heartbeat = tokio::time::interval(ASK_TO_CLEAR_EVERY);
        while next_tick(&mut heartbeat, &mut stopped).await {
            match app.claim_cleanup().await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(%error, "nothing old is cleared for now");
                    continue;
                }
            }
            match app.redact_revoked_key_names().await {
                Ok(0) => {}
                Ok(cleared) => tracing::info!(cleared, "cleared the names of keys revoked 90 days ago"),
                Err(error) => tracing::warn!(%error, "the names of long-revoked keys are not cleared yet"),
            }
            match app.purge_sessions_and_links().await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "deleted sessions and links that nobody needs any more"),
                Err(error) => tracing::warn!(%error, "old sessions and links are not deleted yet"),
            }
            match app.purge_products().await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "deleted products of deleted teams"),
                Err(error) => tracing::warn!(%error, "products of deleted teams are not deleted yet"),
            }
            match app.purge_answers().await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "deleted answers of idempotent calls after their 24 hours"),
                Err(error) => tracing::warn!(%error, "answers older than 24 hours are not deleted yet"),
            }
        }
    })
}

/// Waits for the next beat; `false` once stopped.
async fn next_tick(heartbeat: &mut Interval, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        _ = heartbeat.tick() => true,
    }
}
