//! What only `scripts/proxy-tests` runs: many calls while nodes restart, and the latency that a verdict adds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use rstest::rstest;
use test_support::TestDatabase;
use test_support::balancer::Balancer;
use test_support::child_process::free_address;
use test_support::process::{ServerProcess, run_json};

use crate::count;
use crate::recipe::{Recipe, Running};
use crate::stand::{Case, key, send, within};
use crate::upstream::Upstream;

const NO_LIMITS: [(&str, &str); 3] = [
    ("KEYHOUSE_RATE_LIMIT_REQUESTS", "0"),
    ("KEYHOUSE_RATE_LIMIT_BAD_TOKENS", "0"),
    ("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "2"),
];

#[rstest]
#[ignore = "full counts: scripts/proxy-tests"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_is_wrong_while_nodes_restart(
    #[values(Recipe::Nginx, Recipe::Caddy, Recipe::Traefik, Recipe::Envoy, Recipe::HaProxy)] recipe: Recipe,
) {
    let place = TestDatabase::postgres().await;
    let addresses = [free_address(), free_address()];
    let start = |nth: usize| ServerProcess::start_at(addresses[nth], &place, "serve", "warn", &NO_LIMITS);
    let mut nodes = [start(0), start(1)];
    let balancer = Balancer::in_front_of(&addresses);
    run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let (writer, reader) = (key(&place, "acme", "live", "read_write"), key(&place, "acme", "live", "read_only"));
    let revoked = key(&place, "acme", "live", "read_write");
    run_json(&place, &["key", "revoke", &revoked.id]);
    let upstream = Upstream::start().await;
    let front = recipe.start(balancer.address(), upstream.address, None);
    within(Duration::from_secs(20), || send(&front, ("GET", Some(&writer), 200)).status == 200);

    let cases: [Case<'_>; 7] = [
        ("GET", Some(&writer), 200),
        ("POST", Some(&writer), 200),
        ("GET", Some(&reader), 200),
        ("POST", Some(&reader), 403),
        ("DELETE", Some(&reader), 403),
        ("GET", None, 401),
        ("GET", Some(&revoked), 401),
    ];
    let calls = count("PROXY_RESTART_CALLS", 100_000);
    let (next, unanswered, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let (mut restarts, began) = (0, Clock::System.monotonic());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= calls {
                            return;
                        }
                        let case = cases[nth % cases.len()];
                        match send(&front, case).status {
                            status if status == case.2 => {}
                            // Refused because there was no verdict.
                            500..=599 => _ = unanswered.fetch_add(1, Ordering::Relaxed),
                            status => panic!("{} should be {}, not {status}", case.0, case.2),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let nth = restarts % 2;
                nodes[nth].terminate();
                nodes[nth] = start(nth);
                restarts += 1;
                // As long as the balancer takes to see that the node is back.
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        let outcomes: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "a wrong verdict");
    });
    let unanswered = unanswered.into_inner();
    let took = (Clock::System.monotonic() - began).as_secs();
    println!(
        "{recipe:?}: {calls} calls, {restarts} restarts in {took} s, 0 wrong verdicts, {unanswered} without a verdict"
    );
    assert!(unanswered * 100 <= calls, "more than 1 % of calls had no verdict");
}

#[rstest]
#[ignore = "full counts: scripts/proxy-tests"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latency_that_a_verdict_adds(#[values(Recipe::Nginx, Recipe::Envoy)] recipe: Recipe) {
    let place = TestDatabase::folder();
    let serving = ServerProcess::start_with(&place, "serve", "warn", &NO_LIMITS);
    run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let writer = key(&place, "acme", "live", "read_write");
    let upstream = Upstream::start().await;
    let with = recipe.start(serving.address, upstream.address, None);
    let without = recipe.start_without_verdicts(upstream.address);
    within(Duration::from_secs(20), || send(&with, ("GET", Some(&writer), 200)).status == 200);
    let (mut asked, mut plain) = (Kept::open(&with), Kept::open(&without));
    let calls = count("PROXY_CALLS", 10_000);
    let (mut asking, mut alone) = (Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does meets both.
    for _ in 0..calls {
        alone.push(plain.get(&writer.bearer));
        asking.push(asked.get(&writer.bearer));
    }
    let [p50, p99] = [50, 99].map(|percent| {
        let at = |times: &mut Vec<Duration>| {
            times.sort();
            times[times.len() * percent / 100].as_secs_f64() * 1000.0
        };
        (at(&mut alone), at(&mut asking))
    });
    println!(
        "{recipe:?}: p50 {:.3} ms alone, {:.3} ms with a verdict (+{:.3}); p99 {:.3}, {:.3} (+{:.3})",
        p50.0,
        p50.1,
        p50.1 - p50.0,
        p99.0,
        p99.1,
        p99.1 - p99.0,
    );
}

/// A client's connection that is kept from call to call, until the proxy closes it: nginx does so after 1,000 calls.
struct Kept {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Kept {
    fn open(front: &Running) -> Self {
        Self { address: front.address, stream: Self::connect(front.address) }
    }

    fn connect(address: SocketAddr) -> BufReader<TcpStream> {
        let socket = TcpStream::connect(address).expect("the proxy listens");
        socket.set_nodelay(true).expect("a TCP option");
        BufReader::new(socket)
    }

    /// How long one call took.
    fn get(&mut self, bearer: &str) -> Duration {
        let request = format!("GET /orders HTTP/1.1\r\nHost: service.test\r\nAuthorization: {bearer}\r\n\r\n");
        let began = Clock::System.monotonic();
        self.stream.get_mut().write_all(request.as_bytes()).expect("the proxy reads");
        let (mut line, mut length, mut closes) = (String::new(), 0, false);
        self.stream.read_line(&mut line).expect("a status");
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line).expect("a header");
            let header = line.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            closes |= header.trim_end() == "connection: close";
        }
        self.stream.read_exact(&mut vec![0; length]).expect("a body");
        let took = Clock::System.monotonic() - began;
        if closes {
            self.stream = Self::connect(self.address);
        }
        took
    }
}
