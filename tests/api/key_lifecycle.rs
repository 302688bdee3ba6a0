//! What the API answers to keys that expire, are paused, are used from elsewhere or have two tokens.

use std::time::Duration;

use keyhouse_domain::api_key::{AllowedNetworks, Conditions, KeyName, NewKey, Overlap};
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use rstest::rstest;

use test_support::{Engine, TestApp, follow};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_that_may_not_be_used_gets_the_401_of_an_unknown_token(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let admin = app.shell(&team);
    let expires_at = Some(app.clock.now().plus(HOUR));
    let allowed = AllowedNetworks::parse("10.0.0.0/8").unwrap();
    let key = async |conditions: Conditions| {
        let new = NewKey::new(KeyName::parse("K").unwrap(), Mode::Live, Scope::ReadWrite).with_conditions(conditions);
        app.inner.create_key(&admin, new).await.unwrap()
    };
    let expiring = key(Conditions { expires_at, ..Conditions::default() }).await;
    let elsewhere = key(Conditions { allowed, ..Conditions::default() }).await;
    let paused = key(Conditions::default()).await;
    let rotated = key(Conditions::default()).await;
    app.inner.pause_key(&admin, paused.key.id, None).await.unwrap();
    app.inner.rotate_key(&admin, rotated.key.id, Overlap::default()).await.unwrap();
    app.inner.end_former_token(&admin, rotated.key.id).await.unwrap();
    assert_eq!(app.get("/api/v1/key").bearer(expiring.token.expose()).await.status, 200);
    app.advance(HOUR);
    let cases = [
        ("expired", &expiring.token),
        ("address", &elsewhere.token),
        ("paused", &paused.token),
        ("former_token", &rotated.token),
    ];
    for path in ["/api/v1/products", "/auth/verify"] {
        let unknown = app.get(path).bearer(UNKNOWN).await.without_request_id();
        assert!(unknown.starts_with("401 "), "{unknown}");
        for (reason, token) in cases {
            let answer = app.get(path).bearer(token.expose()).await;
            assert_eq!(answer.without_request_id(), unknown, "{reason}");
        }
    }
    let metrics = app.inner.metrics_text().unwrap();
    for (reason, _) in cases {
        let line = format!("keyhouse_api_requests_total{{outcome=\"{reason}\"}} 2");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    // The listed proxy names a client inside the network.
    let call = app.get("/api/v1/key").bearer(elsewhere.token.expose()).header("x-forwarded-for", "10.1.2.3");
    assert_eq!(app.answer_from([192, 0, 2, 1], call).await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_by_itself_on_each_node_at_the_same_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let mut feed = app.inner.change_feed();
    follow(&app.inner, &mut feed).await;
    let until = app.clock.now().plus(Duration::from_millis(1500));
    app.inner.pause_key(&app.shell(&team), key.key.id, Some(until)).await.unwrap();
    let status = async || app.get("/api/v1/key").bearer(key.token.expose()).await.status.as_u16();
    assert_eq!(status().await, 401);
    app.advance(Duration::from_millis(1499));
    assert_eq!(status().await, 401);
    app.advance(Duration::from_millis(1));
    assert_eq!(status().await, 200, "without another poll of the database");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_announce_the_end_of_a_key_and_of_a_former_token(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let admin = app.shell(&team);
    let expires_at = app.clock.now().plus(15 * DAY);
    let conditions = Conditions { expires_at: Some(expires_at), ..Conditions::default() };
    let new = NewKey::new(KeyName::parse("K").unwrap(), Mode::Live, Scope::ReadWrite).with_conditions(conditions);
    let key = app.inner.create_key(&admin, new).await.unwrap();
    let headers = ["keyhouse-key-expires", "keyhouse-token-ends", "deprecation"];
    let announced = async |token: &str| {
        let answer = app.get("/api/v1/key").bearer(token).await;
        assert_eq!(answer.json()["data"]["expiresAt"], expires_at.to_string());
        headers.map(|name| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    assert_eq!(announced(key.token.expose()).await, [None, None, None]);
    app.advance(DAY);
    assert_eq!(announced(key.token.expose()).await, [Some(expires_at.to_string()), None, None], "14 days before");
    let rotated = app.inner.rotate_key(&admin, key.key.id, Overlap::default()).await.unwrap();
    let end = rotated.former_ends_at;
    assert_eq!(
        announced(key.token.expose()).await,
        [Some(expires_at.to_string()), Some(end.to_string()), Some(format!("@{}", end.ms() / 1000))]
    );
    assert_eq!(announced(rotated.token.expose()).await, [Some(expires_at.to_string()), None, None]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_use_on_two_nodes_ends_the_former_token_at_one_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let other = test_support::open(&app.place, app.clock.clone(), 2).await;
    let (mut here, mut there) = (app.inner.change_feed(), other.change_feed());
    let overlap = "1h".parse().unwrap();
    let rotated = app.inner.rotate_key(&app.shell(&team), key.key.id, overlap).await.unwrap();
    follow(&app.inner, &mut here).await;
    follow(&other, &mut there).await;
    let token = |text: &str| keyhouse_token::RawToken::parse(text.as_bytes(), app.inner.brand()).unwrap();
    let from = [192, 0, 2, 9].into();

    let first = app.clock.now();
    let found = other.authenticate(token(rotated.token.expose()), from).await.unwrap();
    other.note_token_use(&found, from);
    app.advance(Duration::from_millis(500));
    assert_eq!(app.get("/api/v1/key").bearer(rotated.token.expose()).await.status, 200);
    // The node that saw the later use writes first.
    assert_eq!(app.inner.record_first_uses().await.unwrap(), 1);
    assert_eq!(other.record_first_uses().await.unwrap(), 1);
    follow(&app.inner, &mut here).await;
    follow(&other, &mut there).await;
    let former = app.inner.queries().key(key.key.id).await.unwrap().unwrap().former.unwrap();
    assert_eq!(former.token.ends_at, Some(first.plus(HOUR)), "the earliest use counts");

    app.advance(HOUR - Duration::from_millis(501));
    follow(&app.inner, &mut here).await;
    follow(&other, &mut there).await;
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
    assert!(other.authenticate(token(key.token.expose()), from).await.is_ok());
    app.advance(Duration::from_millis(1));
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
    assert!(other.authenticate(token(key.token.expose()), from).await.is_err());
    assert_eq!(app.get("/api/v1/key").bearer(rotated.token.expose()).await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_ten_keys_one_can_be_rotated(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(app.key(&team, Mode::Live, Scope::ReadOnly).await);
    }
    let rotated = app.inner.rotate_key(&app.shell(&team), keys[3].key.id, Overlap::default()).await.unwrap();
    assert_eq!(app.get("/api/v1/key").bearer(rotated.token.expose()).await.status, 200);
    assert_eq!(app.inner.active_key_count(team.id).await.unwrap(), 10);
}
