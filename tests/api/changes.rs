//! Changing, archiving and restoring products.

use rstest::rstest;
use std::time::Duration;

use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use serde_json::{Value, json};
use test_support::{Answer, Engine, TestApp, assert_text};

use super::head;

const ALL_SET: &str = r#"{"name":"Vane","unitPrice":1.5,"currency":"EUR","description":"d","sku":"V-1","taxRate":19,"type":"GOODS","unitOfMeasure":"piece"}"#;

async fn made(app: &TestApp, token: &str, body: &str) -> String {
    let answer = app.post("/api/v1/products", body).bearer(token).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

async fn patch(app: &TestApp, token: &str, path: &str, body: &str) -> Answer {
    app.call("PATCH", path).json(body).bearer(token).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_given_fields_change(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let path = made(&app, &token, ALL_SET).await;
    app.advance(Duration::from_secs(1));
    let before = app.get(&path).bearer(&token).await;
    for nothing in ["{}", r#"{"name":"Vane"}"#, r#"{"unitPrice":1.50,"sku":"V-1"}"#] {
        assert_eq!(patch(&app, &token, &path, nothing).await.text(), before.text(), "{nothing}");
    }
    let answer =
        patch(&app, &token, &path, r#"{"unitPrice":0.0001,"description":null,"taxRate":null,"sku":null}"#).await;
    assert_text!(head(&answer), @r"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…
    ");
    let mut expected = before.json();
    for (field, value) in [
        ("unitPrice", json!(0.0001)),
        ("description", Value::Null),
        ("taxRate", Value::Null),
        ("sku", Value::Null),
        ("updatedAt", json!("2026-11-24T09:30:01.000Z")),
    ] {
        expected["data"][field] = value;
    }
    assert_eq!(answer.json(), expected);
    assert_eq!(app.get(&path).bearer(&token).await.text(), answer.text());
    let change = json!({ "name": "N", "currency": "usd", "description": "", "sku": "S", "taxRate": 0, "type": "T", "unitOfMeasure": "U" });
    let each = patch(&app, &token, &path, &change.to_string()).await;
    for (field, value) in change.as_object().unwrap() {
        expected["data"][field] = value.clone();
    }
    expected["data"]["currency"] = "USD".into();
    assert_eq!(each.json(), expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_validated_like_a_creation(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let path = made(&app, &token, ALL_SET).await;
    let faulty = patch(&app, &token, &path, r#"{"id":"x","status":"archived","name":null,"unitPrice":-1,"currency":null,"type":null,"unitOfMeasure":"","sku":""}"#).await;
    assert_text!(faulty.text(), @r#"{"error":{"type":"invalid_request_error","code":"validation_failed","message":"Some fields are not valid; see details","request_id":"req_01m86e81e056bfarwhh5vgg76a","details":[{"field":"name","message":"must not be null"},{"field":"unitPrice","message":"must not be negative"},{"field":"currency","message":"must not be null"},{"field":"sku","message":"must not be empty"},{"field":"type","message":"must not be null"},{"field":"unitOfMeasure","message":"must not be empty"},{"field":"id","message":"is not a field of a product"},{"field":"status","message":"is not a field of a product"}]}}"#);
    assert_eq!(patch(&app, &token, &path, "[]").await.code(), "invalid_json");
    assert_eq!(app.call("PATCH", &path).body("{}").bearer(&token).await.status, 415);
    // Errors of the body come before the 404.
    let absent = "/api/v1/products/019ab359-5400-7234-99e2-6af37bc048d0";
    assert_eq!(patch(&app, &token, absent, r#"{"name":""}"#).await.code(), "validation_failed");
    for id in [absent, "/api/v1/products/x"] {
        assert_eq!(patch(&app, &token, id, "{}").await.code(), "product_not_found");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_to_another_products_sku_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    made(&app, &token, ALL_SET).await;
    let other = made(&app, &token, &ALL_SET.replace("V-1", "V-2")).await;
    let taken = patch(&app, &token, &other, r#"{"sku":"V-1","name":"not either"}"#).await;
    assert_eq!((taken.status.as_u16(), taken.code().as_str()), (409, "sku_already_exists"));
    assert!(app.get(&other).bearer(&token).await.text().contains(r#""name":"Vane""#), "all or nothing");
    // An archived product keeps its SKU.
    app.call("DELETE", &other).bearer(&token).await;
    let again = app.post("/api/v1/products", &ALL_SET.replace("V-1", "V-2")).bearer(&token).await;
    assert_eq!(again.status, 409);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archive_and_restore_are_repeatable(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let path = made(&app, &token, ALL_SET).await;
    let active = app.get(&path).bearer(&token).await;
    app.advance(Duration::from_secs(1));
    let archived = app.call("DELETE", &path).bearer(&token).await;
    let mut expected = active.json();
    expected["data"]["status"] = "archived".into();
    expected["data"]["updatedAt"] = "2026-11-24T09:30:01.000Z".into();
    assert_eq!((archived.status.as_u16(), archived.json()), (200, expected));
    app.advance(Duration::from_secs(1));
    assert_eq!(app.call("DELETE", &path).bearer(&token).await.text(), archived.text(), "again: the same answer");
    assert_eq!(app.get(&path).bearer(&token).await.text(), archived.text(), "archived ones can be read");
    assert_eq!(
        patch(&app, &token, &path, r#"{"name":"Old vane"}"#).await.json()["data"]["status"],
        "archived",
        "and changed"
    );

    let restored = app.call("POST", &format!("{path}/restore")).bearer(&token).await;
    assert_eq!((restored.status.as_u16(), &restored.json()["data"]["status"]), (200, &"active".into()));
    app.advance(Duration::from_secs(1));
    let again = app.call("POST", &format!("{path}/restore")).bearer(&token).await;
    assert_eq!(again.text(), restored.text());
    assert_eq!(restored.json()["data"]["createdAt"], active.json()["data"]["createdAt"]);
    for (method, path) in [("DELETE", "/api/v1/products/x"), ("POST", "/api/v1/products/x/restore")] {
        assert_eq!(app.call(method, path).bearer(&token).await.code(), "product_not_found");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_by_status(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for (name, archived) in [("A", false), ("B", true), ("C", false)] {
        let path = made(&app, &token, &format!(r#"{{"name":"{name}","unitPrice":1,"currency":"EUR"}}"#)).await;
        if archived {
            app.call("DELETE", &path).bearer(&token).await;
        }
    }
    for (query, expected) in [
        ("", "C A"),
        ("?status=active", "C A"),
        ("?status=archived", "B"),
        ("?status=all", "C B A"),
        ("?status=all&limit=1", "C"),
    ] {
        let page = app.get(&format!("/api/v1/products{query}")).bearer(&token).await.json();
        let names: Vec<_> = page["data"]["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names.join(" "), expected, "{query}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_caller_can_change_a_product(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let ours = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let test = app.key(&team, Mode::Test, Scope::ReadWrite).await;
    let globex = app.team("Globex").await;
    let theirs = app.key(&globex, Mode::Live, Scope::ReadWrite).await;
    let path = made(&app, ours.token.expose(), ALL_SET).await;
    let before = app.get(&path).bearer(ours.token.expose()).await;
    for key in [&test, &theirs] {
        for (method, path) in [("PATCH", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/restore"))] {
            let call = app.call(method, &path).json(r#"{"name":"stolen"}"#).bearer(key.token.expose());
            assert_eq!(call.await.code(), "product_not_found", "{method}");
        }
    }
    assert_eq!(app.get(&path).bearer(ours.token.expose()).await.text(), before.text());
}

/// Readers page through everything while writers insert, archive and restore: what stays in the list the whole
/// time is seen exactly once by each.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_repeat_nor_skip_while_writers_run(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let steady: Vec<String> = {
        let mut names = Vec::new();
        for n in 0..40 {
            let body = format!(r#"{{"name":"steady {n}","unitPrice":1,"currency":"EUR"}}"#);
            made(&app, &token, &body).await;
            names.push(format!("steady {n}"));
        }
        names.reverse();
        names
    };
    let flicker = made(&app, &token, r#"{"name":"flicker","unitPrice":1,"currency":"EUR"}"#).await;
    let write = async {
        for n in 0..30 {
            made(&app, &token, &format!(r#"{{"name":"new {n}","unitPrice":1,"currency":"EUR"}}"#)).await;
            app.call("DELETE", &flicker).bearer(&token).await;
            app.call("POST", &format!("{flicker}/restore")).bearer(&token).await;
        }
    };
    let read = async |status: &str| {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/api/v1/products?limit=3&status={status}{after}")).bearer(&token).await.json();
            let rows = page["data"]["data"].as_array().unwrap().clone();
            seen.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
            match page["data"]["nextCursor"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "a row came twice");
        seen.retain(|name| name.starts_with("steady"));
        assert_eq!(seen, steady);
    };
    tokio::join!(write, read("active"), read("all"), read("active"));
}
