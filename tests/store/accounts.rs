//! Accounts as the operator manages them, and the URL of the server.

use keyhouse_domain::ids::PersonId;
use keyhouse_domain::link::Purpose;
use keyhouse_domain::person::{Email, EmailLookup};
use keyhouse_domain::role::Role;
use keyhouse_store::{EmailLinkError, LinkError, RemovePersonError};
use rstest::rstest;
use test_support::Engine;

use super::fixture::{Fixture, NOW, context, email, link, phc, secret, seed, session};

fn change_email(person: PersonId, address: &str) -> Purpose {
    Purpose::ChangeEmail { person, email: email(address) }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_is_found_by_any_form_of_its_address(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let ann = it.add(10, "ann@bücher.example", Role::Member).await;
    for form in ["Ann@bücher.example", "ann@xn--bcher-kva.example", " ANN@BÜCHER.example "] {
        let account = it.queries().account(EmailLookup::from_input(form)).await.unwrap().unwrap();
        assert_eq!((account.person.id, account.teams.len()), (ann.person, 1), "{form}");
        assert_eq!((account.teams[0].0.slug.as_str(), account.teams[0].1), ("acme", Role::Member));
    }
    assert_eq!(it.queries().account(EmailLookup::from_input("not an address")).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_listed_by_address_with_their_teams(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.add(10, "aaron@example.com", Role::Admin).await;
    let accounts = it.queries().accounts().await.unwrap();
    let rows: Vec<_> = accounts.iter().map(|account| (account.person.email.as_str(), account.teams[0].1)).collect();
    assert_eq!(rows, [("aaron@example.com", Role::Admin), ("Ada@example.com", Role::Owner)]);
    assert!(accounts.iter().all(|account| account.created_at == NOW && !account.person.has_password));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_first_password_does_not_replace_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert!(it.store.set_first_password(it.ada.person, &phc("first"), &context(10)).await.unwrap());
    assert!(!it.store.set_first_password(it.ada.person, &phc("second"), &context(11)).await.unwrap());
    let credentials = it.queries().person(it.ada.person).await.unwrap().unwrap();
    assert_eq!(credentials.password, Some(phc("first")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_person_needs_an_account_in_no_team(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let refused = it.store.remove_person(bob.person, NOW).await;
    assert!(matches!(refused, Err(RemovePersonError::InTeam)), "{refused:?}");
    it.store.set_first_password(bob.person, &phc("his"), &context(12)).await.unwrap();
    it.store.sign_in(bob.person, &phc("his"), &session(13), &context(14)).await.unwrap();
    it.store.remove_member(&it.team_admin(), bob.person, false, &context(15)).await.unwrap();
    it.store.remove_person(bob.person, NOW).await.unwrap();
    assert_eq!(it.queries().account(&email("bob@example.com")).await.unwrap(), None);
    assert_eq!(it.queries().accounts().await.unwrap().len(), 1);
    assert_eq!(it.queries().session_by_secret(&secret(13)).await.unwrap(), None);
    let again = it.store.remove_person(bob.person, NOW).await;
    assert!(matches!(again, Err(RemovePersonError::NoSuchPerson)), "{again:?}");
    assert_ne!(it.add(16, "bob@example.com", Role::Member).await.person, bob.person, "the address is free");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_changing_email_are_those_with_a_pending_address(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    assert_eq!(it.queries().members_changing_email(it.team.id).await.unwrap(), []);
    let name = it.queries().person(bob.person).await.unwrap().unwrap().person.name;
    let new = email("robert@example.com");
    it.store.change_profile(bob.person, &name, &new, &context(14)).await.unwrap();
    let changing = it.queries().members_changing_email(it.team.id).await.unwrap();
    let wishes: Vec<_> = changing.into_iter().map(|found| (found.person, found.pending_email)).collect();
    assert_eq!(wishes, [(bob.person, Some(new))]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_email_link_needs_the_wish_of_a_member(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let (admin, wish) = (it.team_admin(), change_email(bob.person, "robert@example.com"));
    let early = it.store.create_email_link(Some(&admin), link(12, &wish), &context(13)).await;
    assert!(matches!(early, Err(EmailLinkError::NotPending)), "{early:?}");
    let name = it.queries().person(bob.person).await.unwrap().unwrap().person.name;
    it.store.change_profile(bob.person, &name, &email("robert@example.com"), &context(14)).await.unwrap();
    it.store.create_email_link(Some(&admin), link(15, &wish), &context(16)).await.unwrap();
    let taken = change_email(bob.person, "ADA@example.com");
    let refused = it.store.create_email_link(None, link(17, &taken), &context(18)).await;
    assert!(matches!(refused, Err(EmailLinkError::EmailTaken)), "{refused:?}");
    let stranger = change_email(PersonId::new(seed(99)), "x@example.com");
    for admin in [None, Some(&admin)] {
        let refused = it.store.create_email_link(admin, link(19, &stranger), &context(20)).await;
        assert!(matches!(refused, Err(EmailLinkError::NoSuchPerson)), "{refused:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirm_email_gives_the_address_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let address = |account: Option<keyhouse_domain::account::Account>| account.map(|account| account.person.id);
    let purpose = change_email(it.ada.person, "ada@new.example");
    it.store.create_email_link(None, link(10, &purpose), &context(11)).await.unwrap();
    let pending = it.queries().account(&email("ada@example.com")).await.unwrap().unwrap().pending_email;
    assert_eq!(pending.as_ref().map(Email::as_str), Some("ada@new.example"));
    assert_eq!(it.store.confirm_email(&secret(10), &context(12)).await.unwrap(), it.ada.person);
    assert_eq!(address(it.queries().account(&email("ada@new.example")).await.unwrap()), Some(it.ada.person));
    assert_eq!(address(it.queries().account(&email("ada@example.com")).await.unwrap()), None);
    let again = it.store.confirm_email(&secret(10), &context(13)).await;
    assert!(matches!(again, Err(LinkError::Gone)), "{again:?}");

    // The address was given to another account meanwhile.
    let purpose = change_email(it.ada.person, "bob@example.com");
    it.store.create_email_link(None, link(14, &purpose), &context(15)).await.unwrap();
    it.add(16, "bob@example.com", Role::Member).await;
    let taken = it.store.confirm_email(&secret(14), &context(18)).await;
    assert!(matches!(taken, Err(LinkError::AlreadyExists)), "{taken:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn served_url_is_none_before_the_first_start(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().served_url().await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_served_url_replaces_the_earlier_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for url in ["http://127.0.0.1:8080", "https://keys.example.com"] {
        it.store.set_served_url(url).await.unwrap();
        assert_eq!(it.queries().served_url().await.unwrap().as_deref(), Some(url));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn team_or_deleted_finds_a_deleted_team(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (team, deleted_at) = it.queries().team_or_deleted(it.team.id).await.unwrap().unwrap();
    assert_eq!((team.slug.as_str(), deleted_at), ("acme", None));
    it.store.delete_team(&it.owner(), &context(10)).await.unwrap();
    let (team, deleted_at) = it.queries().team_or_deleted(it.team.id).await.unwrap().unwrap();
    assert_eq!((team.slug.as_str(), team.name.as_str(), deleted_at), ("deleted", "Acme", Some(NOW)));
}
