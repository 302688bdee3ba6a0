//! Set-up, invitations, passwords, sessions: who gets in, and for how long.

use rstest::rstest;
use std::time::Duration;

use keyhouse_domain::audit::AuditFilter;
use keyhouse_domain::person::Email;
use keyhouse_domain::team::TeamRef;

use super::{PASSWORD, between, faults, link_in};
use test_support::{Engine, TestApp, assert_text};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_person_sets_up_by_the_newest_link_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let old = app.inner.set_up_link().await.unwrap().unwrap();
    let code = app.inner.set_up_link().await.unwrap().unwrap();
    assert_eq!(app.get(&format!("/link/{}", old.expose())).await.status, 404, "each start replaces it");
    let path = format!("/link/{}", code.expose());
    let looked = app.get(&path).await;
    assert!(looked.status == 200 && looked.text().contains("Set up Keyhouse"), "looking does not use it");
    let short = app
        .call("POST", &path)
        .form(&[("name", "Ada"), ("email", "ada@example.com"), ("team", "Acme"), ("password", "short")])
        .await;
    assert_eq!(short.status, 422);
    assert_text!(faults(&short).join("\n"), @"Use at least 15 characters; a passphrase of several words works well.");
    assert!(short.text().contains(r#"value="ada@example.com""#), "what was typed is kept");
    assert!(!short.text().contains("short"), "but the password is not");

    let cookie = app.set_up().await;
    assert_eq!(app.get(&path).await.status, 404, "replaced again");
    assert!(app.inner.set_up_link().await.unwrap().is_none(), "there is a person");
    assert!(app.page(&cookie, "/t/acme/settings/members").await.text().contains("Ada"));
    let events = app
        .inner
        .queries()
        .audit_events(
            app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap().id,
            &AuditFilter::default(),
            None,
            9,
        )
        .await
        .unwrap();
    let shown: Vec<_> = events
        .iter()
        .map(|event| format!("{} | {} | {}", event.action.as_str(), event.by.name, event.source))
        .collect();
    assert_text!(shown.join("\n"), @"
    person.signed_in | Ada | 203.0.113.7
    member.added | Ada | 203.0.113.7
    team.created | Ada | 203.0.113.7
    ");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_makes_an_account_once_and_ends_after_seven_days(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let invite = |email: &'static str| {
        let (app, ada) = (&app, &ada);
        async move { app.send(ada, "/t/acme/settings/members/invite", &[("email", email), ("role", "manager")]).await }
    };
    let first = link_in(&invite("bob@example.com").await);
    let second = link_in(&invite("Bob@example.com").await);
    assert_eq!(app.get(&first).await.status, 404, "a new link ends the old one");
    app.advance(7 * DAY - Duration::from_millis(1));
    assert_eq!(app.get(&second).await.status, 200);
    let joined = app.call("POST", &second).form(&[("name", "Bob"), ("password", PASSWORD)]).await;
    assert_eq!(joined.location(), "/t/acme/products");
    assert_eq!(
        app.call("POST", &second).form(&[("name", "Eve"), ("password", PASSWORD)]).await.status,
        404,
        "dead on use"
    );
    let bob = joined.cookie().unwrap();
    assert_eq!(app.page(&bob, "/t/acme/products").await.status, 200);

    let ada = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    let late = link_in(
        &app.send(&ada, "/t/acme/settings/members/invite", &[("email", "eve@example.com"), ("role", "member")]).await,
    );
    app.advance(7 * DAY);
    assert_eq!(app.get(&late).await.status, 404);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_person_joins_with_their_own_password_alone(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    app.join(&ada, "Bob", "member").await;
    // Bob is invited to another team, whose owner holds the link too.
    let eve = Email::parse("eve@example.com").unwrap();
    let other = app
        .inner
        .create_team("tester", &keyhouse_domain::team::TeamName::parse("Globex").unwrap(), &eve)
        .await
        .unwrap();
    let eve = app.browser("eve@example.com").await;
    let invite = [("email", "bob@example.com"), ("role", "admin")];
    let named = app.send(&eve, "/t/globex/settings/members/invite", &invite).await;
    assert!(!named.text().contains("/link/"), "an address alone invites no account");
    let banner = between(named.text(), "This email belongs to an existing account", "</p>");
    assert!(banner.contains("<bdi>Bob</bdi>") && banner.contains("<bdi>Acme (Member)</bdi>"), "{banner}");
    let link = link_in(&app.invite_known(&eve, "globex", "bob@example.com", "admin").await);
    let asked = app.get(&link).await;
    assert!(asked.text().contains("You already have an account"));
    let guessed = app.call("POST", &link).form(&[("name", "Bob"), ("password", "another long password")]).await;
    assert_eq!((guessed.status.as_u16(), guessed.cookie()), (422, None));
    let joined = app.call("POST", &link).form(&[("password", PASSWORD)]).await;
    assert_eq!(joined.location(), "/t/globex/products");
    let bob = joined.cookie().unwrap();
    assert!(app.page(&bob, "/").await.text().contains("Acme"), "one person in two teams");

    // Inviting a person without a password gives no access to their account.
    app.inner
        .add_member("tester", &other, &Email::parse("joe@example.com").unwrap(), keyhouse_domain::role::Role::Member)
        .await
        .unwrap();
    let link = link_in(&app.invite_known(&ada, "acme", "joe@example.com", "member").await);
    let refused = app.call("POST", &link).form(&[("name", "Joe"), ("password", PASSWORD)]).await;
    assert_eq!((refused.status.as_u16(), refused.cookie()), (409, None));
    assert!(refused.text().contains("joe@example.com has an account without a password"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_by_rest_by_age_and_by_word(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let second = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    assert_ne!(ada, second, "a new one each time");
    for _ in 0..4 {
        app.advance(7 * DAY - MINUTE);
        assert!(app.is_in(&ada).await);
    }
    assert!(!app.is_in(&second).await, "seven days at rest");
    app.advance(3 * DAY);
    assert!(!app.is_in(&ada).await, "thirty days in all");

    let one = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    let other = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    assert_eq!(app.send(&one, "/sign-out", &[]).await.location(), "/sign-in?signed_out=1");
    assert!(!app.is_in(&one).await && app.is_in(&other).await);
    let third = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    app.send(&third, "/account", &[("do", "sign_out_everywhere")]).await;
    assert!(!app.is_in(&other).await && !app.is_in(&third).await);
    // What is no session of ours is never adopted.
    let tag = app.inner.instance_tag().await.unwrap();
    assert!(!app.is_in(&format!("keyhouse_{tag}_session={}", "ab".repeat(32))).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_every_session_and_begins_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let other = app.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
    let change = |cookie: String, old: &'static str, new: &'static str| {
        let app = &app;
        async move { app.send(&cookie, "/account", &[("do", "password"), ("password", old), ("new_password", new)]).await }
    };
    let wrong = change(ada.clone(), "not her password", "green kettle slow train").await;
    assert_text!(faults(&wrong).join("\n"), @"Wrong password.");
    let weak = change(ada.clone(), PASSWORD, "passwordpassword").await;
    assert_text!(faults(&weak).join("\n"), @"This password is too common; choose another.");
    let changed = change(ada.clone(), PASSWORD, "green kettle slow train").await;
    assert_eq!(changed.location(), "/account?done=password");
    assert!(!app.is_in(&ada).await && !app.is_in(&other).await);
    assert!(app.is_in(&changed.cookie().unwrap()).await);
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 422);
    assert_eq!(app.sign_in("ada@example.com", "green kettle slow train").await.status, 303);

    // A forgotten one: by a link from the shell.
    let email = Email::parse("ada@example.com").unwrap();
    let (_, code) = app.inner.reset_link("tester", &email).await.unwrap().unwrap();
    let reset = app.call("POST", &format!("/link/{}", code.expose())).form(&[("password", PASSWORD)]).await;
    assert_eq!(reset.status, 303);
    assert!(!app.is_in(&changed.cookie().unwrap()).await);
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_or_opens_for_good_asks_again_after_fifteen_minutes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let path = "/t/acme/settings/integrations/api-keys/new";
    let fields = [("name", "Backend <1>"), ("mode", "live"), ("scope", "read_only")];
    app.advance(15 * MINUTE);
    let asked = app.send(&ada, path, &fields).await;
    assert_eq!(asked.status, 403);
    assert!(
        asked.text().contains("Confirm it’s you")
            && asked.text().contains(r#"name="name" value="Backend &#60;1&#62;""#),
        "{asked}"
    );
    let wrong = app.send(&ada, path, &[&fields[..], &[("confirm_password", "not her password")]].concat()).await;
    assert_eq!((wrong.status.as_u16(), wrong.cookie()), (403, None));
    assert!(!wrong.text().contains("not her password"), "a password is never sent back");
    let done = app.send(&ada, path, &[&fields[..], &[("confirm_password", PASSWORD)]].concat()).await;
    assert!(done.status == 200 && done.text().contains("pk_live_"));
    let renewed = done.cookie().expect("a new secret");
    assert!(!app.is_in(&ada).await && app.is_in(&renewed).await, "the old secret is good for nothing");
    // A test key endangers nothing, and is not asked for.
    app.advance(60 * MINUTE);
    let test = app.send(&renewed, path, &[("name", "T"), ("mode", "test"), ("scope", "read_only")]).await;
    assert_eq!(test.status, 200);
    let fields = [("name", "Backend 2"), ("mode", "live"), ("scope", "read_only")];
    let fresh = app.send(&renewed, path, &fields).await;
    assert_eq!(fresh.status, 403);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_end_with_what_they_were_for(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    // The shell has created a person: setting up is over.
    let code = app.inner.set_up_link().await.unwrap().unwrap();
    app.team("Globex").await;
    assert_eq!(app.get(&format!("/link/{}", code.expose())).await.status, 404);

    // A new password ends the links that sign in as its owner.
    let other = app.team("Initech").await;
    let owner = Email::parse("owner@initech.example").unwrap();
    let (_, code) = app.inner.reset_link("tester", &owner).await.unwrap().unwrap();
    app.call("POST", &format!("/link/{}", code.expose())).form(&[("password", PASSWORD)]).await;
    let (_, stale) = app.inner.reset_link("tester", &owner).await.unwrap().unwrap();
    let cookie = app.sign_in("owner@initech.example", PASSWORD).await.cookie().unwrap();
    let change = [("do", "password"), ("password", PASSWORD), ("new_password", "green kettle slow train")];
    assert_eq!(app.send(&cookie, "/account", &change).await.status, 303);
    assert_eq!(app.get(&format!("/link/{}", stale.expose())).await.status, 404);

    // An admin who has lost the role has seen the links of their invitations, so these end.
    for (path, fields) in [("role", [("role", "manager")]), ("remove", [("keys", "keep")])] {
        let ann = Email::parse(&format!("ann-{path}@example.com")).unwrap();
        app.inner.add_member("tester", &other, &ann, keyhouse_domain::role::Role::Admin).await.unwrap();
        let ann_in = app.browser(ann.as_str()).await;
        let invited = app
            .send(
                &ann_in,
                "/t/initech/settings/members/invite",
                &[("email", &format!("friend-{path}@example.com")), ("role", "admin")],
            )
            .await;
        let link = link_in(&invited);
        assert_eq!(app.get(&link).await.status, 200);
        let id = app.inner.queries().member_by_email(other.id, &ann).await.unwrap().unwrap().person;
        let owner = app.sign_in("owner@initech.example", "green kettle slow train").await.cookie().unwrap();
        assert_eq!(app.send(&owner, &format!("/t/initech/settings/members/{id}/{path}"), &fields).await.status, 303);
        assert_eq!(app.get(&link).await.status, 404, "{path}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_ends_the_session_that_the_browser_had_before(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let right = [("email", "ada@example.com"), ("password", PASSWORD)];
    let again = app.call("POST", "/sign-in").cookie(&ada).form(&right).await.cookie().unwrap();
    assert!(!app.is_in(&ada).await && app.is_in(&again).await);
    // Also by a link for another person; the page names the person that it signs out.
    let invited =
        app.send(&again, "/t/acme/settings/members/invite", &[("email", "bob@example.com"), ("role", "member")]).await;
    let link = link_in(&invited);
    let page = app.page(&again, &link).await;
    assert!(page.text().contains("You’re signed in as <bdi>Ada</bdi>"), "{page}");
    let new = [("name", "Bob"), ("password", PASSWORD)];
    let unaware = app.call("POST", &link).cookie(&again).form(&new).await;
    assert!(unaware.status == 200 && unaware.text().contains("You’re signed in as"), "opened without a session");
    let bob = app.send(&again, &link, &new).await.cookie().unwrap();
    assert!(!app.is_in(&again).await && app.is_in(&bob).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_fifty_sessions_and_the_oldest_ends(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let first = app.set_up().await;
    let mut last = String::new();
    for n in 1..=50 {
        assert!(app.is_in(&first).await, "{n}");
        app.advance(Duration::from_millis(1));
        last = app.browser("ada@example.com").await;
    }
    assert!(!app.is_in(&first).await && app.is_in(&last).await);
    assert_eq!(app.page(&last, "/account").await.text().matches("sign_out_one").count(), 49, "all others are listed");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stuck_to_the_end_of_a_link_does_not_break_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let invited =
        app.send(&ada, "/t/acme/settings/members/invite", &[("email", "bob@example.com"), ("role", "member")]).await;
    let link = link_in(&invited);
    for end in [".", ",", ")", "%3E", ").", "%20"] {
        assert_eq!(app.get(&format!("{link}{end}")).await.status, 200, "{end}");
    }
    for other in [&link[..link.len() - 1], &format!("{link}a")] {
        assert_eq!(app.get(other).await.status, 404, "{other}");
    }
}
