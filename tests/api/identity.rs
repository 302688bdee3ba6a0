//! Signed identity: what the token states, who can verify it, and that a rotation refuses no call.

use rstest::rstest;
use std::collections::VecDeque;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use keyhouse::app::App;
use keyhouse::app::identity::{IdentityError, SealingSecret};
use keyhouse::app::infra::clock::Clock;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use test_support::{BEGINNING, Engine, TestApp, TestDatabase, assert_text, open};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn secret(of: char) -> SealingSecret {
    SealingSecret::parse(&of.to_string().repeat(32)).unwrap()
}

/// A node that signs, on a database that others may share.
async fn node(place: &TestDatabase, clock: &Clock, seed: u64, of: char) -> App {
    open(place, clock.clone(), seed).await.with_identity(secret(of), "https://keys.example.com".to_owned())
}

async fn signing(engine: Engine) -> TestApp {
    let (place, clock) = (TestDatabase::on(engine).await, Clock::manual(BEGINNING));
    let app = node(&place, &clock, 1, 's').await;
    app.load_identity_keys().await.unwrap();
    TestApp::serve(place, clock, app, |_| {})
}

async fn identity(app: &TestApp, token: &str) -> String {
    let answer = app.get("/auth/verify").bearer(token).header("x-forwarded-method", "GET").await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.header("x-keyhouse-identity").expect("a signed identity").to_owned()
}

async fn published(app: &TestApp) -> Vec<Value> {
    app.get("/.well-known/jwks.json").await.json()["keys"].as_array().unwrap().clone()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// Whether a service with these public keys accepts the token at `now`, in seconds.
fn accepts(keys: &[Value], token: &str, now: i64) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let Some(key) = keys.iter().find(|key| key["kid"] == decoded(header)["kid"]) else { return false };
    let public = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).is_ok()
        && decoded(claims)["exp"].as_i64().unwrap() > now
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_verified_call_carries_a_token_that_states_the_key(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = signing(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Test, Scope::ReadOnly).await;
    let token = identity(&app, key.token.expose()).await;
    let keys = published(&app).await;
    assert!(accepts(&keys, &token, BEGINNING.ms() / 1000 + 59));
    let parts: Vec<&str> = token.split('.').collect();
    let header = decoded(parts[0]);
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("EdDSA"), Some("JWT")));
    let claims =
        decoded(parts[1]).to_string().replace(&team.id.to_string(), "TEAM").replace(&key.key.id.to_string(), "KEY");
    let jti = decoded(parts[1])["jti"].as_str().unwrap().to_owned();
    assert_text!(claims.replace(&jti, "REQUEST"), @r#"
    {"iss":"https://keys.example.com","sub":"KEY","team":"TEAM","mode":"test","scope":"read_only","iat":1795512600,"exp":1795512660,"jti":"REQUEST"}
    "#);
    let envoy = app.get("/auth/envoy/orders").bearer(key.token.expose()).await;
    assert!(accepts(&keys, envoy.header("x-keyhouse-identity").unwrap(), BEGINNING.ms() / 1000));
    let refused = app.call("POST", "/auth/envoy/orders").bearer(key.token.expose()).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-keyhouse-identity")), (403, None));
    let keys = app.get("/.well-known/jwks.json").await;
    assert_eq!(keys.header("cache-control"), Some("public, max-age=300"));
    assert!(!keys.text().contains("\"d\""), "no private part");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_token_and_no_key() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let answer = app.get("/auth/verify").bearer(&token).header("x-forwarded-method", "GET").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keyhouse-identity")), (200, None));
    assert_eq!(app.get("/.well-known/jwks.json").await.text(), r#"{"keys":[]}"#);
    assert!(matches!(app.inner.rotate_identity_key(false).await, Err(IdentityError::Off)));
}

/// A service keeps the public keys for 10 minutes, twice as long as it may, and gets each token up to 59 s late.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_refuses_no_call_even_of_services_that_keep_the_keys_too_long(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = signing(engine).await;
    let token = app.live_token().await;
    let shell = node(&app.place, &app.clock, 2, 's').await;
    let (mut kept, mut late) = (Vec::new(), VecDeque::new());
    let mut kids = Vec::new();
    // An hour in steps of 10 s, with rotations after 5 and 30 minutes.
    for step in 0..360 {
        if [30, 180].contains(&step) {
            let rotation = shell.rotate_identity_key(false).await.unwrap();
            let again = shell.rotate_identity_key(false).await;
            assert!(matches!(again, Err(IdentityError::Announced(from)) if from == rotation.signs_from), "{again:?}");
        }
        app.inner.reload_identity_keys().await.unwrap();
        if step % 60 == 0 {
            kept = published(&app).await;
        }
        late.push_back(identity(&app, &token).await);
        let now = app.clock.now().ms() / 1000;
        assert!(accepts(&kept, &late[late.len() - 1], now), "step {step}");
        if late.len() > 5 {
            let first = late.pop_front().unwrap();
            assert!(accepts(&published(&app).await, &first, now), "step {step}");
            kids.push(decoded(first.split('.').next().unwrap())["kid"].to_string());
        }
        app.advance(10 * SECOND);
    }
    kids.dedup();
    assert_eq!(kids.len(), 3, "three keys have signed");
    assert_eq!(published(&app).await.len(), 1, "former keys are withdrawn");
    shell.rotate_identity_key(false).await.unwrap();
    assert_eq!(app.inner.queries().identity_keys().await.unwrap().len(), 2, "and deleted with the next rotation");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rotating_now_withdraws_the_stolen_key_on_every_node(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = signing(engine).await;
    let token = app.live_token().await;
    let stolen = identity(&app, &token).await;
    let shell = node(&app.place, &app.clock, 2, 's').await;
    let rotation = shell.rotate_identity_key(true).await.unwrap();
    assert_eq!((rotation.signs_from, rotation.former_published_until), (app.clock.now(), None));
    assert_eq!(app.inner.reload_identity_keys().await.unwrap(), 1);
    let keys = published(&app).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["kid"], rotation.kid);
    let now = app.clock.now().ms() / 1000;
    assert!(!accepts(&keys, &stolen, now));
    assert!(accepts(&keys, &identity(&app, &token).await, now));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_share_one_first_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (place, clock) = (TestDatabase::on(engine).await, Clock::manual(BEGINNING));
    let (a, b) = (node(&place, &clock, 1, 's').await, node(&place, &clock, 2, 's').await);
    let (one, other) = tokio::join!(a.load_identity_keys(), b.load_identity_keys());
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(a.queries().identity_keys().await.unwrap().len(), 1);
    assert_eq!(a.published_identity_keys(), b.published_identity_keys());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_secret_does_not_start_and_one_with_the_former_secret_answers_503_in_the_end(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = signing(engine).await;
    let token = app.live_token().await;
    let other = node(&app.place, &app.clock, 2, 'n').await;
    assert!(matches!(other.load_identity_keys().await, Err(IdentityError::WrongSecret)));
    // The new secret comes into use by a rotation: the former key signs on the nodes that have not got it.
    other.rotate_identity_key(false).await.unwrap();
    app.inner.reload_identity_keys().await.unwrap();
    for _ in 0..16 {
        identity(&app, &token).await;
        app.advance(MINUTE);
    }
    assert!(other.load_identity_keys().await.is_ok(), "the new key signs now");
    app.advance(MINUTE);
    let answer = app.get("/auth/verify").bearer(&token).header("x-forwarded-method", "GET").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "service_unavailable"));
}
