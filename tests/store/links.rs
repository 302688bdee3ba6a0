//! One-time links and invitations.

use keyhouse_domain::audit::Action;
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{LINK_TTL, OPEN_INVITATIONS_MAX, Purpose};
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::TeamName;
use keyhouse_store::{InviteError, Joining, LinkError, NewPerson, SetUpLinkError, Store, WithdrawInvitationError};
use rstest::rstest;
use test_support::{Engine, TestDatabase};

use super::fixture::{Fixture, MS, NOW, context, email, link, name, phc, secret, seed, session};

async fn empty(engine: Engine) -> (Store, TestDatabase) {
    let database = TestDatabase::on(engine).await;
    (Store::migrate_and_open(&database.location(), None).await.unwrap().0, database)
}

impl Fixture {
    fn invitation(&self, address: &str, role: Role) -> Purpose {
        Purpose::Invite { team: self.team.id, email: email(address), role }
    }

    async fn invite(&self, n: u32, address: &str, role: Role) -> Result<(), InviteError> {
        let purpose = self.invitation(address, role);
        self.store.create_invitation(&self.team_admin(), link(n, &purpose), &context(n)).await
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_set_up_link_replaces_an_unused_one_and_ends_with_the_first_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (store, _database) = empty(engine).await;
    for n in [1, 2] {
        store.create_set_up_link(link(n, &Purpose::SetUp), &context(n)).await.unwrap();
    }
    assert_eq!(store.queries().link(&secret(1), NOW).await.unwrap(), None);
    assert!(store.queries().link(&secret(2), NOW).await.unwrap().is_some());
    let it = Fixture::on(engine).await;
    let late = it.store.create_set_up_link(link(10, &Purpose::SetUp), &context(10)).await;
    assert!(matches!(late, Err(SetUpLinkError::AlreadySetUp)), "{late:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_up_creates_the_first_person_team_and_session_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (store, _database) = empty(engine).await;
    store.create_set_up_link(link(1, &Purpose::SetUp), &context(1)).await.unwrap();
    let (address, ada, password, team) =
        (email("ada@example.com"), name("Ada"), phc("first"), TeamName::parse("Acme").unwrap());
    let person = || NewPerson { id: PersonId::new(seed(2)), email: &address, name: &ada, password: &password };
    let id = TeamId::new(seed(3));
    let made = store.set_up(&secret(1), person(), (id, &team), &session(3), &context(3)).await.unwrap();
    assert_eq!(store.queries().teams().await.unwrap(), [made]);
    assert!(store.queries().session_by_secret(&secret(3)).await.unwrap().is_some());
    let again = store.set_up(&secret(1), person(), (id, &team), &session(4), &context(4)).await;
    assert!(matches!(again, Err(LinkError::Gone)), "{again:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_is_found_until_it_expires(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Admin).await.unwrap();
    let found = it.queries().link(&secret(10), NOW.plus(LINK_TTL).minus(MS)).await.unwrap().unwrap();
    assert_eq!(found.purpose, it.invitation("bob@example.com", Role::Admin));
    assert_eq!(it.queries().link(&secret(10), NOW.plus(LINK_TTL)).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_personal_link_replaces_the_person_s_unused_ones(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let purpose = Purpose::SignIn { person: it.ada.person };
    for n in [10, 20] {
        it.store.create_personal_link(it.ada.person, link(n, &purpose), &context(n)).await.unwrap();
    }
    assert_eq!(it.queries().link(&secret(10), NOW).await.unwrap(), None);
    assert_eq!(it.queries().link(&secret(20), NOW).await.unwrap().unwrap().purpose, purpose);
    assert_eq!(it.actions().await[0], Action::LinkMade);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_by_link_works_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let purpose = Purpose::SignIn { person: it.ada.person };
    it.store.create_personal_link(it.ada.person, link(10, &purpose), &context(10)).await.unwrap();
    let person = it.store.sign_in_by_link(&secret(10), &session(11), &context(11)).await.unwrap();
    assert_eq!(person, it.ada.person);
    let again = it.store.sign_in_by_link(&secret(10), &session(12), &context(12)).await;
    assert!(matches!(again, Err(LinkError::Gone)), "{again:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_password_sets_it_and_ends_the_sessions(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let person = it.ada.person;
    let enter = Purpose::SignIn { person };
    it.store.create_personal_link(person, link(10, &enter), &context(10)).await.unwrap();
    it.store.sign_in_by_link(&secret(10), &session(11), &context(11)).await.unwrap();
    let reset = Purpose::Reset { person };
    it.store.create_personal_link(person, link(12, &reset), &context(12)).await.unwrap();
    assert_eq!(it.store.reset_password(&secret(12), &phc("new"), &session(13), &context(13)).await.unwrap(), person);
    let sessions = it.queries().sessions_of(person).await.unwrap();
    assert_eq!(sessions.iter().map(|found| found.id).collect::<Vec<_>>(), [session(13).id]);
    let again = it.store.reset_password(&secret(12), &phc("other"), &session(14), &context(14)).await;
    assert!(matches!(again, Err(LinkError::Gone)), "{again:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_invitation_replaces_one_to_the_same_address(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    for n in [10, 20] {
        it.invite(n, "bob@example.com", Role::Manager).await.unwrap();
    }
    let ids: Vec<_> = it.queries().invitations(it.team.id, NOW).await.unwrap().iter().map(|found| found.id).collect();
    assert_eq!(ids, [LinkId::new(seed(20))]);
    let member = it.invite(30, "ADA@example.com", Role::Member).await;
    assert!(matches!(member, Err(InviteError::IsMember)), "{member:?}");
    let other = TeamAdmin::shell("tester", it.other_team(40, "Other").await.id);
    let purpose = it.invitation("eve@example.com", Role::Admin);
    let refused = it.store.create_invitation(&other, link(50, &purpose), &context(50)).await;
    assert!(matches!(refused, Err(InviteError::Forbidden(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_invitation_replaces_the_oldest_of_a_hundred(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    for n in 0..=OPEN_INVITATIONS_MAX {
        it.invite(1000 + 10 * n, &format!("m{n}@example.com"), Role::Member).await.unwrap();
    }
    let ids: Vec<_> = it.queries().invitations(it.team.id, NOW).await.unwrap().iter().map(|found| found.id).collect();
    assert_eq!(ids.len(), OPEN_INVITATIONS_MAX as usize);
    assert!(!ids.contains(&LinkId::new(seed(1000))) && ids.contains(&LinkId::new(seed(1010))), "{ids:?}");
    assert_eq!(it.actions().await[..2], [Action::MemberInvited, Action::InvitationWithdrawn]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitations_lists_open_ones_newest_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Manager).await.unwrap();
    it.invite(20, "eve@example.com", Role::Manager).await.unwrap();
    let ids = |now| {
        let it = &it;
        async move {
            let found = it.queries().invitations(it.team.id, now).await.unwrap();
            found.into_iter().map(|found| found.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(NOW).await, [LinkId::new(seed(20)), LinkId::new(seed(10))]);
    assert_eq!(ids(NOW.plus(LINK_TTL)).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdraw_invitation_works_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Manager).await.unwrap();
    let withdraw = |n| {
        let it = &it;
        async move { it.store.withdraw_invitation(&it.team_admin(), LinkId::new(seed(10)), &context(n)).await }
    };
    withdraw(11).await.unwrap();
    let again = withdraw(12).await;
    assert!(matches!(again, Err(WithdrawInvitationError::Gone)), "{again:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accept_invitation_adds_a_new_person_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Manager).await.unwrap();
    let (address, bob, password): (Email, _, _) = (email("bob@example.com"), name("Bob"), phc("first"));
    let who =
        || Joining::New(NewPerson { id: PersonId::new(seed(11)), email: &address, name: &bob, password: &password });
    let team = it.store.accept_invitation(&secret(10), who(), Some(&session(12)), &context(12)).await.unwrap();
    assert_eq!(team, it.team.id);
    let member = it.queries().member_by_email(team, &address).await.unwrap().unwrap();
    assert_eq!((member.name.as_str(), member.role), ("Bob", Role::Manager));
    assert!(it.queries().session_by_secret(&secret(12)).await.unwrap().is_some());
    let again = it.store.accept_invitation(&secret(10), who(), None, &context(13)).await;
    assert!(matches!(again, Err(LinkError::Gone)), "{again:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accept_invitation_is_refused_to_another_person_than_the_invited(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let other = it.other_team(20, "Other").await;
    let admin = TeamAdmin::shell("tester", other.id);
    let purpose = Purpose::Invite { team: other.id, email: email("bob@example.com"), role: Role::Member };
    it.add(30, "bob@example.com", Role::Member).await;
    let eve = it.add(40, "eve@example.com", Role::Member).await;
    it.store.create_invitation(&admin, link(50, &purpose), &context(50)).await.unwrap();
    let refused = it.store.accept_invitation(&secret(50), Joining::Known(eve.person), None, &context(51)).await;
    assert!(matches!(refused, Err(LinkError::Gone)), "{refused:?}");
    assert_eq!(it.queries().member_count(other.id).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_role_withdraws_the_invitations_of_one_who_may_no_longer_invite(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Admin).await;
    let admin = TeamAdmin::member(&bob, "192.0.2.1").unwrap();
    let purpose = it.invitation("eve@example.com", Role::Member);
    let mut by_bob = context(20);
    by_bob.by = admin.actor().by();
    it.store.create_invitation(&admin, link(20, &purpose), &by_bob).await.unwrap();
    it.store.change_role(&it.team_admin(), bob.person, Role::Member, None, &context(21)).await.unwrap();
    assert_eq!(it.queries().invitations(it.team.id, NOW).await.unwrap(), []);
    assert_eq!(it.actions().await[..2], [Action::InvitationWithdrawn, Action::MemberRoleChanged]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_links_deletes_expired_ones(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Manager).await.unwrap();
    assert_eq!(it.store.purge_links(NOW.plus(LINK_TTL).minus(MS), 10).await.unwrap(), 0);
    assert_eq!(it.store.purge_links(NOW.plus(LINK_TTL), 10).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_up_is_refused_once_the_command_line_has_created_a_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    // A link that was left, as by a node that created it while the person was being created.
    let hex: String = secret(30).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = match engine {
        Engine::Sqlite => format!("x'{hex}'"),
        Engine::Postgres => format!("'\\x{hex}'"),
    };
    let sql = format!(
        "INSERT INTO links (id, code_hash, purpose, made_by_name, created_at, expires_at) \
         VALUES ('lnk_1', {hash}, 'set_up', 'x', 0, 9223372036854775807)"
    );
    it.database.execute_sql(&sql).await.unwrap();
    let (address, eve, password) = (email("eve@example.com"), name("Eve"), phc("first"));
    let person = NewPerson { id: PersonId::new(seed(20)), email: &address, name: &eve, password: &password };
    let team = TeamName::parse("Mine").unwrap();
    let refused =
        it.store.set_up(&secret(30), person, (TeamId::new(seed(21)), &team), &session(22), &context(22)).await;
    assert!(matches!(refused, Err(LinkError::Gone)), "{refused:?}");
    assert_eq!(it.queries().teams().await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_invitation_takes_a_withdrawal_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.invite(10, "bob@example.com", Role::Manager).await.unwrap();
    let id = LinkId::new(seed(10));
    let open = it.store.restore_invitation(&it.team_admin(), id, &context(11)).await;
    assert!(matches!(open, Err(WithdrawInvitationError::Gone)), "{open:?}");
    it.store.withdraw_invitation(&it.team_admin(), id, &context(12)).await.unwrap();
    assert_eq!(it.queries().link(&secret(10), NOW).await.unwrap(), None);
    it.store.restore_invitation(&it.team_admin(), id, &context(13)).await.unwrap();
    let link = it.queries().link(&secret(10), NOW).await.unwrap().unwrap();
    assert_eq!((link.id, link.expires_at), (id, link.created_at.plus(LINK_TTL)));
    assert_eq!(it.actions().await[..2], [Action::MemberInvited, Action::InvitationWithdrawn]);
    // A newer invitation to the same address takes its place for good.
    it.store.withdraw_invitation(&it.team_admin(), id, &context(14)).await.unwrap();
    it.invite(20, "bob@example.com", Role::Manager).await.unwrap();
    let replaced = it.store.restore_invitation(&it.team_admin(), id, &context(15)).await;
    assert!(matches!(replaced, Err(WithdrawInvitationError::Gone)), "{replaced:?}");
}
