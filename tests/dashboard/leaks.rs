//! The page `/leaks`, and the notice on the API keys page.

use rstest::rstest;
use std::time::Duration;

use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamRef;
use keyhouse_token::Mode;

use super::faults;
use test_support::{Engine, TestApp};

const PAGE: &str = "/t/acme/settings/integrations/api-keys";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finder_reports_a_token_on_a_page_without_an_account_and_the_team_sees_a_notice(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".to_owned())).await.unwrap().unwrap();
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    assert!(!app.page(&ada, PAGE).await.text().contains("reported as leaked"));

    let form = app.get("/leaks").await;
    assert_eq!((form.status.as_u16(), faults(&form).len()), (200, 0));
    let empty = app.call("POST", "/leaks").form(&[("token", "nothing here")]).await;
    assert_eq!(empty.status, 422);
    assert!(empty.text().contains("No Keyhouse token in this text."), "{empty}");
    let done = app.call("POST", "/leaks").form(&[("token", &format!("I found {token}."))]).await;
    assert_eq!(done.status, 200, "{done}");
    assert!(
        done.text().contains("1 token was reported. Any key that a reported token belongs to is revoked."),
        "{done}"
    );
    assert!(!done.text().contains(token), "the page never shows it again");
    assert_eq!(app.get("/api/v1/key").bearer(token).await.status, 401);

    let page = app.page(&ada, PAGE).await;
    assert!(page.text().contains("A key was reported as leaked"), "{page}");
    assert!(page.text().contains("“A key”, revoked, "), "{page}");
    let foreign = app.call("POST", &format!("{PAGE}/leak-notice")).form(&[]).await;
    assert_eq!(foreign.status, 403, "without a session");
    assert!(app.page(&ada, PAGE).await.text().contains("reported as leaked"));
    let dismissed = app.send(&ada, &format!("{PAGE}/leak-notice"), &[]).await;
    assert_eq!((dismissed.status.as_u16(), dismissed.location()), (303, PAGE));
    assert!(!app.page(&ada, PAGE).await.text().contains("reported as leaked"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notice_ends_after_30_days(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".to_owned())).await.unwrap().unwrap();
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.call("POST", "/leaks").form(&[("token", key.token.expose())]).await;
    for (days, is_shown) in [(29, true), (1, false)] {
        app.advance(days * DAY);
        assert_eq!(!app.inner.leak_notices(team.id).await.unwrap().is_empty(), is_shown);
    }
}
