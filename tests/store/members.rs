//! Members.

use std::time::Duration;

use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::permission::{KeyAdmin, TeamMember};
use keyhouse_domain::role::Role;
use keyhouse_domain::search::{SEARCH_BUDGET, SearchTerm};
use keyhouse_store::{AddMemberError, ChangeMemberError, NewMember};
use rstest::rstest;
use test_support::Engine;

use super::fixture::{Fixture, NOW, context, email, seed};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn add_member_refuses_a_member_and_a_team_that_does_not_exist(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let address = email("bob@example.com");
    let new = |role| NewMember { person: PersonId::new(seed(10)), email: &address, name: address.as_name(), role };
    it.store.add_member(it.team.id, new(Role::Manager), &context(11)).await.unwrap();
    let twice = it.store.add_member(it.team.id, new(Role::Manager), &context(12)).await;
    assert!(matches!(twice, Err(AddMemberError::AlreadyMember)), "{twice:?}");
    let absent = it.store.add_member(TeamId::new(seed(99)), new(Role::Manager), &context(13)).await;
    assert!(matches!(absent, Err(AddMemberError::NoSuchTeam)), "{absent:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_listed_owner_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.add(10, "zoe@example.com", Role::Member).await;
    it.add(20, "Aaron@example.com", Role::Admin).await;
    let members = it.queries().members(it.team.id).await.unwrap();
    let shown: Vec<_> = members.iter().map(|member| (member.email.as_str(), member.role)).collect();
    let ada = ("Ada@example.com", Role::Owner);
    assert_eq!(shown, [ada, ("Aaron@example.com", Role::Admin), ("zoe@example.com", Role::Member)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_page_is_sorted_by_address(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.add(10, "bob@example.com", Role::Member).await;
    it.add(20, "eve@example.org", Role::Member).await;
    for (after, names) in [("", ["Ada", "bob"].as_slice()), ("bob@example.com", &["eve"]), ("a\0", &["Ada", "bob"])] {
        let page = it.queries().members_page(it.team.id, after, 2).await.unwrap();
        let found: Vec<_> = page.into_iter().map(|member| member.name).collect();
        assert_eq!(found, names, "{after:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_members_finds_parts_of_names_and_addresses(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.add(10, "bob@example.com", Role::Member).await;
    it.add(20, "eve@example.org", Role::Member).await;
    let limit = Limit::parse("1").unwrap();
    for (text, after, names, next) in [
        ("BOB", "", ["bob"].as_slice(), None),
        ("EXAMPLE.ORG", "", &["eve"], None),
        ("example.", "ada@example.com", &["bob"], Some("bob@example.com")),
        ("example.", "bob@example.com", &["eve"], None),
        ("%", "", &[], None),
    ] {
        let term = SearchTerm::parse(text).unwrap().unwrap();
        let found = it.queries().search_members(it.team.id, &term, after, limit, SEARCH_BUDGET).await.unwrap();
        let found_names: Vec<_> = found.items.iter().map(|member| member.name.as_str()).collect();
        assert_eq!((found_names, found.next.as_deref(), found.is_cut_short), (names.to_vec(), next, false), "{text}");
    }
    let term = SearchTerm::parse("eve").unwrap().unwrap();
    let found = it.queries().search_members(it.team.id, &term, "", limit, Duration::ZERO).await.unwrap();
    assert_eq!((found.items.len(), found.next.as_deref(), found.is_cut_short), (0, Some(""), true), "no time at all");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_are_the_owner_and_up_to_four_admins(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for n in 0..5 {
        it.add(10 + 2 * n, &format!("admin{n}@example.com"), Role::Admin).await;
    }
    it.add(30, "member@example.com", Role::Member).await;
    let roles: Vec<_> = it.queries().admins(it.team.id).await.unwrap().iter().map(|member| member.role).collect();
    assert_eq!(roles, [Role::Owner, Role::Admin, Role::Admin, Role::Admin, Role::Admin]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_is_found_by_id(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().member(it.team.id, it.ada.person).await.unwrap().as_ref(), Some(&it.ada));
    assert_eq!(it.queries().member(it.team.id, PersonId::new(seed(99))).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_by_email_ignores_the_case_of_letters(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let found = it.queries().member_by_email(it.team.id, &email("ADA@EXAMPLE.COM")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&it.ada));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_count_counts_the_owner_too(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.add(10, "bob@example.com", Role::Member).await;
    assert_eq!(it.queries().member_count(it.team.id).await.unwrap(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_role_never_touches_the_owner(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let change = |person, role, n| {
        let it = &it;
        async move { it.store.change_role(&it.team_admin(), person, role, None, &context(n)).await }
    };
    change(bob.person, Role::Admin, 12).await.unwrap();
    assert_eq!(it.queries().member(it.team.id, bob.person).await.unwrap().unwrap().role, Role::Admin);
    for (person, role, n) in [(it.ada.person, Role::Admin, 13), (bob.person, Role::Owner, 14)] {
        let refused = change(person, role, n).await;
        assert!(matches!(refused, Err(ChangeMemberError::IsOwner)), "{refused:?}");
    }
    let meanwhile =
        it.store.change_role(&it.team_admin(), bob.person, Role::Manager, Some(Role::Member), &context(16)).await;
    assert!(matches!(meanwhile, Err(ChangeMemberError::Changed(Role::Admin))), "{meanwhile:?}");
    let absent = change(PersonId::new(seed(99)), Role::Admin, 15).await;
    assert!(matches!(absent, Err(ChangeMemberError::NoSuchMember)), "{absent:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_member_revokes_their_keys_only_if_asked_to(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for (n, revoke) in [(10, false), (20, true)] {
        let member = it.add(n, "bob@example.com", Role::Admin).await;
        let key = it.try_key(&KeyAdmin::member(&member, "192.0.2.1").unwrap(), n + 2).await.unwrap();
        it.store.remove_member(&it.team_admin(), member.person, revoke, &context(n + 3)).await.unwrap();
        assert_eq!(it.queries().member(it.team.id, member.person).await.unwrap(), None);
        assert_eq!(it.queries().key(key.id).await.unwrap().unwrap().key.is_active(NOW), !revoke);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_team_removes_the_permit_s_own_member(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    let permit = TeamMember::member(&bob, "192.0.2.1").unwrap();
    it.store.leave_team(&permit, &context(12)).await.unwrap();
    assert_eq!(it.queries().member(it.team.id, bob.person).await.unwrap(), None);
    let again = it.store.leave_team(&permit, &context(13)).await;
    assert!(matches!(again, Err(ChangeMemberError::Forbidden(_))), "{again:?}");
    let owner = it.store.leave_team(&TeamMember::member(&it.ada, "192.0.2.1").unwrap(), &context(14)).await;
    assert!(matches!(owner, Err(ChangeMemberError::IsOwner)), "{owner:?}");
    let shell = it.store.leave_team(&TeamMember::shell("tester", it.team.id), &context(15)).await;
    assert!(matches!(shell, Err(ChangeMemberError::NoSuchMember)), "{shell:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_ownership_leaves_exactly_one_owner(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Member).await;
    it.store.transfer_ownership(&it.owner(), bob.person, &context(12)).await.unwrap();
    let roles: Vec<_> = it.queries().members(it.team.id).await.unwrap().iter().map(|member| member.role).collect();
    assert_eq!(roles, [Role::Owner, Role::Admin]);
    let again = it.store.transfer_ownership(&it.owner(), bob.person, &context(13)).await;
    assert!(matches!(again, Err(ChangeMemberError::IsOwner)), "{again:?}");
}
