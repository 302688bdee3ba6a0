//! One rate limit for all nodes, counted in Redis. Fails open: while Redis is slow or down, each node enforces the limit
//! divided by the number of nodes, locally.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};

use keyhouse_domain::ids::KeyId;
use keyhouse_domain::rate_limit::{Quota, RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;

/// How long an API call waits for Redis.
const ANSWER_TIME: Duration = Duration::from_millis(10);
/// Making a connection may take that many times as long: 100 ms.
const CONNECT_TIMES: u32 = 10;
/// Circuit breaker: after so many failed calls in a row no call is sent, until a heartbeat succeeds.
const MAX_CONSECUTIVE_FAILURES: u32 = 5;
/// Time between two heartbeats of a node.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// How long a node counts as live after its last heartbeat.
const NODE_FOR: Duration = Duration::from_secs(10);
const NODES: &str = "keyhouse:nodes";

/// The sliding window counter of `keyhouse_domain::rate_limit`, on Redis's clock: one hash for each key, which expires once
/// it no longer counts.
static DECIDE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'number', 'current', 'previous')
local number, current, previous = tonumber(held[1]) or 0, tonumber(held[2]) or 0, tonumber(held[3]) or 0
local this, moved = math.floor(now / window), false
if this > number then
    previous = this == number + 1 and current or 0
    number, current = this, 0
elseif this + 1 < number then
    number, moved = this, true
end
local elapsed = math.min(math.max(now - number * window, 0), window)
local admitted = current + math.floor(previous * (window - elapsed) / window) < limit
if admitted then
    current = current + 1
end
if admitted or moved then
    redis.call('HSET', KEYS[1], 'number', number, 'current', current, 'previous', previous)
    redis.call('PEXPIRE', KEYS[1], 2 * window)
end
return {now, number, current, previous, admitted and 1 or 0}
",
    )
});

/// The address of Redis, and how long to wait for it.
#[derive(Clone)]
pub struct RedisAddress {
    client: Client,
    patience: Duration,
}

impl RedisAddress {
    /// Parses `redis://…`, or `rediss://…` for TLS.
    ///
    /// # Errors
    ///
    /// Not such a URL. The error never repeats the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.contains('#') || url.matches('@').count() > 1 {
            return Err("in a password write @ as %40, / as %2F, # as %23 and ? as %3F".to_owned());
        }
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err("a Redis URL starts with redis://, or rediss:// for TLS".to_owned());
        }
        Client::open(url)
            .map(|client| Self { client, patience: ANSWER_TIME })
            .map_err(|_| "not a Redis URL; it looks like redis://user:password@host:6379/0".to_owned())
    }
}

#[cfg(feature = "testing")]
impl RedisAddress {
    /// Waits longer than in production, for tests on a busy machine.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisAddress(..)")
    }
}

/// Why a call was limited without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FallbackReason {
    /// The circuit breaker is open.
    Away,
    /// It did not answer in time.
    Slow,
    /// The connection broke, or Redis answered with an error.
    Failed,
}

impl FallbackReason {
    pub(crate) const ALL: [Self; 3] = [Self::Away, Self::Slow, Self::Failed];

    pub(crate) const fn as_label(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// The result of a heartbeat, compared with the one before.
#[derive(Debug)]
pub enum Heartbeat {
    /// Redis answers, as it did at the heartbeat before.
    Healthy,
    /// Redis answers for the first time, or again.
    Recovered,
    /// Redis does not answer, for the first time or after it did.
    Failed(RedisError),
    /// Redis still does not answer.
    StillFailing(RedisError),
}

/// A connection, and its number of failed calls in a row.
#[derive(Clone)]
struct Connection {
    redis: MultiplexedConnection,
    failures: Arc<AtomicU32>,
}

/// The rate limiter of this node in Redis.
pub struct RedisLimiter {
    address: RedisAddress,
    /// This node's name in the set of live nodes.
    node: String,
    /// `None`: the circuit breaker is open.
    connection: Mutex<Option<Connection>>,
    /// Live nodes at the last successful heartbeat; at least 1.
    nodes: AtomicU64,
    /// `None` before the first heartbeat.
    was_healthy: Mutex<Option<bool>>,
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisLimiter({})", self.node)
    }
}

impl RedisLimiter {
    pub fn new(address: RedisAddress, node: String) -> Self {
        Self { address, node, connection: Mutex::default(), nodes: AtomicU64::new(1), was_healthy: Mutex::default() }
    }

    /// The part of the limit that this node enforces by itself: limit ÷ nodes, rounded up, so that it is never 0.
    pub(crate) fn share(&self, limit: &RateLimit) -> RateLimit {
        limit.share(self.nodes())
    }

    /// Decides whether a call is within the limit that all nodes share, and counts it if it is.
    ///
    /// # Errors
    ///
    /// Redis did not decide; then this node has to.
    pub(crate) async fn decide(&self, key: KeyId, limit: &RateLimit) -> Result<Quota, FallbackReason> {
        let Connection { mut redis, failures } = self.connection().ok_or(FallbackReason::Away)?;
        let mut call = DECIDE.key(format!("keyhouse:rate:{key}"));
        call.arg(limit.requests()).arg(limit.window().as_millis());
        let undecided = match tokio::time::timeout(self.address.patience, call.invoke_async(&mut redis)).await {
            Ok(Ok(answer)) => {
                let (now, number, current, previous, admitted): (i64, i64, u64, u64, bool) = answer;
                failures.store(0, Ordering::Relaxed);
                let window = Window::of_counts(number, current, previous);
                return Ok(window.quota(limit, Timestamp::from_ms(now), admitted));
            }
            Ok(Err(_)) => FallbackReason::Failed,
            Err(_) => FallbackReason::Slow,
        };
        if failures.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_CONSECUTIVE_FAILURES {
            let mut current = self.lock();
            // A heartbeat may have stored a new connection meanwhile.
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.failures, &failures)) {
                *current = None;
            }
        }
        Err(undecided)
    }

    /// Registers this node, counts the live nodes, runs the script without effect, and closes the circuit breaker if all of
    /// that succeeds. Call it every [`HEARTBEAT_INTERVAL`].
    pub async fn heartbeat(&self) -> Heartbeat {
        let was_healthy = |healthy| self.was_healthy.lock().unwrap_or_else(PoisonError::into_inner).replace(healthy);
        match self.connect_and_register().await {
            Ok((connection, nodes)) => {
                self.nodes.store(nodes.max(1), Ordering::Relaxed);
                self.store_connection(connection);
                if was_healthy(true) == Some(true) { Heartbeat::Healthy } else { Heartbeat::Recovered }
            }
            Err(error) => {
                *self.lock() = None;
                if was_healthy(false) == Some(false) {
                    Heartbeat::StillFailing(error)
                } else {
                    Heartbeat::Failed(error)
                }
            }
        }
    }

    /// The connection, and the number of live nodes. A new connection must answer as fast as calls need it. One that calls
    /// already use only has to answer at all: the calls themselves open the circuit breaker if it is slow.
    async fn connect_and_register(&self) -> Result<(Connection, u64), RedisError> {
        let (alive, quick) = (CONNECT_TIMES * self.address.patience, self.address.patience);
        let (connection, patience) = match self.connection() {
            Some(connection) => (connection, alive),
            None => {
                // No time-outs of the client's own: each wait below has one.
                let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
                let redis = self.address.client.get_multiplexed_async_connection_with_config(&config);
                (Connection { redis: in_time(alive, redis).await?, failures: Arc::default() }, quick)
            }
        };
        let mut redis = connection.redis.clone();
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = in_time(patience, time.query_async(&mut redis)).await?;
        let now = seconds * 1000 + micros / 1000;
        let span = NODE_FOR.as_millis().try_into().unwrap_or(u64::MAX);
        // A server or an ACL that refuses the script would let every call fall back while heartbeats succeed. With a limit of
        // 0 the script writes nothing.
        let mut probe = DECIDE.key("keyhouse:rate:heartbeat");
        probe.arg(0).arg(1000);
        let _decision: redis::Value = in_time(alive, probe.invoke_async(&mut redis)).await?;
        let mut register = redis::pipe();
        register.atomic().zadd(NODES, &self.node, now).ignore();
        register.zrembyscore(NODES, 0, now.saturating_sub(span)).ignore().zcard(NODES);
        register.pexpire(NODES, i64::try_from(span).unwrap_or(i64::MAX)).ignore();
        let (nodes,): (u64,) = in_time(alive, register.query_async(&mut redis)).await?;
        Ok((connection, nodes))
    }

    /// Removes this node from the live ones, so that the others' shares grow at once.
    pub async fn leave(&self) {
        let Some(Connection { mut redis, .. }) = self.connection() else { return };
        let mut leaving = redis::cmd("ZREM");
        leaving.arg(NODES).arg(&self.node);
        if let Err(error) = in_time(self.address.patience, leaving.query_async::<u64>(&mut redis)).await {
            tracing::info!(%error, "could not leave Redis, which counts this node for 10 s more");
        }
    }

    /// Stores a connection, unless failed calls have opened the circuit breaker meanwhile.
    fn store_connection(&self, connection: Connection) {
        if connection.failures.load(Ordering::Relaxed) < MAX_CONSECUTIVE_FAILURES {
            *self.lock() = Some(connection);
        }
    }

    /// Live nodes at the last successful heartbeat, this one included.
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    fn connection(&self) -> Option<Connection> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn in_time<T>(patience: Duration, asking: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    let late = |_| RedisError::from((redis::ErrorKind::Io, "no answer in time"));
    tokio::time::timeout(patience, asking).await.map_err(late)?
}
