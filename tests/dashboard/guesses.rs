//! Guesses at passwords: how they are answered and throttled.

use std::future::IntoFuture;
use std::time::Duration;

use rstest::rstest;

use keyhouse_domain::audit::AuditFilter;
use keyhouse_domain::team::TeamRef;

use super::{PASSWORD, faults};
use test_support::wait::eventually;
use test_support::{Engine, TestApp, assert_text};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_wrong_are_one_answer(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    let wrong = app.sign_in("ada@example.com", "not her password").await;
    let unknown = app.sign_in("bob@example.com", "not her password").await;
    assert_eq!((wrong.status.as_u16(), wrong.cookie()), (422, None));
    let same = |answer: &test_support::Answer| {
        answer
            .without_request_id()
            .replace("ada@", "@")
            .replace("bob@", "@")
            .replace(&answer.text().len().to_string(), "")
    };
    assert_eq!(same(&wrong), same(&unknown));
    assert_text!(faults(&wrong).join("\n"), @"Wrong email or password.");
    let good = app.sign_in(" ADA@example.com ", PASSWORD).await;
    assert_eq!(good.status, 303, "in either case, with spaces around");
    let team = app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    // The failure is audited after the response.
    let failed = AuditFilter { action: Some(keyhouse_domain::audit::Action::SignInFailed), ..AuditFilter::default() };
    eventually("the audit event of the failed sign-in", async || {
        (!app.inner.queries().audit_events(team.id, &failed, None, 1).await.unwrap().is_empty()).then_some(())
    })
    .await;
    let mut events = app.inner.queries().audit_events(team.id, &AuditFilter::default(), None, 2).await.unwrap();
    events.sort_by_key(|event| event.action.as_str());
    let shown: Vec<_> = events.iter().map(|event| format!("{} by {}", event.action.as_str(), event.by.name)).collect();
    assert_text!(shown.join("\n"), @"
    person.sign_in_failed by Sign-in attempt for ada@example.com
    person.signed_in by Ada
    ");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_throttled_and_locks_no_person_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    let from = |addr: &str, password: &str| {
        let call = app
            .call("POST", "/sign-in")
            .header("x-forwarded-for", addr)
            .form(&[("email", "ada@example.com"), ("password", password)]);
        // Through the listed proxy, so that strangers come from where they say.
        app.answer_from([192, 0, 2, 1], call)
    };
    for _ in 0..10 {
        assert_eq!(from("198.51.100.1", "wrong").await.status, 422);
    }
    let refused = from("198.51.100.1", PASSWORD).await;
    assert_eq!(refused.status, 429, "ten of one account from one network");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
    // Strangers everywhere use up what strangers get, and still she gets in where she has been before.
    for n in 2..=10 {
        for _ in 0..10 {
            assert_eq!(from(&format!("198.51.{n}.1"), "wrong").await.status, 422);
        }
    }
    assert_eq!(from("198.51.200.1", PASSWORD).await.status, 429, "a hundred from everywhere");
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303, "from the network of her first session");
    // And a link from the shell always works.
    app.browser("ada@example.com").await;
    app.advance(2 * DAY);
    assert_eq!(from("198.51.200.1", PASSWORD).await.status, 303);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_gets_thirty_guesses_whatever_the_account(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    for n in 0..30 {
        assert_eq!(app.sign_in(&format!("p{n}@example.com"), "wrong").await.status, 422);
    }
    assert_eq!(app.sign_in("p31@example.com", "wrong").await.status, 429);
    app.advance(31 * MINUTE);
    for _ in 0..12 {
        assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303, "what is right is no guess");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_that_were_never_hashed_do_not_count(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.set_up().await;
    // The address is dropped while it waits for its verdict.
    for _ in 0..40 {
        let call = app.call("POST", "/sign-in").form(&[("email", "ada@example.com"), ("password", "wrong")]);
        let mut call = Box::pin(call.into_future());
        let polled = futures_util::poll!(call.as_mut());
        assert!(polled.is_pending());
        drop(call);
    }
    assert_eq!(app.sign_in("ada@example.com", PASSWORD).await.status, 303);
}
