//! Law 5, the running half, for people and their ways in.

use std::time::Duration;

use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState};
use keyhouse_domain::audit::{Action, AuditFilter};
use keyhouse_domain::ids::{LinkId, PersonId, ProductId, SessionId, TeamId};
use keyhouse_domain::link::{LINK_TTL, Purpose};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::permission::{Editor, KeyAdmin, Permit, TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::price::Price;
use keyhouse_domain::product::{
    Currency, Kind, Product, ProductFields, ProductName, Sku, Status, StatusFilter, UnitOfMeasure,
};
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::secret::{Secret, SecretHash};
use keyhouse_domain::session::ABSOLUTE_TIMEOUT;
use keyhouse_domain::team::TeamName;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{
    EmailTaken, Invited, Joining, LinkUsed, MemberChanged, NewLink, NewMember, NewPerson, NewRow, NewSession,
    ProductWritten, Store,
};
use keyhouse_token::Mode;
use keyhouse_token::RawToken;

use super::methods::{context, seed};
use test_support::TestDatabase;

fn hash(n: u8) -> SecretHash {
    Secret::from_entropy(|bytes| bytes.fill(n)).hash()
}

fn session(n: u8) -> NewSession<'static> {
    NewSession { id: SessionId::new(seed(u128::from(n))), secret: hash(n), browser: "A browser" }
}

fn link(n: u8, purpose: &Purpose) -> NewLink<'_> {
    NewLink { id: LinkId::new(seed(u128::from(n))), code: hash(n), purpose }
}

fn phc(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

async fn every_method(place: TestDatabase) {
    let now = Timestamp::from_ms(1_795_512_600_000);
    let (store, brand, _) = Store::migrate_and_open(&place.location(), None).await.unwrap();
    let (ada, bob, eve) = ("ada@example.com", "Bob@example.com", "eve@example.com");
    let [ada_at, bob_at, eve_at] = [ada, bob, eve].map(|text| Email::parse(text).unwrap());
    let name = |text: &str| PersonName::parse(text).unwrap();

    // Set-up: one link, one use, nobody there before.
    assert!(store.insert_set_up_link(link(1, &Purpose::SetUp), &context(1, now)).await.unwrap());
    assert!(store.insert_set_up_link(link(2, &Purpose::SetUp), &context(2, now)).await.unwrap());
    assert_eq!(store.link(&hash(1), now).await.unwrap(), None, "the second replaced the first");
    assert_eq!(store.link(&hash(2), now).await.unwrap().unwrap().purpose, Purpose::SetUp);
    assert_eq!(store.link(&hash(2), now.plus(LINK_TTL)).await.unwrap(), None, "run out");
    let (ada_name, ada_id, first) = (name("Ada"), PersonId::new(seed(10)), phc("first"));
    let person = || NewPerson { id: ada_id, email: &ada_at, name: &ada_name, password: &first };
    let team_name = TeamName::parse("Acme").unwrap();
    let new_team = (TeamId::new(seed(11)), &team_name);
    let done = store.set_up(&hash(2), person(), new_team, &session(3), &context(3, now)).await.unwrap();
    let LinkUsed::Done(team) = done else { panic!("{done:?}") };
    let again = store.set_up(&hash(2), person(), new_team, &session(4), &context(4, now)).await.unwrap();
    assert_eq!(again, LinkUsed::Gone);
    assert!(!store.insert_set_up_link(link(5, &Purpose::SetUp), &context(5, now)).await.unwrap(), "too late");

    // Sessions.
    let (found, person) = store.session_by_secret(&hash(3)).await.unwrap().unwrap();
    assert_eq!((found.person, person.email.as_str(), person.has_password), (ada_id, ada, true));
    assert!(store.sign_in(ada_id, &first, &session(6), &context(6, now)).await.unwrap());
    assert!(!store.sign_in(ada_id, &phc("other"), &session(7), &context(7, now)).await.unwrap());
    let later = now.plus(Duration::from_secs(600));
    store.touch_session(session(6).id, later).await.unwrap();
    let sessions = store.sessions_of(ada_id).await.unwrap();
    assert_eq!(sessions.iter().map(|s| s.seen_at).collect::<Vec<_>>(), [later, now], "the last used first");
    assert_eq!(store.client_ips_of(ada_id, now.minus(Duration::from_secs(1))).await.unwrap(), ["shell"]);
    assert!(store.mark_reauthenticated(ada_id, &first, session(6).id, hash(8), later).await.unwrap());
    assert!(!store.mark_reauthenticated(ada_id, &phc("other"), session(6).id, hash(9), later).await.unwrap());
    assert!(store.session_by_secret(&hash(6)).await.unwrap().is_none(), "the secret is another");
    assert!(store.session_by_secret(&hash(8)).await.unwrap().is_some());
    assert_eq!(store.end_sessions(ada_id, Some(session(3).id), &context(8, now)).await.unwrap(), 1);
    assert_eq!(store.end_sessions(ada_id, None, &context(9, now)).await.unwrap(), 1);
    assert_eq!(store.end_sessions(ada_id, None, &context(10, now)).await.unwrap(), 0);
    assert!(store.session_by_secret(&hash(8)).await.unwrap().is_none());
    let second = phc("second");
    assert!(store.change_password(ada_id, &first, &second, &session(10), &context(11, now)).await.unwrap());
    assert!(!store.change_password(ada_id, &first, &second, &session(11), &context(12, now)).await.unwrap());
    assert!(store.has_people().await.unwrap());
    assert_eq!(store.person(ada_id).await.unwrap().unwrap().password, Some(second.clone()));
    assert_eq!(
        store.person_by_email(&Email::parse("ADA@example.com").unwrap()).await.unwrap().unwrap().person.id,
        ada_id
    );
    store.note_failed_sign_in(ada_id, &context(13, now)).await.unwrap();

    // Invitations.
    let admin = TeamAdmin::shell("tester", team.id);
    let invite = |email: &Email, role| Purpose::Invite { team: team.id, email: email.clone(), role };
    let (to_bob, to_eve, to_ada) =
        (invite(&bob_at, Role::Manager), invite(&eve_at, Role::Admin), invite(&ada_at, Role::Member));
    assert_eq!(store.insert_invitation(&admin, link(20, &to_ada), &context(14, now)).await.unwrap(), Invited::IsMember);
    for n in [21, 22] {
        assert_eq!(
            store.insert_invitation(&admin, link(n, &to_bob), &context(n.into(), now)).await.unwrap(),
            Invited::Done
        );
    }
    assert_eq!(store.insert_invitation(&admin, link(23, &to_eve), &context(23, now)).await.unwrap(), Invited::Done);
    assert_eq!(store.invitations(team.id, now).await.unwrap().len(), 2, "one per address");
    let withdrawn =
        |n: u8| store.withdraw_invitation(&admin, LinkId::new(seed(n.into())), Box::leak(Box::new(context(24, now))));
    assert_eq!(withdrawn(21).await.unwrap(), Some(false), "replaced");
    assert_eq!(withdrawn(23).await.unwrap(), Some(true));
    let (bob_name, bob_id) = (name("Bob"), PersonId::new(seed(30)));
    let as_bob = || Joining::New(NewPerson { id: bob_id, email: &bob_at, name: &bob_name, password: &first });
    let accepted = store.accept_invitation(&hash(22), as_bob(), Some(&session(31)), &context(31, now)).await.unwrap();
    assert_eq!(accepted, LinkUsed::Done(team.id));
    let used = store.accept_invitation(&hash(22), as_bob(), None, &context(32, now)).await.unwrap();
    assert_eq!(used, LinkUsed::Gone);

    // Links for people.
    let reset = Purpose::Reset { person: bob_id };
    store.insert_personal_link(bob_id, link(40, &reset), &context(40, now)).await.unwrap();
    let third = phc("third");
    let done = store.reset_password(&hash(40), &third, &session(41), &context(41, now)).await.unwrap();
    assert_eq!(done, LinkUsed::Done(bob_id));
    assert_eq!(store.sessions_of(bob_id).await.unwrap().len(), 1, "the others have ended");
    let enter = Purpose::SignIn { person: bob_id };
    store.insert_personal_link(bob_id, link(42, &enter), &context(42, now)).await.unwrap();
    let done = store.sign_in_by_link(&hash(42), &session(43), &context(43, now)).await.unwrap();
    assert_eq!(done, LinkUsed::Done(bob_id));
    let done = store.sign_in_by_link(&hash(42), &session(44), &context(44, now)).await.unwrap();
    assert_eq!(done, LinkUsed::Gone);
    let changed = store.change_profile(bob_id, &name("Robert"), &ada_at, &context(45, now)).await.unwrap();
    assert_eq!(changed, Err(EmailTaken));
    assert_eq!(store.change_profile(bob_id, &name("Robert"), &bob_at, &context(46, now)).await.unwrap(), Ok(()));

    // Members.
    let eve_id = PersonId::new(seed(50));
    let new = NewMember { person: eve_id, email: &eve_at, name: name("Eve"), role: Role::Member };
    assert!(store.insert_member(team.id, new, &context(50, now)).await.unwrap());
    assert_eq!(store.member_count(team.id).await.unwrap(), 3);
    let page = |search: &'static str, after: Option<Email>| {
        let store = &store;
        async move {
            let found = store.members_page(team.id, search, after.as_ref(), 2).await.unwrap();
            found.into_iter().map(|member| member.name).collect::<Vec<_>>()
        }
    };
    assert_eq!(page("", None).await, ["Ada", "Robert"]);
    assert_eq!(page("", Some(bob_at.clone())).await, ["Eve"]);
    assert_eq!(page("ROB", None).await, ["Robert"]);
    assert_eq!(page("%", None).await, Vec::<String>::new(), "no pattern");
    let asked: Vec<_> = store.admins(team.id).await.unwrap().into_iter().map(|member| member.role).collect();
    assert_eq!(asked, [Role::Owner]);
    let change = |person, role, n| {
        let (store, admin) = (&store, &admin);
        async move { store.change_role(admin, person, role, &context(n, now)).await.unwrap() }
    };
    assert_eq!(change(eve_id, Role::Admin, 51).await, MemberChanged::Done);
    assert_eq!(change(ada_id, Role::Admin, 52).await, MemberChanged::IsOwner);
    assert_eq!(change(eve_id, Role::Owner, 53).await, MemberChanged::IsOwner);
    assert_eq!(change(PersonId::new(seed(99)), Role::Admin, 54).await, MemberChanged::NoSuchMember);
    let eve_member = store.member(team.id, eve_id).await.unwrap().unwrap();
    let owner = TeamOwner::shell("tester", team.id);
    assert_eq!(store.transfer_ownership(&owner, eve_id, &context(55, now)).await.unwrap(), MemberChanged::Done);
    assert_eq!(store.transfer_ownership(&owner, eve_id, &context(56, now)).await.unwrap(), MemberChanged::IsOwner);
    assert!(Permit::<keyhouse_domain::permission::OwnTeam>::member(&eve_member, "x").is_err(), "that was before");
    assert_eq!(store.teams_of(eve_id).await.unwrap()[0].1, Role::Owner);

    // A removed member's keys end only if that is asked for.
    let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| bytes.fill(2));
    let key = ApiKey {
        id: keyhouse_domain::ids::KeyId::new(seed(60)),
        team: team.id,
        prefix: token.prefix(),
        mode: Mode::Live,
        scope: Scope::ReadOnly,
        created_at: now,
        state: KeyState::Active,
    };
    let ada_member = store.member(team.id, ada_id).await.unwrap().unwrap();
    let by_ada = KeyAdmin::member(&ada_member, "192.0.2.1").unwrap();
    let mut made = context(60, now);
    made.by = by_ada.actor().by();
    let key_name = KeyName::parse("Ada's").unwrap();
    let row = NewRow { key: &key, hash: token.hash(), name: &key_name };
    store.insert_key_within_cap(&by_ada, row, &made).await.unwrap();
    let removed = store.remove_member(&admin, ada_id, true, &context(61, now)).await.unwrap();
    assert_eq!(removed, MemberChanged::Done);
    let listed = store.key(key.id).await.unwrap().unwrap();
    assert!(listed.creator_has_left && !listed.key.is_active());
    let bob_member = store.member(team.id, bob_id).await.unwrap().unwrap();
    let leaving = TeamMember::member(&bob_member, "192.0.2.1").unwrap();
    assert_eq!(store.leave_team(&leaving, bob_id, &context(62, now)).await.unwrap(), MemberChanged::Done);
    assert_eq!(store.leave_team(&leaving, bob_id, &context(63, now)).await.unwrap(), MemberChanged::Forbidden);

    // Products by members.
    let editor = Editor::shell("tester", team.id);
    let tenant = editor.tenant(Mode::Test);
    let product = Product {
        id: ProductId::new(seed(70)),
        fields: ProductFields {
            name: ProductName::parse("Wind Vane 100%".into()).unwrap(),
            unit_price: Price::parse("1.5").unwrap(),
            currency: Currency::parse("EUR").unwrap(),
            description: None,
            sku: Some(Sku::parse("WV-1".into()).unwrap()),
            tax_rate: None,
            kind: Kind::parse("GOODS".into()).unwrap(),
            unit_of_measure: UnitOfMeasure::parse("piece".into()).unwrap(),
        },
        status: Status::Active,
        created_at: now,
        updated_at: now,
    };
    let written = store.insert_product_as(&editor, Mode::Test, product.clone(), &context(70, now)).await.unwrap();
    assert_eq!(written, ProductWritten::Done(product.clone()));
    for (text, filter, found) in [
        ("wind", StatusFilter::Active, 1),
        ("100%", StatusFilter::All, 1),
        ("wv-", StatusFilter::Active, 1),
        ("wind", StatusFilter::Archived, 0),
        ("1000", StatusFilter::All, 0),
        ("_", StatusFilter::All, 0),
    ] {
        let page = store.search_products(&tenant, filter, text, None, Limit::default()).await.unwrap();
        assert_eq!(page.items.len(), found, "{text}");
    }
    let archive = |old: &Product| Some(Product { status: Status::Archived, ..old.clone() });
    let stale = store.change_product_as(&editor, Mode::Test, product.id, Some(later), archive, &context(71, now)).await;
    assert_eq!(stale.unwrap(), ProductWritten::VersionConflict);
    let done = store.change_product_as(&editor, Mode::Test, product.id, Some(now), archive, &context(72, later)).await;
    assert!(matches!(done.unwrap(), ProductWritten::Done(Product { status: Status::Archived, .. })));

    // The team's name and end.
    assert!(store.rename_team(&admin, &TeamName::parse("Acme & Daughters").unwrap(), &context(80, now)).await.unwrap());
    let by_eve = AuditFilter { action: Some(Action::TeamRenamed), ..AuditFilter::default() };
    let events = store.audit_events(team.id, &by_eve, None, 10).await.unwrap();
    assert_eq!(events[0].detail, "\"Acme\" to \"Acme & Daughters\"");
    assert!(store.audit_events(team.id, &by_eve, Some(events[0].id), 10).await.unwrap().is_empty(), "nothing before");
    assert!(store.delete_team(&owner, &context(81, now)).await.unwrap().is_some());
    assert!(store.delete_team(&owner, &context(82, now)).await.unwrap().is_none(), "gone");
    assert_eq!(store.teams_of(eve_id).await.unwrap(), []);
    assert_eq!(store.purge_products(10).await.unwrap(), 1);
    assert_eq!(store.purge_products(10).await.unwrap(), 0);

    // What nobody needs any more.
    store.insert_personal_link(bob_id, link(90, &enter), &context(90, now)).await.unwrap();
    assert_eq!(store.purge_links(now.plus(LINK_TTL).minus(Duration::from_millis(1)), 10).await.unwrap(), 0);
    assert_eq!(store.purge_links(now.plus(LINK_TTL), 10).await.unwrap(), 1);
    assert_eq!(store.purge_sessions(now.plus(ABSOLUTE_TIMEOUT).minus(Duration::from_millis(1)), 100).await.unwrap(), 0);
    assert!(store.purge_sessions(now.plus(ABSOLUTE_TIMEOUT), 100).await.unwrap() >= 4);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    every_method(TestDatabase::folder()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    every_method(TestDatabase::postgres().await).await;
}
