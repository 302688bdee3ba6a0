//! Random operations on two nodes with one database, compared with a model of the allowed responses.

use keyhouse::app::App;
use keyhouse::app::key_cache::LEASE;
use keyhouse::app::keys::{self, CreateKeyError};
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::{KeyAdmin, TeamAdmin};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::Team;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::ChangeFeed;
use keyhouse_token::Mode;
use keyhouse_token::RawToken;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rstest::rstest;

use test_support::{Engine, TestApp, follow, lifecycles, open};

const STEPS: usize = 1500;
const SEEDS: [u8; 2] = [1, 2];

struct Node {
    app: App,
    change_feed: ChangeFeed,
    /// The time of its last successful poll.
    asked: Option<Timestamp>,
}

/// The expected state of a key.
struct Model {
    id: keyhouse_domain::ids::KeyId,
    token: String,
    revoked: Option<Revoked>,
}

struct Revoked {
    at: Timestamp,
    /// The nodes that have applied it: the one that revoked, and those that have polled since.
    known_to: [bool; 2],
}

struct History {
    app: TestApp,
    team: Team,
    nodes: [Node; 2],
    keys: Vec<Model>,
    /// Whether the second member may manage keys.
    heir_is_admin: bool,
    /// The number of processes so far; each has another random seed.
    processes: u64,
}

fn node(app: App) -> Node {
    Node { change_feed: app.change_feed(), app, asked: None }
}

impl History {
    async fn new(app: TestApp) -> Self {
        let team = app.team("Acme").await;
        let heir = Email::parse("heir@example.com").unwrap();
        app.inner.add_member("tester", &team, &heir, Role::Admin).await.unwrap();
        let other = open(&app.place, app.clock.clone(), 2).await;
        let nodes = [node(app.inner.clone()), node(other)];
        Self { app, team, nodes, keys: Vec::new(), heir_is_admin: true, processes: 2 }
    }

    async fn step(&mut self, choice: u32, node: usize, pick: usize) {
        // Mostly the newest keys, so that many operations concern the same keys.
        let newest = self.keys.len().min(if pick.is_multiple_of(8) { usize::MAX } else { 3 });
        let known = (newest > 0).then(|| self.keys.len() - 1 - pick / 8 % newest);
        match (choice, known) {
            (0..=1, _) => self.create(node, pick).await,
            (2, Some(key)) => self.rename(node, key).await,
            (3..=4, Some(key)) => self.revoke(node, key).await,
            (5, _) => self.follow(node).await,
            // Half a lease, or more than one.
            (6..=8, _) => self.app.advance(if pick.is_multiple_of(2) { LEASE / 2 } else { LEASE }),
            (9, _) => self.change_role(node).await,
            (10, _) => self.restart(node).await,
            (_, Some(key)) => self.call(node, key).await,
            (_, None) => {}
        }
    }

    /// By the second member, with or without the permission.
    async fn create(&mut self, node: usize, pick: usize) {
        let heir = Email::parse("heir@example.com").unwrap();
        let member = self.nodes[node].app.queries().member_by_email(self.team.id, &heir).await.unwrap().unwrap();
        let new = NewKey::new(KeyName::parse("K").unwrap(), Mode::Live, Scope::ReadOnly);
        let Ok(admin) = KeyAdmin::member(&member, "192.0.2.1") else {
            assert!(!self.heir_is_admin);
            return;
        };
        assert!(self.heir_is_admin);
        let active = self.keys.iter().filter(|key| key.revoked.is_none()).count();
        match self.nodes[node].app.create_key(&admin, new).await {
            Ok(made) => {
                assert!(active < 10);
                self.keys.push(Model { id: made.key.id, token: made.token.expose().to_owned(), revoked: None });
            }
            Err(CreateKeyError::LimitReached) => {
                assert_eq!(active, 10);
                self.revoke(node, pick % self.keys.len()).await;
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn rename(&self, node: usize, key: usize) {
        let key = &self.keys[key];
        let name = KeyName::parse("Renamed").unwrap();
        let renamed = self.nodes[node].app.rename_key(&self.app.shell(&self.team), key.id, &name, None).await;
        assert_eq!(renamed.is_ok(), key.revoked.is_none());
    }

    async fn revoke(&mut self, node: usize, key: usize) {
        let at = self.app.clock.now();
        let shell = self.app.shell(&self.team);
        let key = &mut self.keys[key];
        let revoked = self.nodes[node].app.revoke_key(&shell, key.id, None).await.unwrap();
        assert_eq!(revoked == keys::Revoked::Now, key.revoked.is_none());
        if key.revoked.is_none() {
            let mut known_to = [false; 2];
            known_to[node] = true;
            key.revoked = Some(Revoked { at, known_to });
        }
    }

    async fn follow(&mut self, node: usize) {
        let asking = &mut self.nodes[node];
        follow(&asking.app, &mut asking.change_feed).await;
        asking.asked = Some(self.app.clock.now());
        for revoked in self.keys.iter_mut().filter_map(|key| key.revoked.as_mut()) {
            revoked.known_to[node] = true;
        }
    }

    async fn change_role(&mut self, node: usize) {
        let app = &self.nodes[node].app;
        let members = app.queries().members(self.team.id).await.unwrap();
        let owner = TeamAdmin::member(&members[0], "192.0.2.1").unwrap();
        self.heir_is_admin = !self.heir_is_admin;
        let role = if self.heir_is_admin { Role::Admin } else { Role::Member };
        app.change_role(&owner, members[1].person, role, None).await.unwrap();
    }

    /// The same node in a new process, with an empty cache.
    async fn restart(&mut self, nth: usize) {
        self.processes += 1;
        self.nodes[nth] = node(open(&self.app.place, self.app.clock.clone(), self.processes).await);
    }

    async fn call(&self, node: usize, key: usize) {
        let (asking, key) = (&self.nodes[node], &self.keys[key]);
        let token = RawToken::parse(key.token.as_bytes(), asking.app.brand()).unwrap();
        let admitted = asking.app.authenticate(token, std::net::Ipv4Addr::LOCALHOST.into()).await.is_ok();
        let Some(revoked) = &key.revoked else { return assert!(admitted, "an active key") };
        let now = self.app.clock.now();
        let has_lease = asking.asked.is_some_and(|asked| now < asked.plus(LEASE));
        // Only under a lease from before the revocation may the node still admit it.
        if revoked.known_to[node] || !has_lease || now >= revoked.at.plus(LEASE) {
            assert!(!admitted, "a revoked key");
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_respond_as_the_model_does(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let mut history = History::new(app).await;
    for seed in SEEDS {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        for _ in 0..STEPS {
            let random = rng.next_u64();
            history.step(random as u32 % 32, (random >> 32) as usize % 2, (random >> 40) as usize).await;
        }
    }
    let revoked = history.keys.iter().filter(|key| key.revoked.is_some()).count();
    assert!(history.keys.len() >= 20 && revoked >= 10, "{} keys, {revoked} revoked", history.keys.len());
}

/// Random lives of keys on three nodes. The system tests run 10,000 steps on each engine.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_treat_keys_throughout_their_lives_as_the_model_does(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let report = lifecycles::run(&TestApp::on(engine).await, 1, 900).await;
    assert_eq!(report.differences, [""; 0], "{report:?}");
    for result in ["admitted", "revoked", "former_token", "expired", "paused", "address"] {
        assert!(report.calls.contains_key(result), "no call was {result}: {report:?}");
    }
    assert!(report.complete >= 3 && report.calls_after_completion >= 9, "{report:?}");
}
