//! What is recorded about calls with a key.

use std::time::Duration;

use keyhouse::app::usage::Flush;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::usage::{CallFilter, UtcDay};
use keyhouse_token::Mode;
use rstest::rstest;
use test_support::{BEGINNING, Engine, TestApp, assert_text};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_outcome_and_recorded(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let token = key.token.expose();
    let missing = "/api/v1/products/019ab697-e800-7123-9159-e26af37bc048";
    app.get("/api/v1/products?limit=5").bearer(token).header("user-agent", "tester/1").await;
    app.get(missing).bearer(token).await;
    app.get("/api/v1/no/such").bearer(token).await;
    app.post("/api/v1/products", "{}").bearer(token).await;
    app.call("GET", "/auth/verify").bearer(token).header("x-forwarded-method", "GET").await;
    // These are no calls with the key.
    app.get("/api/v1/products").await;
    app.get("/docs").bearer(token).await;
    let revoked = app.inner.revoke_key(&app.shell(&team), key.key.id, None).await;
    revoked.unwrap();
    app.advance(Duration::from_secs(1));
    let last = app.get("/api/v1/products").bearer(token).await;
    app.inner.flush_usage(Flush::Everything).await.unwrap();

    let queries = app.inner.queries();
    let counted = queries.calls_by_day(key.key.id, UtcDay::of(BEGINNING)).await.unwrap();
    let counts: Vec<_> = counted.iter().map(|row| format!("{} {}", row.outcome.as_str(), row.calls)).collect();
    assert_text!(counts.join(", "), @"admitted 2, client_error 2, revoked 1, scope 1");
    let calls = queries.recent_calls(team.id, &CallFilter::default(), None, 100).await.unwrap();
    assert_eq!(calls[0].1.request.to_string(), last.headers["x-request-id"], "found by the id that the response has");
    let lines: Vec<_> = calls
        .iter()
        .map(|(_, c)| {
            format!("{} {} {} {} {} {:?}", c.method, c.route, c.status, c.outcome.as_str(), c.address, c.agent)
        })
        .collect();
    assert_text!(lines.join("\n"), @r#"
    GET /api/v1/products 401 revoked 203.0.113.7 ""
    GET /auth/verify 200 admitted 203.0.113.7 ""
    POST /api/v1/products 403 scope 203.0.113.7 ""
    GET - 404 client_error 203.0.113.7 ""
    GET /api/v1/products/{id} 404 client_error 203.0.113.7 ""
    GET /api/v1/products 200 admitted 203.0.113.7 "tester/1"
    "#);
    let addresses = queries.addresses_of_key(key.key.id).await.unwrap();
    assert_eq!(addresses.iter().map(|seen| (seen.calls, seen.refused)).collect::<Vec<_>>(), [(5, 1), (1, 0)]);
}
