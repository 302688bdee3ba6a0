//! People and their browser sessions.

use std::collections::HashMap;
use std::time::Duration;

use keyhouse_domain::audit::Action;
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::link::Purpose;
use keyhouse_domain::role::Role;
use keyhouse_domain::session::ABSOLUTE_TIMEOUT;
use keyhouse_store::PasswordCheckError;
use rstest::rstest;
use test_support::Engine;

use super::fixture::{Fixture, MS, NOW, at, context, email, link, name, phc, secret, seed, session};

/// Ada with the password `first` and one session, by a reset link. Uses the numbers 900 to 902.
async fn with_password(it: &Fixture) {
    let purpose = Purpose::Reset { person: it.ada.person };
    it.store.create_personal_link(it.ada.person, link(900, &purpose), &context(901)).await.unwrap();
    it.store.reset_password(&secret(900), &phc("first"), &session(902), &context(902)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn person_has_a_password_once_it_is_set(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().person(it.ada.person).await.unwrap().unwrap().password, None);
    with_password(&it).await;
    let found = it.queries().person(it.ada.person).await.unwrap().unwrap();
    assert_eq!((found.person.has_password, found.password), (true, Some(phc("first"))));
    assert_eq!(it.queries().person(PersonId::new(seed(99))).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emails_of_leaves_unknown_people_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().emails_of(&[]).await.unwrap(), []);
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let mut found = it.queries().emails_of(&[it.ada.person, PersonId::new(seed(99)), bob.person]).await.unwrap();
    found.sort_by_key(|(id, _)| *id);
    let mut expected = vec![(it.ada.person, it.ada.email.clone()), (bob.person, bob.email)];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(found, expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn person_by_email_ignores_the_case_of_letters(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let found = it.queries().person_by_email(&email("ADA@example.com")).await.unwrap().unwrap();
    assert_eq!((found.person.id, found.person.email.as_str()), (it.ada.person, "Ada@example.com"));
    assert_eq!(it.queries().person_by_email(&email("absent@example.com")).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_begins_a_session_while_the_password_is_the_same(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    it.store.sign_in(it.ada.person, &phc("first"), &session(10), &context(11)).await.unwrap();
    assert!(it.queries().session_by_secret(&secret(10)).await.unwrap().is_some());
    let refused = it.store.sign_in(it.ada.person, &phc("other"), &session(12), &context(13)).await;
    assert!(matches!(refused, Err(PasswordCheckError::PasswordChanged)), "{refused:?}");
    assert_eq!(it.queries().session_by_secret(&secret(12)).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_by_secret_returns_the_session_and_its_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    let (found, person) = it.queries().session_by_secret(&secret(902)).await.unwrap().unwrap();
    assert_eq!((found.id, found.person, person.id), (session(902).id, it.ada.person, it.ada.person));
    assert_eq!((found.client_ip.as_str(), found.browser.as_str()), ("shell", "A browser"));
    assert_eq!(it.queries().session_by_secret(&secret(99)).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_lists_the_last_used_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    it.store.sign_in(it.ada.person, &phc("first"), &session(10), &at(11, NOW.plus(MS))).await.unwrap();
    it.store.touch_session(session(902).id, NOW.plus(Duration::from_secs(60))).await.unwrap();
    let ids: Vec<_> = it.queries().sessions_of(it.ada.person).await.unwrap().iter().map(|found| found.id).collect();
    assert_eq!(ids, [session(902).id, session(10).id]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_seen_is_the_latest_use_of_any_session(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    it.store.sign_in(it.ada.person, &phc("first"), &session(10), &at(11, NOW.plus(MS))).await.unwrap();
    let later = NOW.plus(Duration::from_secs(60));
    it.store.touch_session(session(902).id, later).await.unwrap();
    let (ada, stranger) = (it.ada.person, PersonId::new(seed(1)));
    assert_eq!(it.queries().last_seen(&[stranger, ada]).await.unwrap(), HashMap::from([(ada, later)]));
    it.store.end_sessions(ada, None, &at(12, later)).await.unwrap();
    assert_eq!(it.queries().last_seen(&[ada]).await.unwrap(), HashMap::from([(ada, later)]), "an ended session counts");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_ips_of_lists_addresses_of_recent_sessions(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    assert_eq!(it.queries().client_ips_of(it.ada.person, NOW.minus(MS)).await.unwrap(), ["shell"]);
    assert_eq!(it.queries().client_ips_of(it.ada.person, NOW).await.unwrap(), Vec::<String>::new());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touch_session_only_moves_forward(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    let later = NOW.plus(Duration::from_secs(600));
    for seen in [later, NOW] {
        it.store.touch_session(session(902).id, seen).await.unwrap();
        assert_eq!(it.queries().session_by_secret(&secret(902)).await.unwrap().unwrap().0.seen_at, later);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_reauthenticated_gives_the_session_a_new_secret(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    let later = NOW.plus(Duration::from_secs(600));
    let mark = |password: &'static str, id, n| {
        let it = &it;
        async move { it.store.mark_reauthenticated(it.ada.person, &phc(password), id, secret(n), later).await }
    };
    mark("first", session(902).id, 10).await.unwrap();
    assert_eq!(it.queries().session_by_secret(&secret(902)).await.unwrap(), None);
    let (found, _) = it.queries().session_by_secret(&secret(10)).await.unwrap().unwrap();
    assert_eq!(found.authenticated_at, later);
    for refused in [mark("other", session(902).id, 11).await, mark("first", session(99).id, 11).await] {
        assert!(matches!(refused, Err(PasswordCheckError::PasswordChanged)), "{refused:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_failed_sign_in_writes_to_each_team_of_the_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.other_team(10, "Other").await;
    it.store.audit_failed_sign_in(it.ada.person, &context(20)).await.unwrap();
    assert_eq!(it.actions().await[0], Action::SignInFailed);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_sessions_ends_one_or_all(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    for n in [10, 11] {
        it.store.sign_in(it.ada.person, &phc("first"), &session(n), &context(n + 10)).await.unwrap();
    }
    assert_eq!(it.store.end_sessions(it.ada.person, Some(session(10).id), &context(30)).await.unwrap(), 1);
    assert_eq!(it.store.end_sessions(it.ada.person, None, &context(31)).await.unwrap(), 2);
    assert_eq!(it.store.end_sessions(it.ada.person, None, &context(32)).await.unwrap(), 0);
    assert_eq!(it.queries().sessions_of(it.ada.person).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_password_ends_every_other_session(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    let change = |old: &'static str, n| {
        let it = &it;
        async move { it.store.change_password(it.ada.person, &phc(old), &phc("second"), &session(n), &context(n)).await }
    };
    change("first", 10).await.unwrap();
    let ids: Vec<_> = it.queries().sessions_of(it.ada.person).await.unwrap().iter().map(|found| found.id).collect();
    assert_eq!(ids, [session(10).id]);
    let refused = change("first", 11).await;
    assert!(matches!(refused, Err(PasswordCheckError::PasswordChanged)), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_profile_leaves_a_new_address_pending(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let change = |address: &'static str, n| {
        let it = &it;
        async move { it.store.change_profile(bob.person, &name("Robert"), &email(address), &context(n)).await }
    };
    assert!(!change("Bob@Example.com", 15).await.unwrap(), "another spelling of the own address counts at once");
    assert!(
        change("ADA@example.com", 12).await.unwrap(),
        "the answer does not tell that another person has the address"
    );
    assert!(change("robert@example.com", 13).await.unwrap());
    assert!(change("robert@example.com", 14).await.unwrap());
    let person = it.queries().person(bob.person).await.unwrap().unwrap().person;
    assert_eq!((person.name, person.email.as_str()), (name("Robert"), "Bob@example.com"));
    let account = it.queries().account(&email("bob@example.com")).await.unwrap().unwrap();
    assert_eq!(account.pending_email, Some(email("robert@example.com")));
    let changes = it.actions().await.iter().filter(|action| **action == Action::ProfileChanged).count();
    assert_eq!(changes, 3, "the fourth changed nothing");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_sessions_deletes_them_30_days_after_their_last_use(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    with_password(&it).await;
    let end = NOW.plus(ABSOLUTE_TIMEOUT);
    assert_eq!(it.store.purge_sessions(end.minus(MS), 10).await.unwrap(), 0);
    assert_eq!(it.store.purge_sessions(end, 10).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_people_is_false_until_there_is_a_person(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let empty = test_support::TestDatabase::on(engine).await;
    let (store, ..) = keyhouse_store::Store::migrate_and_open(&empty.location(), None).await.unwrap();
    assert!(!store.queries().has_people().await.unwrap());
    let it = Fixture::on(engine).await;
    assert!(it.queries().has_people().await.unwrap());
}
