//! Rate limits: the definition, the headers of every authenticated response, refused tokens, wrong passwords, budgets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::rate_limit::{BAD_TOKENS_WINDOW, Limits};
use keyhouse::web::server::HttpService;
use keyhouse_domain::api_key::KeyName;
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::scope::Scope;
use keyhouse_token::{Mode, RawToken};
use rstest::rstest;

use test_support::dashboard::PASSWORD;
use test_support::metrics::Metrics;
use test_support::{Answer, Engine, TestApp, TestDatabase, assert_text, follow};

const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

async fn app(per_key: u64, bad_tokens: u64) -> TestApp {
    let limits = Limits {
        per_key: RateLimit::new(per_key, Duration::from_secs(60)),
        bad_tokens: RateLimit::new(bad_tokens, BAD_TOKENS_WINDOW),
    };
    TestApp::limited(TestDatabase::folder(), limits).await
}

async fn from(app: &TestApp, peer: &str, token: &str) -> Answer {
    let request = Request::get("/api/v1/key").header("host", "a").header("authorization", format!("Bearer {token}"));
    let peer = SocketAddr::new(peer.parse().unwrap(), 1);
    Answer::read(app.service.handle(peer, request.body(Body::empty()).unwrap()).await).await
}

#[tokio::test]
async fn a_key_over_its_limit_gets_429_with_retry_after() {
    let app = app(3, 0).await;
    let token = app.live_token().await;
    let quota = |answer: &Answer| answer.header("x-ratelimit-remaining").unwrap().to_owned();
    // The test's clock starts on a full minute. Every authenticated call counts, whatever its result.
    assert_eq!(quota(&app.get("/api/v1/key").bearer(&token).await), "2");
    assert_eq!(quota(&app.get("/api/v1/nothing").bearer(&token).await), "1");
    let last = app.call("PUT", "/api/v1/products").bearer(&token).await;
    assert_text!(last.without_request_id(), @r#"
    405 Method Not Allowed
    allow: GET,HEAD,POST
    cache-control: no-store
    content-length: 189
    content-type: application/json
    x-content-type-options: nosniff
    x-ratelimit-limit: 3
    x-ratelimit-remaining: 0
    x-ratelimit-reset: 1795512660
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"method_not_allowed","message":"This path does not support this method; see the Allow header","request_id":"req_…"}}
    "#);
    let refused = app.get("/api/v1/key").bearer(&token).await;
    assert_text!(refused.without_request_id(), @r#"
    429 Too Many Requests
    cache-control: no-store
    content-length: 192
    content-type: application/json
    retry-after: 61
    x-content-type-options: nosniff
    x-ratelimit-limit: 3
    x-ratelimit-remaining: 0
    x-ratelimit-reset: 1795512660
    x-request-id: req_…

    {"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"Too many requests; retry after the number of seconds in Retry-After","request_id":"req_…"}}
    "#);
    for path in ["/api/v1/nothing", "/api/v1/products"] {
        assert_eq!(app.post(path, "{}").bearer(&token).await.status, 429, "before all else but 401: {path}");
    }
    app.advance(Duration::from_secs(61));
    assert_eq!(quota(&app.get("/api/v1/key").bearer(&token).await), "0", "refused calls were not counted");
}

#[tokio::test]
async fn retry_after_is_the_least_wait_after_which_one_call_passes() {
    let app = app(5, 0).await;
    let token = app.live_token().await;
    app.advance(Duration::from_secs(10));
    for _ in 0..5 {
        assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);
    }
    for _ in 0..4 {
        let refused = app.get("/api/v1/key").bearer(&token).await;
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        if wait > 1 {
            app.advance(Duration::from_secs(wait - 1));
            assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 429, "not a second before");
            app.advance(Duration::from_secs(1));
        } else {
            app.advance(Duration::from_secs(wait));
        }
        assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);
    }
}

#[tokio::test]
async fn each_key_has_its_own_limit_and_a_rename_does_not_reset_it() {
    let app = app(2, 0).await;
    let team = app.team("Acme").await;
    let first = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let second = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    for _ in 0..2 {
        assert_eq!(app.get("/api/v1/key").bearer(first.token.expose()).await.status, 200);
    }
    app.inner.rename_key(&app.shell(&team), first.key.id, &KeyName::parse("new").unwrap(), None).await.unwrap();
    assert_eq!(app.get("/api/v1/key").bearer(first.token.expose()).await.status, 429);
    assert_eq!(app.get("/api/v1/key").bearer(second.token.expose()).await.status, 200);
    // Revoked, it is 401 again, which is decided first.
    app.inner.revoke_key(&app.shell(&team), first.key.id, None).await.unwrap();
    let gone = app.get("/api/v1/key").bearer(first.token.expose()).await;
    assert_eq!((gone.status.as_u16(), gone.header("x-ratelimit-limit")), (401, None));
}

#[tokio::test]
async fn a_limit_of_zero_means_no_limit_and_no_headers() {
    let app = app(0, 0).await;
    let token = app.live_token().await;
    for _ in 0..50 {
        let answer = app.get("/api/v1/key").bearer(&token).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-limit")), (200, None));
        assert_eq!(app.get("/api/v1/key").bearer(UNKNOWN).await.status, 401);
    }
}

#[tokio::test]
async fn refused_tokens_are_counted_by_network_and_a_good_key_is_never_refused_for_them() {
    let app = app(0, 5).await;
    let token = app.live_token().await;
    for n in 0..5 {
        let guess = if n % 2 == 0 { UNKNOWN } else { "malformed" };
        assert_eq!(from(&app, &format!("203.0.113.{n}"), guess).await.status, 401);
    }
    let refused = from(&app, "203.0.113.200", UNKNOWN).await;
    assert_text!(refused.without_request_id(), @r#"
    429 Too Many Requests
    cache-control: no-store
    content-length: 192
    content-type: application/json
    retry-after: 61
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"Too many requests; retry after the number of seconds in Retry-After","request_id":"req_…"}}
    "#);
    assert_eq!(from(&app, "203.0.114.1", UNKNOWN).await.status, 401, "another network");
    assert_eq!(from(&app, "203.0.113.200", &token).await.status, 200, "a good token is never refused for its address");
    let missing = app.get("/api/v1/key").await;
    assert_eq!(missing.status, 401, "a missing header is always a plain 401");
    app.advance(Duration::from_secs(120));
    assert_eq!(from(&app, "203.0.113.200", UNKNOWN).await.status, 401);
}

#[tokio::test]
async fn a_malformed_token_does_not_count_against_the_key_it_resembles() {
    let app = app(5, 0).await;
    let token = app.live_token().await;
    let cut = &token[..49];
    for _ in 0..20 {
        app.get("/api/v1/key").bearer(cut).await;
    }
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.header("x-ratelimit-remaining"), Some("4"));
}

#[tokio::test]
async fn every_authenticated_response_has_the_rate_limit_headers() {
    let app = app(100, 0).await;
    let team = app.team("Acme").await;
    let writer = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let reader = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let (write, read) = (writer.token.expose(), reader.token.expose());
    let good = r#"{"name":"x","unitPrice":1,"currency":"EUR","sku":"S"}"#;
    let mut left = 100;
    for (status, call) in [
        (201, app.post("/api/v1/products", good).bearer(write)),
        (409, app.post("/api/v1/products", good).bearer(write)),
        (400, app.post("/api/v1/products", "{}").bearer(write)),
        (415, app.call("POST", "/api/v1/products").body("x").bearer(write)),
        (413, app.post("/api/v1/products", &" ".repeat(70_000)).bearer(write)),
        (404, app.get("/api/v1/products/x").bearer(write)),
        (404, app.get("/api/v1/x").bearer(write)),
        (405, app.call("PUT", "/api/v1/key").bearer(write)),
        (400, app.get("/api/v1/products?limit=0").bearer(write)),
        (200, app.call("HEAD", "/api/v1/key").bearer(write)),
    ] {
        let answer = call.await;
        left -= 1;
        let shown = (answer.status.as_u16(), answer.header("x-ratelimit-remaining").and_then(|left| left.parse().ok()));
        assert_eq!(shown, (status, Some(left)));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
        assert_eq!(answer.header("x-ratelimit-reset"), Some("1795512660"));
    }
    let refused = app.post("/api/v1/products", good).bearer(read).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-ratelimit-remaining")), (403, Some("99")));
}

/// The limit refuses answers; the work of looking tokens up is bounded by letting such networks wait for each other.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_from_a_network_over_its_limit_use_one_connection_at_a_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let limits = Limits { per_key: None, bad_tokens: RateLimit::new(5, BAD_TOKENS_WINDOW) };
    let app = TestApp::limited(TestDatabase::on(engine).await, limits).await;
    let token = app.live_token().await;
    follow(&app.inner, &mut app.inner.change_feed()).await;
    let rng = Rng::seeded(7);
    let unknown =
        || RawToken::from_entropy(app.inner.brand(), Mode::Live, |bytes| rng.fill_bytes(bytes)).expose().to_owned();
    for _ in 0..5 {
        assert_eq!(from(&app, "203.0.113.1", &unknown()).await.status, 401);
    }
    let flood: Vec<_> = (0..200).map(|_| unknown()).collect();
    let calls = flood.iter().map(|token| from(&app, "203.0.113.1", token));
    let (flooded, good) = tokio::join!(futures_util::future::join_all(calls), from(&app, "203.0.113.1", &token));
    assert!(flooded.iter().all(|answer| answer.status == 429));
    assert_eq!(good.status, 200, "a good token waits, and is not refused");
    // A task of sqlx's returns a connection to the pool, so now and then the next look-up comes before it. Without the
    // queue nearly all of the 200 find the pool empty.
    let waits = Metrics::of(&app.inner).sum("keyhouse_db_pool_waits_total");
    assert!(waits.is_some_and(|waits| waits <= 20.0), "{waits:?} look-ups found all connections taken");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_of_strangers_do_not_lock_out_a_person_known_in_their_network(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    for n in 0..30 {
        assert_eq!(app.sign_in(&format!("p{n}@example.com"), "wrong").await.status, 422);
    }
    assert_eq!(app.sign_in("p30@example.com", "wrong").await.status, 429, "the strangers' limit");
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303, "her first session began in this network");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_send_sixty_forms_a_minute_and_a_person_sign_in_thirty_times_an_hour(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    for n in 0..60 {
        assert_ne!(app.send(&ada, "/account", &[]).await.status, 429, "{n}");
    }
    let refused = app.send(&ada, "/account", &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_some()), (429, true));
    assert!(app.is_in(&ada).await, "pages are still shown");
    app.advance(Duration::from_secs(120));
    assert_ne!(app.send(&ada, "/account", &[]).await.status, 429);

    for n in 0..30 {
        assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303, "{n}");
    }
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 429);
    app.advance(Duration::from_secs(2 * 60 * 60));
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303);
}
