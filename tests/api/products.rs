//! Products: exact values, complete errors, and isolation of teams and modes.

use keyhouse_domain::field::Presence;
use keyhouse_domain::product::FIELDS;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use rstest::rstest;
use serde_json::{Value, json};

use test_support::{Answer, Engine, TestApp, assert_text};

async fn create(app: &TestApp, token: &str, body: &str) -> Answer {
    app.post("/api/v1/products", body).bearer(token).await
}

async fn create_named(app: &TestApp, token: &str, name: &str) -> String {
    let body = format!(r#"{{"name":"{name}","unitPrice":1,"currency":"EUR"}}"#);
    let answer = create(app, token, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["data"]["id"].as_str().unwrap().to_owned()
}

fn names(page: &Answer) -> Vec<String> {
    let rows = page.json()["data"]["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_with_defaults(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let answer = create(&app, &token, r#"{"name":"Anemometer","unitPrice":249.00,"currency":"eur"}"#).await;
    let path = "/api/v1/products/01a20ce4-05c0-7299-9bd5-8c6f3fd36473";
    let headers = ["cache-control", "content-type", "location", "x-content-type-options"];
    let values = ["no-store", "application/json", path, "nosniff"];
    assert_eq!((answer.status.as_u16(), headers.map(|name| answer.header(name))), (201, values.map(Some)));
    assert_eq!(answer.header("etag").map(str::len), Some(34), "a quoted hash");
    let mut expected = json!({ "name": "Anemometer", "unitPrice": 249, "currency": "EUR" });
    for spec in FIELDS {
        match spec.presence {
            Presence::Required => {}
            Presence::Nullable => expected[spec.name] = Value::Null,
            Presence::Default(text) => expected[spec.name] = text.into(),
        }
    }
    for (field, value) in [
        ("id", "01a20ce4-05c0-7299-9bd5-8c6f3fd36473"),
        ("status", "active"),
        ("createdAt", "2026-11-24T09:30:00.000Z"),
        ("updatedAt", "2026-11-24T09:30:00.000Z"),
    ] {
        expected[field] = value.into();
    }
    assert_eq!(answer.json(), json!({ "data": expected }));
    let position = |name: &str| answer.text().find(&format!("\"{name}\":")).expect("a field of the product");
    assert!(
        FIELDS.is_sorted_by_key(|spec| position(spec.name)),
        "in the order of the documentation: {}",
        answer.text()
    );
    assert_eq!(app.get(path).bearer(&token).await.text(), answer.text());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_with_everything_comes_back_as_sent(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let examples: Vec<_> = FIELDS.iter().map(|spec| format!("\"{}\": {}", spec.name, spec.example)).collect();
    let odd = r#"{
        "unitOfMeasure": "metre", "type": "GOODS", "taxRate": 8.1, "sku": "CAB-6", "description": "",
        "currency": "CHF", "unitPrice": 0.0025, "name": "Kabel, geschirmt \ud83d\udd0c \"6\u00d7\" "
    }"#;
    for body in [format!("{{{}}}", examples.join(", ")).as_str(), odd] {
        let answer = create(&app, &token, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        for (field, value) in serde_json::from_str::<Value>(body).unwrap().as_object().unwrap() {
            assert_eq!(&answer.json()["data"][field], value, "{field}");
        }
        assert_eq!(app.get(answer.header("location").unwrap()).bearer(&token).await.text(), answer.text());
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_are_exact(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for (sent, back) in [
        ("0", "0"),
        ("1e2", "100"),
        ("120.0", "120"),
        ("0.1", "0.1"),
        ("999999999.9999", "999999999.9999"),
        ("1.10", "1.1"),
        ("0.0001", "0.0001"),
        ("12345678.9", "12345678.9"),
        ("1E-4", "0.0001"),
        ("-0", "0"),
    ] {
        let answer = create(&app, &token, &format!(r#"{{"name":"x","unitPrice":{sent},"currency":"EUR"}}"#)).await;
        assert!(answer.text().contains(&format!(r#""unitPrice":{back},"#)), "{sent}: {}", answer.text());
    }
    for (sent, says) in [
        ("0.00001", "must have at most 4 decimal places"),
        ("-0.01", "must not be negative"),
        ("1000000000", "must be at most 999999999.9999"),
        ("1e400", "must be at most 999999999.9999"),
        ("\"1\"", "must be a number"),
        ("true", "must be a number"),
        ("null", "must not be null"),
        ("[1]", "must be a number"),
    ] {
        let answer = create(&app, &token, &format!(r#"{{"name":"x","unitPrice":{sent},"currency":"EUR"}}"#)).await;
        assert_eq!(
            answer.json()["error"]["details"],
            serde_json::json!([{ "field": "unitPrice", "message": says }]),
            "{sent}"
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_of_a_body_is_reported_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let answer = create(&app, &token, r#"{
        "name": "", "unitPrice": 0.00001, "currency": "EURO", "sku": "a\u0000b", "taxRate": 100.5,
        "type": null, "unitOfMeasure": "\ud800", "description": 7, "colour": "red", "id": "x", "colour": "blue", "name": "twice"
    }"#).await;
    assert_text!(answer.without_request_id(), @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 741
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"validation_failed","message":"Some fields are not valid; see details","request_id":"req_…","details":[{"field":"name","message":"must be given once"},{"field":"unitPrice","message":"must have at most 4 decimal places"},{"field":"currency","message":"must be an ISO 4217 currency code"},{"field":"description","message":"must be a string"},{"field":"sku","message":"must not contain NUL"},{"field":"taxRate","message":"must be at most 100"},{"field":"type","message":"must not be null"},{"field":"unitOfMeasure","message":"must be valid Unicode text"},{"field":"colour","message":"is not a field of a product"},{"field":"id","message":"is not a field of a product"}]}}
    "#);
    assert_text!(create(&app, &token, "{}").await.text(), @r#"{"error":{"type":"invalid_request_error","code":"validation_failed","message":"Some fields are not valid; see details","request_id":"req_01m86e81e056bfarrvsztdj76a","details":[{"field":"name","message":"is required"},{"field":"unitPrice","message":"is required"},{"field":"currency","message":"is required"}]}}"#);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_a_json_object_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for body in ["", "{", "[]", "null", "1", "\"x\"", "{} {}", "{\"name\":}", "\u{feff}{}", "{'name':1}", "{\"a\":1,}"]
    {
        let answer = create(&app, &token, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_json"), "{body:?}");
    }
    let latin1 = app.post("/api/v1/products", "").body(b"{\"name\":\"\xe4\"}".to_vec()).bearer(&token).await;
    assert_eq!(latin1.code(), "invalid_json");
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(create(&app, &token, &deep).await.code(), "validation_failed", "depth alone overflows nothing");
}

/// The guide's table has a row for each field, in the words that the OpenAPI document uses.
#[test]
fn the_guide_describes_every_field() {
    let guide = include_str!("../../docs/guide/endpoints.md");
    for spec in FIELDS {
        let absent = match spec.presence {
            Presence::Required => "required".to_owned(),
            Presence::Nullable => "null".to_owned(),
            Presence::Default(text) => format!("`{text}`"),
        };
        let row = format!("\n| `{}` | {absent} | {} |\n", spec.name, spec.description());
        assert!(guide.contains(&row), "docs/guide/endpoints.md lacks {row}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_types_are_parsed_as_rfc_9110_defines_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let with =
        |media: &str| app.call("POST", "/api/v1/products").header("content-type", media).body(body).bearer(&token);
    let path = format!("/api/v1/products/{}", create_named(&app, &token, "Vane").await);
    for media in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json ; charset=utf-8",
        "application/json\t;\tcharset=utf-8",
        "application/json; ; charset=utf-8;",
    ] {
        assert_eq!(with(media).await.status, 201, "{media}");
        let patch = app.call("PATCH", &path).header("content-type", media).body("{}").bearer(&token).await;
        assert_eq!(patch.status, 200, "{media}");
    }
    let patch = app.call("PATCH", &path).header("content-type", "text/plain").body("{}").bearer(&token).await;
    assert_eq!((patch.status.as_u16(), patch.header("accept-patch")), (415, Some("application/json")));
    assert_text!(with("text/plain").await.without_request_id(), @r#"
    415 Unsupported Media Type
    accept: application/json
    cache-control: no-store
    content-length: 196
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"unsupported_media_type","message":"The request body must be uncompressed application/json in UTF-8","request_id":"req_…"}}
    "#);
    for media in [
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=latin1",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
        "",
    ] {
        assert_eq!(with(media).await.status, 415, "{media}");
    }
    assert_eq!(app.call("POST", "/api/v1/products").body(body).bearer(&token).await.status, 415);
    let zipped = with("application/json").header("content-encoding", "gzip").await;
    assert_eq!((zipped.status.as_u16(), zipped.header("accept-encoding")), (415, Some("identity")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_up_to_64_kib_are_accepted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let body = |len: usize| {
        let open = r#"{"name":"x","unitPrice":1,"currency":"EUR""#;
        format!("{open}{}}}", " ".repeat(len - open.len() - 1))
    };
    assert_eq!(create(&app, &token, &body(65_536)).await.status, 201);
    assert_text!(create(&app, &token, &body(65_537)).await.without_request_id(), @r#"
    413 Payload Too Large
    cache-control: no-store
    content-length: 166
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"invalid_request_error","code":"payload_too_large","message":"The request body is larger than 64 KiB","request_id":"req_…"}}
    "#);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sku_is_unique_within_team_and_mode(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let live = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let test = app.key(&team, Mode::Test, Scope::ReadWrite).await;
    let other = app.team("Globex").await;
    let other = app.key(&other, Mode::Live, Scope::ReadWrite).await;
    let body = r#"{"name":"x","unitPrice":1,"currency":"EUR","sku":"A-1"}"#;
    for key in [&live, &test, &other] {
        assert_eq!(create(&app, key.token.expose(), body).await.status, 201);
    }
    assert_text!(create(&app, live.token.expose(), body).await.text(), @r#"{"error":{"type":"conflict_error","code":"sku_already_exists","message":"Another product has this SKU; SKUs are unique within a team and mode, archived products included","request_id":"req_01m86e81e056bfatg4n1z3e76a"}}"#);
    assert_eq!(create(&app, live.token.expose(), &body.replace("A-1", "a-1")).await.status, 201, "in exact case");
    for _ in 0..2 {
        assert_eq!(
            create(&app, live.token.expose(), r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#).await.status,
            201
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_of_another_team_or_mode_is_not_found(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let live = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let test = app.key(&team, Mode::Test, Scope::ReadWrite).await;
    let other = app.team("Globex").await;
    let other = app.key(&other, Mode::Live, Scope::ReadWrite).await;
    let id = create_named(&app, live.token.expose(), "Ours").await;
    let path = format!("/api/v1/products/{id}");

    assert_eq!(app.get(&path).bearer(live.token.expose()).await.status, 200);
    let absent = app.get("/api/v1/products/019ab359-5400-7234-99e2-6af37bc048d0").bearer(live.token.expose()).await;
    assert_text!(absent.without_request_id(), @r#"
    404 Not Found
    cache-control: no-store
    content-length: 137
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"error":{"type":"not_found_error","code":"product_not_found","message":"No such product","request_id":"req_…"}}
    "#);
    for malformed in ["nonsense", "%ff", "%00", "%2F", "019ab359540072349926af37bc048d0"] {
        let answer = app.get(&format!("/api/v1/products/{malformed}")).bearer(live.token.expose()).await;
        assert_eq!(answer.without_request_id(), absent.without_request_id(), "{malformed}");
    }
    for key in [&test, &other] {
        let answer = app.get(&path).bearer(key.token.expose()).await;
        assert_eq!(answer.without_request_id(), absent.without_request_id());
        assert_eq!(names(&app.get("/api/v1/products?status=all").bearer(key.token.expose()).await), [""; 0]);
        let cursor = app.get(&format!("/api/v1/products?after={id}")).bearer(key.token.expose()).await;
        assert_eq!(cursor.code(), "invalid_cursor");
    }
    assert_eq!(
        app.get(&path.to_uppercase().replace("/API/V1/PRODUCTS", "/api/v1/products"))
            .bearer(live.token.expose())
            .await
            .status,
        200
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_run_from_the_newest_to_the_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for n in 0..7 {
        create_named(&app, &token, &format!("P{n}")).await;
    }
    let first = app.get("/api/v1/products?limit=3").bearer(&token).await.json();
    assert_eq!(first["data"]["hasMore"], true);
    let mut seen = names(&app.get("/api/v1/products?limit=3").bearer(&token).await);
    let mut cursor = first["data"]["nextCursor"].as_str().map(str::to_owned);
    while let Some(after) = cursor {
        // A product that is created meanwhile is newer than all following pages.
        create_named(&app, &token, "late").await;
        let page = app.get(&format!("/api/v1/products?limit=3&after={after}")).bearer(&token).await;
        seen.extend(names(&page));
        cursor = page.json()["data"]["nextCursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["P6", "P5", "P4", "P3", "P2", "P1", "P0"]);
    let exact = app.get("/api/v1/products?limit=9").bearer(&token).await.json();
    assert_eq!((&exact["data"]["hasMore"], &exact["data"]["nextCursor"]), (&false.into(), &serde_json::Value::Null));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_has_no_cursor(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    assert_text!(app.get("/api/v1/products").bearer(&token).await.without_request_id(), @r#"
    200 OK
    cache-control: no-store
    content-length: 54
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: req_…

    {"data":{"data":[],"hasMore":false,"nextCursor":null}}
    "#);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_parameters_are_validated(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let code = async |query: &str| {
        let answer = app.get(&format!("/api/v1/products?{query}")).bearer(&token).await;
        if answer.status == 200 { "fine".to_owned() } else { answer.code() }
    };
    for query in [
        "",
        "limit=1",
        "limit=100",
        "status=active",
        "status=archived",
        "status=all",
        "unknown=1&unknown=2",
        "%6cimit=5",
    ] {
        assert_eq!(code(query).await, "fine", "{query}");
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=",
        "limit=ten",
        "limit=1&limit=1",
        "status=",
        "status=Active",
        "status=all&status=all",
        "limit=5&%6cimit=5",
    ] {
        assert_eq!(code(query).await, "invalid_parameter", "{query}");
    }
    for query in ["after=", "after=x", "after=019ab359-5400-7234-99e2-6af37bc048d0", "after=%00"] {
        assert_eq!(code(query).await, "invalid_cursor", "{query}");
    }
    assert_text!(app.get("/api/v1/products?limit=101").bearer(&token).await.text(), @r#"{"error":{"type":"invalid_request_error","code":"invalid_parameter","message":"The query parameter `limit` must be a number from 1 to 100","request_id":"req_01m86e81e056bfavafnth3t76a"}}"#);
    assert_text!(app.get("/api/v1/products?after=x").bearer(&token).await.text(), @r#"{"error":{"type":"invalid_request_error","code":"invalid_cursor","message":"The cursor in `after` is not from this list; start again without it","request_id":"req_01m86e81e056bfavcvmkq5w76a"}}"#);
}
