//! The team: settings, members, and what is lost when a role is.

use rstest::rstest;
use std::time::Duration;

use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::{Membership, Permit};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::TeamRef;
use keyhouse_token::Mode;

use super::{PASSWORD, between, faults};
use test_support::{Engine, TestApp, assert_text};

const MEMBERS: &str = "/t/acme/settings/members";
const KEYS: &str = "/t/acme/settings/integrations/api-keys";

async fn person(app: &TestApp, email: &str) -> String {
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let member = app.inner.queries().member_by_email(team.id, &Email::parse(email).unwrap()).await.unwrap();
    member.unwrap().person.to_string()
}

/// The seat of a browser, as a request that has just been let in holds it.
async fn seat(app: &TestApp, cookie: &str) -> Membership {
    let secret = Secret::parse(cookie.split_once('=').unwrap().1).unwrap();
    let (session, person) = app.inner.session(&secret).await.unwrap().unwrap();
    let (team, role) = app.inner.queries().teams_of(person.id).await.unwrap().remove(0);
    Membership { team, role, person, session: session.id, client_ip: "203.0.113.7".into() }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_sees_what_is_theirs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    for (name, role, manages, edits) in
        [("Ann", "admin", true, true), ("Max", "manager", false, true), ("Mia", "member", false, false)]
    {
        let cookie = app.join(&ada, name, role).await;
        let products = app.page(&cookie, "/t/acme/products").await;
        assert_eq!(products.text().contains("/t/acme/settings"), manages, "{role}: the menu");
        assert_eq!(products.text().contains("/t/acme/products/new"), edits, "{role}: the button");
        let keys = app.page(&cookie, KEYS).await;
        if manages {
            assert_eq!(keys.status, 200);
        } else {
            assert_eq!(keys.status, 403);
            assert!(keys.text().contains("Ask one of these people") && keys.text().contains("ada@example.com"));
        }
        let settings = app.page(&cookie, "/t/acme/settings").await;
        assert_eq!(settings.status == 200, manages);
        assert!(!settings.text().contains("Delete team"), "{role}: the owner's alone");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_changed_and_removed_with_or_without_their_keys(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let ann = app.join(&ada, "Ann", "admin").await;
    let id = person(&app, "ann@example.com").await;
    let ada_id = person(&app, "ada@example.com").await;
    let made =
        app.send(&ann, &format!("{KEYS}/new"), &[("name", "Ann's"), ("mode", "live"), ("scope", "read_only")]).await;
    let token = between(made.text(), "translate=\"no\">", "<").to_owned();

    for (path, fields) in [("role", [("role", "member")]), ("remove", [("keys", "keep")])] {
        let refused = app.send(&ann, &format!("{MEMBERS}/{ada_id}/{path}"), &fields).await;
        assert_text!(faults(&refused).join("\n"), @"This is the owner: the team must be handed over first.");
    }
    let dialog = app.page(&ada, &format!("{MEMBERS}/{id}/remove")).await;
    assert!(dialog.text().contains("They created these active keys") && dialog.text().contains("Ann&#39;s"));
    assert_eq!(app.send(&ada, &format!("{MEMBERS}/{id}/remove"), &[("keys", "keep")]).await.status, 303);
    assert_eq!(app.page(&ann, "/t/acme/products").await.status, 404, "with the next request");
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 200, "keys belong to the team");
    assert!(app.page(&ada, KEYS).await.text().contains("Left the team"));

    app.join_again(&ada, "ann@example.com", "admin").await;
    assert_eq!(app.send(&ada, &format!("{MEMBERS}/{id}/remove"), &[("keys", "revoke")]).await.status, 303);
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 401);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_is_handed_over_and_left(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let bob = app.join(&ada, "Bob", "member").await;
    let stays = app.send(&ada, "/t/acme/leave", &[]).await;
    assert!(stays.text().contains("You own this team"));
    let id = person(&app, "bob@example.com").await;
    assert_eq!(app.send(&ada, &format!("{MEMBERS}/{id}/hand-over"), &[]).await.status, 303);
    assert!(app.page(&bob, "/t/acme/settings").await.text().contains("Delete team"));
    assert_eq!(app.send(&ada, "/t/acme/settings/delete", &[("name", "Acme")]).await.status, 403, "an admin now");
    assert_eq!(app.send(&ada, "/t/acme/leave", &[]).await.location(), "/account?done=left");
    assert_eq!(app.page(&ada, "/t/acme/products").await.status, 404);
    assert!(app.page(&ada, "/").await.text().contains("You aren’t in a team yet"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_team_takes_its_keys_along(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    assert_eq!(app.post("/api/v1/products", body).bearer(key.token.expose()).await.status, 201);
    let wrong = app.send(&ada, "/t/acme/settings/delete", &[("name", "acme")]).await;
    assert_text!(faults(&wrong).join("\n"), @"That doesn’t match the team’s name.");
    app.advance(Duration::from_secs(16 * 60));
    assert_eq!(app.send(&ada, "/t/acme/settings/delete", &[("name", "Acme")]).await.status, 403, "asks again first");
    let done = app.send(&ada, "/t/acme/settings/delete", &[("name", "Acme"), ("confirm_password", PASSWORD)]).await;
    assert_eq!(done.location(), "/");
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
    assert_eq!(app.page(&done.cookie().unwrap(), "/t/acme/products").await.status, 404);
    assert_eq!(app.inner.purge_products().await.unwrap(), 1);
    assert_eq!(app.team("Acme").await.slug.as_str(), "acme", "the slug is free again");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_or_session_lost_before_the_write_is_lost(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let ann = app.join(&ada, "Ann", "admin").await;
    let id = person(&app, "ann@example.com").await;
    let new_key = || NewKey::new(KeyName::parse("K").unwrap(), Mode::Test, Scope::ReadOnly);

    // Let in as an admin; by the time of the write she is none.
    let before = seat(&app, &ann).await;
    assert_eq!(app.send(&ada, &format!("{MEMBERS}/{id}/role"), &[("role", "member")]).await.status, 303);
    let refused = app.inner.create_key(&before.permit().unwrap(), new_key()).await;
    assert!(matches!(refused, Err(keyhouse::app::keys::CreateKeyError::Forbidden(_))));
    let editor: Permit<keyhouse_domain::permission::EditProducts> = before.permit().unwrap();
    let missing = app
        .inner
        .set_product_status_as(
            &editor,
            Mode::Live,
            app.inner.ids().product(),
            keyhouse_domain::product::Status::Archived,
        )
        .await;
    assert!(matches!(missing, Err(keyhouse::app::products::EditProductError::Forbidden(_))));

    // Let in with a session; by the time of the write it is ended.
    let hers = seat(&app, &ada).await;
    let admin: keyhouse_domain::permission::TeamAdmin = hers.permit().unwrap();
    app.send(&ada, "/sign-out", &[]).await;
    let refused = app.inner.invite(&admin, &Email::parse("x@example.com").unwrap(), Role::Member).await;
    assert!(matches!(refused, Err(keyhouse::app::links::InviteError::Forbidden(_))));
    let refused = app.inner.rename_team(&admin, &keyhouse_domain::team::TeamName::parse("X").unwrap()).await;
    assert!(matches!(refused, Err(keyhouse::app::teams::ChangeTeamError::Forbidden(_))));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_members_are_paged_and_searched(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    for n in 0..120 {
        app.inner
            .add_member("tester", &team, &Email::parse(&format!("m{n:03}@example.com")).unwrap(), Role::Member)
            .await
            .unwrap();
    }
    let (mut page, mut seen) = (MEMBERS.to_owned(), 0);
    loop {
        let answer = app.page(&ada, &page).await;
        seen += answer.text().matches("<tr><th scope=\"row\"").count();
        let Some(at) = answer.text().find("More members") else { break };
        let before = &answer.text()[..at];
        page = before[before.rfind("href=\"").unwrap() + 6..].split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!(seen, 121);
    let found = app.page(&ada, &format!("{MEMBERS}?q=M007")).await;
    assert!(found.text().contains("m007@example.com") && !found.text().contains("m008@"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_managing_keys_may_have_theirs_revoked(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let new = |name: &'static str| [("name", name), ("mode", "test"), ("scope", "read_only")];
    for (exit, choice, status) in
        [("role", "keep", 200), ("role", "revoke", 401), ("leave", "keep", 200), ("leave", "revoke", 401)]
    {
        let name = format!("Ann{exit}{choice}");
        let ann = app.join(&ada, &name, "admin").await;
        let made = app.send(&ann, &format!("{KEYS}/new"), &new("Ann's")).await;
        let token = between(made.text(), "translate=\"no\">", "<").to_owned();
        let id = app.person_id(&ann).await.unwrap();
        let (path, cookie) = match exit {
            "role" => (format!("{MEMBERS}/{id}/role"), &ada),
            _ => ("/t/acme/leave".to_owned(), &ann),
        };
        let page = app.page(cookie, &path).await;
        assert!(page.text().contains("Ann&#39;s") && page.text().contains("value=\"revoke\""), "{exit}: {page}");
        assert_eq!(app.send(cookie, &path, &[("role", "manager"), ("keys", choice)]).await.status, 303, "{exit}");
        assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, status, "{exit}, {choice}");
        // The next round's key has the same name.
        let kept = app.page(&ada, KEYS).await;
        if let Some((_, rest)) = kept.text().split_once("<tr id=\"") {
            let key = rest.split('"').next().unwrap();
            app.send(&ada, &format!("{KEYS}/{key}/revoke"), &[]).await;
        }
    }
}
