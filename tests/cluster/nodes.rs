//! Several nodes on one database, and their shared rate limit in Redis.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use keyhouse::app::App;
use keyhouse::app::infra::clock::Clock;
use keyhouse::app::rate_limit::Limits;
use keyhouse::app::rate_limit::redis::{Heartbeat, RedisAddress, RedisLimiter};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::rate_limit::{Quota, RateLimit, Window};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

use test_support::balancer::{self, Balancer};
use test_support::metrics::Metrics;
use test_support::process::{self, ServerProcess, run_json};
use test_support::proxy::Proxy;
use test_support::redis::Redis;
use test_support::{TestApp, TestDatabase, open_with};

/// Enough for a busy machine, and short enough to time out fifteen times on a Redis that does not respond.
const BRIEFLY: Duration = Duration::from_millis(200);
/// For tests in which Redis must decide every call.
const PATIENTLY: Duration = Duration::from_secs(10);

/// Nodes that share a Redis, and a key. They use the system clock, as Redis does.
struct Nodes {
    nodes: Vec<(App, Arc<RedisLimiter>)>,
    key: ApiKey,
}

impl Nodes {
    async fn new(redis: &Redis, requests: u64, window: Duration, patience: Duration) -> Self {
        let app = TestApp::at(TestDatabase::postgres().await).await;
        let key = app.key(&app.team("Acme").await, Mode::Live, Scope::ReadOnly).await.key;
        let limits = Limits { per_key: RateLimit::new(requests, window), bad_tokens: None };
        let mut nodes = Vec::new();
        for seed in 0..3 {
            let app = open_with(&app.place, Clock::System, seed, limits).await;
            nodes.push(app.with_redis(RedisAddress::parse(&redis.url()).unwrap().with_patience(patience)));
        }
        let nodes = Self { nodes, key };
        // After the second heartbeat each node has counted all the others.
        for _ in 0..2 {
            nodes.heartbeat().await;
        }
        nodes
    }

    async fn heartbeat(&self) -> Vec<Heartbeat> {
        futures_util::future::join_all(self.nodes.iter().map(|(_, cluster)| cluster.heartbeat())).await
    }

    async fn call(&self, node: usize) -> Quota {
        self.nodes[node].0.count_call(&self.key).await.expect("there is a limit")
    }

    /// How many of that many calls were admitted, on each node in turn.
    async fn admitted(&self, calls: usize) -> usize {
        let mut admitted = 0;
        for call in 0..calls {
            admitted += usize::from(self.call(call % 3).await.retry_after.is_none());
        }
        admitted
    }

    fn fallbacks(&self, node: usize, reason: &str) -> u64 {
        let name = format!("keyhouse_limiter_fallbacks_total{{reason=\"{reason}\"}}");
        Metrics::of(&self.nodes[node].0).value(&name).expect("it is counted") as u64
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_share_one_limit_and_every_redis_key_expires() {
    let redis = Redis::start();
    let nodes = Nodes::new(&redis, 60, HOUR, PATIENTLY).await;
    let first = nodes.call(0).await;
    assert_eq!((first.limit, first.remaining), (60, 59));
    // If the hour ends during the test, one more call is admitted.
    assert!((59..=60).contains(&nodes.admitted(100).await));
    let refused = nodes.call(1).await;
    assert!(refused.remaining == 0 && refused.retry_after.is_some_and(|wait| (1..=7200).contains(&wait)));
    assert_eq!(redis.keys().len(), 2, "the nodes, and one key's count");
    assert_eq!(redis.keys_without_expiry(), [""; 0]);
    assert_eq!(["slow", "failed", "away"].map(|reason| nodes.fallbacks(0, reason)), [0, 0, 0]);
}

#[tokio::test]
async fn a_call_is_one_command_to_redis_and_calls_at_the_same_time_share_round_trips() {
    let redis = Redis::start();
    let nodes = Nodes::new(&redis, 1_000_000, HOUR, PATIENTLY).await;
    let statistic = |section: &str, name: &str| -> u64 {
        let info = redis.ask(&["info", section]);
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
    };
    let counts = || {
        let commands = ["evalsha", "eval", "script|load"].map(|name| format!("cmdstat_{name}:calls="));
        (commands.map(|name| statistic("commandstats", &name)), statistic("stats", "total_reads_processed:"))
    };
    let (commands, reads) = counts();
    futures_util::future::join_all((0..300).map(|_| nodes.call(0))).await;
    let (commands_after, reads_after) = counts();
    assert_eq!(commands_after, [commands[0] + 300, commands[1], commands[2]]);
    // `redis-cli` reads too.
    assert!(reads_after - reads < 100, "{} reads of the socket for 300 calls", reads_after - reads);
    assert_eq!(["slow", "failed", "away"].map(|reason| nodes.fallbacks(0, reason)), [0, 0, 0]);
}

/// The Lua script and the Rust definition must agree on every call.
#[tokio::test(flavor = "multi_thread")]
async fn the_redis_script_agrees_with_the_definition() {
    let redis = Redis::start();
    let (limit, window) = (RateLimit::new(40, Duration::from_secs(1)).unwrap(), Duration::from_secs(1));
    let nodes = Nodes::new(&redis, 40, window, PATIENTLY).await;
    let mut watch = ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut time = || {
        let (seconds, micros): (i64, i64) = ::redis::cmd("TIME").query(&mut watch).unwrap();
        Timestamp::from_ms(seconds * 1000 + micros / 1000)
    };
    let (mut model, mut refused) = (Window::default(), 0);
    let began = time();
    while time().ms() - began.ms() < 3500 {
        // Redis decided in one of these milliseconds.
        let before = time();
        let shown = nodes.call(0).await;
        let after = time();
        let agrees = (before.ms()..=after.ms()).find_map(|ms| {
            let mut window = model;
            let quota = window.decide(&limit, Timestamp::from_ms(ms));
            (quota == shown).then_some(window)
        });
        model = agrees.unwrap_or_else(|| panic!("{shown:?} between {before:?} and {after:?} after {model:?}"));
        refused += usize::from(shown.retry_after.is_some());
    }
    assert!(refused > 0, "the limit was met");
    assert_eq!(nodes.fallbacks(0, "slow"), 0, "Redis counted every call");
}

/// Counters with a time in the future, as after a clock that was set back, are taken as current: no lock-out follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_clock_was_set_back_locks_no_key_out() {
    let redis = Redis::start();
    let nodes = Nodes::new(&redis, 5, Duration::from_secs(1), PATIENTLY).await;
    let number = (Clock::System.now().ms() / 1000 + 30).to_string();
    let key = format!("keyhouse:rate:{}", nodes.key.id);
    redis.ask(&["HSET", &key, "number", &number, "current", "5", "previous", "0"]);
    assert!(nodes.call(0).await.retry_after.is_some(), "no fresh budget");
    let began = Clock::System.monotonic();
    while nodes.call(0).await.retry_after.is_some() {
        assert!(Clock::System.monotonic() - began < Duration::from_secs(10), "two windows are enough");
    }
    assert_eq!(redis.keys_without_expiry(), [""; 0]);
}

/// A Redis that responds later than a call waits counts as unavailable.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_is_not_used_and_is_reported() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let app = TestApp::at(TestDatabase::folder()).await;
    let key = app.key(&app.team("Acme").await, Mode::Live, Scope::ReadOnly).await.key;
    let limits = Limits { per_key: RateLimit::new(60, HOUR), bad_tokens: None };
    let app = open_with(&app.place, Clock::System, 2, limits).await;
    let address = RedisAddress::parse(&proxy.lead(&redis.url())).unwrap().with_patience(BRIEFLY);
    let (app, cluster) = app.with_redis(address);
    assert!(matches!(cluster.heartbeat().await, Heartbeat::Recovered));
    proxy.delay(BRIEFLY);
    for _ in 0..5 {
        app.count_call(&key).await.unwrap();
    }
    // A new connection succeeds, but is too slow.
    assert!(matches!(cluster.heartbeat().await, Heartbeat::Failed(_)));
    assert!(matches!(cluster.heartbeat().await, Heartbeat::StillFailing(_)));
    proxy.pass();
    assert!(matches!(cluster.heartbeat().await, Heartbeat::Recovered));
    assert_eq!(redis.ask(&["ZCARD", "keyhouse:nodes"]), "1");
    cluster.leave().await;
    assert_eq!(redis.ask(&["ZCARD", "keyhouse:nodes"]), "0");
}

/// The first one runs the migrations, and the others wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_start_at_once_on_an_empty_database_and_are_equal() {
    let place = TestDatabase::postgres().await;
    let nodes: Vec<ServerProcess> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| ServerProcess::start(&place, "serve", "info"))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &create);
    let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
    for node in &nodes {
        assert_eq!((node.get("/api/v1/key", token), node.get("/readyz", "")), (200, 200));
    }
    run_json(&place, &["key", "revoke", id]);
    for node in &nodes {
        assert!(node.refuses_in_time("/api/v1/key", token));
    }
}

/// Addresses that the client writes into the header are ignored.
#[test]
fn behind_the_balancer_of_the_guide_clients_are_distinguished_by_address() {
    let place = TestDatabase::folder();
    let proxies = [("KEYHOUSE_TRUSTED_PROXIES", balancer::SOURCE)];
    let serving = ServerProcess::start_with(&place, "serve", "info", &proxies);
    let balancer = Balancer::in_front_of(&[serving.address]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let token = run_json(&place, &create)["token"].as_str().unwrap().to_owned();
    let mut socket = TcpStream::connect(balancer.address()).unwrap();
    write!(
        socket,
        "GET /api/v1/key HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.77\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert_eq!(process::status(&answer), 200);
    let mut serving = serving;
    assert!(serving.terminate().success());
    let listed = run_json(&place, &["key", "list", "--team", "acme"]);
    assert_eq!(listed[0]["lastUsedFrom"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_node_admits_its_share_of_the_limit() {
    let redis = Redis::start();
    let nodes = Nodes::new(&redis, 60, HOUR, BRIEFLY).await;
    assert_eq!(nodes.admitted(30).await, 30, "ten on each node");
    redis.freeze();
    // The first calls wait for the time-out, later ones do not. The share of each node is twenty calls, and ten are used.
    let admitted = nodes.admitted(90).await;
    assert!((30..=33).contains(&admitted), "{admitted}");
    assert_eq!((nodes.fallbacks(0, "slow"), nodes.fallbacks(0, "away")), (5, 25));
    assert!(nodes.heartbeat().await.iter().all(|heartbeat| matches!(heartbeat, Heartbeat::Failed(_))));
    redis.thaw();
    assert!(nodes.heartbeat().await.iter().all(|heartbeat| matches!(heartbeat, Heartbeat::Recovered)));
    assert_eq!(nodes.fallbacks(1, "away"), 25);

    // A flushed Redis has lost counters and scripts: at most the whole limit is admitted again.
    redis.flush();
    redis.ask(&["SCRIPT", "FLUSH"]);
    let admitted = nodes.admitted(120).await;
    assert!((60..=61).contains(&admitted), "{admitted}");

    redis.kill();
    nodes.heartbeat().await;
    let quota = nodes.call(2).await;
    assert_eq!(quota.limit, 60, "the header shows the limit of the settings");
    redis.resume();
    assert!(nodes.heartbeat().await.iter().all(|heartbeat| matches!(heartbeat, Heartbeat::Recovered)));
    assert_eq!(nodes.call(2).await.remaining, 59);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_with_a_redis_that_was_never_reachable() {
    let redis = Redis::start();
    redis.kill();
    let nodes = Nodes::new(&redis, 60, HOUR, BRIEFLY).await;
    // No node has counted another one, so each admits the whole limit.
    assert!((180..=183).contains(&nodes.admitted(300).await));
    assert_eq!(nodes.fallbacks(0, "away"), 100);
}

#[test]
fn metrics_are_served_on_their_own_listener_only() {
    let (redis, place) = (Redis::start(), TestDatabase::folder());
    let settings = [("KEYHOUSE_REDIS_URL", &*redis.url()), ("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0")];
    let serving = ServerProcess::start_with(&place, "serve", "info", &settings);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let key = run_json(&place, &create);
    let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
    for (path, token, status) in [
        ("/api/v1/key", token, 200),
        ("/api/v1/key", "nonsense", 401),
        ("/api/v1/key", &format!("pk_live_{}", "0".repeat(42)), 401),
        ("/metrics", "", 404),
    ] {
        assert_eq!(serving.get(path, token), status);
    }
    run_json(&place, &["key", "revoke", id]);
    assert!(serving.refuses_in_time("/api/v1/key", token));

    let ask = |request: &str| {
        let mut socket =
            TcpStream::connect(serving.said["opsUrl"].as_str().unwrap().trim_start_matches("http://")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(
        answer.to_lowercase().contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    let metrics = Metrics::parse(&answer);
    let value = |name: &str| metrics.value(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    assert!((0.0..3.0).contains(&value("keyhouse_change_lag_seconds")));
    assert!((0.0..=3.0).contains(&value("keyhouse_key_cache_lease_remaining_seconds")));
    assert!(value("keyhouse_api_requests_total{outcome=\"admitted\"}") >= 1.0);
    assert_eq!(value("keyhouse_api_requests_total{outcome=\"malformed\"}"), 2.0);
    assert_eq!(value("keyhouse_api_requests_total{outcome=\"revoked\"}"), 1.0);
    assert!(value("keyhouse_revocation_propagation_seconds_count") >= 1.0);
    let connections = ["idle", "busy"]
        .map(|state| value(&format!("keyhouse_db_pool_connections{{pool=\"auth\",state=\"{state}\"}}")));
    assert!(connections.iter().sum::<f64>() >= 1.0);
    assert!(
        !answer.contains(token) && !answer.contains("Acme") && !answer.contains("key_01"),
        "no name and no id is shown"
    );
    for (request, status) in [("GET / HTTP/1.1", 404), ("POST /metrics HTTP/1.1", 405)] {
        assert_eq!(process::status(&ask(&format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n"))), status);
    }
}
