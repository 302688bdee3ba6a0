//! Builds the application from the configuration, and runs it until it is stopped.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ipnet::{Ipv4Net, Ipv6Net};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::app::infra::clock::Clock;
use crate::app::infra::rng::Rng;
use crate::app::rate_limit::redis::RedisLimiter;
use crate::config::Config;
use crate::jobs;
use crate::shell_command::ShellCommand;
pub use crate::shutdown::ShutdownSignal;
use crate::shutdown::{FeedFailure, Phases, REQUESTS_END_WITHIN, WRITES_END_WITHIN};
use crate::telemetry::otlp;
use crate::web::metrics_server::MetricsService;
use crate::web::redirect_server::RedirectService;
use crate::web::server::ServerOptions;
use crate::web::server::tls::Tls;
use crate::web::{self, AppState};
use keyhouse_store::{Location, OpenError, Store, StoreError, Warning};
use keyhouse_token::Brand;

/// How long a server that starts waits for a PostgreSQL that refuses connections: about as long as a machine boots.
const BOOT_WAIT: Duration = Duration::from_secs(60);
/// Time between two attempts meanwhile.
const BOOT_RETRY: Duration = Duration::from_secs(1);
/// Connections to `/metrics` at once.
const METRICS_CONNECTIONS: usize = 16;
/// How long a connection to `/metrics` may be idle: longer than the usual 60 s between two scrapes.
const METRICS_IDLE: Duration = Duration::from_secs(75);

/// Connections to the port that redirects.
const REDIRECT_CONNECTIONS: usize = 256;
/// How long the last traces may take at a stop.
const TRACES_END_WITHIN: Duration = Duration::from_secs(1);

/// Opens the database after bringing its schema up to date. Only `serve`, `demo` and `migrate` do that.
///
/// # Errors
///
/// The database can't be opened or migrated.
pub async fn migrate_and_open(config: &Config) -> anyhow::Result<App> {
    build(config, Store::migrate_and_open(&config.database, config.brand.as_ref()).await)
}

/// As [`migrate_and_open`], for a server: while PostgreSQL refuses connections, as when both start with their machine, it
/// tries again for a minute. `None` if a stop signal comes first.
///
/// # Errors
///
/// The database can't be opened or migrated, or the keys of the signed identity can't be used.
pub async fn migrate_and_open_to_serve(config: &Config, signal: &mut ShutdownSignal) -> anyhow::Result<Option<App>> {
    tokio::select! {
        opened = migrate_and_open_with_retries(config) => {
            let app = opened?;
            app.load_identity_keys().await?;
            Ok(Some(app))
        }
        () = signal.wait() => {
            tracing::info!("stopped before the database was open");
            Ok(None)
        }
    }
}

async fn migrate_and_open_with_retries(config: &Config) -> anyhow::Result<App> {
    let deadline = Instant::now() + BOOT_WAIT;
    let mut logged = false;
    loop {
        match Store::migrate_and_open(&config.database, config.brand.as_ref()).await {
            Err(error) if error.is_not_accepting() && Instant::now() < deadline => {
                if !std::mem::replace(&mut logged, true) {
                    let seconds = BOOT_WAIT.as_secs();
                    tracing::warn!(database = %config.database, %error, "no connection yet, retrying for {seconds} s");
                }
                tokio::time::sleep(BOOT_RETRY).await;
            }
            opened => return build(config, opened),
        }
    }
}

/// Opens a database whose schema is up to date.
///
/// # Errors
///
/// The database can't be opened, or its schema is of another version.
pub async fn open(config: &Config) -> anyhow::Result<App> {
    build(config, Store::open(&config.database, config.brand.as_ref()).await)
}

fn build(config: &Config, opened: Result<(Store, Brand, Vec<Warning>), OpenError>) -> anyhow::Result<App> {
    let (store, brand, warnings) = opened.map_err(|error| with_address(error, &config.database))?;
    for warning in warnings {
        tracing::warn!("{}", warning.0);
    }
    let cached_keys = config.cached_keys;
    let app = App::with_cached_keys(store, brand, Clock::System, Rng::System, config.limits, cached_keys);
    let issuer = config.public_url.as_ref().map_or_else(|| "keyhouse".to_owned(), ToString::to_string);
    Ok(match config.identity_secret.clone() {
        Some(secret) => app.with_identity(secret, issuer),
        None => app,
    })
}

/// Adds the server's address to the error of a PostgreSQL database. The error of a folder names it already.
fn with_address(error: OpenError, database: &Location) -> anyhow::Error {
    match (&error, database) {
        (OpenError::Database(_), Location::Postgres(_)) => anyhow::Error::from(error).context(database.to_string()),
        _ => error.into(),
    }
}

/// The OpenAPI document, as a server with this configuration serves it.
pub fn openapi(config: &Config) -> serde_json::Value {
    web::openapi::document(config.public_url.as_ref())
}

/// The bound ports. They are bound before anything announces that the server is up.
pub struct Listeners {
    main: TcpListener,
    /// Address of the dashboard and the API.
    pub address: SocketAddr,
    metrics: Option<TcpListener>,
    /// Address of `/metrics`.
    pub metrics_address: Option<SocketAddr>,
    redirect: Option<TcpListener>,
    /// Address of the port that redirects to the one with TLS.
    pub redirect_address: Option<SocketAddr>,
    tls: Option<Tls>,
}

/// Binds the configured ports.
///
/// # Errors
///
/// An address that can't be bound, a certificate that can't be used.
pub async fn listen(config: &Config) -> anyhow::Result<Listeners> {
    let main = bind(config.listen, "--listen").await?;
    let metrics = match config.metrics_listen {
        Some(address) => Some(bind(address, "--ops-listen").await?),
        None => None,
    };
    let redirect = match config.redirect_listen {
        Some(address) => Some(bind(address, "tls.redirect_listen").await?),
        None => None,
    };
    let tls = config.tls.clone().map(Tls::load).transpose().context("can't serve TLS")?;
    let [metrics_address, redirect_address] =
        [&metrics, &redirect].map(|listener| listener.as_ref().map(TcpListener::local_addr).transpose());
    Ok(Listeners {
        address: main.local_addr()?,
        main,
        metrics,
        metrics_address: metrics_address?,
        redirect,
        redirect_address: redirect_address?,
        tls,
    })
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let ip = address.ip();
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => {
                format!("a port under 1024 needs a privilege; choose a higher port with {flag}")
            }
            ErrorKind::AddrNotAvailable => {
                format!("{ip} is not an address of this machine; set one with {flag} (0.0.0.0 for all)")
            }
            _ => format!("choose another with {flag}, {ip}:0 for any free port"),
        };
        anyhow::Error::from(error).context(format!("can't listen on {address}; {advice}"))
    })
}

/// Serves until SIGTERM or SIGINT, then stops in order: not ready, grace, drain, flush, close. Pages print commands as
/// `shell` does.
///
/// # Errors
///
/// The change feed ended by itself, or the usage of keys could not be written.
pub async fn serve(
    config: &Config,
    app: App,
    listeners: Listeners,
    shell: ShellCommand,
    signal: ShutdownSignal,
) -> anyhow::Result<()> {
    tracing::info!(database = %config.database, redis = config.redis.is_some(), "starting");
    let phases = Phases::default();
    app.set_node_name(&node_name(listeners.address));
    let mut change_feed = jobs::spawn_change_feed(app.clone()).await;
    let change_watch = jobs::spawn_change_watch(app.clone());
    let stop_reports = CancellationToken::new();
    let reports = jobs::spawn_node_reports(app.clone(), stop_reports.clone());
    let (app, redis) = connect_redis(config, app).await;
    let traces = export_traces(config, &app);
    let heartbeats = redis.clone().map(jobs::spawn_heartbeats);
    let jobs = jobs::spawn(&app, &phases.draining);
    let stop_metrics = serve_metrics(listeners.metrics, &app);

    let service = web::service(AppState {
        app: app.clone(),
        trusted_proxies: config.trusted_proxies.clone().into(),
        public_url: config.public_url.clone(),
        forward_auth: config.forward_auth.clone(),
        shell: shell.into(),
        leaks: config.leaks.clone(),
        feed: config.feed.clone(),
        stopping: phases.stopping.clone(),
    });
    let finish = REQUESTS_END_WITHIN.saturating_sub(config.shutdown_grace);
    let options = ServerOptions {
        max_connections: web::server::max_connections(),
        idle: config.http_idle,
        without_share: config.trusted_proxies.clone().into(),
        tls: listeners.tls.clone(),
    };
    if let Some(tls) = listeners.tls {
        tokio::spawn(tls.reload_on_change(phases.draining.clone()));
    }
    serve_redirects(listeners.redirect, config, &options, &phases.draining);
    let serving = web::server::serve(listeners.main, service, options, phases.draining.clone(), finish);
    let (failure, ()) = tokio::join!(phases.run(signal, &mut change_feed, config.shutdown_grace), serving);
    // Aborted only now: the last request needs a lease as the first did. It writes nothing.
    change_feed.abort();
    change_watch.abort();
    stop_reports.cancel();

    let closed = close(&app, jobs, reports, failure.as_ref()).await;
    if let (Some(redis), Some(heartbeats)) = (redis, heartbeats) {
        heartbeats.abort();
        let _aborted = heartbeats.await;
        redis.leave().await;
    }
    stop_metrics.cancel();
    if let Some((stop, exporter)) = traces {
        stop.cancel();
        let _in_time = tokio::time::timeout(TRACES_END_WITHIN, exporter).await;
    }
    if let Some(failure) = failure {
        let failure = failure.map_or_else(anyhow::Error::from, anyhow::Error::from);
        return Err(failure.context("stopped, because key changes can no longer be read"));
    }
    closed?;
    tracing::info!("stopped");
    Ok(())
}

/// The name under which lists show this node: two nodes on one host differ by their ports.
fn node_name(address: SocketAddr) -> String {
    let host = whoami::hostname().unwrap_or_else(|_| address.ip().to_string());
    format!("{host}:{}", address.port())
}

async fn connect_redis(config: &Config, app: App) -> (App, Option<Arc<RedisLimiter>>) {
    let Some(address) = config.redis.clone() else { return (app, None) };
    let (app, redis) = app.with_redis(address);
    jobs::heartbeat(&redis).await;
    (app, Some(redis))
}

/// Starts the exporter of traces, which sends what is left when its token is cancelled.
fn export_traces(config: &Config, app: &App) -> Option<(CancellationToken, JoinHandle<()>)> {
    let endpoint = config.otlp.clone()?;
    let source = app.trace_source();
    let stop = CancellationToken::new();
    let exporter = tokio::spawn(otlp::export(endpoint, source, stop.clone()));
    Some((stop, exporter))
}

/// Redirects from plain HTTP until `stop`.
fn serve_redirects(listener: Option<TcpListener>, config: &Config, options: &ServerOptions, stop: &CancellationToken) {
    if let Some(listener) = listener {
        let service = RedirectService { public_url: config.public_url.clone() };
        let options = ServerOptions { max_connections: REDIRECT_CONNECTIONS, tls: None, ..options.clone() };
        tokio::spawn(web::server::serve(listener, service, options, stop.clone(), Duration::ZERO));
    }
}

/// Serves `/metrics` until the returned token is cancelled: to the end of the stop, so that the stop can be watched.
fn serve_metrics(listener: Option<TcpListener>, app: &App) -> CancellationToken {
    let stop = CancellationToken::new();
    if let Some(listener) = listener {
        let every_network = [Ipv4Net::default().into(), Ipv6Net::default().into()];
        let options = ServerOptions {
            max_connections: METRICS_CONNECTIONS,
            idle: METRICS_IDLE,
            without_share: every_network.into(),
            tls: None,
        };
        tokio::spawn(web::server::serve(listener, MetricsService(app.clone()), options, stop.clone(), Duration::ZERO));
    }
    stop
}

/// Waits for the jobs, writes what is still in memory, closes the database.
async fn close(
    app: &App,
    jobs: TaskTracker,
    reports: JoinHandle<()>,
    failure: Option<&FeedFailure>,
) -> anyhow::Result<()> {
    // A job ends between two runs, so that what it has taken up is written or put back.
    let ended = async {
        jobs.wait().await;
        let _ended = reports.await;
        app.remove_node().await
    };
    match tokio::time::timeout(WRITES_END_WITHIN, ended).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "this node could not be removed from the list of nodes, it is deleted later");
        }
        Err(_) => tracing::warn!("this node was not removed from the list of nodes in time, it is deleted later"),
    }
    if matches!(failure, Some(Ok(StoreError::FileReplaced))) {
        let detached = tokio::time::timeout(WRITES_END_WITHIN, app.checkpoint_and_detach()).await;
        if !matches!(detached, Ok(Ok(()))) {
            tracing::error!(
                "remove keyhouse.db-wal and keyhouse.db-shm before the next start: they belong to the replaced file"
            );
        }
    }
    let lost = "the usage of some keys could not be written";
    let closed = tokio::time::timeout(WRITES_END_WITHIN, app.close()).await;
    closed.with_context(|| format!("{lost}: the database does not respond"))?.context(lost)
}
