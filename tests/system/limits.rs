//! One rate limit for three nodes: with Redis available, absent, stalled and flushed.

use std::time::Duration;

use keyhouse::app::infra::clock::Clock;

use super::load::{Answered, Load, now, p99, statuses};
use super::nodes::{Key, database, new_key, set_up};
use super::{Outcome, Times, rounds, status_counts};
use test_support::process::ServerProcess;
use test_support::redis::Redis;
use test_support::{Server, TestDatabase};

const LIMIT: usize = 600;
const WINDOW: Duration = Duration::from_secs(10);

/// Three nodes on one PostgreSQL and one Redis.
struct Cluster {
    _server: Server,
    place: TestDatabase,
    redis: Redis,
    nodes: [ServerProcess; 3],
}

impl Cluster {
    fn start() -> Self {
        let (server, redis) = (Server::start(), Redis::start());
        let place = database(&server);
        set_up(&place);
        let (url, limit, window) = (redis.url(), LIMIT.to_string(), WINDOW.as_secs().to_string());
        let settings = [
            ("KEYHOUSE_REDIS_URL", url.as_str()),
            ("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0"),
            ("KEYHOUSE_RATE_LIMIT_REQUESTS", &limit),
            ("KEYHOUSE_RATE_LIMIT_WINDOW_SECONDS", &window),
        ];
        let nodes = [(); 3].map(|()| ServerProcess::start_with(&place, "serve", "error", &settings));
        Self { _server: server, place, redis, nodes }
    }

    /// Calls with one key, evenly over the nodes, at so many times the limit.
    fn offer(&self, key: &Key, times: f64) -> Offered {
        let a_second = times * LIMIT as f64 / WINDOW.as_secs_f64() / self.nodes.len() as f64;
        let clients = (a_second / 25.0).ceil();
        let every = Duration::from_secs_f64(clients / a_second);
        let start = |node: &ServerProcess| Load::start(node.address, clients as usize, &key.ask(), Some(every));
        Offered(self.nodes.iter().map(start).collect())
    }

    /// How many calls each node limited locally; `None` if the metric is missing.
    fn fallbacks(&self) -> [Option<f64>; 3] {
        self.nodes.each_ref().map(|node| node.metrics().sum("keyhouse_limiter_fallbacks_total"))
    }
}

struct Offered(Vec<Load>);

impl Offered {
    fn finish(self) -> Vec<Answered> {
        self.0.into_iter().flat_map(Load::finish).collect()
    }
}

/// Sleeps until the next window of Unix time begins; returns that moment.
fn next_window() -> Duration {
    let ms = WINDOW.as_millis() as i64;
    let left = ms - Clock::System.now().ms().rem_euclid(ms);
    std::thread::sleep(Duration::from_millis(left.unsigned_abs()));
    now()
}

/// How many calls were admitted in the window that begins then. A call in progress at an edge counts in no window.
fn admitted(answers: &[Answered], begins: Duration) -> usize {
    let is_in = |answer: &&Answered| answer.at >= begins && answer.arrived() < begins + WINDOW;
    answers.iter().filter(is_in).filter(|answer| answer.status == 200).count()
}

pub(crate) fn shared() -> Outcome {
    let cluster = Cluster::start();
    let (mut counts, mut passed, mut n) = (Vec::new(), true, 0);
    for times in [0.5, 1.0, 2.0, 10.0] {
        let (key, windows) = (new_key(&cluster.place), rounds(4));
        next_window();
        let load = cluster.offer(&key, times);
        std::thread::sleep(WINDOW * windows as u32);
        let answers = load.finish();
        let admitted = answers.iter().filter(|answer| answer.status == 200).count();
        let share = admitted as f64 / (windows * LIMIT).min(answers.len()) as f64;
        counts.push(format!("{times} times: {:.1} %, {}", share * 100.0, status_counts(&statuses(&answers))));
        n += answers.len();
        passed &= (0.95..=1.05).contains(&share);
    }
    let (keys, for_ever) = (cluster.redis.keys().len(), cluster.redis.keys_without_expiry().len());
    Outcome {
        times: None,
        n,
        counts: format!("{}; {for_ever} of {keys} Redis keys without expiry", counts.join("; ")),
        passed: passed && keys > 0 && for_ever == 0,
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Absent,
    Stalled,
    Flushed,
}

impl Fault {
    fn begin(self, redis: &Redis) {
        match self {
            Self::Absent => redis.kill(),
            Self::Stalled => redis.freeze(),
            Self::Flushed => redis.flush(),
        }
    }

    fn end(self, redis: &Redis) {
        match self {
            Self::Absent => redis.resume(),
            Self::Stalled => redis.thaw(),
            Self::Flushed => redis.flush(),
        }
    }
}

pub(crate) fn absent() -> Outcome {
    without_redis(Fault::Absent)
}

pub(crate) fn stalled() -> Outcome {
    without_redis(Fault::Stalled)
}

pub(crate) fn flushed() -> Outcome {
    without_redis(Fault::Flushed)
}

fn without_redis(fault: Fault) -> Outcome {
    let cluster = Cluster::start();
    let (within, over) = (within_the_limit(&cluster, fault), over_the_limit(&cluster, fault));
    // Without a key in Redis the nodes have not counted there, and the fault has tested nothing.
    let (fallbacks, keys) = (cluster.fallbacks(), cluster.redis.keys().len());
    Outcome {
        times: within.times,
        n: within.n + over.n,
        counts: format!(
            "{}; {}; calls that each node limited locally {}",
            within.counts,
            over.counts,
            fallbacks.iter().map(|count| count.unwrap_or(f64::NAN).to_string()).collect::<Vec<_>>().join(", ")
        ),
        // A flushed Redis still counts; with an absent or stalled one every node must have limited locally.
        passed: within.passed
            && over.passed
            && keys > 0
            && fallbacks.iter().all(|count| match fault {
                Fault::Flushed => count.is_some(),
                Fault::Absent | Fault::Stalled => count.is_some_and(|count| count > 0.0),
            }),
    }
}

/// Half the limit: every call is within it, in Redis and locally.
fn within_the_limit(cluster: &Cluster, fault: Fault) -> Outcome {
    let key = new_key(&cluster.place);
    let load = cluster.offer(&key, 0.5);
    std::thread::sleep(WINDOW * 2);
    let began = now();
    fault.begin(&cluster.redis);
    std::thread::sleep(WINDOW * 2);
    fault.end(&cluster.redis);
    let ended = now();
    std::thread::sleep(WINDOW);
    let answers = load.finish();
    let (quiet, rest): (Vec<Answered>, Vec<Answered>) = answers.iter().partition(|answer| answer.arrived() < began);
    let during: Vec<Answered> = rest.into_iter().filter(|answer| answer.at < ended).collect();
    let added = p99(&during).saturating_sub(p99(&quiet));
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    let share = good as f64 / answers.len() as f64;
    Outcome {
        times: Some(Times::of(during.iter().map(|answer| answer.took))),
        n: answers.len(),
        counts: format!("{:.2} % good, p99 + {:.1} ms", share * 100.0, added.as_secs_f64() * 1000.0),
        passed: share >= 0.999 && added <= Duration::from_millis(25),
    }
}

/// Twice the limit, over six windows; the fault begins in the middle of the third and ends in the middle of the fifth.
fn over_the_limit(cluster: &Cluster, fault: Fault) -> Outcome {
    let key = new_key(&cluster.place);
    let first = next_window();
    let load = cluster.offer(&key, 2.0);
    std::thread::sleep(WINDOW * 5 / 2);
    fault.begin(&cluster.redis);
    std::thread::sleep((first + WINDOW * 9 / 2).saturating_sub(now()));
    fault.end(&cluster.redis);
    std::thread::sleep((first + WINDOW * 6).saturating_sub(now()));
    let answers = load.finish();
    let windows: Vec<usize> = (0..6).map(|nth| admitted(&answers, first + WINDOW * nth)).collect();
    // In a window where counting changes between Redis and the nodes, both may admit the whole limit.
    let is_allowed = |(nth, admitted): (usize, &usize)| match nth {
        2 | 4 => (LIMIT * 9 / 10..=2 * LIMIT).contains(admitted),
        _ => (LIMIT * 9 / 10..=LIMIT + cluster.nodes.len()).contains(admitted),
    };
    let statuses = statuses(&answers);
    Outcome {
        times: None,
        n: answers.len(),
        counts: format!(
            "at twice the limit {} admitted by window",
            windows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        ),
        passed: windows.iter().enumerate().all(is_allowed) && statuses.keys().all(|status| matches!(status, 200 | 429)),
    }
}
