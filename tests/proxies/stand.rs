//! A team's keys, a serving Keyhouse on PostgreSQL behind a link that can be cut, and a service to protect.

use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use serde_json::Value;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};
use test_support::proxy::Proxy;

use crate::client::{Reply, call};
use crate::recipe::{Recipe, Running};
use crate::upstream::Upstream;

pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) bearer: String,
}

pub(crate) struct Stand {
    pub(crate) place: TestDatabase,
    pub(crate) database: Proxy,
    pub(crate) serving: ServerProcess,
    pub(crate) upstream: Upstream,
    pub(crate) team: String,
    pub(crate) writer: Key,
    pub(crate) reader: Key,
    pub(crate) test: Key,
    pub(crate) revoked: Key,
    /// Has used up its rate limit.
    pub(crate) spent: Key,
}

/// A kind of call and the one right status for it.
pub(crate) type Case<'a> = (&'a str, Option<&'a Key>, u16);

pub(crate) const UNKNOWN: &str = "Bearer pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

impl Stand {
    /// `calls` is how many admitted calls the test makes with one key at most.
    pub(crate) async fn new(calls: usize, settings: &[(&str, &str)]) -> Self {
        let place = TestDatabase::postgres().await;
        let TestDatabase::Postgres { url } = &place else { unreachable!("made above") };
        let database = Proxy::to(host_of(url));
        let led = TestDatabase::Postgres { url: database.lead(url) };
        let limit = (calls + 200).to_string();
        let mut all = vec![
            ("KEYHOUSE_RATE_LIMIT_REQUESTS", limit.as_str()),
            ("KEYHOUSE_RATE_LIMIT_WINDOW_SECONDS", "86400"),
            ("KEYHOUSE_RATE_LIMIT_BAD_TOKENS", "0"),
            ("KEYHOUSE_TRUSTED_PROXIES", "127.0.0.1"),
        ];
        all.extend(settings);
        let serving = ServerProcess::start_with(&led, "serve", "info", &all);
        let team = run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
        let team = team["slug"].as_str().unwrap_or("acme").to_owned();
        let key = |mode: &str, scope: &str| key(&place, &team, mode, scope);
        let (writer, reader) = (key("live", "read_write"), key("live", "read_only"));
        let (test, revoked, spent) = (key("test", "read_write"), key("live", "read_write"), key("live", "read_write"));
        run_json(&place, &["key", "revoke", &revoked.id]);
        for _ in 0..calls + 200 {
            assert_eq!(serving.get("/api/v1/key", &spent.token), 200);
        }
        assert_eq!(serving.get("/api/v1/key", &spent.token), 429);
        Self { database, serving, upstream: Upstream::start().await, team, writer, reader, test, revoked, spent, place }
    }

    pub(crate) fn front(&self, recipe: Recipe, key_header: Option<&str>) -> Running {
        let running = recipe.start(self.serving.address, self.upstream.address, key_header);
        // Traefik listens before it has read its routes.
        let name = key_header.unwrap_or("Authorization");
        let token = if key_header.is_some() { &self.writer.token } else { &self.writer.bearer };
        within(Duration::from_secs(20), || call(running.address, "GET", "/", &[(name, token)], b"").status == 200);
        running
    }

    pub(crate) fn cases(&self) -> [Case<'_>; 9] {
        [
            ("GET", Some(&self.writer), 200),
            ("POST", Some(&self.writer), 200),
            ("GET", Some(&self.reader), 200),
            ("DELETE", Some(&self.reader), 403),
            ("GET", None, 401),
            ("POST", Some(&self.revoked), 401),
            ("GET", Some(&self.spent), 429),
            ("PATCH", Some(&self.test), 200),
            ("PUT", Some(&self.reader), 403),
        ]
    }

    /// Creates one more key of the team.
    pub(crate) fn key(&self) -> Key {
        key(&self.place, &self.team, "live", "read_write")
    }
}

pub(crate) fn key(place: &TestDatabase, team: &str, mode: &str, scope: &str) -> Key {
    let made: Value =
        run_json(place, &["key", "create", "--team", team, "--name", "A key", "--mode", mode, "--scope", scope]);
    let text = |field: &str| made[field].as_str().expect("text").to_owned();
    Key { id: text("id"), token: text("token"), bearer: format!("Bearer {}", text("token")) }
}

pub(crate) fn send(front: &Running, (method, key, _): Case<'_>) -> Reply {
    let headers: Vec<_> = key.iter().map(|key| ("Authorization", key.bearer.as_str())).collect();
    call(front.address, method, "/orders", &headers, if method == "GET" { b"" } else { b"{}" })
}

/// Repeats a question until the answer is yes; returns how long that took.
pub(crate) fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Clock::System.monotonic();
    loop {
        let holding = holds();
        let took = Clock::System.monotonic() - began;
        assert!(took <= limit, "not within {limit:?}");
        if holding {
            return took;
        }
        // Each question counts against the rate limit of the key that asks.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where the server of a `postgres://user:password@host:port/database` listens.
fn host_of(url: &str) -> std::net::SocketAddr {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("an authority");
    authority.rsplit('@').next().and_then(|host| host.parse().ok()).unwrap_or_else(|| panic!("no address in the URL"))
}
