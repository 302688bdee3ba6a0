//! The feed of digests, for gateways that verify keys themselves.

use rstest::rstest;
use std::net::SocketAddr;

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use keyhouse::app::infra::clock::Clock;
use keyhouse::web::feed::FeedSettings;
use keyhouse::web::server::HttpService;
use keyhouse::web::shared_secret::SharedSecret;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use serde_json::Value;
use test_support::{BEGINNING, Engine, TestApp, TestDatabase, open};

const SECRET: &str = "the gateways and Keyhouse share this secret";

async fn with_feed(engine: Engine) -> TestApp {
    let (place, clock) = (TestDatabase::on(engine).await, Clock::manual(BEGINNING));
    let inner = open(&place, clock.clone(), 1).await;
    TestApp::serve(place, clock, inner, |state| {
        state.feed = FeedSettings::new(Some(SharedSecret::parse(SECRET).unwrap()));
    })
}

/// A follower's connection.
struct Follower {
    body: BodyDataStream,
    text: String,
}

/// An event: its name, its id and its data.
type Event = (String, String, Value);

impl Follower {
    async fn connect(app: &TestApp, path: &str, last: &str) -> Self {
        let mut call = app.get(path).bearer(SECRET);
        if !last.is_empty() {
            call = call.header("last-event-id", last);
        }
        let peer = SocketAddr::from(([203, 0, 113, 7], 40_000));
        let response = app.service.handle(peer, call.request()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            self.text += std::str::from_utf8(&self.body.next().await?.unwrap()).unwrap();
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_default().to_owned()
        };
        let found = (field("event"), field("id"), serde_json::from_str(&field("data")).unwrap());
        self.text = rest.to_owned();
        Some(found)
    }

    /// The events up to the next confirmation, and its id.
    async fn until_alive(&mut self) -> (Vec<Event>, String) {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.expect("the feed has another event");
            if event.0 == "alive" {
                return (events, event.1);
            }
            events.push(event);
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_all_usable_tokens_and_then_each_change(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = with_feed(engine).await;
    let (acme, globex) = (app.team("Acme").await, app.team("Globex").await);
    let kept = app.key(&acme, Mode::Live, Scope::ReadOnly).await;
    let ended = app.key(&acme, Mode::Test, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&acme), ended.key.id, None).await.unwrap();
    let mut all = Follower::connect(&app, "/feed/keys", "").await;
    let (events, _) = all.until_alive().await;
    assert_eq!(events.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), ["reset", "key"]);
    let token = &events[1].2;
    assert_eq!(token["id"], kept.key.id.to_string());
    assert_eq!(
        (&token["mode"], &token["scope"], &token["active"]),
        (&"live".into(), &"read_only".into(), &true.into())
    );
    assert!(token["digest"].as_str().unwrap().starts_with("sha256:"));

    let mut one = Follower::connect(&app, "/feed/keys?team=globex", "").await;
    assert_eq!(one.until_alive().await.0.len(), 1, "nothing but the reset");
    let new = app.key(&globex, Mode::Live, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&acme), kept.key.id, None).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(all.until_alive().await.0);
    }
    assert_eq!((&seen[0].2["id"], &seen[0].2["active"]), (&new.key.id.to_string().into(), &true.into()));
    assert_eq!((&seen[1].2["id"], &seen[1].2["active"]), (&kept.key.id.to_string().into(), &false.into()));
    let mut seen = Vec::new();
    while seen.is_empty() {
        seen.extend(one.until_alive().await.0);
    }
    assert_eq!((seen.len(), &seen[0].2["id"]), (1, &new.key.id.to_string().into()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_resumes_where_it_was_and_starts_anew_after_a_restored_backup(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = with_feed(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let mut follower = Follower::connect(&app, "/feed/keys", "").await;
    let (events, last) = follower.until_alive().await;
    assert_eq!(events[1].1, last, "the last change is the state of the database");
    drop(follower);
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    for (path, id) in [("/feed/keys".to_owned(), last.as_str()), (format!("/feed/keys?after={last}"), "")] {
        let (events, _) = Follower::connect(&app, &path, id).await.until_alive().await;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((&events[0].2["id"], &events[0].2["active"]), (&key.key.id.to_string().into(), &false.into()));
    }
    app.place.execute_sql("UPDATE changes SET epoch = 'restored'").await.unwrap();
    let (events, id) = Follower::connect(&app, "/feed/keys", &last).await.until_alive().await;
    assert_eq!((events[0].0.as_str(), events.len()), ("reset", 1), "{events:?}");
    assert!(id.starts_with("restored."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_needs_its_secret_and_ends_when_the_server_stops() {
    let app = with_feed(Engine::Sqlite).await;
    let token = app.live_token().await;
    for secret in ["", &SECRET[1..], &token] {
        let answer = app.get("/feed/keys").bearer(secret).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some(r#"Bearer realm="feed""#)));
    }
    for path in ["/feed/keys?after=x", "/feed/keys?team=absent"] {
        let answer = app.get(path).bearer(SECRET).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_parameter"), "{path}");
    }
    let mut followers = Vec::new();
    for _ in 0..16 {
        followers.push(Follower::connect(&app, "/feed/keys", "").await);
    }
    assert_eq!(app.get("/feed/keys").bearer(SECRET).await.status, 429, "a node has 16 places");
    let mut follower = followers.remove(0);
    follower.until_alive().await;
    app.stopping.begin();
    while follower.next().await.is_some() {}
}
