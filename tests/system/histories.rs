//! Model-based test: random operations on processes that are restarted and killed, compared with a model of two maps.

mod model;

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use keyhouse::app::infra::clock::Clock;
use keyhouse::app::infra::rng::Rng;
use keyhouse_domain::api_key::ACTIVE_KEYS_MAX;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamRef;
use keyhouse_token::Mode;
use serde_json::Value;

use super::load::{Client, Reply, get, now, post};
use super::nodes::{Browser, InProcessApp, OWNER, database, serve};
use super::{Outcome, rounds, setting};
use model::{KeyModel, KeyRow, Model, Revoked, row};
use test_support::process::{ServerProcess, run, run_json};
use test_support::{Engine, Server, TestApp, TestDatabase, lifecycles};

/// Steps with one team. Then another team is created, so that lists stay short.
const STEPS_PER_TEAM: usize = 500;
const OTHERS: [&str; 3] = ["ben@example.com", "cam@example.com", "dee@example.com"];
const GIVEN: [Role; 3] = [Role::Admin, Role::Manager, Role::Member];
/// Within which every other process applies a revocation.
const PROPAGATION: Duration = Duration::from_secs(1);

struct Simulation {
    place: TestDatabase,
    nodes: Vec<ServerProcess>,
    in_process: InProcessApp,
    browsers: BTreeMap<&'static str, Browser>,
    team: String,
    model: Model,
    rng: Rng,
    done: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

pub(crate) fn histories() -> Outcome {
    let seed = setting("SYSTEM_TEST_SEED").map_or_else(|| Clock::System.now().ms().unsigned_abs(), |seed| seed as u64);
    let steps = rounds(10_000);
    let server = Server::start();
    let (mut counts, mut passed) = (Vec::new(), true);
    for (engine, place, nodes) in [("SQLite", TestDatabase::folder(), 1), ("PostgreSQL", database(&server), 3)] {
        let mut simulation = Simulation::new(place, nodes, seed);
        for step in 0..steps {
            if step % STEPS_PER_TEAM == 0 {
                simulation.begin_team(step / STEPS_PER_TEAM);
            }
            simulation.step();
        }
        simulation.end_team();
        let first = simulation.differences.first().map_or_else(String::new, |first| format!(", first: {first}"));
        let done: Vec<_> = simulation.done.iter().map(|(operation, count)| format!("{count} {operation}")).collect();
        counts.push(format!("{engine}: {} differences in {}{first}", simulation.differences.len(), done.join(", ")));
        passed &= simulation.differences.is_empty();
    }
    Outcome { times: None, n: 2 * steps, counts: format!("seed {seed}; {}", counts.join("; ")), passed }
}

/// The in-process history of three nodes, in which keys are rotated, paused, limited, expire and are revoked.
pub(crate) fn lifecycles() -> Outcome {
    let seed = setting("SYSTEM_TEST_SEED").map_or_else(|| Clock::System.now().ms().unsigned_abs(), |seed| seed as u64);
    let steps = rounds(10_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut counts, mut passed) = (Vec::new(), true);
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let report = runtime.block_on(async { lifecycles::run(&TestApp::on(engine).await, seed, steps).await });
        let first = report.differences.first().map_or_else(String::new, |first| format!(", first: {first}"));
        let calls: usize = report.calls.values().sum();
        counts.push(format!(
            "{engine:?}: {} differences{first} in {} operations and {calls} calls, {} revocations complete, {} calls after a \
             receipt",
            report.differences.len(),
            report.done.values().sum::<usize>(),
            report.complete,
            report.calls_after_completion
        ));
        passed &= report.differences.is_empty() && report.complete > 0;
    }
    Outcome { times: None, n: 2 * steps, counts: format!("seed {seed}; {}", counts.join("; ")), passed }
}

impl Simulation {
    fn new(place: TestDatabase, nodes: usize, seed: u64) -> Self {
        run_json(&place, &["migrate"]);
        Self {
            nodes: (0..nodes).map(|_| serve(&place)).collect(),
            in_process: InProcessApp::of(&place),
            place,
            browsers: BTreeMap::new(),
            team: String::new(),
            model: Model::default(),
            rng: Rng::seeded(seed),
            done: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    fn begin_team(&mut self, nth: usize) {
        self.end_team();
        self.team = format!("team-{nth}");
        self.in_process.team(&format!("Team {nth}"), 0);
        self.model = Model { keys: BTreeMap::new(), roles: BTreeMap::from([(OWNER, Role::Owner)]) };
        let InProcessApp { app, runtime } = &self.in_process;
        let team = runtime
            .block_on(app.queries().team(&TeamRef::Slug(self.team.clone())))
            .expect("an answer")
            .expect("just made");
        for email in OTHERS {
            let address = Email::parse(email).expect("an address");
            runtime.block_on(app.add_member("system-test", &team, &address, Role::Member)).expect("a new member");
            self.model.roles.insert(email, Role::Member);
        }
        for email in self.model.roles.keys() {
            let sign_in_path = self.in_process.sign_in_path(email);
            self.browsers.insert(email, Browser::enter(&self.nodes[0], &sign_in_path, &[]));
        }
    }

    /// Checks every key on every node, and the lists.
    fn end_team(&mut self) {
        for id in self.model.keys.keys().cloned().collect::<Vec<_>>() {
            for node in 0..self.nodes.len() {
                self.use_key(node, &id);
            }
        }
        if !self.team.is_empty() {
            self.compare_lists();
        }
    }

    fn step(&mut self) {
        let node = self.pick(self.nodes.len());
        let who = [OWNER, OWNER, OTHERS[0], OTHERS[1], OTHERS[2]][self.pick(5)];
        let key = self.any_key();
        let (name, operation): (_, &mut dyn FnMut(&mut Self)) = match (self.pick(100), &key) {
            (0..10, _) | (_, None) => ("create", &mut |simulation| simulation.create(node, who)),
            (10..13, _) => ("create on the command line", &mut |simulation| simulation.create_on_the_command_line(who)),
            (13..20, Some(id)) => ("rename", &mut |simulation| simulation.rename(node, who, id)),
            (20..27, Some(id)) => ("revoke", &mut |simulation| simulation.revoke(node, who, id)),
            (27..29, Some(id)) => {
                ("revoke on the command line", &mut |simulation| simulation.revoke_on_the_command_line(id))
            }
            (29..33, _) => ("role", &mut |simulation| simulation.change_role()),
            (33..36, _) => ("list", &mut |simulation| simulation.compare_lists()),
            (36..38, _) => ("restart", &mut |simulation| simulation.restart(node)),
            (38..40, Some(id)) => {
                ("kill -9 during a revocation", &mut |simulation| simulation.kill_during_a_revocation(node, id))
            }
            (40..50, Some(id)) => ("write", &mut |simulation| simulation.write(node, id)),
            (_, Some(id)) => ("use", &mut |simulation| simulation.use_key(node, id)),
        };
        *self.done.entry(name).or_default() += 1;
        operation(self);
    }

    fn create(&mut self, node: usize, who: &str) {
        let (mode, scope) = self.any_kind();
        let name = self.any_name();
        let fields = [("name", name.as_str()), ("mode", mode.as_str()), ("scope", scope.as_str())];
        let reply = self.post(node, who, "/new", &fields);
        let expected = match self.model.manages_keys(who) {
            false => 403,
            true if self.model.active() >= ACTIVE_KEYS_MAX as usize => 409,
            true => 200,
        };
        self.check(reply.status == expected, || format!("create by {who}: {} instead of {expected}", reply.status));
        if reply.status == 200 {
            let token = reply.body.split("translate=\"no\">").nth(1).and_then(|rest| rest.split('<').next());
            let token = token.expect("the page shows the token").to_owned();
            let shown = self.ask(node, &get("/api/v1/key", &token));
            let id = data(&shown)["id"].as_str().unwrap_or_default().to_owned();
            self.check(!id.is_empty(), || format!("a new key is answered {}", shown.status));
            self.model.keys.insert(id, KeyModel { token, name, mode, scope, revoked: None });
        }
    }

    fn create_on_the_command_line(&mut self, who: &str) {
        let (mode, scope) = self.any_kind();
        let name = self.any_name();
        let output = self.shell(&[
            "key",
            "create",
            "--team",
            &self.team,
            "--name",
            &name,
            "--mode",
            mode.as_str(),
            "--scope",
            scope.as_str(),
            "--as",
            who,
            "--json",
        ]);
        let expected = self.model.manages_keys(who) && self.model.active() < ACTIVE_KEYS_MAX as usize;
        self.check(output.status.success() == expected, || format!("shell creates as {who}: {output:?}"));
        if output.status.success() {
            let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let text = |name: &str| made[name].as_str().expect("a text").to_owned();
            self.model.keys.insert(text("id"), KeyModel { token: text("token"), name, mode, scope, revoked: None });
        }
    }

    fn rename(&mut self, node: usize, who: &str, id: &str) {
        let name = self.any_name();
        let reply = self.post(node, who, &format!("/{id}/rename"), &[("name", &name)]);
        let expected = match self.model.manages_keys(who) {
            false => 403,
            true if self.model.keys[id].revoked.is_some() => 422,
            true => 303,
        };
        self.check(reply.status == expected, || format!("rename by {who}: {} instead of {expected}", reply.status));
        if reply.status == 303 {
            self.model.keys.get_mut(id).expect("a key of the model").name = name;
        }
    }

    fn revoke(&mut self, node: usize, who: &str, id: &str) {
        let name = self.model.keys[id].name.clone();
        let reply = self.post(node, who, &format!("/{id}/revoke"), &[("name", &name)]);
        let expected = if self.model.manages_keys(who) { 303 } else { 403 };
        self.check(reply.status == expected, || format!("revoke by {who}: {} instead of {expected}", reply.status));
        if reply.status == 303 {
            self.model.revoke(id, Some(node));
        }
    }

    fn revoke_on_the_command_line(&mut self, id: &str) {
        let output = self.shell(&["key", "revoke", id]);
        self.check(output.status.success(), || format!("shell revokes: {output:?}"));
        self.model.revoke(id, None);
    }

    fn change_role(&mut self) {
        let who = OTHERS[self.pick(3)];
        let role = GIVEN[self.pick(3)];
        let output = self.shell(&["member", "role", "--team", &self.team, "--email", who, "--role", role.as_str()]);
        self.check(output.status.success(), || format!("role: {output:?}"));
        self.model.roles.insert(who, role);
    }

    fn restart(&mut self, node: usize) {
        let ended = self.nodes[node].terminate();
        self.check(ended.success(), || format!("a node stopped with {ended}"));
        self.start(node);
    }

    /// Without a response either state is right; an acknowledged revocation must be in the database.
    fn kill_during_a_revocation(&mut self, node: usize, id: &str) {
        let name = self.model.keys[id].name.clone();
        let mut browser = self.browsers[OWNER].at(&self.nodes[node]);
        browser.begin(&self.path(&format!("/{id}/revoke")), &[("name", &name)]);
        std::thread::sleep(Duration::from_micros(self.pick(3000) as u64));
        self.nodes[node].kill();
        let acknowledged = browser.answer() == 303;
        self.start(node);
        let revoked = self.keys()[id].3;
        self.check(revoked || !acknowledged, || format!("an acknowledged revocation of {id} is lost"));
        if revoked {
            self.model.revoke(id, None);
        }
    }

    /// A node that starts has an empty cache, so it reads every key from the database.
    fn start(&mut self, node: usize) {
        self.nodes[node] = serve(&self.place);
    }

    /// A key that another process revoked may still be admitted for a second.
    fn use_key(&mut self, node: usize, id: &str) {
        let key = self.model.keys[id].clone();
        let mut reply = self.ask(node, &get("/api/v1/key", &key.token));
        if let Some(Revoked { at, by }) = key.revoked {
            while reply.status == 200 && by != Some(node) && now() < at + PROPAGATION {
                std::thread::sleep(Duration::from_millis(10));
                reply = self.ask(node, &get("/api/v1/key", &key.token));
            }
            self.check(reply.status == 401, || format!("revoked {id} is answered {}", reply.status));
            return;
        }
        let shown = data(&reply);
        let is_it = shown["id"] == id && shown["mode"] == key.mode.as_str() && shown["scope"] == key.scope.as_str();
        self.check(is_it, || format!("active {id} is answered {} {shown}", reply.status));
    }

    fn write(&mut self, node: usize, id: &str) {
        let key = &self.model.keys[id];
        let expected = match (key.revoked, key.scope) {
            (Some(Revoked { at, by }), _) if by == Some(node) || now() > at + PROPAGATION => 401,
            // Either response is right within the second; `use_key` checks the key later.
            (Some(_), _) => return,
            (None, Scope::ReadOnly) => 403,
            (None, Scope::ReadWrite) => 201,
        };
        let request = post(&key.token, r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#);
        let reply = self.ask(node, &request);
        self.check(reply.status == expected, || format!("write with {id}: {} instead of {expected}", reply.status));
    }

    fn compare_lists(&mut self) {
        let model: BTreeMap<_, _> = self.model.keys.iter().map(|(id, key)| (id.clone(), row(key))).collect();
        let keys = self.keys();
        self.check(keys == model, || format!("keys are {keys:?}, not {model:?}"));
        let shown = run_json(&self.place, &["member", "list", "--team", &self.team]);
        let text = |member: &Value, name: &str| member[name].as_str().unwrap_or_default().to_owned();
        let rows = shown.as_array().expect("rows").iter();
        let members: BTreeMap<_, _> = rows.map(|member| (text(member, "email"), text(member, "role"))).collect();
        let roles = self.model.roles.iter();
        let roles: BTreeMap<_, _> =
            roles.map(|(email, role)| ((*email).to_owned(), role.as_str().to_owned())).collect();
        self.check(members == roles, || format!("members are {members:?}, not {roles:?}"));
    }

    /// The team's keys as the shell lists them.
    fn keys(&self) -> BTreeMap<String, KeyRow> {
        let shown = run_json(&self.place, &["key", "list", "--team", &self.team]);
        let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let row =
            |key: &Value| (text(key, "name"), text(key, "mode"), text(key, "scope"), text(key, "status") == "revoked");
        shown.as_array().expect("rows").iter().map(|key| (text(key, "id"), row(key))).collect()
    }

    fn ask(&self, node: usize, request: &str) -> Reply {
        Client::new(self.nodes[node].address).fetch(request).unwrap_or_default()
    }

    fn post(&self, node: usize, who: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.browsers[who].at(&self.nodes[node]).post(&self.path(path), fields)
    }

    fn path(&self, below: &str) -> String {
        format!("/t/{}/settings/integrations/api-keys{below}", self.team)
    }

    fn shell(&self, words: &[&str]) -> Output {
        run(&self.place, words)
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            let step: usize = self.done.values().sum();
            self.differences.push(format!("step {step}: {}", otherwise()));
        }
    }

    fn pick(&self, of: usize) -> usize {
        let mut bytes = [0; 8];
        self.rng.fill_bytes(&mut bytes);
        (u64::from_le_bytes(bytes) % of as u64) as usize
    }

    /// An active key in two of three cases, because most keys are revoked after a while.
    fn any_key(&self) -> Option<String> {
        let only_active = self.pick(3) > 0 && self.model.active() > 0;
        let keys = self.model.keys.iter().filter(|(_, key)| !only_active || key.revoked.is_none());
        let ids: Vec<_> = keys.map(|(id, _)| id).collect();
        (!ids.is_empty()).then(|| ids[self.pick(ids.len())].clone())
    }

    fn any_kind(&self) -> (Mode, Scope) {
        ([Mode::Live, Mode::Test][self.pick(2)], [Scope::ReadWrite, Scope::ReadOnly][self.pick(2)])
    }

    fn any_name(&self) -> String {
        format!("Name {}", self.pick(1_000_000))
    }
}

/// The `data` of a response of the API, or null.
fn data(reply: &Reply) -> Value {
    serde_json::from_str::<Value>(&reply.body).map(|body| body["data"].clone()).unwrap_or_default()
}
