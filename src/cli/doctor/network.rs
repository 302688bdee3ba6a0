//! Checks of what Keyhouse listens on and talks to: ports, a running node, TLS in front, and Redis.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::super::http_probe::{self, Answer};
use super::Report;
use crate::app::rate_limit::redis::{Heartbeat, RedisLimiter};
use crate::config::{Config, local_url};

/// Seconds. A node whose lease is shorter is about to lose it.
const LEASE_MIN: f64 = 1.0;

pub(super) async fn check(config: &Config, report: &mut Report) {
    listener(config, report).await;
    if let Some(address) = config.metrics_listen {
        metrics(address, report).await;
    }
    front(config, report).await;
    redis(config, report).await;
}

async fn listener(config: &Config, report: &mut Report) {
    let address = config.listen;
    match http_probe::get(&local_url(address), "/readyz").await {
        Ok(answer) if answer.is_keyhouse() => node(&answer, address, report),
        Ok(_) => report.failure(
            "listen",
            format!("another program answers on {address}"),
            "Stop it, or set `listen` to another port.",
        ),
        Err(_) if config.tls.is_some() && bind(address).await == Some(ErrorKind::AddrInUse) => {
            report.ok("listen", format!("{address} is in use, presumably by a node with TLS"));
        }
        Err(_) => can_bind("listen", address, report).await,
    }
}

fn node(answer: &Answer, address: SocketAddr, report: &mut Report) {
    let says = answer.body().trim();
    if answer.status == 200 {
        report.ok(
            "node",
            format!("the node at {address} is ready: the database responds, and the node's lease is valid"),
        );
    } else {
        report.failure(
            "node",
            format!("the node at {address} is not ready: {says}"),
            "See its log, and the database checks above.",
        );
    }
}

async fn bind(address: SocketAddr) -> Option<ErrorKind> {
    TcpListener::bind(address).await.err().map(|error| error.kind())
}

async fn can_bind(check: &'static str, address: SocketAddr, report: &mut Report) {
    match bind(address).await {
        None => report.ok(check, format!("{address} is free; no node runs there now")),
        Some(ErrorKind::AddrInUse) => report.failure(
            check,
            format!("another program is using {address}"),
            format!("Stop it, or set `{check}` to another port."),
        ),
        Some(ErrorKind::AddrNotAvailable) => report.failure(
            check,
            format!("{} is not an address of this machine", address.ip()),
            format!("Set {check} to one of its addresses, or to 0.0.0.0 for all."),
        ),
        Some(ErrorKind::PermissionDenied) => report.failure(
            check,
            format!("this user may not listen on port {}", address.port()),
            "Choose a port above 1023, or give the service CAP_NET_BIND_SERVICE.",
        ),
        Some(kind) => {
            report.failure(check, format!("{address}: {kind}"), format!("Choose another address with {check}."))
        }
    }
}

/// The lease of a running node, from its metrics.
async fn metrics(address: SocketAddr, report: &mut Report) {
    let Ok(answer) = http_probe::get(&local_url(address), "/metrics").await else {
        return can_bind("ops_listen", address, report).await;
    };
    let lease = answer
        .body()
        .lines()
        .find_map(|line| line.strip_prefix("keyhouse_key_cache_lease_remaining_seconds ")?.trim().parse::<f64>().ok());
    match lease {
        Some(seconds) if seconds >= LEASE_MIN => {
            report.ok("lease", format!("cached keys may be used for {seconds:.1} s more"))
        }
        Some(seconds) => report.failure(
            "lease",
            format!("cached keys may be used for only {seconds:.1} s more: change polls fail"),
            "See the node's log and the database; without a lease each call queries the database.",
        ),
        None => report.failure(
            "ops_listen",
            format!("another program answers on {address}"),
            "Stop it, or set `ops_listen` to another port.",
        ),
    }
}

/// Asks for the public URL as a browser does.
async fn front(config: &Config, report: &mut Report) {
    let Some(url) = &config.public_url else { return };
    match http_probe::get(url.as_str(), "/healthz").await {
        Ok(answer) if answer.is_keyhouse() => report.ok("front", format!("{url} leads to Keyhouse")),
        Ok(answer) => report.failure(
            "front",
            format!("{url} returned {}, but the response is not from Keyhouse", answer.status),
            "Configure the proxy to forward every path of this host to the address in `listen`.",
        ),
        Err(error) if error.kind() == ErrorKind::InvalidData => report.failure(
            "tls",
            format!("the certificate at {url} is not trusted here: {error}"),
            "Renew it, or send the intermediate certificates with it. For a private certificate authority, set SSL_CERT_FILE.",
        ),
        Err(error) => report.warning(
            "front",
            format!("{url} can't be reached from this machine: {error}"),
            "Check the proxy and the DNS name, unless this machine is not meant to reach it.",
        ),
    }
}

async fn redis(config: &Config, report: &mut Report) {
    let Some(address) = &config.redis else {
        return report.ok("redis", "not used: each node counts for itself");
    };
    let limiter = RedisLimiter::new(address.clone(), "doctor".to_owned());
    match limiter.heartbeat().await {
        Heartbeat::Healthy | Heartbeat::Recovered => {
            report.ok("redis", "answers within 10 ms, and runs the script");
            limiter.leave().await;
        }
        Heartbeat::Failed(error) | Heartbeat::StillFailing(error) if error.code().is_some() => report.failure(
            "redis",
            format!("Redis refuses a command: {error}"),
            "Check the password in redis_url, and the rights of its user: see \"Redis\" in the guide.",
        ),
        Heartbeat::Failed(error) | Heartbeat::StillFailing(error) => report.failure(
            "redis",
            format!("Redis can't be reached or does not respond within 10 ms: {error}"),
            "Check redis_url, and run Redis near the nodes. Until then, each node applies its share of the limit.",
        ),
    }
}
