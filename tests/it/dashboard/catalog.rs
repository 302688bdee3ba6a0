//! Products and the audit log on their pages.

use keyhouse::domain::key::{Mode, Scope};
use keyhouse::domain::team::TeamRef;

use super::{between, faults};
use crate::harness::{shows, worlds};

const PRODUCTS: &str = "/t/acme/products";

worlds! {
    async fn pages_and_programs_see_one_catalog_and_two_worlds(house) {
        let ada = house.set_up().await;
        let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
        let live = house.key(&team, Mode::Live, Scope::ReadWrite).await.token;
        let test = house.key(&team, Mode::Test, Scope::ReadWrite).await.token;
        let fields = [("name", "Vane <b>"), ("unitPrice", "12.50"), ("currency", "eur"), ("sku", "V-1"), ("description", "a\r\nb")];
        let made = house.send(&ada, &format!("{PRODUCTS}/new?mode=test"), &fields).await;
        assert_eq!(made.location(), "/t/acme/products?mode=test&done=created");
        let api = house.get("/api/v1/products").bearer(test.expose()).await.json();
        let product = &api["data"]["data"][0];
        assert_eq!((product["name"].as_str(), product["unitPrice"].to_string(), product["currency"].as_str()), (Some("Vane <b>"), "12.5".to_owned(), Some("EUR")));
        assert_eq!(product["description"], "a\nb");
        assert_eq!(house.get("/api/v1/products").bearer(live.expose()).await.json()["data"]["data"].as_array().unwrap().len(), 0);
        assert!(!house.page(&ada, PRODUCTS).await.text().contains("Vane"), "Live is another world");
        assert!(house.page(&ada, &format!("{PRODUCTS}?mode=test")).await.text().contains("Vane &#60;b&#62;"));

        let id = product["id"].as_str().unwrap().to_owned();
        assert_eq!(house.page(&ada, &format!("{PRODUCTS}/{id}")).await.status, 404, "not of this mode");
        let body = r#"{"name":"By a program","unitPrice":1,"currency":"EUR"}"#;
        house.post("/api/v1/products", body).bearer(live.expose()).await;
        assert!(house.page(&ada, PRODUCTS).await.text().contains("By a program"));

        let archived = house.send(&ada, &format!("{PRODUCTS}/{id}?mode=test"), &[("do", "archive")]).await;
        assert_eq!(archived.location(), "/t/acme/products?mode=test&done=archived");
        assert_eq!(house.get(&format!("/api/v1/products/{id}")).bearer(test.expose()).await.json()["data"]["status"], "archived");
        house.send(&ada, &format!("{PRODUCTS}/{id}?mode=test"), &[("do", "restore")]).await;
        assert!(house.page(&ada, &format!("{PRODUCTS}?mode=test&q=v-1")).await.text().contains("Vane"), "found by SKU in either case");
        assert!(house.page(&ada, &format!("{PRODUCTS}?mode=test&q=%25")).await.text().contains("No test product is found"));
    }

    async fn every_fault_is_told_and_nothing_typed_is_lost(house) {
        let ada = house.set_up().await;
        let fields = [("name", ""), ("unitPrice", "1.23456"), ("currency", "EURO"), ("taxRate", "101"), ("sku", "S"), ("description", "kept")];
        let refused = house.send(&ada, &format!("{PRODUCTS}/new"), &fields).await;
        assert_eq!(refused.status, 422);
        shows!(faults(&refused).join("\n"), @"
        Must not be empty.
        Must have at most 4 decimal places.
        Must be an ISO 4217 currency code.
        Must be at most 100.
        ");
        assert!(refused.text().contains("kept") && refused.text().contains(r#"value="1.23456""#));
        house.send(&ada, &format!("{PRODUCTS}/new"), &[("name", "A"), ("unitPrice", "1"), ("currency", "EUR"), ("sku", "S")]).await;
        let taken = house.send(&ada, &format!("{PRODUCTS}/new"), &[("name", "B"), ("unitPrice", "1"), ("currency", "EUR"), ("sku", "S")]).await;
        shows!(faults(&taken).join("\n"), @"Another product of this mode has this SKU, perhaps an archived one.");
    }

    async fn a_change_that_somebody_else_made_meanwhile_is_not_overwritten_unseen(house) {
        let ada = house.set_up().await;
        let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
        let token = house.key(&team, Mode::Live, Scope::ReadWrite).await.token;
        let body = r#"{"name":"Vane","unitPrice":1,"currency":"EUR"}"#;
        let id = house.post("/api/v1/products", body).bearer(token.expose()).await.json()["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("{PRODUCTS}/{id}");
        let page = house.page(&ada, &path).await;
        let seen = between(page.text(), r#"name="seen" value=""#, "\"").to_owned();
        house.advance(std::time::Duration::from_secs(1));
        let patch = house.call("PATCH", &format!("/api/v1/products/{id}")).bearer(token.expose()).json(r#"{"name":"Theirs"}"#);
        assert_eq!(patch.await.status, 200);
        let mine = [("seen", seen.as_str()), ("name", "Mine"), ("unitPrice", "2"), ("currency", "EUR")];
        let stale = house.send(&ada, &path, &mine).await;
        assert_eq!(stale.status, 422);
        assert!(stale.text().contains("Somebody changed this product") && stale.text().contains(r#"value="Mine""#));
        let seen = between(stale.text(), r#"name="seen" value=""#, "\"").to_owned();
        let again = [("seen", seen.as_str()), ("name", "Mine"), ("unitPrice", "2"), ("currency", "EUR")];
        assert_eq!(house.send(&ada, &path, &again).await.status, 303, "knowingly");
    }

    async fn the_audit_log_is_filtered_paged_and_taken_away(house) {
        let ada = house.set_up().await;
        let keys = "/t/acme/settings/integrations/api-keys/new";
        for n in 0..3 {
            house.send(&ada, keys, &[("name", &format!("=1+{n}")), ("mode", "test"), ("scope", "read_only")]).await;
        }
        for n in 0..60 {
            house.send(&ada, "/t/acme/settings", &[("name", &format!("Acme {n}"))]).await;
        }
        let log = "/t/acme/settings/audit";
        let rows = |text: &str| text.matches("data-label=\"When\"").count();
        let first = house.page(&ada, log).await;
        assert_eq!(rows(first.text()), 50);
        let next = between(first.text(), "href=\"/t/acme/settings/audit?before=", "\"").to_owned();
        assert_eq!(rows(house.page(&ada, &format!("{log}?before={next}")).await.text()), 66 - 50);
        assert_eq!(rows(house.page(&ada, &format!("{log}?action=key.created")).await.text()), 3);
        assert!(house.page(&ada, &format!("{log}?action=team.deleted")).await.text().contains("No event passes this filter"));
        let csv = house.page(&ada, &format!("{log}.csv?action=key.created")).await;
        assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"audit-acme.csv\""));
        assert_eq!(csv.text().lines().count(), 4);
        shows!(csv.text().lines().next().unwrap(), @"time,id,action,by,by_id,target,detail,from");
        assert_eq!(house.page(&ada, &format!("{log}.csv")).await.text().lines().count(), 67);
        let person = between(first.text(), "<option value=\"per_", "\"").to_owned();
        assert_eq!(rows(house.page(&ada, &format!("{log}?person=per_{person}")).await.text()), 50);
    }

    async fn a_name_that_a_spreadsheet_would_run_is_harmless(house) {
        let ada = house.set_up().await;
        let form = [("do", "profile"), ("name", "=HYPERLINK(\"x\")"), ("email", "ada@example.com")];
        assert_eq!(house.send(&ada, "/account", &form).await.status, 303);
        house.send(&ada, "/t/acme/settings", &[("name", "Other")]).await;
        let csv = house.page(&ada, "/t/acme/settings/audit.csv?action=team.renamed").await;
        assert!(csv.text().contains(r#""'=HYPERLINK(""x"")""#), "{csv}");
    }
}
