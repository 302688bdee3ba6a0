//! The life of a key: creation, revocation, the 90 days after it.

use rstest::rstest;
use std::time::Duration;

use keyhouse::app::keys::{RenameKeyError, RevokeKeyError, Revoked};
use keyhouse_domain::api_key::KeyName;
use keyhouse_domain::audit::Action;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use test_support::{Engine, TestApp, assert_text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_leaves_the_list_after_ninety_days_and_stays_refused(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.advance(DAY);
    assert_eq!(app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap(), Revoked::Now);

    app.advance(90 * DAY - Duration::from_millis(1));
    let listed = app.inner.keys_of(&team).await.unwrap();
    assert_eq!(listed.len(), 1, "to the last millisecond");
    assert_eq!(listed[0].key.listed_until(app.clock.now()).unwrap().ms(), app.clock.now().ms() + 1);
    assert_eq!(app.inner.redact_ended_key_names().await.unwrap(), 0);

    app.advance(Duration::from_millis(1));
    assert!(app.inner.keys_of(&team).await.unwrap().is_empty());
    assert_eq!(app.inner.redact_ended_key_names().await.unwrap(), 1);
    assert_eq!(app.inner.queries().key(key.key.id).await.unwrap().unwrap().name, None);

    // The hash stays, so the token is refused for good and `key find` still finds its key.
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
    assert!(app.inner.find_key(key.token).await.unwrap().is_some());
    assert!(
        app.inner
            .queries()
            .audit_events(team.id, &Default::default(), None, 10)
            .await
            .unwrap()
            .iter()
            .any(|event| event.action == Action::KeyRevoked)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_can_not_be_undone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let id = key.key.id;
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
    app.inner.revoke_key(&app.shell(&team), id, None).await.unwrap();
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 401, "the very next call");

    let first = app.inner.queries().key(id).await.unwrap();
    app.advance(DAY);
    assert_eq!(app.inner.revoke_key(&app.shell(&team), id, None).await.unwrap(), Revoked::Before);
    let renamed = app.inner.rename_key(&app.shell(&team), id, &KeyName::parse("x").unwrap(), None).await;
    assert!(matches!(renamed, Err(RenameKeyError::Revoked)));
    assert!(app.inner.revoke_all_keys(&app.shell(&team)).await.unwrap().is_empty());
    assert_eq!(app.inner.queries().key(id).await.unwrap(), first, "nothing changed it");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_leaves_one_audit_event(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let member = app.inner.queries().members(team.id).await.unwrap().remove(0);
    let admin = KeyAdmin::member(&member, "192.0.2.44").unwrap();
    let key = app.key(&team, Mode::Test, Scope::ReadOnly).await;
    app.inner.rename_key(&admin, key.key.id, &KeyName::parse("Renamed").unwrap(), None).await.unwrap();
    app.inner.revoke_key(&admin, key.key.id, None).await.unwrap();
    app.inner.revoke_key(&admin, key.key.id, None).await.unwrap();
    let shown: Vec<_> = app
        .inner
        .queries()
        .audit_events(team.id, &Default::default(), None, 10)
        .await
        .unwrap()
        .into_iter()
        .rev()
        .map(|event| format!("{} {} | {} | {}", event.action.as_str(), event.detail, event.by.name, event.source))
        .collect();
    assert_text!(shown.join("\n"), @"
    team.created “Acme” | Command line (tester) | shell
    member.added owner@acme.example as owner | Command line (tester) | shell
    key.created pk_test_nX8... “A key”, Read-only | Command line (tester) | shell
    key.renamed pk_test_nX8... “A key” to “Renamed” | owner | 192.0.2.44
    key.revoked pk_test_nX8... “Renamed” | owner | 192.0.2.44
    ");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_is_refused_after_its_role_was_lost(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let email = Email::parse("bob@example.com").unwrap();
    app.inner.add_member("tester", &team, &email, Role::Admin).await.unwrap();
    let bob = app.inner.queries().member_by_email(team.id, &email).await.unwrap().unwrap();
    let admin = KeyAdmin::member(&bob, "192.0.2.1").unwrap();
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.place.execute_sql("UPDATE members SET role = 'manager' WHERE role = 'admin'").await.unwrap();
    // The permit was valid when it was created; the transaction checks the role again.
    assert!(matches!(app.inner.revoke_key(&admin, key.key.id, None).await, Err(RevokeKeyError::Forbidden(_))));
    assert!(matches!(app.inner.revoke_all_keys(&admin).await, Err(RevokeKeyError::Forbidden(_))));
    let renamed = app.inner.rename_key(&admin, key.key.id, &KeyName::parse("x").unwrap(), None).await;
    assert!(matches!(renamed, Err(RenameKeyError::Forbidden(_))));
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_teams_key_can_be_neither_renamed_nor_revoked(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ours = app.team("Acme").await;
    let theirs = app.team("Globex").await;
    let key = app.key(&theirs, Mode::Live, Scope::ReadWrite).await;
    assert!(matches!(app.inner.revoke_key(&app.shell(&ours), key.key.id, None).await, Err(RevokeKeyError::NoSuchKey)));
    let renamed = app.inner.rename_key(&app.shell(&ours), key.key.id, &KeyName::parse("x").unwrap(), None).await;
    assert!(matches!(renamed, Err(RenameKeyError::NoSuchKey)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_sessions_and_links_are_deleted_and_others_stay(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    app.team("Acme").await;
    let email = Email::parse("owner@acme.example").unwrap();
    let cookie = app.browser(email.as_str()).await;
    app.inner.sign_in_link("tester", &email).await.unwrap().unwrap();
    assert_eq!(app.inner.purge_sessions_and_links().await.unwrap(), 0, "nothing is old");
    assert_eq!(app.get("/account").cookie(&cookie).await.status, 200);

    app.advance(DAY * 400);
    let fresh = app.browser(email.as_str()).await;
    let deleted = app.inner.purge_sessions_and_links().await.unwrap();
    assert!(deleted >= 1, "the expired session: {deleted}");
    assert_eq!(app.inner.purge_sessions_and_links().await.unwrap(), 0, "all at once");
    assert_eq!(app.get("/account").cookie(&fresh).await.status, 200, "a valid session stays");
    assert_eq!(app.get("/account").cookie(&cookie).await.status, 303, "an expired one is gone");
}
