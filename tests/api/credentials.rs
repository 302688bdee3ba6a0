//! Credentials: one 401 for every bad one, byte for byte; scopes; last use.

use rstest::rstest;
use std::time::Duration;

use keyhouse::web::server::HttpService;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use test_support::{Engine, TestApp, assert_text};

const WELL_FORMED: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_token_gets_the_same_401(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let revoked = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&team), revoked.key.id, None).await.unwrap();

    let unknown = app.get("/api/v1/products").bearer(WELL_FORMED).await;
    assert_text!(unknown.without_request_id(), @r#"
    401 Unauthorized
    cache-control: no-store
    content-length: 151
    content-type: application/json
    www-authenticate: Bearer realm="api", error="invalid_token"
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"authentication_error","code":"invalid_token","message":"Invalid or missing API token","request_id":"req_…"}}
    "#);
    let giant = "a".repeat(100_000);
    let swapped = WELL_FORMED.replace("live", "test");
    for value in [
        format!("Bearer {}", revoked.token.expose()),
        format!("Bearer {}", &WELL_FORMED[..49]),
        format!("Bearer {WELL_FORMED}x"),
        format!("Bearer {swapped}"),
        format!("Bearer {giant}"),
        format!("Bearer {WELL_FORMED} "),
        format!("Bearer {WELL_FORMED}\t"),
        format!("Bearer \t{WELL_FORMED}"),
        format!("Bearer {WELL_FORMED},{WELL_FORMED}"),
        format!("Bearer \"{WELL_FORMED}\""),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer pk_live_%30123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB".to_owned(),
        "Bearer \u{00a0}pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB".to_owned(),
    ] {
        let answer = app.get("/api/v1/products").header("authorization", &value).await;
        assert_eq!(answer.without_request_id(), unknown.without_request_id(), "{:.80}", value);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_bearer_credential_gets_the_bare_challenge(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let missing = app.get("/api/v1/products").await;
    assert_text!(missing.without_request_id(), @r#"
    401 Unauthorized
    cache-control: no-store
    content-length: 151
    content-type: application/json
    www-authenticate: Bearer realm="api"
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"authentication_error","code":"invalid_token","message":"Invalid or missing API token","request_id":"req_…"}}
    "#);
    let bearer = format!("Bearer {token}");
    let cases = [
        app.get("/api/v1/products").header("authorization", &bearer).header("authorization", &bearer),
        app.get("/api/v1/products").header("authorization", format!("Basic {token}")),
        app.get("/api/v1/products").header("authorization", &token),
        app.get("/api/v1/products").header("authorization", format!("Bearer\t{token}")),
        app.get("/api/v1/products").header("authorization", format!(" Bearer {token}")),
        app.get(&format!("/api/v1/products?token={token}&access_token={token}&api_key={token}")),
        app.get("/api/v1/products").header("cookie", format!("token={token}; session={token}")),
        app.get("/api/v1/products").header("x-api-key", &token),
        app.get("/api/v1/products").header("proxy-authorization", &bearer),
    ];
    for call in cases {
        assert_eq!(call.await.without_request_id(), missing.without_request_id());
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheme_is_taken_in_any_case_and_with_any_number_of_spaces(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR    "] {
        let answer = app.get("/api/v1/products").header("authorization", format!("{scheme}{token}")).await;
        assert_eq!(answer.status, 200, "{scheme:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_every_path_under_api_v1_is_401(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    for (method, path) in [
        ("GET", "/api/v1"),
        ("GET", "/api/v1/"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1//products"),
        ("GET", "/api/v1/products/"),
        ("GET", "/api/v1/%70roducts"),
        ("GET", "/api/v1/../v1/products"),
        ("PUT", "/api/v1/products"),
        ("TRACE", "/api/v1/products"),
        ("OPTIONS", "/api/v1/products"),
        ("BREW", "/api/v1/products"),
    ] {
        assert_eq!(app.call(method, path).await.status, 401, "{method} {path}");
    }
    assert_eq!(app.get("/api/v10/products").await.status, 404, "another tree");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_key_can_read_and_not_write(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let token = key.token.expose();
    assert_eq!(app.get("/api/v1/products").bearer(token).await.status, 200);
    assert_eq!(app.call("HEAD", "/api/v1/products").bearer(token).await.status, 200);
    let refused = app.post("/api/v1/products", "not even JSON").bearer(token).await;
    assert_text!(refused.without_request_id(), @r#"
    403 Forbidden
    cache-control: no-store
    content-length: 183
    content-type: application/json
    www-authenticate: Bearer realm="api", error="insufficient_scope"
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"permission_error","code":"scope_insufficient","message":"This key is read-only; use a Read & Write key for this call","request_id":"req_…"}}
    "#);
    let tricked = app.post("/api/v1/products", "{}").bearer(token).header("x-http-method-override", "GET").await;
    assert_eq!(tricked.without_request_id(), refused.without_request_id());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_key_returns_the_key_without_its_name(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Test, Scope::ReadOnly).await;
    let answer = app.get("/api/v1/key").bearer(key.token.expose()).await;
    assert_text!(answer.text(), @r#"{"data":{"id":"key_01m86e81e056bfar8m5wah876a","prefix":"pk_test_nX8","mode":"test","scope":"read_only","createdAt":"2026-11-24T09:30:00.000Z","expiresAt":null}}"#);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_use_is_written_in_the_background_and_only_for_admitted_calls(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let last_use = async || {
        app.inner.flush_usage(keyhouse::app::usage::Flush::Due).await.unwrap();
        let listed = app.inner.queries().key(key.key.id).await.unwrap().unwrap();
        listed.last_use.map(|used| (used.at.ms() - test_support::BEGINNING.ms(), used.from))
    };
    assert_eq!(last_use().await, None);

    app.advance(Duration::from_secs(1));
    app.post("/api/v1/products", "{}").bearer(key.token.expose()).await;
    assert_eq!(last_use().await, Some((1000, "203.0.113.7".to_owned())), "a 403 counts as a use");

    app.advance(Duration::from_secs(2));
    app.get("/api/v1/products").bearer(key.token.expose()).await;
    assert_eq!(last_use().await.unwrap().0, 1000, "one write a minute");
    app.advance(Duration::from_secs(58));
    assert_eq!(last_use().await.unwrap().0, 3000);

    app.advance(Duration::from_secs(90));
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    app.get("/api/v1/products").bearer(key.token.expose()).await;
    assert_eq!(last_use().await.unwrap().0, 3000, "a refused call does not count as a use");
}

#[tokio::test]
async fn only_a_trusted_proxy_names_the_client() {
    let app = TestApp::on(Engine::Sqlite).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    for (peer, client) in [("203.0.113.7", "203.0.113.7"), ("192.0.2.1", "198.51.100.9")] {
        let request = axum::http::Request::get("/api/v1/products")
            .header("host", "keyhouse.test")
            .header("authorization", format!("Bearer {}", key.token.expose()))
            .header("x-forwarded-for", "10.9.8.7, 198.51.100.9");
        let peer = std::net::SocketAddr::new(peer.parse().unwrap(), 1);
        app.service.handle(peer, request.body(axum::body::Body::empty()).unwrap()).await;
        app.inner.flush_usage(keyhouse::app::usage::Flush::Everything).await.unwrap();
        assert_eq!(app.inner.queries().key(key.key.id).await.unwrap().unwrap().last_use.unwrap().from, client);
        app.advance(Duration::from_secs(1));
    }
}
