//! Products and the audit log on their pages.

use std::time::Duration;

use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamRef;
use keyhouse_token::Mode;
use rstest::rstest;

use super::{PASSWORD, between, faults};
use test_support::{Engine, TestApp, assert_text};

const PRODUCTS: &str = "/t/acme/products";

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_programs_see_one_catalog_in_two_modes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let live = app.key(&team, Mode::Live, Scope::ReadWrite).await.token;
    let test = app.key(&team, Mode::Test, Scope::ReadWrite).await.token;
    let fields =
        [("name", "Vane <b>"), ("unitPrice", "12.50"), ("currency", "eur"), ("sku", "V-1"), ("description", "a\r\nb")];
    let made = app.send(&ada, &format!("{PRODUCTS}/new?mode=test"), &fields).await;
    assert_eq!(made.location(), "/t/acme/products?mode=test&done=created");
    let api = app.get("/api/v1/products").bearer(test.expose()).await.json();
    let product = &api["data"]["data"][0];
    assert_eq!(
        (product["name"].as_str(), product["unitPrice"].to_string(), product["currency"].as_str()),
        (Some("Vane <b>"), "12.5".to_owned(), Some("EUR"))
    );
    assert_eq!(product["description"], "a\nb");
    assert_eq!(
        app.get("/api/v1/products").bearer(live.expose()).await.json()["data"]["data"].as_array().unwrap().len(),
        0
    );
    assert!(!app.page(&ada, PRODUCTS).await.text().contains("Vane"), "the other mode has none of it");
    assert!(app.page(&ada, &format!("{PRODUCTS}?mode=test")).await.text().contains("Vane &#60;b&#62;"));

    let id = product["id"].as_str().unwrap().to_owned();
    assert_eq!(app.page(&ada, &format!("{PRODUCTS}/{id}")).await.status, 404, "not of this mode");
    let body = r#"{"name":"By a program","unitPrice":1,"currency":"EUR"}"#;
    app.post("/api/v1/products", body).bearer(live.expose()).await;
    assert!(app.page(&ada, PRODUCTS).await.text().contains("By a program"));

    let archived = app.send(&ada, &format!("{PRODUCTS}/{id}?mode=test"), &[("do", "archive")]).await;
    assert_eq!(archived.location(), format!("/t/acme/products?mode=test&done=archived&product={id}"));
    assert_eq!(
        app.get(&format!("/api/v1/products/{id}")).bearer(test.expose()).await.json()["data"]["status"],
        "archived"
    );
    app.send(&ada, &format!("{PRODUCTS}/{id}?mode=test"), &[("do", "restore")]).await;
    assert!(
        app.page(&ada, &format!("{PRODUCTS}?mode=test&q=v-1")).await.text().contains("Vane"),
        "found by SKU in either case"
    );
    assert!(app.page(&ada, &format!("{PRODUCTS}?mode=test&q=%25")).await.text().contains("No test products match"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_shown_and_nothing_typed_is_lost(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let fields = [
        ("name", ""),
        ("unitPrice", "1.23456"),
        ("currency", "EURO"),
        ("taxRate", "101"),
        ("sku", "S"),
        ("description", "kept"),
    ];
    let refused = app.send(&ada, &format!("{PRODUCTS}/new"), &fields).await;
    assert_eq!(refused.status, 422);
    assert_text!(faults(&refused).join("\n"), @"
    Enter a name.
    Must have at most 4 decimal places.
    Must be an ISO 4217 currency code.
    Must be at most 100.
    ");
    assert!(refused.text().contains("kept") && refused.text().contains(r#"value="1.23456""#));
    app.send(&ada, &format!("{PRODUCTS}/new"), &[("name", "A"), ("unitPrice", "1"), ("currency", "EUR"), ("sku", "S")])
        .await;
    let taken = app
        .send(&ada, &format!("{PRODUCTS}/new"), &[("name", "B"), ("unitPrice", "1"), ("currency", "EUR"), ("sku", "S")])
        .await;
    assert_text!(faults(&taken).join("\n"), @"Another product in this mode has this SKU; it may be archived.");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_another_person_is_not_overwritten_unseen(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let token = app.key(&team, Mode::Live, Scope::ReadWrite).await.token;
    let body = r#"{"name":"Vane","unitPrice":1,"currency":"EUR"}"#;
    let id = app.post("/api/v1/products", body).bearer(token.expose()).await.json()["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{PRODUCTS}/{id}");
    let page = app.page(&ada, &path).await;
    let version = between(page.text(), r#"name="version" value=""#, "\"").to_owned();
    app.advance(std::time::Duration::from_secs(1));
    let patch =
        app.call("PATCH", &format!("/api/v1/products/{id}")).bearer(token.expose()).json(r#"{"name":"Theirs"}"#);
    assert_eq!(patch.await.status, 200);
    // A typing error does not hide the other change: the form keeps the version that it was opened with.
    for faulty in [("unitPrice", "12,5x"), ("currency", "EURO")] {
        let fields = [("version", version.as_str()), ("name", "Mine"), ("unitPrice", "2"), ("currency", "EUR")];
        let fields = fields.map(|(name, value)| if name == faulty.0 { faulty } else { (name, value) });
        let refused = app.send(&ada, &path, &fields).await;
        assert_eq!(refused.status, 422);
        assert_eq!(between(refused.text(), r#"name="version" value=""#, "\""), version);
    }
    let mine = [("version", version.as_str()), ("name", "Mine"), ("unitPrice", "2"), ("currency", "EUR")];
    let stale = app.send(&ada, &path, &mine).await;
    assert_eq!(stale.status, 422);
    assert!(stale.text().contains("Someone else changed this product") && stale.text().contains(r#"value="Mine""#));
    let version = between(stale.text(), r#"name="version" value=""#, "\"").to_owned();
    let again = [("version", version.as_str()), ("name", "Mine"), ("unitPrice", "2"), ("currency", "EUR")];
    assert_eq!(app.send(&ada, &path, &again).await.status, 303, "knowingly");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_filtered_paged_and_taken_away(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let keys = "/t/acme/settings/integrations/api-keys/new";
    for n in 0..3 {
        app.send(&ada, keys, &[("name", &format!("=1+{n}")), ("mode", "test"), ("scope", "read_only")]).await;
    }
    for n in 0..60 {
        // A session may send 60 forms a minute.
        app.advance(Duration::from_secs(2));
        app.send(&ada, "/t/acme/settings", &[("name", &format!("Acme {n}"))]).await;
    }
    let log = "/t/acme/settings/audit";
    let rows = |text: &str| text.matches("class=\"c-at d\"").count();
    let first = app.page(&ada, log).await;
    assert_eq!(rows(first.text()), 50);
    let next = between(first.text(), "href=\"/t/acme/settings/audit?before=", "\"").to_owned();
    assert_eq!(rows(app.page(&ada, &format!("{log}?before={next}")).await.text()), 66 - 50);
    assert_eq!(rows(app.page(&ada, &format!("{log}?action=key.created")).await.text()), 3);
    assert!(
        app.page(&ada, &format!("{log}?action=team.deleted")).await.text().contains("No events match these filters")
    );
    let csv = app.page(&ada, &format!("{log}.csv?action=key.created")).await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"audit-acme.csv\""));
    assert_eq!(csv.text().lines().count(), 4);
    assert!(csv.body.starts_with(&[0xEF, 0xBB, 0xBF]), "the byte order mark that Excel wants");
    let header = csv.text().lines().next().unwrap().trim_start_matches('\u{FEFF}');
    assert_text!(header, @r#""time","id","action","by","by_id","by_email","target","detail","from""#);
    assert_eq!(app.page(&ada, &format!("{log}.csv")).await.text().lines().count(), 67);
    let person = between(first.text(), "<option value=\"per_", "\"").to_owned();
    assert_eq!(rows(app.page(&ada, &format!("{log}?person=per_{person}")).await.text()), 50);

    app.advance(Duration::from_hours(25));
    let ada = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    let recent = app.page(&ada, &format!("{log}?since=24h")).await;
    assert_eq!(rows(recent.text()), 1, "the new session alone");
    assert!(recent.text().contains("<option value=\"24h\" selected>"), "{recent}");
    assert_eq!(rows(app.page(&ada, &format!("{log}?since=7d&action=key.created")).await.text()), 3);
    assert_eq!(app.page(&ada, &format!("{log}.csv?since=24h")).await.text().lines().count(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_spreadsheet_would_run_is_harmless(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let form = [("do", "profile"), ("name", "=HYPERLINK(\"x\")"), ("email", "ada@example.com")];
    assert_eq!(app.send(&ada, "/account", &form).await.status, 303);
    app.send(&ada, "/t/acme/settings", &[("name", "Other")]).await;
    let csv = app.page(&ada, "/t/acme/settings/audit.csv?action=team.renamed").await;
    assert!(csv.text().contains(r#""'=HYPERLINK(""x"")""#), "{csv}");
}
