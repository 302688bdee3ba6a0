//! `Idempotency-Key`: a repeated request is not executed again.

use rstest::rstest;
use std::future::IntoFuture;
use std::time::Duration;

use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use test_support::http::Call;
use test_support::process::{ServerProcess, run_json, status};
use test_support::{Engine, TestApp, TestDatabase, assert_text, open};

use super::head;

const BODY: &str = r#"{"name":"Vane","unitPrice":1.5,"currency":"EUR"}"#;

fn post<'a>(app: &'a TestApp, token: &str, value: &str, body: &str) -> Call<'a> {
    app.post("/api/v1/products", body).bearer(token).header("idempotency-key", value)
}

async fn count(app: &TestApp, token: &str) -> usize {
    let page = app.get("/api/v1/products?status=all&limit=100").bearer(token).await.json();
    page["data"]["data"].as_array().unwrap().len()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_call_again_is_answered_as_before(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let first = post(&app, &token, "order-1", BODY).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, None));
    app.advance(Duration::from_secs(24 * 60 * 60 - 1));
    let again = post(&app, &token, "order-1", BODY).await;
    assert_text!(head(&again), @r"
    201 Created
    cache-control: no-store
    content-type: application/json
    idempotent-replayed: true
    location: /api/v1/products/01a20ce4-05c0-7299-9bd5-8c6f3fd36473
    x-content-type-options: nosniff
    x-request-id: req_…
    ");
    assert_eq!(
        (again.status, &again.body, again.header("location")),
        (first.status, &first.body, first.header("location"))
    );
    assert_eq!(count(&app, &token).await, 1);

    let other = post(&app, &token, "order-1", &BODY.replace("1.5", "1.50")).await;
    assert_text!(other.text(), @r#"{"error":{"type":"idempotency_error","code":"idempotency_key_reused","message":"This Idempotency-Key was used for a call with another body","request_id":"req_01m890mqer7bec265k7p4jey6s"}}"#);
    app.advance(Duration::from_secs(1));
    assert_eq!(post(&app, &token, "order-1", BODY).await.header("idempotent-replayed"), None, "kept for 24 hours");
    assert_eq!(app.inner.purge_responses().await.unwrap(), 0, "the newer answer has its own 24 hours");
    app.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(app.inner.purge_responses().await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_done_is_kept(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    assert_eq!(post(&app, &token, "k", "{}").await.code(), "validation_failed");
    let with_sku = BODY.replace('}', r#","sku":"S"}"#);
    assert_eq!(app.post("/api/v1/products", &with_sku).bearer(&token).await.status, 201);
    assert_eq!(post(&app, &token, "k", &with_sku).await.code(), "sku_already_exists");
    assert_eq!(post(&app, &token, "k", BODY).await.status, 201, "a refused call used nothing up");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patch_and_restore_are_done_once_too(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let path = app.post("/api/v1/products", BODY).bearer(&token).await.header("location").unwrap().to_owned();
    let patch = |body: &str| app.call("PATCH", &path).json(body).bearer(&token).header("idempotency-key", "k");
    let first = patch(r#"{"name":"New"}"#).await;
    app.call("PATCH", &path).json(r#"{"name":"Newer"}"#).bearer(&token).await;
    let again = patch(r#"{"name":"New"}"#).await;
    assert_eq!((again.text(), again.header("idempotent-replayed")), (first.text(), Some("true")));
    assert!(app.get(&path).bearer(&token).await.text().contains("Newer"), "it was not done again");
    assert_eq!(patch(r#"{"name":"x"}"#).await.status, 422);

    let restore = || app.call("POST", &format!("{path}/restore")).bearer(&token).header("idempotency-key", "k");
    assert_eq!(restore().await.header("idempotent-replayed"), None);
    app.call("DELETE", &path).bearer(&token).await;
    assert_eq!(restore().await.header("idempotent-replayed"), Some("true"));
    assert_eq!(app.get(&path).bearer(&token).await.json()["data"]["status"], "archived");
    assert_eq!(restore().body("x").await.status, 422, "a body is part of what makes two calls the same");
    assert_eq!(restore().body("x".repeat(70_000)).await.status, 413);
}

/// The entry belongs to the product, not to the bytes of the path: the repetition must not undo what happened in between.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_spellings_of_one_id_are_the_same_request(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let path = app.post("/api/v1/products", BODY).bearer(&token).await.header("location").unwrap().to_owned();
    let id = path.rsplit('/').next().unwrap();
    let percent_encoded: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let spellings = [id.to_owned(), id.to_uppercase(), percent_encoded];

    let patch = |id: &str, body: &str| app.call("PATCH", &format!("/api/v1/products/{id}")).json(body).bearer(&token);
    assert_eq!(patch(id, r#"{"unitPrice":2}"#).header("idempotency-key", "k").await.status, 200);
    assert_eq!(patch(id, r#"{"unitPrice":3}"#).await.status, 200);
    for spelling in &spellings {
        let again = patch(spelling, r#"{"unitPrice":2}"#).header("idempotency-key", "k").await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, Some("true")), "{spelling}");
    }
    assert_eq!(app.get(&path).bearer(&token).await.json()["data"]["unitPrice"], 3);

    let restore = |id: &str| app.call("POST", &format!("/api/v1/products/{id}/restore")).bearer(&token);
    assert_eq!(restore(id).header("idempotency-key", "k").await.status, 200);
    assert_eq!(app.call("DELETE", &path).bearer(&token).await.status, 200);
    for spelling in &spellings {
        let again = restore(spelling).header("idempotency-key", "k").await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, Some("true")), "{spelling}");
    }
    assert_eq!(app.get(&path).bearer(&token).await.json()["data"]["status"], "archived");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_one_to_255_visible_ascii_characters(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for value in ["", "a b", "\u{e4}", &"x".repeat(256), "tab\there"] {
        let answer = post(&app, &token, value, BODY).await;
        assert_eq!(answer.code(), "invalid_idempotency_key", "{value:?}");
    }
    let twice = post(&app, &token, "a", BODY).header("idempotency-key", "a").await;
    assert_eq!(twice.code(), "invalid_idempotency_key");
    for value in ["x", &"~".repeat(255), "\"quoted\""] {
        assert_eq!(post(&app, &token, value, BODY).await.status, 201, "{value:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_crosses_teams_modes_keys_methods_or_paths(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let first = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let second = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let test = app.key(&team, Mode::Test, Scope::ReadWrite).await;
    let globex = app.team("Globex").await;
    let other = app.key(&globex, Mode::Live, Scope::ReadWrite).await;
    let read_only = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    for key in [&first, &second, &test, &other] {
        let answer = post(&app, key.token.expose(), "same", BODY).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (201, None));
    }
    assert_eq!(post(&app, read_only.token.expose(), "same", BODY).await.status, 403);
    let paths: Vec<_> = [&first, &second]
        .iter()
        .map(|key| post(&app, key.token.expose(), "same", BODY))
        .map(IntoFuture::into_future)
        .collect();
    for path in futures_util::future::join_all(paths).await {
        let path = path.header("location").unwrap().to_owned();
        let patched =
            app.call("PATCH", &path).json(BODY).bearer(first.token.expose()).header("idempotency-key", "same").await;
        assert_eq!((patched.status.as_u16(), patched.header("idempotent-replayed")), (200, None));
    }
    // Nothing is replayed to a key that is revoked.
    app.inner.revoke_key(&app.shell(&team), first.key.id, None).await.unwrap();
    assert_eq!(post(&app, first.token.expose(), "same", BODY).await.status, 401);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_calls_at_once_make_one_row(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let calls = (0..50).map(|_| post(&app, &token, "one", BODY).into_future());
    let answers = futures_util::future::join_all(calls).await;
    let bodies: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(), 1);
    assert_eq!(count(&app, &token).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_outlives_the_process(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let first = post(&app, &token, "k", BODY).await;
    let other = open(&app.place, app.clock.clone(), 9).await;
    let service = keyhouse::web::service(keyhouse::web::AppState::new(other.clone()));
    let restarted = TestApp { inner: other, service, ..app };
    let again = post(&restarted, &token, "k", BODY).await;
    assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
}

/// The call `k` of the only key, begun by another node and not ended.
async fn begun_elsewhere(app: &TestApp) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let TestDatabase::Postgres { url } = &app.place else { unreachable!("it is on PostgreSQL") };
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let mut duplicate = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO idempotency (key_id, method, path, value, body_hash, status, body, created_at) \
         SELECT key_id, 'POST', '/api/v1/products', 'k', hash, 0, '', 0 FROM key_tokens",
    )
    .execute(&mut *duplicate)
    .await
    .unwrap();
    duplicate
}

/// A duplicate whose transaction stays open: waited for, then 409. Only PostgreSQL can have two writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_that_does_not_end_is_409_after_two_seconds() {
    let app = TestApp::on(Engine::Postgres).await;
    let token = app.live_token().await;
    let duplicate = begun_elsewhere(&app).await;
    let answer = post(&app, &token, "k", BODY).await;
    assert_text!(answer.without_request_id(), @r#"
    409 Conflict
    cache-control: no-store
    content-length: 197
    content-type: application/json
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"idempotency_error","code":"idempotency_key_in_use","message":"A call with this Idempotency-Key is still running; try again shortly","request_id":"req_…"}}
    "#);
    duplicate.rollback().await.unwrap();
    assert_eq!(post(&app, &token, "k", BODY).await.status, 201, "a crashed duplicate leaves nothing in the way");
}

/// Fifty that wait for a duplicate on another node take no connection from calls that do not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiting_duplicates_delay_no_other_call() {
    let app = TestApp::on(Engine::Postgres).await;
    let token = app.live_token().await;
    let duplicate = begun_elsewhere(&app).await;
    let waiting = futures_util::future::join_all((0..50).map(|_| post(&app, &token, "k", BODY).into_future()));
    let others = async {
        for n in 0..20 {
            assert_eq!(app.get("/api/v1/products").bearer(&token).await.status, 200);
            assert_eq!(post(&app, &token, &format!("other {n}").replace(' ', "-"), BODY).await.status, 201);
        }
    };
    let (answers, ()) = tokio::join!(waiting, others);
    drop(duplicate);
    assert!(answers.iter().all(|answer| answer.code() == "idempotency_key_in_use"), "each 409, none 503");
}

/// kill -9 between effect and answer: whatever was done was kept with its answer, or neither was.
#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_leaves_all_or_nothing() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        run_json(&place, &["migrate"]);
        run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
        let token = run_json(&place, &create)["token"].as_str().unwrap().to_owned();
        let request = |n: usize| {
            let body = format!(r#"{{"name":"P{n}","unitPrice":1,"currency":"EUR"}}"#);
            format!(
                "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {n}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        for round in 0..5 {
            use std::io::{Read, Write};
            let mut serving = ServerProcess::start(&place, "serve", "warn");
            let mut sockets: Vec<_> = (0..8).map(|_| serving.connect()).collect();
            for (n, socket) in sockets.iter_mut().enumerate() {
                socket.write_all(request(round * 8 + n).as_bytes()).unwrap();
            }
            // The axe falls while some are done and some are not.
            let _first = sockets[round].read(&mut [0; 16]);
            serving.kill();
        }
        let serving = ServerProcess::start(&place, "serve", "warn");
        for n in 0..40 {
            assert_eq!(status(&serving.send(request(n).as_bytes())), 201);
        }
        let page = serving.send(
            format!("GET /api/v1/products?limit=100 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        let page: serde_json::Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(page["data"]["data"].as_array().unwrap().len(), 40, "each once");
    }
}
