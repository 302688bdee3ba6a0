//! One rate limit for all nodes, counted in Redis. A call never fails for its sake: when Redis is away or slow, this node
//! lets its share of the limit pass.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};

use keyhouse_domain::ids::KeyId;
use keyhouse_domain::rate_limit::{Quota, RateLimit, Window};
use keyhouse_domain::timestamp::Timestamp;

/// How long a call waits for Redis.
const ANSWER_TIME: Duration = Duration::from_millis(10);
/// A connection may take so many times as long to make: 100 ms.
const CONNECT_TIMES: u32 = 10;
/// How many calls in a row may go unanswered before none is sent any more, until [`RedisLimiter::heartbeat`] finds Redis well.
const MAX_CONSECUTIVE_FAILURES: u32 = 5;
/// How often a node says that it is there, and looks whether Redis is.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// How long a node counts as one after its last beat.
const NODE_FOR: Duration = Duration::from_secs(10);
const NODES: &str = "keyhouse:nodes";

/// The sliding window counter of `domain/rate.rs`, on Redis's clock: one hash for each key, gone once it is spent.
static JUDGE: LazyLock<Script> = LazyLock::new(|| {
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

/// Where Redis is, and how long to wait for it.
#[derive(Clone)]
pub struct RedisAddress {
    client: Client,
    patience: Duration,
}

impl RedisAddress {
    /// Reads `redis://…`, or `rediss://…` for TLS. The error never repeats the URL: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
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
    /// Waits longer, for a test on a machine that is busy with others.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisAddress(..)")
    }
}

/// Why Redis did not judge a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FallbackReason {
    /// It is not asked at all until a beat finds it well again.
    Away,
    /// It did not answer in time.
    Slow,
    /// The connection broke, or the answer was none.
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

/// What a beat found out.
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

/// A connection, and the calls in a row that it has left unanswered.
#[derive(Clone)]
struct Connection {
    redis: MultiplexedConnection,
    strikes: Arc<AtomicU32>,
}

/// This node's view of Redis.
pub struct RedisLimiter {
    address: RedisAddress,
    /// This node's name among the others.
    node: String,
    /// `None`: nobody is to ask.
    connection: Mutex<Option<Connection>>,
    /// Seen at the last good beat; at least 1.
    nodes: AtomicU64,
    /// `None` before the first beat.
    was_well: Mutex<Option<bool>>,
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.node)
    }
}

impl RedisLimiter {
    pub fn new(address: RedisAddress, node: String) -> Self {
        Self { address, node, connection: Mutex::default(), nodes: AtomicU64::new(1), was_well: Mutex::default() }
    }

    /// What this node may let pass by itself: rounded up, so that no node is left without.
    pub(crate) fn share(&self, limit: &RateLimit) -> RateLimit {
        limit.share(self.nodes())
    }

    /// Judges one call against the count that all nodes share.
    pub(crate) async fn judge(&self, key: KeyId, limit: &RateLimit) -> Result<Quota, FallbackReason> {
        let Connection { mut redis, strikes } = self.connection().ok_or(FallbackReason::Away)?;
        let mut call = JUDGE.key(format!("keyhouse:rate:{key}"));
        call.arg(limit.requests()).arg(limit.window().as_millis());
        let unjudged = match tokio::time::timeout(self.address.patience, call.invoke_async(&mut redis)).await {
            Ok(Ok(answer)) => {
                let (now, number, current, previous, admitted): (i64, i64, u64, u64, bool) = answer;
                strikes.store(0, Ordering::Relaxed);
                let window = Window::of_counts(number, current, previous);
                return Ok(window.told(limit, Timestamp::from_ms(now), admitted));
            }
            Ok(Err(_)) => FallbackReason::Failed,
            Err(_) => FallbackReason::Slow,
        };
        if strikes.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_CONSECUTIVE_FAILURES {
            let mut current = self.lock();
            // A beat may have made a new one meanwhile.
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.strikes, &strikes)) {
                *current = None;
            }
        }
        Err(unjudged)
    }

    /// Says that this node is there, counts the others, and finds Redis again when it was away. To be called each [`HEARTBEAT_INTERVAL`].
    pub async fn heartbeat(&self) -> Heartbeat {
        let was_well = |well| self.was_well.lock().unwrap_or_else(PoisonError::into_inner).replace(well);
        match self.connect_and_register().await {
            Ok((connection, nodes)) => {
                self.nodes.store(nodes.max(1), Ordering::Relaxed);
                self.store_connection(connection);
                if was_well(true) == Some(true) { Heartbeat::Healthy } else { Heartbeat::Recovered }
            }
            Err(error) => {
                *self.lock() = None;
                if was_well(false) == Some(false) { Heartbeat::StillFailing(error) } else { Heartbeat::Failed(error) }
            }
        }
    }

    /// The connection, and how many nodes there are. A new one must answer as fast as calls need it; one that calls still
    /// use is only asked whether it lives, for they judge themselves how fast it is.
    async fn connect_and_register(&self) -> Result<(Connection, u64), RedisError> {
        let (alive, quick) = (CONNECT_TIMES * self.address.patience, self.address.patience);
        let (connection, patience) = match self.connection() {
            Some(connection) => (connection, alive),
            None => {
                // The waits have their ends here.
                let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
                let redis = self.address.client.get_multiplexed_async_connection_with_config(&config);
                (Connection { redis: in_time(alive, redis).await?, strikes: Arc::default() }, quick)
            }
        };
        let mut redis = connection.redis.clone();
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = in_time(patience, time.query_async(&mut redis)).await?;
        let now = seconds * 1000 + micros / 1000;
        let span = NODE_FOR.as_millis().try_into().unwrap_or(u64::MAX);
        let mut meeting = redis::pipe();
        meeting.atomic().zadd(NODES, &self.node, now).ignore();
        meeting.zrembyscore(NODES, 0, now.saturating_sub(span)).ignore().zcard(NODES);
        meeting.pexpire(NODES, i64::try_from(span).unwrap_or(i64::MAX)).ignore();
        let (nodes,): (u64,) = in_time(alive, meeting.query_async(&mut redis)).await?;
        Ok((connection, nodes))
    }

    /// Takes leave of the other nodes, so that their shares grow at once.
    pub async fn leave(&self) {
        let Some(Connection { mut redis, .. }) = self.connection() else { return };
        let mut leaving = redis::cmd("ZREM");
        leaving.arg(NODES).arg(&self.node);
        if let Err(error) = in_time(self.address.patience, leaving.query_async::<u64>(&mut redis)).await {
            tracing::info!(%error, "Redis counts this node for ten seconds more");
        }
    }

    /// Unless calls have given it up meanwhile.
    fn store_connection(&self, connection: Connection) {
        if connection.strikes.load(Ordering::Relaxed) < MAX_CONSECUTIVE_FAILURES {
            *self.lock() = Some(connection);
        }
    }

    /// Nodes seen at the last good beat, this one among them.
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
