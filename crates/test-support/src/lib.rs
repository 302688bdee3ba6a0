//! The test application: a new database, a clock and random numbers that the test controls, and helpers to call it.

pub mod balancer;
pub mod child_process;
pub mod dashboard;
pub mod http;
pub mod interleavings;
pub mod lifecycles;
pub mod metrics;
pub mod nginx;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod races;
pub mod redis;
pub mod wait;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use keyhouse::app::App;
use keyhouse::app::infra::clock::Clock;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::keys::Created;
use keyhouse::app::rate_limit::Limits;
use keyhouse::web::server::HttpService;
use keyhouse::web::{self, AppState, RootService, Stopping};
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeFeed, Location, Store};
use keyhouse_token::Mode;
use tokio_util::sync::CancellationToken;

#[doc(hidden)]
pub use insta;

pub use http::Answer;
pub use postgres::Server;

/// Tuesday, 24 November 2026, 09:30 UTC: when every test begins.
pub const BEGINNING: Timestamp = Timestamp::from_ms(1_795_512_600_000);

/// A database engine. Tests take it as a value and run on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An inline snapshot that must be equal on both engines. `cargo insta` writes it.
#[macro_export]
macro_rules! assert_text {
    ($value:expr, @$text:literal) => {{
        let shown = $value.to_string();
        $crate::insta::allow_duplicates! { $crate::insta::assert_snapshot!(shown, @$text) }
    }};
}

/// One instance of the application on a new database.
pub struct TestApp {
    pub inner: App,
    pub clock: Clock,
    pub service: RootService,
    pub place: TestDatabase,
    pub stop: CancellationToken,
    pub stopping: Stopping,
}

/// The database of a test. Dropping it deletes the folder of SQLite; PostgreSQL ends with the run.
pub enum TestDatabase {
    Folder(tempfile::TempDir),
    Postgres { url: String },
}

/// A connection whose statements are not logged: tests read the log for what the application runs.
async fn sqlite(folder: &std::path::Path) -> sqlx::Result<sqlx::SqliteConnection> {
    use sqlx::ConnectOptions;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("keyhouse.db"));
    options.disable_statement_logging().connect().await
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

    /// A new, empty database on the PostgreSQL that all tests share.
    pub async fn postgres() -> Self {
        Self::Postgres { url: Server::shared().new_database().await }
    }

    pub fn location(&self) -> Location {
        match self {
            Self::Folder(folder) => Location::Folder(folder.path().to_owned()),
            Self::Postgres { url } => Location::postgres(url).expect("a URL that `Server` made"),
        }
    }

    /// The flags that select this database on the command line.
    pub fn flags(&self) -> [String; 2] {
        match self {
            Self::Folder(folder) => ["--data".to_owned(), folder.path().display().to_string()],
            Self::Postgres { url } => ["--database".to_owned(), url.clone()],
        }
    }

    /// Runs SQL on a connection of its own, past the application.
    pub async fn execute_sql(&self, sql: &str) -> sqlx::Result<u64> {
        use sqlx::Connection;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Folder(folder) => {
                let mut connection = sqlite(folder.path()).await?;
                Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
            }
            Self::Postgres { url } => {
                let mut connection = sqlx::PgConnection::connect(url).await?;
                Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
            }
        }
    }

    /// The bytes that the tables of usage and their indexes occupy.
    pub async fn usage_bytes(&self) -> i64 {
        use sqlx::Connection;
        const TABLES: &str = "'key_usage', 'key_activity', 'key_calls_by_day', 'key_addresses', 'key_calls'";
        match self {
            // SQLite's build lacks a table of sizes per table: the pages in use are measured with and without the rows.
            Self::Folder(folder) => {
                let mut connection = sqlite(folder.path()).await.expect("the database opens");
                let used = "SELECT (page_count - freelist_count) * page_size \
                            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
                let mut sizes = Vec::new();
                for clear in [false, true] {
                    if clear {
                        for table in TABLES.split(", ") {
                            let delete = sqlx::AssertSqlSafe(format!("DELETE FROM {}", table.trim_matches('\'')));
                            sqlx::query(delete).execute(&mut connection).await.expect("rows are deleted");
                        }
                    }
                    sizes.push(sqlx::query_scalar::<_, i64>(used).fetch_one(&mut connection).await.expect("a size"));
                }
                sizes[0] - sizes[1]
            }
            Self::Postgres { url } => {
                let mut connection = sqlx::PgConnection::connect(url).await.expect("the database opens");
                let sizes = format!(
                    "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relname IN ({TABLES})"
                );
                sqlx::query_scalar(sqlx::AssertSqlSafe(sizes)).fetch_one(&mut connection).await.expect("a size")
            }
        }
    }

    /// Makes the database refuse every new team's slug, as if a concurrent transaction had taken it.
    pub async fn refuse_slugs(&self) {
        match self {
            Self::Folder(_) => {
                let trigger = "CREATE TRIGGER refuse_slugs BEFORE INSERT ON teams BEGIN \
                               INSERT INTO teams SELECT NEW.id || 'x', NEW.slug, '', 0, 0, NULL, NULL; END";
                self.execute_sql(trigger).await.expect("a trigger");
            }
            Self::Postgres { .. } => {
                let function = "CREATE FUNCTION refuse_slug() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                                RAISE unique_violation; END; $$";
                self.execute_sql(function).await.expect("a function");
                let trigger = "CREATE TRIGGER refuse_slugs BEFORE INSERT ON teams FOR EACH ROW \
                               EXECUTE FUNCTION refuse_slug()";
                self.execute_sql(trigger).await.expect("a trigger");
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

    /// With rate limits; the other constructors have none.
    pub async fn limited(place: TestDatabase, limits: Limits) -> Self {
        let clock = Clock::manual(BEGINNING);
        let app = open_with(&place, clock.clone(), 1, limits).await;
        Self::serve(place, clock, app, |_| {})
    }

    /// Serves an application that a test has opened, with other settings than the default.
    pub fn serve(place: TestDatabase, clock: Clock, app: App, change: impl FnOnce(&mut AppState)) -> Self {
        let (stop, stopping) = (CancellationToken::new(), Stopping::default());
        let mut state = AppState {
            trusted_proxies: ["192.0.2.1/32".parse().expect("a network")].into(),
            stopping: stopping.clone(),
            ..AppState::new(app.clone())
        };
        change(&mut state);
        Self { inner: app, clock, service: web::service(state), place, stop, stopping }
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
        let new = NewKey::new(KeyName::parse("A key").expect("a name"), mode, scope);
        self.inner.create_key(&self.shell(team), new).await.expect("a key")
    }

    /// A team with a live read & write key: enough for most tests. Returns the token.
    pub async fn live_token(&self) -> String {
        let team = self.team("Acme").await;
        self.key(&team, Mode::Live, Scope::ReadWrite).await.token.expose().to_owned()
    }

    /// Signs the person in by a one-time link; returns the session cookie.
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

/// Another node on the same database, with another seed for random numbers.
pub async fn open(place: &TestDatabase, clock: Clock, seed: u64) -> App {
    open_with(place, clock, seed, Limits::default()).await
}

pub async fn open_with(place: &TestDatabase, clock: Clock, seed: u64, limits: Limits) -> App {
    let (store, brand, _warnings) = Store::migrate_and_open(&place.location(), None).await.expect("the database opens");
    App::new(store, brand, clock, Rng::seeded(seed), limits)
}

/// Polls the change feed until a poll succeeds: on a busy machine one may time out.
pub async fn follow(app: &App, change_feed: &mut ChangeFeed) {
    for _ in 0..10 {
        if app.apply_changes(change_feed).await.is_ok() {
            return;
        }
    }
    panic!("10 polls of the change feed failed");
}
