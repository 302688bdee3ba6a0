//! Random lives of keys on three nodes with one database, compared with a model. Used by the tests and the system tests.
//!
//! The model keeps every version that a key's record has had, each with the number of the change that made it. A node that
//! holds a lease may decide by any version since the last change that it has certainly followed; a node without a lease has
//! to decide by the last one. After a receipt says that a revocation is complete, no version may admit the key any more.

mod model;
mod operations;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use keyhouse::app::App;
use keyhouse::app::authenticate::AuthenticateError;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::key_cache::LEASE;
use keyhouse_domain::api_key::{AllowedNetworks, Conditions};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::team::Team;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::ChangeFeed;
use keyhouse_token::RawToken;

use self::model::{Key, Version};
use crate::wait::eventually;
use crate::{TestApp, open};

const NODES: usize = 3;
/// The address that conditions allow, and one that they don't.
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const ALLOWED: &str = "203.0.113.0/24";
/// Steps with one team. Then another one is created, so that few keys are busy at a time.
const STEPS_PER_TEAM: usize = 400;

/// What a history did.
#[derive(Debug, Default)]
pub struct Report {
    /// How often each operation ran.
    pub done: BTreeMap<&'static str, usize>,
    /// Calls by their result.
    pub calls: BTreeMap<&'static str, usize>,
    /// Revocations that became complete, and calls with their keys since then.
    pub complete: usize,
    pub calls_after_completion: usize,
    /// Where program and model differ.
    pub differences: Vec<String>,
}

struct Node {
    app: App,
    feed: ChangeFeed,
    /// The time of the last poll that was applied.
    polled: Option<Timestamp>,
    /// The last change that the node has certainly followed.
    followed: u64,
    /// The first use of a current token that the node has noted and not written, by key and token.
    noted: BTreeMap<(KeyId, usize), Timestamp>,
}

/// A history on the database of `app`.
pub struct History<'a> {
    app: &'a TestApp,
    team: Team,
    nodes: Vec<Node>,
    keys: Vec<Key>,
    changes: u64,
    rng: Rng,
    /// The number of processes so far; each has another random seed.
    processes: u64,
    report: Report,
}

/// The networks of a condition: only those with [`INSIDE`], or all.
fn allowed(inside_only: bool) -> AllowedNetworks {
    if inside_only { AllowedNetworks::parse(ALLOWED).expect("a network") } else { AllowedNetworks::default() }
}

/// Runs `steps` random operations and returns what they did.
pub async fn run(app: &TestApp, seed: u64, steps: usize) -> Report {
    let team = app.team("Team0").await;
    let mut history = History {
        app,
        team,
        nodes: Vec::new(),
        keys: Vec::new(),
        changes: 0,
        rng: Rng::seeded(seed),
        processes: 1,
        report: Report::default(),
    };
    for _ in 0..NODES {
        let node = history.new_node().await;
        history.nodes.push(node);
    }
    for step in 0..steps {
        if step > 0 && step % STEPS_PER_TEAM == 0 {
            history.team = app.team(&format!("Team{}", step / STEPS_PER_TEAM)).await;
            history.keys.clear();
        }
        history.step().await;
        if history.report.differences.len() > 10 {
            break;
        }
    }
    history.report
}

impl History<'_> {
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.rng.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn pick(&self, count: usize) -> usize {
        (self.random() % count as u64) as usize
    }

    fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    fn admin(&self) -> KeyAdmin {
        self.app.shell(&self.team)
    }

    async fn new_node(&mut self) -> Node {
        self.processes += 1;
        let app = open(&self.app.place, self.app.clock.clone(), 1000 + self.processes).await;
        app.set_node_name(&format!("node-{}", self.processes));
        let feed = app.change_feed();
        Node { app, feed, polled: None, followed: 0, noted: BTreeMap::new() }
    }

    async fn step(&mut self) {
        let (node, choice) = (self.pick(NODES), self.pick(100));
        // Mostly the newest keys, so that many operations concern the same ones.
        let newest = self.keys.len().min(if self.pick(8) == 0 { usize::MAX } else { 3 });
        let key = (newest > 0).then(|| self.keys.len() - 1 - self.pick(newest));
        let name = match (choice, key) {
            (0..5, _) | (_, None) => self.create(node).await,
            (5..9, Some(key)) => self.rotate(node, key).await,
            (9..11, Some(key)) => self.end_former(node, key).await,
            (11..15, Some(key)) => self.pause(node, key).await,
            (15..18, Some(key)) => self.resume(node, key).await,
            (18..23, Some(key)) => self.set_conditions(node, key).await,
            (23..26, Some(key)) => self.revoke(node, key).await,
            (26..34, _) => self.follow(node).await,
            (34..38, _) => self.record_first_uses(node).await,
            (38..44, _) => self.report_node(node).await,
            (44..46, _) => self.restart(node).await,
            (46..47, _) => self.record_expiries(node).await,
            (47..48, _) => self.purge(node).await,
            (48..56, _) => self.advance(),
            (_, Some(key)) => self.call(node, key).await,
        };
        *self.report.done.entry(name).or_default() += 1;
    }

    fn differ(&mut self, what: String) {
        let step: usize = self.report.done.values().sum();
        self.report.differences.push(format!("step {step}: {what}"));
    }

    /// Compares a result with what the model expects.
    fn compare(&mut self, operation: &str, found: &str, expected: &str) {
        if found != expected {
            self.differ(format!("{operation}: {found} instead of {expected}"));
        }
    }

    /// Adds a version of a key that `node` has written: the node itself has followed everything up to it.
    fn change(&mut self, node: usize, key: usize, edit: impl FnOnce(&mut Version)) {
        self.changes += 1;
        let mut version = self.keys[key].last().clone();
        version.change = self.changes;
        edit(&mut version);
        self.keys[key].versions.push(version);
        self.nodes[node].followed = self.changes;
    }

    fn some_expiry(&self) -> Option<Timestamp> {
        match self.pick(3) {
            0 => None,
            1 => Some(self.now().plus(LEASE)),
            _ => Some(self.now().plus(20 * LEASE)),
        }
    }

    fn some_conditions(&self) -> (Conditions, bool) {
        let inside_only = self.pick(2) == 0;
        (Conditions { expires_at: self.some_expiry(), allowed: allowed(inside_only) }, inside_only)
    }

    async fn follow(&mut self, nth: usize) -> &'static str {
        let (now, changes) = (self.now(), self.changes);
        let node = &mut self.nodes[nth];
        // A node whose row was deleted registers with the second poll.
        eventually("a poll that renews the lease", async || {
            node.app.follow_changes(&mut node.feed).await.ok()?;
            (node.app.lease_remaining() == Some(LEASE)).then_some(())
        })
        .await;
        (node.polled, node.followed) = (Some(now), changes);
        "poll"
    }

    async fn record_first_uses(&mut self, nth: usize) -> &'static str {
        let noted = std::mem::take(&mut self.nodes[nth].noted);
        if let Err(error) = self.nodes[nth].app.record_first_uses().await {
            self.differ(format!("record first uses: {error}"));
        }
        for ((id, token), at) in noted {
            let Some(key) = self.keys.iter().position(|key| key.id == id) else { continue };
            // The note of a token that was replaced meanwhile still counts for its own former token.
            let Key { first_used, overlap, versions, .. } = &self.keys[key];
            let last = versions.last().expect("a version");
            if token + 1 != last.ends.len() || first_used.is_some_and(|first| first <= at) {
                continue;
            }
            let end = at.plus(*overlap);
            let (is_ended, former) = (last.revoked, last.ends[token - 1]);
            self.keys[key].first_used = Some(at);
            if !is_ended && former.is_none_or(|former| end < former) {
                self.change(nth, key, |version| version.ends[token - 1] = Some(end));
            }
        }
        "record first uses"
    }

    async fn report_node(&mut self, nth: usize) -> &'static str {
        if let Err(error) = self.nodes[nth].app.report_node().await {
            self.differ(format!("report: {error}"));
        }
        for key in 0..self.keys.len() {
            if !self.keys[key].last().revoked || self.keys[key].is_complete {
                continue;
            }
            let id = self.keys[key].id;
            let receipt = self.app.inner.queries().receipt(id).await.expect("the database answers");
            if receipt.is_none_or(|receipt| receipt.complete_at.is_none()) {
                continue;
            }
            self.keys[key].is_complete = true;
            self.report.complete += 1;
            // At once, on every node: none may use an earlier version any more.
            for node in 0..NODES {
                self.call(node, key).await;
            }
        }
        "report"
    }

    /// The same node in a new process, after an orderly stop or after a crash.
    async fn restart(&mut self, nth: usize) -> &'static str {
        if self.pick(2) == 0
            && let Err(error) = self.nodes[nth].app.remove_node().await
        {
            self.differ(format!("remove node: {error}"));
        }
        self.nodes[nth] = self.new_node().await;
        "restart"
    }

    async fn record_expiries(&mut self, nth: usize) -> &'static str {
        if let Err(error) = self.nodes[nth].app.record_expiries().await {
            self.differ(format!("record expiries: {error}"));
        }
        "record expiries"
    }

    async fn purge(&mut self, nth: usize) -> &'static str {
        if let Err(error) = self.nodes[nth].app.purge_nodes().await {
            self.differ(format!("purge: {error}"));
        }
        "purge nodes"
    }

    /// Half a lease, a lease, or rarely as long as a node may be silent.
    fn advance(&self) -> &'static str {
        self.app.advance(match self.pick(40) {
            0 => Duration::from_secs(16 * 60),
            1..20 => LEASE / 2,
            _ => LEASE,
        });
        "advance the clock"
    }

    async fn call(&mut self, nth: usize, nth_key: usize) -> &'static str {
        let now = self.now();
        let from = if self.pick(3) == 0 { OUTSIDE } else { INSIDE };
        let count = self.keys[nth_key].tokens.len();
        // Mostly the current token and the former one.
        let token = count - 1 - self.pick(count.min(3));
        let (node, key) = (&self.nodes[nth], &self.keys[nth_key]);
        let raw = RawToken::parse(key.tokens[token].expose().as_bytes(), node.app.brand()).expect("a token");
        let (found, record) = match node.app.authenticate(raw, from).await {
            Ok(record) => ("admitted", Some(record)),
            Err(AuthenticateError::KeyRefused { error, .. }) => (error.as_label(), None),
            Err(_) => ("another error", None),
        };
        let has_lease = node.polled.is_some_and(|polled| now < polled.plus(LEASE));
        let oldest = if has_lease && !key.is_complete { node.followed } else { self.changes };
        // The last version that is old enough to be certainly followed, and all later ones.
        let first = key.versions.iter().rposition(|version| version.change <= oldest).unwrap_or(0);
        let versions = key.versions[first..].iter();
        let possible: Vec<_> = versions.filter_map(|version| version.result(token, now, from)).collect();
        // Nothing makes nodes read the record of a key that has ended again, so its former token may be refused as expired.
        let has_ended = !key.last().is_active(now) && found != "admitted";
        let is_possible = possible.contains(&found) || has_ended && possible.iter().any(|result| *result != "admitted");
        let is_complete = key.is_complete;
        if let Some(record) = record {
            node.app.note_token_use(&record, from);
            if token > 0 && token + 1 == count {
                let noted = (self.keys[nth_key].id, token);
                self.nodes[nth].noted.entry(noted).or_insert(now);
            }
        }
        *self.report.calls.entry(found).or_default() += 1;
        self.report.calls_after_completion += usize::from(is_complete);
        if !is_possible {
            self.differ(format!("call on node {nth}: {found} instead of one of {possible:?}, lease {has_lease}"));
        }
        "call"
    }
}
