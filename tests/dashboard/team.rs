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

use super::{PASSWORD, between, faults, link_in};
use test_support::{Answer, Engine, TestApp, assert_text};

const MEMBERS: &str = "/t/acme/settings/members";
const KEYS: &str = "/t/acme/settings/integrations/api-keys";

async fn person(app: &TestApp, email: &str) -> String {
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let member = app.inner.queries().member_by_email(team.id, &Email::parse(email).unwrap()).await.unwrap();
    member.unwrap().person.to_string()
}

/// The membership of a browser's person, as a request holds it after its authorization.
async fn membership(app: &TestApp, cookie: &str) -> Membership {
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
        assert_text!(faults(&refused).join("\n"), @"This is the owner. Transfer ownership first.");
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
    let made =
        app.send(&ada, &format!("{KEYS}/new"), &[("name", "Ada's"), ("mode", "live"), ("scope", "read_only")]).await;
    let token = between(made.text(), "translate=\"no\">", "<").to_owned();
    let path = format!("{MEMBERS}/{id}/hand-over");
    assert!(app.page(&ada, &path).await.text().contains("You created these active keys"));
    assert_eq!(app.send(&ada, &path, &[("keys", "revoke")]).await.status, 303);
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 401, "revoked with the transfer");
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
    let before = membership(&app, &ann).await;
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
    let hers = membership(&app, &ada).await;
    let admin: keyhouse_domain::permission::TeamAdmin = hers.permit().unwrap();
    app.send(&ada, "/sign-out", &[]).await;
    let refused = app.inner.invite(&admin, &Email::parse("x@example.com").unwrap(), Role::Member).await;
    assert!(matches!(refused, Err(keyhouse::app::links::InviteError::Forbidden(_))));
    let refused = app.inner.rename_team(&admin, &keyhouse_domain::team::TeamName::parse("X").unwrap(), None).await;
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
    let key = [("name", "K"), ("mode", "test"), ("scope", "read_only")];
    assert_eq!(app.send(&ada, &format!("{KEYS}/new"), &key).await.status, 200);
    let row = |answer: &Answer| between(answer.text(), "<td class=\"c-seen d\">", "</tr>").to_owned();
    let own = row(&app.page(&ada, &format!("{MEMBERS}?q=ada")).await);
    assert!(own.contains(">just now</time>") && own.contains("number\">1</td>"), "{own}");
    let other = row(&app.page(&ada, &format!("{MEMBERS}?q=m007")).await);
    assert!(other.contains("Not in the last 30 days") && other.contains("number\">0</td>"), "{other}");
    let found = app.page(&ada, &format!("{MEMBERS}?q=M007")).await;
    assert!(found.text().contains("m007@example.com") && !found.text().contains("m008@"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_a_person_who_stops_managing_keys_can_be_revoked(
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

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_creates_the_link_for_the_address_that_a_member_has_asked_for(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let bob = app.join(&ada, "Bob", "member").await;
    let id = person(&app, "bob@example.com").await;
    let path = format!("{MEMBERS}/{id}/email");
    assert_eq!(app.page(&ada, &path).await.status, 404, "without a pending address");
    let change = [("do", "profile"), ("name", "Bob"), ("email", "robert@example.com")];
    assert_eq!(app.send(&bob, "/account", &change).await.location(), "/account?done=pending");
    let account = app.page(&bob, "/account").await;
    assert!(account.text().contains("keyhouse person set-email bob@example.com robert@example.com"), "{account}");

    let members = app.page(&ada, MEMBERS).await;
    assert!(members.text().contains("Email changes") && members.text().contains(&path), "{members}");
    assert!(app.page(&ada, &path).await.text().contains("<bdi>robert@example.com</bdi>"));
    assert_eq!(app.send(&bob, &path, &[]).await.status, 403, "a member may not");
    let link = link_in(&app.send(&ada, &path, &[]).await);
    assert_eq!(app.sign_in("robert@example.com", PASSWORD).await.status, 422, "the old address counts until then");
    assert_eq!(app.send(&bob, &link, &[]).await.status, 303);
    assert_eq!(app.sign_in("robert@example.com", PASSWORD).await.status, 303);
    assert!(!app.page(&ada, MEMBERS).await.text().contains("Email changes"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_shows_the_address_beside_a_name(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    app.join(&ada, "Bob", "manager").await;
    let log = app.page(&ada, "/t/acme/settings/audit").await;
    assert!(log.text().contains("<bdi class=\"below cut\" title=\"ada@example.com\">ada@example.com</bdi>"), "{log}");
    assert!(log.text().contains("Ada (ada@example.com)</option>"), "the filter by person: {log}");
    let made = app.send(&ada, &format!("{KEYS}/new"), &[("name", "K"), ("mode", "test"), ("scope", "read_only")]).await;
    let id = between(made.text(), "?key=", "\"").to_owned();
    for path in [KEYS.to_owned(), format!("{KEYS}/{id}")] {
        let page = app.page(&ada, &path).await;
        assert!(page.text().contains("\">ada@example.com</bdi>"), "{path}: {page}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_is_an_option_of_the_audit_log_s_filter(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    for n in 0..130 {
        let email = Email::parse(&format!("m{n:03}@example.com")).unwrap();
        app.inner.add_member("tester", &team, &email, Role::Member).await.unwrap();
    }
    let log = app.page(&ada, "/t/acme/settings/audit").await;
    let people = between(log.text(), "name=\"person\"", "</select>");
    assert_eq!(people.matches("<option").count(), 1 + 131);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_changed_meanwhile_is_not_replaced_unseen(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let rename = [("name", "Mine"), ("version", "Acme")];
    assert_eq!(app.send(&ada, "/t/acme/settings", &[("name", "Theirs"), ("version", "Acme")]).await.status, 303);
    let refused = app.send(&ada, "/t/acme/settings", &rename).await;
    assert_text!(faults(&refused).join("\n"), @"The team was renamed to “Theirs” since you opened this page. Save again to replace it.");
    assert!(refused.text().contains(r#"name="version" value="Theirs""#), "saving again replaces it");
    app.join(&ada, "Bob", "member").await;
    let path = format!("{MEMBERS}/{}/role", person(&app, "bob@example.com").await);
    assert_eq!(app.send(&ada, &path, &[("role", "manager"), ("version", "member")]).await.status, 303);
    let refused = app.send(&ada, &path, &[("role", "admin"), ("version", "member")]).await;
    assert_text!(faults(&refused).join("\n"), @"The role was changed to Manager since you opened this page. Save again to replace it.");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_team_has_a_checklist_until_its_steps_are_done(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let list = async || app.page(&ada, "/t/acme/products").await;
    assert!(list().await.text().contains("0 of 4 done"), "{}", list().await);
    let dismissed = app.send(&ada, "/t/acme/products/checklist", &[]).await;
    let cookie = dismissed.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    let page = app.page(&format!("{ada}; {cookie}"), dismissed.location()).await;
    assert!(!page.text().contains("Get started"), "dismissed in this browser: {page}");
    assert!(list().await.text().contains("0 of 4 done"), "and in no other");
    assert!(app.page(&ada, &format!("{KEYS}/new?mode=test")).await.text().contains("value=\"test\" required checked"));
    let key = app.key(&team, Mode::Test, Scope::ReadWrite).await;
    let page = list().await;
    assert!(page.text().contains("1 of 4 done") && page.text().contains("Waiting for the first request"), "{page}");
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
    app.inner.flush_usage(keyhouse::app::usage::Flush::Everything).await.unwrap();
    let page = list().await;
    assert!(page.text().contains("2 of 4 done") && !page.text().contains("Waiting for"), "{page}");
    let bob = app.join(&ada, "Bob", "member").await;
    assert!(list().await.text().contains("3 of 4 done"));
    assert!(!app.page(&bob, "/t/acme/products").await.text().contains("Get started"), "for those who can do it");
    app.key(&team, Mode::Live, Scope::ReadOnly).await;
    assert!(!list().await.text().contains("Get started"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_invitation_and_an_archived_product_offer_undo(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let invite = [("email", "bob@example.com"), ("role", "member")];
    let link = link_in(&app.send(&ada, &format!("{MEMBERS}/invite"), &invite).await);
    let withdraw =
        between(app.page(&ada, MEMBERS).await.text(), "href=\"/t/acme/settings/invitations/", "\"").to_owned();
    let withdrawn = app.send(&ada, &format!("/t/acme/settings/invitations/{withdraw}"), &[]).await;
    assert_eq!(app.get(&link).await.status, 404);
    let page = app.page(&ada, withdrawn.location()).await;
    let undo = between(page.text(), "Invitation withdrawn</span><form method=\"post\" action=\"", "\"").to_owned();
    let restored = app.send(&ada, &undo, &[]).await;
    assert_eq!((restored.status.as_u16(), app.get(&link).await.status.as_u16()), (303, 200));
    assert_eq!(app.send(&ada, &undo, &[]).await.status, 404, "it is open already");

    let new = [("name", "Vane"), ("unitPrice", "1"), ("currency", "EUR"), ("type", "GOODS"), ("unitOfMeasure", "unit")];
    assert_eq!(app.send(&ada, "/t/acme/products/new", &new).await.status, 303);
    let list = app.page(&ada, "/t/acme/products").await;
    let path = format!("/t/acme/products/0{}", between(list.text(), "href=\"/t/acme/products/0", "\""));
    let archived = app.send(&ada, &path, &[("do", "archive")]).await;
    let page = app.page(&ada, archived.location()).await;
    let undo = between(page.text(), "Product archived</span><form method=\"post\" action=\"", "\"").to_owned();
    assert!(page.text().contains("name=\"do\" value=\"restore\""), "{page}");
    assert_eq!(app.send(&ada, &undo, &[("do", "restore")]).await.status, 303);
    assert!(app.page(&ada, "/t/acme/products").await.text().contains("Vane"));
    let faulty = app.send(&ada, &path, &[("name", ""), ("unitPrice", "x"), ("currency", "EURO")]).await;
    assert!(faulty.text().contains("fields need your attention"), "{faulty}");
    assert!(faulty.text().contains("<a class=\"ink\" href=\"#unitPrice\">Unit price</a>"), "{faulty}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_does_not_exist_keeps_the_sidebar_of_a_session(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    for path in ["/t/acme/nowhere", "/nowhere", "/t/globex/products"] {
        let page = app.get(path).cookie(&ada).header("accept", "text/html").await;
        assert_eq!(page.status, 404);
        assert!(page.text().contains("Page not found") && page.text().contains("/t/acme/products"), "{page}");
        let stranger = app.get(path).header("accept", "text/html").await;
        assert!(!stranger.text().contains("/t/acme/products"), "{stranger}");
    }
    let json = app.get("/nowhere").cookie(&ada).await;
    assert!(json.text().starts_with("{\"error\""), "{json}");
}
