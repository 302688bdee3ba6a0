//! A house to test in: a database of its own, a clock and dice that the test holds, and three kinds of callers.

#[allow(dead_code, reason = "for the drills")]
pub mod balancer;
pub mod http;
#[allow(dead_code, reason = "not every binary explores")]
pub mod interleavings;
#[allow(dead_code, reason = "a part is for the drills")]
pub mod metrics;
#[allow(dead_code, reason = "a part is for the drills")]
pub mod postgres;
#[allow(dead_code, reason = "a part is for the drills")]
pub mod process;
#[allow(dead_code, reason = "a part is for the drills")]
pub mod proxy;
#[allow(dead_code, reason = "not every binary races")]
pub mod races;
#[allow(dead_code, reason = "a part is for the drills")]
pub mod redis;
pub mod tied;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use keyhouse::app::App;
use keyhouse::app::clock::Clock;
use keyhouse::app::dice::Dice;
use keyhouse::app::keys::Created;
use keyhouse::app::limits::Limits;
use keyhouse::domain::key::{KeyName, Mode, NewKey, Scope};
use keyhouse::domain::person::Email;
use keyhouse::domain::role::KeyAdmin;
use keyhouse::domain::team::{Team, TeamName};
use keyhouse::domain::timestamp::Timestamp;
use keyhouse::store::{Follower, Location, Store};
use keyhouse::web::server::Door;
use keyhouse::web::{self, Front, Web};
use tokio::sync::watch;

pub use http::Answer;
pub use postgres::Server;

/// Tuesday, 24 November 2026, 09:30 UTC: when every story begins.
pub const BEGINNING: Timestamp = Timestamp::from_ms(1_795_512_600_000);

/// Runs each story on both engines.
macro_rules! worlds {
    ($($(#[$meta:meta])* async fn $name:ident($house:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports, reason = "each story uses what it needs of its file's imports")]
            use super::*;

            $(#[$meta])*
            async fn story($house: $crate::harness::House) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                story($crate::harness::House::on_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                story($crate::harness::House::on_postgres().await).await;
            }
        })*
    };
}

/// An inline snapshot that both worlds must show alike. `cargo insta` writes it.
macro_rules! shows {
    ($value:expr, @$text:literal) => {{
        let shown = $value.to_string();
        insta::allow_duplicates! { insta::assert_snapshot!(shown, @$text) }
    }};
}

pub(crate) use {shows, worlds};

/// One Keyhouse on a database of its own.
pub struct House {
    pub app: App,
    pub clock: Clock,
    pub front: Front,
    pub place: Place,
    pub stop: watch::Sender<bool>,
}

/// Where a house's database is; it goes with the house.
pub enum Place {
    Folder(tempfile::TempDir),
    Postgres { url: String },
}

impl Place {
    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().expect("a temporary folder"))
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
    pub async fn tamper(&self, sql: &str) -> sqlx::Result<u64> {
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

impl House {
    pub async fn on_sqlite() -> Self {
        Self::at(Place::folder()).await
    }

    pub async fn on_postgres() -> Self {
        Self::at(Place::postgres().await).await
    }

    pub async fn at(place: Place) -> Self {
        Self::limited(place, Limits::default()).await
    }

    /// A house with rate limits; those of the stories have none unless that is what they tell of.
    pub async fn limited(place: Place, limits: Limits) -> Self {
        let clock = Clock::manual(BEGINNING);
        let app = open_with(&place, clock.clone(), 1, limits).await;
        let (stop, stopping) = watch::channel(false);
        let trusted_proxies = ["192.0.2.1/32".parse().expect("a network")].into();
        let front = web::front(Web { app: app.clone(), trusted_proxies, public_url: None, stopping });
        Self { app, clock, front, place, stop }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub async fn team(&self, name: &str) -> Team {
        let owner = Email::parse(&format!("owner@{}.example", name.to_lowercase())).expect("an address");
        self.app.create_team("tester", &TeamName::parse(name).expect("a name"), &owner).await.expect("a team")
    }

    pub fn shell(&self, team: &Team) -> KeyAdmin {
        KeyAdmin::shell("tester", team.id)
    }

    pub async fn key(&self, team: &Team, mode: Mode, scope: Scope) -> Created {
        let new = NewKey { name: KeyName::parse("A key").expect("a name"), mode, scope };
        self.app.create_key(&self.shell(team), new).await.expect("a key")
    }

    /// A team with a live read & write key: enough for most stories. Returns the token.
    pub async fn live_token(&self) -> String {
        let team = self.team("Acme").await;
        self.key(&team, Mode::Live, Scope::ReadWrite).await.token.expose().to_owned()
    }

    /// A browser in which this person has just signed in, by a link: its cookie.
    pub async fn browser(&self, email: &str) -> String {
        let email = Email::parse(email).expect("an address");
        let code = self.app.sign_in_link("tester", &email).await.expect("a link").expect("a person");
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

    /// As [`House::answer`], from another peer: the listed proxy, say.
    pub async fn answer_from(&self, peer: [u8; 4], call: http::Call<'_>) -> Answer {
        Answer::read(self.front.answer(SocketAddr::from((peer, 40_000)), call.request()).await).await
    }

    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let peer = SocketAddr::from(([203, 0, 113, 7], 40_000));
        Answer::read(self.front.answer(peer, request).await).await
    }
}

/// Another node on the same database, with dice of its own.
pub async fn open(place: &Place, clock: Clock, seed: u64) -> App {
    open_with(place, clock, seed, Limits::default()).await
}

pub async fn open_with(place: &Place, clock: Clock, seed: u64, limits: Limits) -> App {
    let (store, brand, _warnings) = Store::migrate_and_open(&place.location(), None).await.expect("the database opens");
    App::new(store, brand, clock, Dice::seeded(seed), limits)
}

/// Asks what changed until there is an answer: a machine that is busy with others may be too late for one question.
pub async fn follow(app: &App, follower: &mut Follower) {
    for _ in 0..10 {
        if app.follow(follower).await.is_ok() {
            return;
        }
    }
    panic!("the database does not say what changed");
}
