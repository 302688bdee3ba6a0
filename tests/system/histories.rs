//! Random histories over processes that are restarted and killed, against a model of two maps.

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
use super::nodes::{Backstage, ClientInfo, OWNER, database, serve};
use super::{Outcome, rounds, setting};
use test_support::process::{ServerProcess, run, run_json};
use test_support::{Server, TestDatabase};

/// Steps with one team; then another begins, so that lists stay short.
const CHAPTER: usize = 500;
const OTHERS: [&str; 3] = ["ben@example.com", "cam@example.com", "dee@example.com"];
const GIVEN: [Role; 3] = [Role::Admin, Role::Manager, Role::Member];
/// Within which every other process knows of a revocation.
const KNOWN: Duration = Duration::from_secs(1);

/// What the world should look like.
#[derive(Default)]
struct Model {
    keys: BTreeMap<String, KeyModel>,
    roles: BTreeMap<&'static str, Role>,
}

#[derive(Debug, Clone)]
struct KeyModel {
    token: String,
    name: String,
    mode: Mode,
    scope: Scope,
    revoked: Option<Revoked>,
}

#[derive(Debug, Clone, Copy)]
struct Revoked {
    at: Duration,
    /// The node that did it, which knows at once; none if another process did.
    by: Option<usize>,
}

impl Model {
    fn active(&self) -> usize {
        self.keys.values().filter(|key| key.revoked.is_none()).count()
    }

    fn manages_keys(&self, email: &str) -> bool {
        matches!(self.roles[email], Role::Owner | Role::Admin)
    }

    fn revoke(&mut self, id: &str, by: Option<usize>) {
        let key = self.keys.get_mut(id).expect("a key of the model");
        key.revoked = key.revoked.or(Some(Revoked { at: now(), by }));
    }
}

struct Simulation {
    place: TestDatabase,
    nodes: Vec<ServerProcess>,
    backstage: Backstage,
    browsers: BTreeMap<&'static str, ClientInfo>,
    team: String,
    model: Model,
    rng: Rng,
    done: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

pub fn histories() -> Outcome {
    let seed = setting("DRILL_SEED").map_or_else(|| Clock::System.now().ms().unsigned_abs(), |seed| seed as u64);
    let steps = rounds(10_000);
    let server = Server::start();
    let (mut figures, mut kept) = (Vec::new(), true);
    for (engine, place, nodes) in [("SQLite", TestDatabase::folder(), 1), ("PostgreSQL", database(&server), 3)] {
        let mut world = Simulation::new(place, nodes, seed);
        for step in 0..steps {
            if step % CHAPTER == 0 {
                world.begin_chapter(step / CHAPTER);
            }
            world.step();
        }
        world.end_chapter();
        let first = world.differences.first().map_or_else(String::new, |first| format!(", first: {first}"));
        figures.push(format!("{engine}: {} differences in {:?}{first}", world.differences.len(), world.done));
        kept &= world.differences.is_empty();
    }
    Outcome { figure: format!("seed {seed}; {}", figures.join("; ")), kept }
}

impl Simulation {
    fn new(place: TestDatabase, nodes: usize, seed: u64) -> Self {
        run_json(&place, &["migrate"]);
        Self {
            nodes: (0..nodes).map(|_| serve(&place)).collect(),
            backstage: Backstage::of(&place),
            place,
            browsers: BTreeMap::new(),
            team: String::new(),
            model: Model::default(),
            rng: Rng::seeded(seed),
            done: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    fn begin_chapter(&mut self, nth: usize) {
        self.end_chapter();
        self.team = format!("chapter-{nth}");
        self.backstage.team(&format!("Chapter {nth}"), 0);
        self.model = Model { keys: BTreeMap::new(), roles: BTreeMap::from([(OWNER, Role::Owner)]) };
        let Backstage { app, runtime } = &self.backstage;
        let team =
            runtime.block_on(app.team(&TeamRef::Slug(self.team.clone()))).expect("an answer").expect("just made");
        for email in OTHERS {
            let address = Email::parse(email).expect("an address");
            runtime.block_on(app.add_member("drill", &team, &address, Role::Member)).expect("a new member");
            self.model.roles.insert(email, Role::Member);
        }
        for email in self.model.roles.keys() {
            let way_in = self.backstage.way_in(email);
            self.browsers.insert(email, ClientInfo::enter(&self.nodes[0], &way_in, &[]));
        }
    }

    /// Everything once more, everywhere.
    fn end_chapter(&mut self) {
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
        let (name, deed): (_, &mut dyn FnMut(&mut Self)) = match (self.pick(100), &key) {
            (0..10, _) | (_, None) => ("create", &mut |world| world.create(node, who)),
            (10..13, _) => ("create in the shell", &mut |world| world.create_in_the_shell(who)),
            (13..20, Some(id)) => ("rename", &mut |world| world.rename(node, who, id)),
            (20..27, Some(id)) => ("revoke", &mut |world| world.revoke(node, who, id)),
            (27..29, Some(id)) => ("revoke in the shell", &mut |world| world.revoke_in_the_shell(id)),
            (29..33, _) => ("role", &mut |world| world.change_role()),
            (33..36, _) => ("list", &mut |world| world.compare_lists()),
            (36..38, _) => ("restart", &mut |world| world.restart(node)),
            (38..40, Some(id)) => ("kill -9 in a revoke", &mut |world| world.kill_in_a_revoke(node, id)),
            (40..50, Some(id)) => ("write", &mut |world| world.write(node, id)),
            (_, Some(id)) => ("use", &mut |world| world.use_key(node, id)),
        };
        *self.done.entry(name).or_default() += 1;
        deed(self);
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
            let token = token.expect("the page shows it").to_owned();
            let said = self.ask(node, &get("/api/v1/key", &token));
            let id = data(&said)["id"].as_str().unwrap_or_default().to_owned();
            self.check(!id.is_empty(), || format!("a new key is answered {}", said.status));
            self.model.keys.insert(id, KeyModel { token, name, mode, scope, revoked: None });
        }
    }

    fn create_in_the_shell(&mut self, who: &str) {
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

    fn revoke_in_the_shell(&mut self, id: &str) {
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

    /// Whether it was done or not, nobody was told: both are right, but what was acknowledged must be so.
    fn kill_in_a_revoke(&mut self, node: usize, id: &str) {
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

    /// Nodes remember nothing, so one that starts knows what the database knows.
    fn start(&mut self, node: usize) {
        self.nodes[node] = serve(&self.place);
    }

    /// A key revoked elsewhere may be admitted still, for a second.
    fn use_key(&mut self, node: usize, id: &str) {
        let key = self.model.keys[id].clone();
        let mut reply = self.ask(node, &get("/api/v1/key", &key.token));
        if let Some(Revoked { at, by }) = key.revoked {
            while reply.status == 200 && by != Some(node) && now() < at + KNOWN {
                std::thread::sleep(Duration::from_millis(10));
                reply = self.ask(node, &get("/api/v1/key", &key.token));
            }
            self.check(reply.status == 401, || format!("revoked {id} is answered {}", reply.status));
            return;
        }
        let said = data(&reply);
        let is_it = said["id"] == id && said["mode"] == key.mode.as_str() && said["scope"] == key.scope.as_str();
        self.check(is_it, || format!("active {id} is answered {} {said}", reply.status));
    }

    fn write(&mut self, node: usize, id: &str) {
        let key = &self.model.keys[id];
        let expected = match (key.revoked, key.scope) {
            (Some(Revoked { at, by }), _) if by == Some(node) || now() > at + KNOWN => 401,
            // Either answer is right, and a use will tell.
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
        let said = run_json(&self.place, &["member", "list", "--team", &self.team]);
        let text = |member: &Value, name: &str| member[name].as_str().unwrap_or_default().to_owned();
        let rows = said.as_array().expect("rows").iter();
        let members: BTreeMap<_, _> = rows.map(|member| (text(member, "email"), text(member, "role"))).collect();
        let roles = self.model.roles.iter();
        let roles: BTreeMap<_, _> =
            roles.map(|(email, role)| ((*email).to_owned(), role.as_str().to_owned())).collect();
        self.check(members == roles, || format!("members are {members:?}, not {roles:?}"));
    }

    /// The team's keys as the shell lists them.
    fn keys(&self) -> BTreeMap<String, KeyRow> {
        let said = run_json(&self.place, &["key", "list", "--team", &self.team]);
        let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let row =
            |key: &Value| (text(key, "name"), text(key, "mode"), text(key, "scope"), text(key, "status") == "revoked");
        said.as_array().expect("rows").iter().map(|key| (text(key, "id"), row(key))).collect()
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
        self.rng.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % of as u64) as usize
    }

    /// Rather one of the active ones: those that are revoked become many.
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

/// Name, mode, scope, and whether it is revoked.
type KeyRow = (String, String, String, bool);

fn row(key: &KeyModel) -> KeyRow {
    (key.name.clone(), key.mode.as_str().to_owned(), key.scope.as_str().to_owned(), key.revoked.is_some())
}

/// What an answer of the API holds; null if it holds nothing.
fn data(reply: &Reply) -> Value {
    serde_json::from_str::<Value>(&reply.body).map(|body| body["data"].clone()).unwrap_or_default()
}
