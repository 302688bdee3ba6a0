//! The API keys page: made once, shown once, named, watched, ended.

use rstest::rstest;
use std::time::Duration;

use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamRef;
use keyhouse_token::Mode;

use super::{between, faults};
use test_support::{Answer, Engine, TestApp, assert_text};

const PAGE: &str = "/t/acme/settings/integrations/api-keys";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn create(app: &TestApp, cookie: &str, name: &str, mode: &str) -> Answer {
    let id = app.inner.new_key_id().to_string();
    app.send(cookie, &format!("{PAGE}/new"), &[("id", &id), ("name", name), ("mode", mode), ("scope", "read_only")])
        .await
}

fn token_in(page: &Answer) -> String {
    between(page.text(), "translate=\"no\">", "<").to_owned()
}

/// A list's rows in words, without markup.
fn rows(page: &Answer) -> Vec<String> {
    let bodies = page.text().split("<tbody>").skip(1).map(|rest| between(rest, "", "</tbody>"));
    bodies.flat_map(|body| body.split("</tr>").map(words).collect::<Vec<_>>()).filter(|row| !row.is_empty()).collect()
}

fn words(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => (inside, text) = (false, text + " "),
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(" ⋯").next().unwrap_or_default().to_owned()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_and_a_repeat_makes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let empty = app.page(&ada, PAGE).await;
    assert!(empty.text().contains("No keys yet") && !empty.text().contains("<table"), "{empty}");
    let path = format!("{PAGE}/new");
    let form = app.page(&ada, &path).await;
    let id = between(form.text(), r#"name="id" value=""#, "\"").to_owned();
    let fields = [("id", id.as_str()), ("name", "Back & end"), ("mode", "live"), ("scope", "read_only")];
    let made = app.send(&ada, &path, &fields).await;
    let token = token_in(&made);
    assert_eq!((made.status.as_u16(), token.len()), (200, 50));
    // The script masks what follows the prefix.
    let (prefix, rest) = token.split_at("pk_live_".len() + 3);
    assert!(
        made.text().contains(&format!(
            "curl \"http://keyhouse.test/api/v1/products\" \\\n  -H \"Authorization: Bearer {prefix}<span data-mask>{rest}</span>\""
        )),
        "{made}"
    );
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);

    let again = app.send(&ada, &path, &fields).await;
    assert!(again.status == 409 && again.text().contains("Already created"));
    for page in [again, app.page(&ada, PAGE).await, app.page(&ada, "/t/acme/settings/audit").await] {
        assert!(!page.text().contains(&token[12..]), "never again");
    }
    let list = app.page(&ada, PAGE).await;
    assert_text!(rows(&list).join("\n"), @"Back &#38; end pk_live_LHd... · Ada A · Read-only Live Read-only A Ada ada@example.com just now Never used 0 requests in 14 days Rename Rotate Pause Conditions View requests View activity Revoke");
    assert!(list.text().contains("<strong>1 of 10</strong> active"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_form_is_shown_beside_its_field(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let refused = app.send(&ada, &format!("{PAGE}/new"), &[("name", " "), ("mode", "prod"), ("scope", "")]).await;
    assert_eq!(refused.status, 422);
    assert_text!(faults(&refused).join("\n"), @"
    Enter a name.
    Choose live or test.
    Choose what the key can do.
    ");
    assert!(refused.text().contains(r#"aria-invalid="true" aria-describedby="name-hint name-fault""#));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eleventh_is_refused_with_the_reason(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    for n in 1..=10 {
        assert_eq!(create(&app, &ada, &format!("K{n}"), "test").await.status, 200);
    }
    let list = app.page(&ada, PAGE).await;
    assert!(list.text().contains("<strong>10 of 10</strong> active"));
    assert!(list.text().contains(r#"aria-disabled="true""#));
    let form = app.page(&ada, &format!("{PAGE}/new")).await;
    assert_eq!(form.text().matches("/revoke\" data-open>Revoke").count(), 10, "which one to revoke instead");
    let refused = create(&app, &ada, "K11", "test").await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("the maximum. Revoke one first") && refused.text().contains(r#"value="K11""#));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rename_and_revoke_from_the_page(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let token = token_in(&create(&app, &ada, "Old", "live").await);
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let id = app.inner.keys_of(&team).await.unwrap()[0].key.id;
    let renamed = app.send(&ada, &format!("{PAGE}/{id}/rename"), &[("name", "New")]).await;
    let active = app.page(&ada, renamed.location()).await;
    assert!(active.text().contains("Renamed to New") && active.text().contains(r#"class="new""#));

    // In use: its name must be typed, whatever script the page has.
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);
    app.inner.flush_usage(keyhouse::app::usage::Flush::Everything).await.unwrap();
    let asked = app.page(&ada, &format!("{PAGE}/{id}/revoke")).await;
    assert_text!(words(between(asked.text(), "<section", "</section>")), @r#"class="sheet" data-sheet aria-labelledby="sheet-title" Revoke New? Revoke key Token pk_live_VyL... Mode Live Read-only Last used just now from 203.0.113.7 Safe to revoke? No. Used just now from 203.0.113.7. This key is in use. Requests with this key will fail with 401 within a second. This can’t be undone. Type New to confirm Reason (optional) Shown on the key’s page and in the audit log. Still needed? Rotate the key to keep its history, or create a key that replaces it. Create a successor first Keep key Revoke key"#);
    for typed in ["", "Old", "new"] {
        assert_eq!(app.send(&ada, &format!("{PAGE}/{id}/revoke"), &[("name", typed)]).await.status, 422, "{typed}");
    }
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200);
    let revoked = app.send(&ada, &format!("{PAGE}/{id}/revoke"), &[("name", " New ")]).await;
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 401, "the very next call");
    let list = app.page(&ada, revoked.location()).await;
    assert!(list.text().contains("Revoked New"));
    let modes = |list: &Answer| words(between(list.text(), r#"aria-label="Mode">"#, "</div>"));
    assert_eq!(modes(&active), "All Live 1 , 1 active Test 0 , 0 active");
    assert_eq!(modes(&list), "All Live 0 , 0 active Test 0 , 0 active", "ended keys do not count");
    assert_text!(rows(&list).join("\n"), @"New Revoked pk_live_VyL... · Ada A · Read-only Live Read-only A Ada ada@example.com in 90 days just now by Ada Not tried");
    assert_eq!(app.send(&ada, &format!("{PAGE}/{id}/rename"), &[("name", "x")]).await.status, 422, "not any more");

    app.advance(90 * DAY - Duration::from_millis(1));
    let ada = app.browser("ada@example.com").await;
    assert_eq!(rows(&app.page(&ada, PAGE).await).len(), 1);
    app.advance(Duration::from_millis(1));
    assert!(app.page(&ada, PAGE).await.text().contains("No keys yet"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_at_rest_is_remarked_and_filters_are_in_the_address(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    create(&app, &ada, "Live one", "live").await;
    create(&app, &ada, "Test one", "test").await;
    app.advance(29 * DAY);
    let ada = app.browser("ada@example.com").await;
    assert!(!app.page(&ada, PAGE).await.text().contains("Unused for"));
    app.advance(13 * DAY);
    let ada2 = app.browser("ada@example.com").await;
    assert!(app.page(&ada2, PAGE).await.text().contains("Unused for 42 days"));
    for (query, shown) in [("?mode=live", "Live one"), ("?mode=test&status=active", "Test one")] {
        let list = rows(&app.page(&ada2, &format!("{PAGE}{query}")).await);
        assert!(list.len() == 1 && list[0].starts_with(shown), "{query}: {list:?}");
    }
    assert!(app.page(&ada2, &format!("{PAGE}?status=revoked")).await.text().contains("No keys match these filters"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_in_a_text_leads_to_its_key_for_those_who_may_revoke_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let token = token_in(&create(&app, &ada, "Leaked", "live").await);
    let second = token_in(&create(&app, &ada, "Leaked too", "test").await);
    let other = app.team("Globex").await;
    let theirs = app.key(&other, Mode::Live, Scope::ReadOnly).await;
    let find = |text: String| {
        let (app, ada) = (&app, &ada);
        async move { app.send(ada, &format!("{PAGE}/find"), &[("token", &text)]).await }
    };
    for text in [
        format!(" {token}\n"),
        format!("\"{token}\","),
        format!("Authorization: Bearer {token}"),
        format!("KEY={token} npm start"),
        format!("curl \"http://x/?token={token}&y=1\""),
    ] {
        let found = find(text.clone()).await;
        assert!(
            found.status == 200 && found.text().contains("Leaked") && found.text().contains("Revoke key…"),
            "{text}"
        );
        assert!(!found.text().contains(&token[12..]), "it is not shown again");
    }
    let many = find(format!("a={token} b={second} c={token} d={} e={}", theirs.token.expose(), &token[..40])).await;
    assert_eq!(many.text().matches("role=\"status\" class=\"card\"").count(), 4, "{many}");
    assert!(many.text().contains("<bdi>Leaked</bdi>") && many.text().contains("<bdi>Leaked too</bdi>"));
    assert!(many.text().contains("No key in your teams matches") && !many.text().contains("Globex"));
    assert!(many.text().contains("isn’t one: wrong length") && !many.text().contains(&token[12..40]));
    let none = find("nothing here".to_owned()).await;
    assert_text!(faults(&none).join("\n"), @"No Keyhouse token in this text. Paste the full token.");
    // And another team's key is on no page of this one.
    assert_eq!(app.page(&ada, &format!("{PAGE}/{}/revoke", theirs.key.id)).await.status, 404);
    assert_eq!(app.send(&ada, &format!("{PAGE}/{}/revoke", theirs.key.id), &[]).await.status, 404);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_deleted_team_is_found_by_who_created_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let token = token_in(&create(&app, &ada, "Leaked", "live").await);
    let email = keyhouse_domain::person::Email::parse("ada@example.com").unwrap();
    let name = keyhouse_domain::team::TeamName::parse("Second").unwrap();
    app.inner.create_team("tester", &name, &email).await.unwrap();
    let stranger = app.team("Globex").await;
    let theirs = app.browser("owner@globex.example").await;
    assert_eq!(app.send(&ada, "/t/acme/settings/delete", &[("name", "Acme")]).await.location(), "/");
    let find = |team: &str| format!("/t/{team}/settings/integrations/api-keys/find");
    let found = app.send(&ada, &find("second"), &[("token", &token)]).await;
    assert!(found.text().contains("<dd>Deleted</dd>") && found.text().contains("with its team"), "{found}");
    let hidden = app.send(&theirs, &find(stranger.slug.as_str()), &[("token", &token)]).await;
    assert!(hidden.text().contains("No key in your teams matches"), "{hidden}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_keys_are_paged_the_latest_revocation_first(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let old = app.key(&team, Mode::Live, Scope::ReadOnly).await.key;
    for _ in 0..104 {
        app.advance(Duration::from_millis(1));
        let key = app.key(&team, Mode::Test, Scope::ReadOnly).await.key;
        app.inner.revoke_key(&app.shell(&team), key.id, None).await.unwrap();
    }
    app.advance(Duration::from_millis(1));
    app.inner.revoke_key(&app.shell(&team), old.id, None).await.unwrap();
    let ids = |page: &Answer| -> Vec<String> {
        page.text()
            .split("<tr class=\"gone\" id=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    };
    let (mut path, mut seen) = (PAGE.to_owned(), Vec::new());
    loop {
        let page = app.page(&ada, &path).await;
        let rows = ids(&page);
        assert!(rows.len() <= 50, "{}", rows.len());
        seen.extend(rows);
        let Some(at) = page.text().find("\">Ended earlier") else { break };
        let before = &page.text()[..at];
        path = before[before.rfind("href=\"").unwrap() + 6..].replace("&#38;", "&");
    }
    assert_eq!((seen.len(), &seen[0]), (105, &old.id.to_string()), "the oldest key was revoked last");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 105, "each once");
    let live = app.page(&ada, &format!("{PAGE}?status=revoked&mode=live")).await;
    assert_eq!(ids(&live), [old.id.to_string()]);
    let audit = app.page(&ada, "/t/acme/settings/audit").await;
    assert!(audit.text().matches("<option value=\"key_").count() <= 110);
}
