//! The page of a key and the team's requests: what a key does, and whether it can be ended.

use std::time::Duration;

use keyhouse::app::usage::Flush;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_token::Mode;
use rstest::rstest;

use super::between;
use test_support::wait::eventually;
use test_support::{Answer, Engine, TestApp, assert_text};

const KEYS: &str = "/t/acme/settings/integrations/api-keys";
const REQUESTS: &str = "/t/acme/settings/integrations/requests";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn team(app: &TestApp) -> Team {
    app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap()
}

/// The text of a part of a page, without markup.
fn words(page: &Answer, from: &str, to: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in between(page.text(), from, to).chars() {
        match c {
            '<' => inside = true,
            '>' => (inside, text) = (false, text + " "),
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn safety(page: &Answer) -> String {
    words(page, r#"id="safe">"#, "</section>")
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_key_shows_its_calls_and_whether_it_can_be_revoked(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = team(&app).await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let path = format!("{KEYS}/{}", key.key.id);
    let unused = app.page(&ada, &path).await;
    assert_text!(safety(&unused), @"Safe to revoke? Unclear. Not used yet. It was created just now, so a program may be about to use it.");
    assert!(unused.text().contains("No calls in the last 7 days"));

    let token = key.token.expose();
    for _ in 0..3 {
        app.get("/api/v1/products").bearer(token).header("user-agent", "<b>shop</b>/1").await;
    }
    let refused = app.post("/api/v1/products", "{}").bearer(token).header("user-agent", "<b>shop</b>/1").await;
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    app.advance(Duration::from_secs(180));
    let used = app.page(&ada, &path).await;
    assert_text!(safety(&used), @"Safe to revoke? No. Used 3 minutes ago from 203.0.113.7.");
    assert_text!(words(&used, r#"<dl class="figures">"#, "</dl>"), @"Requests, 30 days 4 4 today (UTC) Refused, 30 days 1 1 insufficient scope Last used 3 minutes ago from 203.0.113.7 Addresses 1 1 new in the last 7 days");
    assert_text!(words(&used, r#"<table class="grid calls">"#, "</table>"), @"Recent calls, newest first Time Request Status From Request ID Nov 24, 09:30:00 3 minutes ago POST /products 403 203.0.113.7 req_01m86e81e08rxjmyynwn6t27e0 Nov 24, 09:30:00 3 minutes ago GET /products 200 203.0.113.7 req_01m86e81e08rxjmyrbmq6b87e0 Nov 24, 09:30:00 3 minutes ago GET /products 200 203.0.113.7 req_01m86e81e08rxjmyr5jr7zm7e0 Nov 24, 09:30:00 3 minutes ago GET /products 200 203.0.113.7 req_01m86e81e08rxjmygp65mkg7e0");
    assert_text!(words(&used, r#"<table class="grid addresses">"#, "</table>"), @"Addresses, latest first Address and client First seen Last seen Calls 203.0.113.7 &#60;b&#62;shop&#60;/b&#62;/1 Nov 24 3 minutes ago 4");
    assert!(used.text().contains("<title>Nov 24: 3 admitted, 1 refused</title>"), "{used}");
    assert!(used.text().contains(refused.header("x-request-id").unwrap()));
    assert!(!used.text().contains("style="), "no inline style");

    app.advance(DAY * 8);
    let ada = app.browser("ada@example.com").await;
    assert_text!(safety(&app.page(&ada, &path).await), @"Safe to revoke? Probably. Not used for 8 days. A job that runs once a month may still need it.");
    app.advance(DAY * 30);
    let ada = app.browser("ada@example.com").await;
    assert_text!(safety(&app.page(&ada, &path).await), @"Safe to revoke? Yes. Not used for 38 days.");

    let done = app.send(&ada, &format!("{path}/revoke"), &[("from", "key")]).await;
    assert_eq!(done.location(), format!("{path}?done=revoked"));
    app.get("/api/v1/products").bearer(token).await;
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let revoked = app.page(&ada, done.location()).await;
    assert_text!(words(&revoked, r#"<dl class="figures">"#, "</dl>"), @"Requests, 30 days 1 1 today (UTC) Refused since 1 from 203.0.113.7 Last admitted 38 days ago from 203.0.113.7 Last tried just now from 203.0.113.7");
    assert_text!(words(&revoked, r#"<div class="banner bad">"#, "</div>"), @"Revoked by Ada on 2027-01-01 09:33:00 UTC . It disappears from the list in 90 days . Still tried 1 time from 203.0.113.7 , last just now . View these requests");
    let elsewhere = app.key(&app.team("Other").await, Mode::Live, Scope::ReadOnly).await;
    assert_eq!(app.page(&ada, &format!("{KEYS}/{}", elsewhere.key.id)).await.status, 404);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_revoked_key_shows_when_each_node_stopped_accepting_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = team(&app).await;
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let node = test_support::open(&app.place, app.clock.clone(), 9).await;
    node.set_node_name("fra-1:8080");
    let mut feed = node.change_feed();
    eventually("a poll", async || node.follow_changes(&mut feed).await.ok()).await;
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    let path = format!("{KEYS}/{}", key.key.id);
    let waiting = app.page(&ada, &path).await;
    assert_text!(words(&waiting, r#"<p data-receipt="waiting">"#, "</p>"), @"The node hasn’t confirmed it yet.");
    assert_text!(words(&waiting, r#"<h2 id="nodes">"#, "</table>"), @"Revocation When each node stopped accepting the key. Nodes Node After fra-1:8080 Waiting");
    app.advance(Duration::from_millis(1250));
    eventually("a poll", async || node.follow_changes(&mut feed).await.ok()).await;
    assert_eq!(node.report_node().await.unwrap(), 0);
    let complete = app.page(&ada, &path).await;
    assert_text!(words(&complete, r#"<p data-receipt="complete">"#, "</p>"), @"Refused on the only node 1,250 ms later.");
    assert_text!(words(&complete, r#"<h2 id="nodes">"#, "</table>"), @"Revocation When each node stopped accepting the key. Nodes Node After fra-1:8080 1,250 ms");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_found_by_id_and_filtered(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = team(&app).await;
    assert!(app.page(&ada, REQUESTS).await.text().contains("No requests in the last 7 days"));
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let token = key.token.expose();
    app.get("/api/v1/products").bearer(token).await;
    let refused = app.post("/api/v1/products", "{}").bearer(token).await;
    app.get("/api/v1/nothing").bearer(token).await;
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let id = refused.header("x-request-id").unwrap().to_owned();
    let key_id = key.key.id;
    let count = async |query: &str| {
        let page = app.page(&ada, &format!("{REQUESTS}?{query}")).await;
        page.text().matches(r#"<tr><td class="c-time"#).count()
    };
    for (query, rows) in [
        ("", 3),
        (&*format!("q={id}"), 1),
        ("q=203.0.113.7", 3),
        ("q=203.0.113.8", 0),
        ("q=%00", 0),
        ("status=4", 2),
        ("status=5", 0),
        ("outcome=scope", 1),
        ("outcome=client_error", 1),
        ("route=POST+/api/v1/products", 1),
        (&*format!("key={key_id}&since=1h"), 3),
        (&*format!("before={id}"), 1),
    ] {
        assert_eq!(count(query).await, rows, "{query}");
    }
    app.advance(Duration::from_secs(3601));
    assert_eq!(count("since=1h").await, 0);
    app.advance(DAY * 6);
    assert_eq!(count("").await, 3);
    app.advance(DAY);
    assert_eq!(count("").await, 0, "kept for 7 days");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_names_the_keys_most_worth_ending() {
    let app = TestApp::on(Engine::Sqlite).await;
    app.set_up().await;
    let team = team(&app).await;
    for _ in 0..7 {
        app.key(&team, Mode::Test, Scope::ReadOnly).await;
    }
    let busy = app.key(&team, Mode::Test, Scope::ReadOnly).await;
    app.advance(DAY * 40);
    let ada = app.browser("ada@example.com").await;
    app.get("/api/v1/key").bearer(busy.token.expose()).await;
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let list = app.page(&ada, KEYS).await;
    assert_text!(words(&list, r#"<div class="banner notice">"#, "</div></div>"), @"8 of 10 keys are active. Consider revoking: A key Never used since it was created 40 days ago. A key Never used since it was created 40 days ago. A key Never used since it was created 40 days ago.");
    assert_eq!(list.text().matches("In use now").count(), 1);
    assert!(list.text().contains(r#"<path d="M81 22v-20"/>"#), "a sparkline whose last day has a call: {list}");
}
