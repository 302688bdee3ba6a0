//! Shared fixtures: nodes on one database, a team and its keys, and a browser that revokes keys.

use std::time::Duration;

use keyhouse::app::App;
use keyhouse::app::infra::clock::Clock;
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamName;
use keyhouse_token::Mode;
use tokio::runtime::Runtime;

use super::load::{Answered, Client, Load, Reply, form, get, now};
use test_support::process::{ServerProcess, run_json};
use test_support::proxy::Proxy;
use test_support::{self, Server, TestDatabase};

/// Settings of a node for scenarios that do not test rate limits.
pub(crate) const UNLIMITED: &[(&str, &str)] = &[
    ("KEYHOUSE_RATE_LIMIT_REQUESTS", "0"),
    ("KEYHOUSE_RATE_LIMIT_BAD_TOKENS", "0"),
    ("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0"),
];

/// The email address of the team's owner.
pub(crate) const OWNER: &str = "ada@example.com";
pub(crate) const PASSWORD: &str = "lamp river quiet stone";

/// From one call to the next, for 50 calls a second.
pub(crate) const FIFTY_A_SECOND: Option<Duration> = Some(Duration::from_millis(20));

/// The confirmation for a key that was used: its name.
const NAME_TYPED: &[(&str, &str)] = &[("name", "K")];

#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The team's slug.
    pub(crate) team: String,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Key {
    /// A request that needs only the key's record.
    pub(crate) fn ask(&self) -> String {
        get("/api/v1/key", &self.token)
    }

    /// The path of its revocation page.
    fn revocation(&self) -> String {
        format!("/t/{}/settings/integrations/api-keys/{}/revoke", self.team, self.id)
    }
}

/// A new database with the team Acme, and a key of it.
pub(crate) fn set_up(place: &TestDatabase) -> Key {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", OWNER]);
    new_key(place)
}

/// Created on the command line.
pub(crate) fn new_key(place: &TestDatabase) -> Key {
    let words = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let made = run_json(place, &words);
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    Key { team: "acme".to_owned(), id: text("id"), token: text("token") }
}

/// Revokes the key on the command line; returns when that was acknowledged.
pub(crate) fn revoke(place: &TestDatabase, key: &Key) -> Duration {
    run_json(place, &["key", "revoke", &key.id]);
    now()
}

pub(crate) fn serve(place: &TestDatabase) -> ServerProcess {
    ServerProcess::start_with(place, "serve", "error", UNLIMITED)
}

/// A new, empty database on this server.
pub(crate) fn database(server: &Server) -> TestDatabase {
    let runtime = Runtime::new().expect("a runtime");
    TestDatabase::Postgres { url: runtime.block_on(server.new_database()) }
}

/// The URL of a PostgreSQL database.
pub(crate) fn url(place: &TestDatabase) -> &str {
    match place {
        TestDatabase::Postgres { url } => url,
        TestDatabase::Folder(_) => unreachable!("SQLite has no URL"),
    }
}

/// The same database, reached through a proxy.
pub(crate) fn through(proxy: &Proxy, place: &TestDatabase) -> TestDatabase {
    TestDatabase::Postgres { url: proxy.lead(url(place)) }
}

/// One client that calls a node 50 times a second.
pub(crate) fn steady(node: &ServerProcess, key: &Key) -> Load {
    Load::start(node.address, 1, &key.ask(), FIFTY_A_SECOND)
}

/// Waits until a node responds with `status` to this key, for at most a minute. Returns the time that it took.
pub(crate) fn until(node: &ServerProcess, key: &Key, status: u16) -> Duration {
    let began = now();
    let mut client = Client::new(node.address);
    while client.call(&key.ask()).is_none_or(|answer| answer.status != status) {
        let waited = now() - began;
        if waited > Duration::from_secs(60) {
            return waited;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    now() - began
}

/// The owner signs in so many times; a session may send 60 forms a minute, and a person may sign in 30 times an hour.
const SESSIONS: usize = 20;

/// A browser of one person. It uses their sessions in turn.
pub(crate) struct Browser {
    client: Client,
    cookies: Vec<String>,
    /// The number of forms that were sent.
    sent: usize,
    /// The id of the person, which each form carries.
    person: String,
}

impl Browser {
    /// Signs the owner in on a node: by a link from the command line, then with the password.
    pub(crate) fn of_owner(node: &ServerProcess, place: &TestDatabase) -> Self {
        let reset = run_json(place, &["person", "reset", OWNER]);
        let link = reset["link"].as_str().expect("a link");
        let path = &link[link.find("/link/").expect("a link's path")..];
        let mut browser = Self::enter(node, path, &[("password", PASSWORD)]);
        for _ in 1..SESSIONS {
            let sign_in = form("/sign-in", "none=1", &[("email", OWNER), ("password", PASSWORD)]);
            let reply = browser.client.fetch(&sign_in).expect("the node listens");
            browser.cookies.push(reply.cookie().expect("a session").to_owned());
        }
        browser
    }

    /// Signs a person in by a one-time link.
    pub(crate) fn enter(node: &ServerProcess, path: &str, fields: &[(&str, &str)]) -> Self {
        let mut client = Client::new(node.address);
        let reply = client.fetch(&form(path, "none=1", fields)).expect("the node listens");
        let cookie = reply.cookie().unwrap_or_else(|| panic!("no session: {}", reply.body)).to_owned();
        let account = client
            .fetch(&format!("GET /account HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"))
            .expect("the node listens");
        let (_, rest) = account.body.split_once("name=\"for\" value=\"").expect("a form on the account page");
        let person = rest.split('"').next().unwrap_or_default().to_owned();
        Self { client, cookies: vec![cookie], sent: 0, person }
    }

    /// The same sessions on another node.
    pub(crate) fn at(&self, node: &ServerProcess) -> Self {
        let (cookies, person) = (self.cookies.clone(), self.person.clone());
        Self { client: Client::new(node.address), cookies, sent: self.sent, person }
    }

    fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        self.sent += 1;
        form(path, &self.cookies[self.sent % self.cookies.len()], &[fields, &[("for", &self.person)]].concat())
    }

    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.client.hang_up();
        let form = self.form(path, fields);
        self.client.fetch(&form).unwrap_or_default()
    }

    /// Revokes a key of the owner's team; the status is 303 on success.
    pub(crate) fn revoke(&mut self, key: &Key) -> Answered {
        self.client.hang_up();
        let form = self.form(&key.revocation(), NAME_TYPED);
        self.client.call(&form).expect("the node listens")
    }

    /// As [`Browser::post`], without waiting for the response.
    pub(crate) fn begin(&mut self, path: &str, fields: &[(&str, &str)]) {
        self.client.hang_up();
        let form = self.form(path, fields);
        self.client.send(&form).expect("the node listens");
    }

    pub(crate) fn begin_to_revoke(&mut self, key: &Key) {
        self.begin(&key.revocation(), NAME_TYPED);
    }

    /// The status of the response to the request that was begun.
    pub(crate) fn answer(&mut self) -> u16 {
        self.client.receive().status
    }
}

/// The application in this process, to create many teams and keys without starting a process for each.
pub(crate) struct InProcessApp {
    pub(crate) app: App,
    pub(crate) runtime: Runtime,
}

impl InProcessApp {
    pub(crate) fn of(place: &TestDatabase) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        // Another seed than in earlier runs, so that tokens do not repeat.
        let seed = u64::try_from(now().as_nanos()).expect("an uptime of less than 500 years");
        let app = runtime.block_on(test_support::open(place, Clock::System, seed));
        Self { app, runtime }
    }

    /// Creates a team with that many keys.
    pub(crate) fn team(&self, name: &str, keys: usize) -> Vec<Key> {
        self.runtime.block_on(async {
            let (name, owner) = (TeamName::parse(name).expect("a name"), Email::parse(OWNER).expect("an address"));
            let team = self.app.create_team("system-test", &name, &owner).await.expect("a team");
            let admin = KeyAdmin::shell("system-test", team.id);
            let mut made = Vec::new();
            for _ in 0..keys {
                let name = KeyName::parse("K").expect("a name");
                let new = NewKey::new(name, Mode::Live, Scope::ReadWrite);
                let created = self.app.create_key(&admin, new).await.expect("a key");
                let (team, id) = (team.slug.as_str().to_owned(), created.key.id.to_string());
                made.push(Key { team, id, token: created.token.expose().to_owned() });
            }
            made
        })
    }

    /// The path of a new one-time link by which the person signs in.
    pub(crate) fn sign_in_path(&self, email: &str) -> String {
        let email = Email::parse(email).expect("an address");
        let code = self.runtime.block_on(self.app.sign_in_link("system-test", &email)).expect("an answer");
        format!("/link/{}", code.expect("a person with that address").expose())
    }
}
