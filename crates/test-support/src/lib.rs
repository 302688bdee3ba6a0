//! A house to test in: a database of its own, a clock and dice that the test holds, and three kinds of callers.

pub mod balancer;
pub mod child_process;
pub mod dashboard;
pub mod http;
pub mod interleavings;
pub mod metrics;
pub mod nginx;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod races;
pub mod redis;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use keyhouse::app::App;
use keyhouse::app::infra::clock::Clock;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::keys::Created;
use keyhouse::app::rate_limit::Limits;
use keyhouse::web::forward_auth::ForwardAuth;
use keyhouse::web::server::HttpService;
use keyhouse::web::{self, AppState, RootService};
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeFeed, Location, Store};
use keyhouse_token::Mode;
use tokio::sync::watch;

#[doc(hidden)]
pub use insta;

pub use http::Answer;
pub use postgres::Server;

/// Tuesday, 24 November 2026, 09:30 UTC: when every story begins.
pub const BEGINNING: Timestamp = Timestamp::from_ms(1_795_512_600_000);

/// A database engine. Tests take it as a value and run on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An inline snapshot that both worlds must show alike. `cargo insta` writes it.
#[macro_export]
macro_rules! assert_text {
    ($value:expr, @$text:literal) => {{
        let shown = $value.to_string();
        $crate::insta::allow_duplicates! { $crate::insta::assert_snapshot!(shown, @$text) }
    }};
}

/// One Keyhouse on a database of its own.
pub struct TestApp {
    pub inner: App,
    pub clock: Clock,
    pub service: RootService,
    pub place: TestDatabase,
    pub stop: watch::Sender<bool>,
}

/// Where a house's database is; it goes with the house.
pub enum TestDatabase {
    Folder(tempfile::TempDir),
    Postgres { url: String },
}

impl TestDatabase {
    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    pub async fn on(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::folder(),
            Engine::Postgres => Self::postgres().await,
        }
    }

    /// A new, empty database on the run's one PostgreSQL.
    pub async fn postgres() -> Self {
        Self::Postgres { url: Server::shared().new_database().await }
    }

    pub fn location(&self) -> Location {
        match self {
            Self::Folder(folder) => Location::Folder(folder.path().to_owned()),
            Self::Postgres { url } => Location::postgres(url).expect("the harness's own URL"),
        }
    }

    /// The flags that lead the program to this database.
    pub fn flags(&self) -> [String; 2] {
        match self {
            Self::Folder(folder) => ["--data".to_owned(), folder.path().display().to_string()],
            Self::Postgres { url } => ["--database".to_owned(), url.clone()],
        }
    }

    /// A connection past Keyhouse, for tests that tamper.
    pub async fn execute_sql(&self, sql: &str) -> sqlx::Result<u64> {
        use sqlx::Connection;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Folder(folder) => {
                let url = format!("sqlite://{}/keyhouse.db", folder.path().display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await?;
                Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
            }
            Self::Postgres { url } => {
                let mut connection = sqlx::PgConnection::connect(url).await?;
                Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
            }
        }
    }
}

impl TestApp {
    pub async fn on(engine: Engine) -> Self {
        Self::at(TestDatabase::on(engine).await).await
    }

    pub async fn at(place: TestDatabase) -> Self {
        Self::limited(place, Limits::default()).await
    }

    /// A house with rate limits; those of the stories have none unless that is what they tell of.
    pub async fn limited(place: TestDatabase, limits: Limits) -> Self {
        let clock = Clock::manual(BEGINNING);
        let app = open_with(&place, clock.clone(), 1, limits).await;
        let (stop, stopping) = watch::channel(false);
        let trusted_proxies = ["192.0.2.1/32".parse().expect("a network")].into();
        let forward_auth = ForwardAuth::default();
        let service =
            web::service(AppState { app: app.clone(), trusted_proxies, public_url: None, forward_auth, stopping });
        Self { inner: app, clock, service, place, stop }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub async fn team(&self, name: &str) -> Team {
        let owner = Email::parse(&format!("owner@{}.example", name.to_lowercase())).expect("an address");
        self.inner.create_team("tester", &TeamName::parse(name).expect("a name"), &owner).await.expect("a team")
    }

    pub fn shell(&self, team: &Team) -> KeyAdmin {
        KeyAdmin::shell("tester", team.id)
    }

    pub async fn key(&self, team: &Team, mode: Mode, scope: Scope) -> Created {
        let new = NewKey { name: KeyName::parse("A key").expect("a name"), mode, scope };
        self.inner.create_key(&self.shell(team), new).await.expect("a key")
    }

    /// A team with a live read & write key: enough for most stories. Returns the token.
    pub async fn live_token(&self) -> String {
        let team = self.team("Acme").await;
        self.key(&team, Mode::Live, Scope::ReadWrite).await.token.expose().to_owned()
    }

    /// A browser in which this person has just signed in, by a link: its cookie.
    pub async fn browser(&self, email: &str) -> String {
        let email = Email::parse(email).expect("an address");
        let code = self.inner.sign_in_link("tester", &email).await.expect("a link").expect("a person");
        let answer = self.call("POST", &format!("/link/{}", code.expose())).form(&[]).await;
        answer.cookie().unwrap_or_else(|| panic!("no session: {answer}"))
    }

    pub fn get(&self, path: &str) -> http::Call<'_> {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str, body: &str) -> http::Call<'_> {
        self.call("POST", path).json(body)
    }

    pub fn call(&self, method: &str, path: &str) -> http::Call<'_> {
        http::Call::new(self, method, path)
    }

    /// As [`TestApp::answer`], from another peer: the listed proxy, say.
    pub async fn answer_from(&self, peer: [u8; 4], call: http::Call<'_>) -> Answer {
        Answer::read(self.service.handle(SocketAddr::from((peer, 40_000)), call.request()).await).await
    }

    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let peer = SocketAddr::from(([203, 0, 113, 7], 40_000));
        Answer::read(self.service.handle(peer, request).await).await
    }
}

/// Another node on the same database, with dice of its own.
pub async fn open(place: &TestDatabase, clock: Clock, seed: u64) -> App {
    open_with(place, clock, seed, Limits::default()).await
}

pub async fn open_with(place: &TestDatabase, clock: Clock, seed: u64, limits: Limits) -> App {
    let (store, brand, _warnings) = Store::migrate_and_open(&place.location(), None).await.expect("the database opens");
    App::new(store, brand, clock, Rng::seeded(seed), limits)
}

/// Asks what changed until there is an answer: a machine that is busy with others may be too late for one question.
pub async fn follow(app: &App, change_feed: &mut ChangeFeed) {
    for _ in 0..10 {
        if app.apply_changes(change_feed).await.is_ok() {
            return;
        }
    }
    panic!("the database does not say what changed");
}
