//! Forward-auth: the same decisions as `/api/v1`, and no way to send a write past a read-only key.

use std::time::Duration;

use axum::http::HeaderName;
use keyhouse::app::rate_limit::{BAD_TOKENS_WINDOW, Limits};
use keyhouse::web::forward_auth::ForwardAuth;
use keyhouse::web::{self, AppState};
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use rstest::rstest;

use test_support::{Engine, TestApp, TestDatabase, assert_text};

const METHOD: &str = "x-forwarded-method";
const ORIGINAL: &str = "x-original-method";
const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

/// The same application with other settings of forward-auth.
fn with_settings(mut app: TestApp, settings: ForwardAuth) -> TestApp {
    app.service = web::service(AppState { forward_auth: settings, ..AppState::new(app.inner.clone()) });
    app
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admitted_call_returns_the_identity_of_its_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::limited(TestDatabase::on(engine).await, limits(10, 0)).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Test, Scope::ReadOnly).await;
    let token = key.token.expose();
    for method in ["GET", "HEAD", "OPTIONS"] {
        let answer = app.get("/auth/verify").bearer(token).header(METHOD, method).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("x-keyhouse-team"), Some(team.id.to_string().as_str()));
        assert_eq!(answer.header("x-keyhouse-key"), Some(key.key.id.to_string().as_str()));
        assert_eq!(answer.header("x-keyhouse-mode"), Some("test"));
        assert_eq!(answer.header("x-keyhouse-scope"), Some("read_only"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.body.is_empty() && !answer.headers.contains_key("set-cookie"));
    }
    // The method of the request to Keyhouse is the proxy's own choice.
    for own in ["POST", "DELETE", "OPTIONS", "HEAD", "BREW"] {
        let answer = app.call(own, "/auth/verify").bearer(token).header(METHOD, "GET").await;
        assert_eq!(answer.status, 200, "{own}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_key_never_passes_a_write(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let reader = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let writer = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let refused = app.get("/auth/verify").bearer(reader.token.expose()).header(METHOD, "POST").await;
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
    let smuggled: &[&[(&str, &str)]] = &[
        // No method, an empty one, or a method that is not exactly a read.
        &[],
        &[(METHOD, "")],
        &[(ORIGINAL, "")],
        &[(METHOD, "PUT")],
        &[(METHOD, "PATCH")],
        &[(METHOD, "DELETE")],
        &[(METHOD, "CONNECT")],
        &[(METHOD, "TRACE")],
        &[(METHOD, "PROPFIND")],
        &[(METHOD, "get")],
        &[(METHOD, "Get")],
        &[(METHOD, "GET,GET")],
        &[(METHOD, "GET, POST")],
        &[(METHOD, "GET POST")],
        &[(METHOD, "GET\tPOST")],
        &[(METHOD, "GET;POST")],
        &[(METHOD, "\"GET\"")],
        &[(METHOD, "GETS")],
        &[(METHOD, "\u{ff27}ET")],
        // The client's copy of the header that the other family of proxies uses.
        &[(METHOD, "POST"), (ORIGINAL, "GET")],
        &[(METHOD, "GET"), (ORIGINAL, "POST")],
        &[(ORIGINAL, "GET"), (METHOD, "")],
        &[(METHOD, "GET"), (ORIGINAL, "")],
        // Repeated headers, in each order.
        &[(METHOD, "GET"), (METHOD, "POST")],
        &[(METHOD, "POST"), (METHOD, "GET")],
        &[(ORIGINAL, "GET"), (ORIGINAL, "DELETE")],
        &[(METHOD, "GET"), (METHOD, "GET"), (ORIGINAL, "GET"), (ORIGINAL, "PUT")],
        // Names that only resemble the header.
        &[("x_forwarded_method", "GET")],
        &[("x-forwarded_method", "GET")],
        &[("x.forwarded.method", "GET")],
        &[("forwarded-method", "GET")],
        &[("x-forwarded-methods", "GET")],
        &[("x-original-methods", "GET"), ("x-method", "GET"), ("method", "GET"), (":method", "GET")],
        // Override headers: a write by them is a write, a read by them changes nothing.
        &[("x-http-method-override", "GET")],
        &[(METHOD, "POST"), ("x-http-method-override", "GET")],
        &[(METHOD, "GET"), ("x-http-method-override", "DELETE")],
        &[(METHOD, "GET"), ("x-http-method", "PUT")],
        &[(METHOD, "GET"), ("x-method-override", "patch")],
        &[(METHOD, "GET"), ("x-http-method-override", "GET"), ("x-http-method-override", "POST")],
        &[(METHOD, "GET"), ("x-http-method-override", "")],
    ];
    for headers in smuggled {
        // Both kinds of own method: neither may count.
        for own in ["GET", "POST"] {
            let call = |token: &str| {
                let sendable = headers.iter().filter(|(name, _)| !name.starts_with(':'));
                let call = app.call(own, "/auth/verify?method=GET&_method=GET").bearer(token);
                sendable.fold(call, |call, (name, value)| call.header(name, value))
            };
            let answer = call(reader.token.expose()).await;
            assert_eq!(answer.without_request_id(), refused.without_request_id(), "{own} {headers:?}");
            assert_eq!(call(writer.token.expose()).await.status, 200, "{own} {headers:?}");
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_envoy_the_method_of_the_request_counts_and_no_header(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let reader = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let token = reader.token.expose();
    for path in
        ["/auth/envoy", "/auth/envoy/", "/auth/envoy//", "/auth/envoy/v1/orders?x=1", "/auth/envoy/%2e%2e/verify"]
    {
        for (method, expected) in
            [("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("POST", 403), ("get", 403), ("TRACE", 403)]
        {
            let plain = app.call(method, path).bearer(token).await;
            assert_eq!(plain.status, expected, "{method} {path}");
            for header in [METHOD, ORIGINAL, "x-http-method-override"] {
                let answer = app.call(method, path).bearer(token).header(header, "GET").await;
                assert_eq!(answer.status, expected, "{method} {path} {header}");
            }
            let overridden = app.call(method, path).bearer(token).header("x-http-method-override", "POST").await;
            assert_eq!(overridden.status, 403, "{method} {path}");
            assert_eq!(app.call(method, path).await.status, 401, "{method} {path}");
        }
    }
    assert_eq!(app.call("GET", "/auth/envoyx").bearer(token).await.status, 404);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_those_of_the_api(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::limited(TestDatabase::on(engine).await, limits(2, 3)).await;
    let team = app.team("Acme").await;
    let revoked = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let good = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&team), revoked.key.id, None).await.unwrap();
    let both = |authorization: Option<String>| {
        let app = &app;
        async move {
            let call = |path: &str| {
                let call = app.get(path).header(METHOD, "GET").header("accept", "text/html");
                match &authorization {
                    Some(value) => call.header("authorization", value),
                    None => call,
                }
            };
            let answer = call("/auth/verify").await.without_request_id();
            (answer, call("/api/v1/key").await.without_request_id())
        }
    };
    for authorization in [None, Some(format!("Basic {UNKNOWN}")), Some(format!("Bearer {}", revoked.token.expose()))] {
        let (verify, api) = both(authorization).await;
        assert_eq!(verify, api);
    }
    // Two refused tokens so far: from the fourth on, the network has sent too many.
    both(Some(format!("Bearer {UNKNOWN}"))).await;
    let (verify, api) = both(Some(format!("Bearer {UNKNOWN}"))).await;
    assert!(verify.starts_with("429") && verify.contains("retry-after"), "{verify}");
    assert_eq!(verify, api);
    // One budget for calls of both trees.
    let token = good.token.expose();
    assert_eq!(app.get("/auth/verify").bearer(token).header(METHOD, "GET").await.status, 200);
    assert_eq!(app.get("/api/v1/key").bearer(token).await.status, 200);
    let (verify, api) = both(Some(format!("Bearer {token}"))).await;
    assert!(verify.starts_with("429") && verify.contains("x-ratelimit-remaining: 0"), "{verify}");
    assert_eq!(verify, api);
    app.advance(Duration::from_secs(120));
    assert_eq!(app.get("/auth/verify").bearer(token).header(METHOD, "GET").await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_header_only_that_header_counts_and_the_api_keeps_its_own(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let settings = ForwardAuth { key_header: HeaderName::from_static("x-api-key"), ..ForwardAuth::default() };
    let app = with_settings(app, settings);
    let token = app.live_token().await;
    let bearer = format!("Bearer {token}");
    for (headers, expected) in [
        (&[("x-api-key", token.as_str())][..], 200),
        (&[("x-api-key", &bearer)], 200),
        (&[("x-api-key", &token), ("authorization", "Basic dXNlcjpwYXNz")], 200),
        (&[("x-api-key", &token), ("authorization", "Bearer of-the-upstream")], 200),
        (&[("authorization", &bearer)], 401),
        (&[("x-api-key", UNKNOWN), ("authorization", &bearer)], 401),
        (&[("x-api-key", &token), ("x-api-key", &token)], 401),
        (&[("x-api-key", "Basic dXNlcjpwYXNz")], 401),
        (&[("x_api_key", &token)], 401),
    ] {
        let call = app.get("/auth/verify").header(METHOD, "GET");
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        assert_eq!(call.await.status, expected, "{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert_eq!(app.get("/auth/envoy/x").header("x-api-key", &token).await.status, 200);
    assert_eq!(app.get("/api/v1/key").header("x-api-key", &token).await.status, 401);
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);
}

#[tokio::test]
async fn disabled_endpoints_return_404() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let app = with_settings(app, ForwardAuth { enabled: false, ..ForwardAuth::default() });
    for path in ["/auth/verify", "/auth/envoy/", "/auth/envoy/x", "/auth"] {
        assert_eq!(app.get(path).bearer(&token).header(METHOD, "GET").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_answer_may_be_reused_no_longer_than_the_lease_lasts() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let max_age = async || {
        let answer = app.get("/auth/verify").bearer(&token).header(METHOD, "GET").await;
        answer.header("x-keyhouse-max-age").map(str::to_owned)
    };
    assert_eq!(max_age().await.as_deref(), Some("0"), "nothing follows the changes yet");
    let mut feed = app.inner.change_feed();
    app.inner.apply_changes(&mut feed).await.unwrap();
    assert_eq!(max_age().await.as_deref(), Some("3"));
    app.advance(Duration::from_millis(1500));
    assert_eq!(max_age().await.as_deref(), Some("1"));
    app.advance(Duration::from_secs(5));
    assert_eq!(max_age().await.as_deref(), Some("0"));
}

fn limits(per_key: u64, bad_tokens: u64) -> Limits {
    Limits {
        per_key: RateLimit::new(per_key, Duration::from_secs(60)),
        bad_tokens: RateLimit::new(bad_tokens, BAD_TOKENS_WINDOW),
    }
}
