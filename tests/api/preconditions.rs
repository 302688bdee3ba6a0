//! `ETag`, `If-Match` and `If-None-Match`: clients that read a product do not overwrite each other's changes.

use std::future::IntoFuture;

use rstest::rstest;
use test_support::http::Call;
use test_support::{Engine, TestApp, assert_text};

use super::head;

const BODY: &str = r#"{"name":"Vane","unitPrice":1,"currency":"EUR"}"#;

/// A product's path and its tag.
async fn created(app: &TestApp, token: &str) -> (String, String) {
    let answer = app.post("/api/v1/products", BODY).bearer(token).await;
    (answer.header("location").unwrap().to_owned(), answer.header("etag").unwrap().to_owned())
}

fn patch<'a>(app: &'a TestApp, token: &str, path: &str, tag: &str, body: &str) -> Call<'a> {
    app.call("PATCH", path).json(body).bearer(token).header("if-match", tag)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_with_an_outdated_tag_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let (path, first) = created(&app, &token).await;
    assert_eq!(app.get(&path).bearer(&token).await.header("etag"), Some(first.as_str()));

    // The clock stands still: `updatedAt` is the same, and the tag must not be.
    let changed = patch(&app, &token, &path, &first, r#"{"unitPrice":2}"#).await;
    let second = changed.header("etag").unwrap().to_owned();
    assert_eq!((changed.status.as_u16(), second == first), (200, false));

    let refused = patch(&app, &token, &path, &first, r#"{"unitPrice":3}"#).await;
    assert_text!(head(&refused), @r"
    412 Precondition Failed
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…
    ");
    assert_eq!(refused.code(), "precondition_failed");
    for tag in [first.as_str(), "\"nonsense\"", "nonsense", "", &format!("W/{second}")] {
        assert_eq!(patch(&app, &token, &path, tag, r#"{"unitPrice":3}"#).await.status, 412, "{tag}");
        assert_eq!(app.call("DELETE", &path).bearer(&token).header("if-match", tag).await.status, 412, "{tag}");
        let restore = app.call("POST", &format!("{path}/restore")).bearer(&token).header("if-match", tag).await;
        assert_eq!(restore.status, 412, "{tag}, although restoring an active product changes nothing");
    }
    assert_eq!(app.get(&path).bearer(&token).await.text(), changed.text());

    assert_eq!(patch(&app, &token, &path, "*", r#"{"unitPrice":3}"#).await.status, 200);
    let third = app.get(&path).bearer(&token).await.header("etag").unwrap().to_owned();
    let listed = format!("\"other\", {third}");
    assert_eq!(app.call("DELETE", &path).bearer(&token).header("if-match", &listed).await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outdated_tag_is_reported_after_404_and_before_409(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    app.post("/api/v1/products", &BODY.replace('}', r#","sku":"TAKEN"}"#)).bearer(&token).await;
    let (path, tag) = created(&app, &token).await;
    let absent = "/api/v1/products/019ab697-e800-7123-9159-e26af37bc048";
    for (path, tag, body, code) in [
        (path.as_str(), "\"x\"", r#"{"sku":""}"#, "validation_failed"),
        (absent, "\"x\"", r#"{"sku":"TAKEN"}"#, "product_not_found"),
        (&path, "\"x\"", r#"{"sku":"TAKEN"}"#, "precondition_failed"),
        (&path, &tag, r#"{"sku":"TAKEN"}"#, "sku_already_exists"),
    ] {
        assert_eq!(patch(&app, &token, path, tag, body).await.code(), code);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_write_ignores_the_tag_that_it_changed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let (path, tag) = created(&app, &token).await;
    let write = |tag: &str| patch(&app, &token, &path, tag, r#"{"unitPrice":2}"#).header("idempotency-key", "k");
    assert_eq!(write("\"x\"").await.status, 412);
    let done = write(&tag).await;
    assert_eq!((done.status.as_u16(), done.header("idempotent-replayed")), (200, None), "a refusal stores nothing");
    let again = write(&tag).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.header("etag"), done.header("etag"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writes_with_one_tag_one_succeeds(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let (path, tag) = created(&app, &token).await;
    let writes =
        (2..10).map(|price| patch(&app, &token, &path, &tag, &format!(r#"{{"unitPrice":{price}}}"#)).into_future());
    let answers = futures_util::future::join_all(writes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 7);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_product_is_not_sent_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let (path, tag) = created(&app, &token).await;
    let known = |method: &str| app.call(method, &path).bearer(&token).header("if-none-match", &tag);
    let unchanged = known("GET").await;
    assert_text!(head(&unchanged), @r"
    304 Not Modified
    cache-control: no-store
    x-content-type-options: nosniff
    x-request-id: req_…
    ");
    assert_eq!((unchanged.text(), unchanged.header("etag")), ("", Some(tag.as_str())));
    assert_eq!(known("HEAD").await.status, 304);
    assert_eq!(app.get(&path).bearer(&token).header("if-none-match", format!("W/{tag}, \"x\"")).await.status, 304);
    assert_eq!(app.get(&path).bearer(&token).header("if-match", "\"x\"").await.status, 412);
    assert_eq!(known("PATCH").json(r#"{"unitPrice":2}"#).await.status, 412, "the condition holds for writes too");
    assert_eq!(app.call("PATCH", &path).json(r#"{"unitPrice":2}"#).bearer(&token).await.status, 200);
    assert_eq!(known("GET").await.status, 200);
}
