//! Teams and their audit log.

use std::time::Duration;

use keyhouse_domain::audit::{Action, AuditFilter};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{TeamName, TeamRef};
use keyhouse_store::ChangeTeamError;
use rstest::rstest;
use test_support::Engine;

use super::fixture::{Fixture, NOW, context, product};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_team_takes_the_first_free_slug(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let second = it.other_team(10, "Acme").await;
    let third = it.other_team(20, "ACME").await;
    assert_eq!([&it.team, &second, &third].map(|team| team.slug.as_str()), ["acme", "acme-2", "acme-3"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_team_gives_up_after_eight_slugs_that_others_took(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.database.refuse_slugs().await;
    let ada = it.ada.email.clone();
    let owner =
        keyhouse_store::NewMember { person: it.ada.person, email: &ada, name: ada.as_name(), role: Role::Owner };
    let new = keyhouse_store::NewTeam {
        id: keyhouse_domain::ids::TeamId::new(super::fixture::seed(10)),
        name: &TeamName::parse("Acme").unwrap(),
        owner,
    };
    let refused = it.store.create_team(new, &context(11)).await;
    assert!(matches!(refused, Err(keyhouse_store::StoreError::Conflict(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rename_team_keeps_the_slug(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let new = TeamName::parse("Acme & Daughters").unwrap();
    it.store.rename_team(&it.team_admin(), &new, None, &context(10)).await.unwrap();
    it.store.rename_team(&it.team_admin(), &new, None, &context(11)).await.unwrap();
    let team = it.queries().team(&TeamRef::Id(it.team.id)).await.unwrap().unwrap();
    assert_eq!((team.name.as_str(), team.slug.as_str()), ("Acme & Daughters", "acme"));
    assert_eq!(it.actions().await[..2], [Action::TeamRenamed, Action::MemberAdded], "the second changed nothing");
    let meanwhile =
        it.store.rename_team(&it.team_admin(), &TeamName::parse("New").unwrap(), Some("Acme"), &context(12)).await;
    assert!(matches!(&meanwhile, Err(ChangeTeamError::Renamed(now)) if now == "Acme & Daughters"), "{meanwhile:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_team_revokes_its_keys_and_frees_its_slug(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let revoked = it.store.delete_team(&it.owner(), &context(11)).await.unwrap();
    assert_eq!(revoked.iter().map(|key| key.key.id).collect::<Vec<_>>(), [key.id]);
    assert!(!it.queries().key(key.id).await.unwrap().unwrap().key.is_active(NOW));
    assert_eq!(it.queries().team(&TeamRef::Id(it.team.id)).await.unwrap(), None);
    assert_eq!(it.actions().await[..2], [Action::KeyRevoked, Action::TeamDeleted]);
    let again = it.store.delete_team(&it.owner(), &context(12)).await;
    assert!(matches!(again, Err(ChangeTeamError::Forbidden(_))), "{again:?}");
    assert_eq!(it.other_team(20, "Acme").await.slug.as_str(), "acme");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_products_deletes_products_of_deleted_teams(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let editor = keyhouse_domain::permission::Editor::shell("tester", it.team.id);
    let mode = keyhouse_token::Mode::Test;
    it.store.create_product_as(&editor, mode, product(10, "Vane", None), &context(11)).await.unwrap();
    assert_eq!(it.store.purge_products(10).await.unwrap(), 0);
    it.store.delete_team(&it.owner(), &context(12)).await.unwrap();
    assert_eq!(it.store.purge_products(10).await.unwrap(), 1);
    assert_eq!(it.store.purge_products(10).await.unwrap(), 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_are_ordered_by_slug(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (zulu, bravo) = (it.other_team(10, "Zulu").await, it.other_team(20, "Bravo").await);
    assert_eq!(it.queries().teams().await.unwrap(), [it.team.clone(), bravo, zulu]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn team_is_found_by_id_and_by_slug(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for reference in [TeamRef::Id(it.team.id), TeamRef::Slug("acme".into())] {
        assert_eq!(it.queries().team(&reference).await.unwrap().as_ref(), Some(&it.team));
    }
    assert_eq!(it.queries().team(&TeamRef::Slug("absent".into())).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_of_returns_each_team_with_the_role(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let zulu = it.other_team(10, "Zulu").await;
    let bob = it.add(20, "bob@example.com", Role::Manager).await;
    assert_eq!(
        it.queries().teams_of(it.ada.person).await.unwrap(),
        [(it.team.clone(), Role::Owner), (zulu, Role::Owner)]
    );
    assert_eq!(it.queries().teams_of(bob.person).await.unwrap(), [(it.team.clone(), Role::Manager)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_events_are_filtered_and_paged(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Admin).await;
    let admin = keyhouse_domain::permission::TeamAdmin::member(&bob, "192.0.2.1").unwrap();
    let mut by_bob = context(12);
    by_bob.by = admin.actor().by();
    it.store.rename_team(&admin, &TeamName::parse("New").unwrap(), None, &by_bob).await.unwrap();
    let found = |filter: AuditFilter| {
        let it = &it;
        async move {
            let events = it.queries().audit_events(it.team.id, &filter, None, 10).await.unwrap();
            events.into_iter().map(|event| event.action).collect::<Vec<_>>()
        }
    };
    let all = [Action::TeamRenamed, Action::MemberAdded, Action::MemberAdded, Action::TeamCreated];
    assert_eq!(found(AuditFilter::default()).await, all);
    let person = Some(bob.person);
    assert_eq!(found(AuditFilter { person, ..AuditFilter::default() }).await, [Action::TeamRenamed]);
    let target = Some(bob.person.to_string());
    assert_eq!(found(AuditFilter { target, ..AuditFilter::default() }).await, [Action::MemberAdded]);
    let target = Some(it.team.id.to_string());
    let action = Some(Action::TeamRenamed);
    assert_eq!(found(AuditFilter { person, target, action, since: None }).await, [Action::TeamRenamed]);
    let action = Some(Action::KeyCreated);
    assert_eq!(found(AuditFilter { action, ..AuditFilter::default() }).await, []);
    let since = |seconds: u64| Some(NOW.plus(Duration::from_secs(seconds)));
    assert_eq!(found(AuditFilter { since: since(0), ..AuditFilter::default() }).await, all);
    assert_eq!(found(AuditFilter { since: since(60), ..AuditFilter::default() }).await, []);
    assert_eq!(found(AuditFilter { since: since(0), person, ..AuditFilter::default() }).await, [Action::TeamRenamed]);
    let first = it.queries().audit_events(it.team.id, &AuditFilter::default(), None, 1).await.unwrap();
    let rest = it.queries().audit_events(it.team.id, &AuditFilter::default(), Some(first[0].id), 10).await.unwrap();
    assert_eq!(rest.iter().map(|event| event.action).collect::<Vec<_>>(), all[1..]);
}
