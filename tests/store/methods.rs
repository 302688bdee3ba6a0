//! Law 5, the running half: every method of `Store`, on both engines. `laws/statements.rs` sees that none is left out.

use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState, LastUse, REVOKED_SHOWN_FOR};
use keyhouse_domain::audit::{Action, AuditActor, AuditContext, AuditFilter};
use keyhouse_domain::idempotency::{IdempotencyKey, IdempotentRequest, StoredResponse};
use keyhouse_domain::ids::{IdSeed, KeyId, PersonId, ProductId, TeamId};
use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::price::Price;
use keyhouse_domain::product::{
    Currency, Kind, Product, ProductFields, ProductName, Status, StatusFilter, UnitOfMeasure,
};
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Access;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{TeamName, TeamRef};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{Changed, Inserted, NewMember, NewRow, NewTeam, ProductWritten, Renamed, Replay, Revoked, Store};
use keyhouse_token::Mode;
use keyhouse_token::{Brand, RawToken};

use test_support::TestDatabase;

pub(super) fn seed(n: u128) -> IdSeed {
    IdSeed { ms: 1_795_512_600_000, random: n << 32 }
}

pub(super) fn context(n: u128, at: Timestamp) -> AuditContext {
    AuditContext { seed: seed(n), at, by: AuditActor { person: None, name: "tester".into() }, source: "shell".into() }
}

async fn every_method(place: TestDatabase) {
    let now = Timestamp::from_ms(1_795_512_600_000);
    let location = place.location();
    assert!(Store::open(&location, None).await.is_err(), "there is nothing to open yet");
    let (first, brand, warnings) = Store::migrate_and_open(&location, None).await.unwrap();
    assert_eq!((brand.as_str(), warnings.len()), ("pk", 0));
    first.close().await;
    assert!(Store::open(&location, Some(&Brand::parse("acme").unwrap())).await.is_err(), "another brand");
    let (store, _, _) = Store::open(&location, Some(&brand)).await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.instance_tag().await.unwrap().len(), 6);

    // Teams and people.
    let name = TeamName::parse("Acme").unwrap();
    let ada = Email::parse("Ada@example.com").unwrap();
    let owner = |n| NewMember { person: PersonId::new(seed(n)), email: &ada, name: ada.as_name(), role: Role::Owner };
    let team = store
        .insert_team(NewTeam { id: TeamId::new(seed(1)), name: &name, owner: owner(2) }, &context(3, now))
        .await
        .unwrap();
    let twin = store
        .insert_team(NewTeam { id: TeamId::new(seed(4)), name: &name, owner: owner(5) }, &context(6, now))
        .await
        .unwrap();
    assert_eq!((team.slug.as_str(), twin.slug.as_str()), ("acme", "acme-2"));
    let bob = Email::parse("bob@example.com").unwrap();
    let manager =
        || NewMember { person: PersonId::new(seed(7)), email: &bob, name: bob.as_name(), role: Role::Manager };
    assert!(store.insert_member(team.id, manager(), &context(8, now)).await.unwrap());
    assert!(store.insert_member(team.id, manager(), &context(9, now)).await.is_err(), "twice");
    assert!(!store.insert_member(TeamId::new(seed(99)), manager(), &context(10, now)).await.unwrap(), "no such team");
    assert_eq!(store.teams().await.unwrap(), [team.clone(), twin.clone()]);
    assert_eq!(store.team(&TeamRef::Id(team.id)).await.unwrap(), Some(team.clone()));
    assert_eq!(store.team(&TeamRef::Slug("acme-2".into())).await.unwrap(), Some(twin.clone()));
    assert_eq!(store.team(&TeamRef::Slug("nobody".into())).await.unwrap(), None);
    let members = store.members(team.id).await.unwrap();
    assert_eq!(
        members.iter().map(|m| (m.email.as_str(), m.role)).collect::<Vec<_>>(),
        [("Ada@example.com", Role::Owner), ("bob@example.com", Role::Manager)]
    );
    let found = store.member_by_email(twin.id, &Email::parse("ADA@EXAMPLE.COM").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.person, members[0].person, "one person in two teams");

    // Keys.
    let admin = KeyAdmin::shell("tester", team.id);
    let token = RawToken::from_entropy(&brand, Mode::Live, |bytes| bytes.fill(1));
    let key = ApiKey {
        id: KeyId::new(seed(11)),
        team: team.id,
        prefix: token.prefix(),
        mode: Mode::Live,
        scope: Scope::ReadWrite,
        created_at: now,
        state: KeyState::Active,
    };
    let key_name = KeyName::parse("Backend").unwrap();
    let row = || NewRow { key: &key, hash: token.hash(), name: &key_name };
    assert_eq!(store.insert_key_within_cap(&admin, row(), &context(12, now)).await.unwrap(), Inserted::Done);
    assert_eq!(store.insert_key_within_cap(&admin, row(), &context(13, now)).await.unwrap(), Inserted::Exists);
    let other = ApiKey { id: KeyId::new(seed(19)), ..key.clone() };
    let same_token = NewRow { key: &other, ..row() };
    assert!(store.insert_key_within_cap(&admin, same_token, &context(13, now)).await.is_err(), "the same token twice");
    let owner_admin = KeyAdmin::member(&members[0], "192.0.2.1").unwrap();
    assert_eq!(
        store.rename_key(&owner_admin, key.id, &KeyName::parse("New").unwrap(), &context(14, now)).await.unwrap(),
        Renamed::Done
    );
    let found = store.key_by_hash(&token.hash()).await.unwrap();
    assert_eq!((found.key, found.seq), (Some(key.clone()), 2), "made and renamed");
    let hour = std::time::Duration::from_secs(3600);
    let mut taken = Vec::new();
    for at in [now, now.plus(hour / 2), now.plus(hour), now.minus(hour)] {
        taken.push(store.try_claim_job("clear", at, hour).await.unwrap());
    }
    assert_eq!(taken, [true, false, true, true], "once an hour; and a clock that was far ahead stops nobody");
    let mut change_feed = store.change_feed();
    let first = change_feed.poll().await.unwrap();
    assert_eq!(
        (&first.epoch, first.seq, first.changed),
        (&found.epoch, 2, Changed::All),
        "a new connection knows nothing"
    );
    assert_eq!(change_feed.poll().await.unwrap().changed, Changed::Only(Vec::new()));
    let used = LastUse { at: now, from: "192.0.2.7".into() };
    store.note_uses(&[(key.id, used.clone())]).await.unwrap();
    store.note_uses(&[(key.id, LastUse { at: Timestamp::from_ms(1), from: "old".into() })]).await.unwrap();
    let listed = store.key(key.id).await.unwrap().unwrap();
    assert_eq!((listed.name.unwrap().as_str(), listed.last_use), ("New", Some(used)), "an older use changes nothing");
    assert_eq!(store.active_key_counts(None).await.unwrap(), [(team.id, 1)]);
    let stranger = KeyAdmin::shell("tester", twin.id);
    assert_eq!(
        store.revoke_key(&stranger, key.id, &context(15, now)).await.unwrap(),
        Revoked::NoSuchKey,
        "another team's"
    );
    let own = store.local_changes();
    assert_eq!(store.revoke_key(&admin, key.id, &context(16, now)).await.unwrap(), Revoked::Done);
    assert_eq!(store.local_changes(), own + 1);
    // Returns at once, as something has changed.
    store.changed().await;
    let change = change_feed.poll().await.unwrap();
    assert_eq!((change.seq, change.changed), (3, Changed::Only(vec![token.hash()])));
    assert_eq!(store.revoke_key(&admin, key.id, &context(17, now)).await.unwrap(), Revoked::Already);
    assert_eq!(store.rename_key(&admin, key.id, &key_name, &context(18, now)).await.unwrap(), Renamed::Revoked);
    assert_eq!(store.revoke_all_keys(&admin, &context(19, now)).await.unwrap(), Some(vec![]));
    let last_day = now.plus(REVOKED_SHOWN_FOR);
    assert_eq!(
        store.keys_of_team(team.id, last_day.minus(std::time::Duration::from_millis(1))).await.unwrap().len(),
        1
    );
    assert_eq!(store.keys_of_team(team.id, last_day).await.unwrap().len(), 0);
    assert_eq!(store.redact_revoked_key_names(last_day, 10).await.unwrap(), 1);
    assert_eq!(store.redact_revoked_key_names(last_day, 10).await.unwrap(), 0);

    // Products.
    let revoked = key.grant(Access::Write).unwrap();
    let writer_token = RawToken::from_entropy(&brand, Mode::Live, |bytes| bytes.fill(2));
    let writer = ApiKey { id: KeyId::new(seed(21)), prefix: writer_token.prefix(), ..key.clone() };
    let writer_row = NewRow { key: &writer, hash: writer_token.hash(), name: &key_name };
    assert_eq!(store.insert_key_within_cap(&admin, writer_row, &context(22, now)).await.unwrap(), Inserted::Done);
    let grant = writer.grant(Access::Write).unwrap();
    let tenant = *grant.tenant();
    let product = Product {
        id: ProductId::new(seed(20)),
        fields: ProductFields {
            name: ProductName::parse("Vane".into()).unwrap(),
            unit_price: Price::parse("1.5").unwrap(),
            currency: Currency::parse("EUR").unwrap(),
            description: None,
            sku: Some(keyhouse_domain::product::Sku::parse("V".into()).unwrap()),
            tax_rate: None,
            kind: Kind::parse("GOODS".into()).unwrap(),
            unit_of_measure: UnitOfMeasure::parse("piece".into()).unwrap(),
        },
        status: Status::Active,
        created_at: now,
        updated_at: now,
    };
    let call = |value: &str, body: &[u8]| {
        IdempotentRequest::new(key.id, "POST", "/p".into(), IdempotencyKey::parse(value.as_bytes()).unwrap(), body)
    };
    let say = |product: &Product| StoredResponse {
        status: 201,
        body: product.id.to_string().into(),
        location: Some("/x".into()),
    };
    let (once, other) = (call("k", b"1"), call("k", b"2"));
    let done = store.insert_product(&grant, product.clone(), Some((&once, &say))).await.unwrap();
    assert_eq!(done, ProductWritten::Done(product.clone()));
    let same_sku = Product { id: ProductId::new(seed(21)), ..product.clone() };
    let again = store.insert_product(&grant, same_sku.clone(), Some((&once, &say))).await.unwrap();
    assert_eq!(again, ProductWritten::Replayed(Replay::Done(say(&product))));
    let reused = store.insert_product(&grant, same_sku.clone(), Some((&other, &say))).await.unwrap();
    assert_eq!(reused, ProductWritten::Replayed(Replay::OtherBody));
    assert_eq!(store.insert_product(&grant, same_sku.clone(), None).await.unwrap(), ProductWritten::SkuTaken);
    let refused = call("refused", b"");
    store.insert_product(&grant, same_sku.clone(), Some((&refused, &say))).await.unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    assert_eq!(store.purge_answers(now.plus(day).minus(std::time::Duration::from_millis(1)), 10).await.unwrap(), 0);
    assert_eq!(store.purge_answers(now.plus(day), 10).await.unwrap(), 1, "what was refused left nothing");
    let later = now.plus(day);
    let fields = ProductFields { sku: None, ..product.fields.clone() };
    let fresh = Product { id: ProductId::new(seed(23)), fields, ..product.clone() };
    assert_eq!(store.insert_product(&revoked, fresh, None).await.unwrap(), ProductWritten::KeyRevoked);
    let by_revoked = store.change_product(&revoked, product.id, later, |_| None, None).await.unwrap();
    assert_eq!(by_revoked, ProductWritten::KeyRevoked);
    let unchanged = store.change_product(&grant, product.id, later, |_| None, None).await.unwrap();
    assert_eq!(unchanged, ProductWritten::Done(product.clone()));
    let absent = store.change_product(&grant, same_sku.id, later, |_| None, None).await.unwrap();
    assert_eq!(absent, ProductWritten::NoSuchProduct);
    let archived = Product { status: Status::Archived, updated_at: later, ..product.clone() };
    let change = |old: &Product| Some(Product { status: Status::Archived, ..old.clone() });
    let changed = store.change_product(&grant, product.id, later, change, None).await.unwrap();
    assert_eq!(changed, ProductWritten::Done(archived.clone()));
    assert_eq!(store.product(&tenant, product.id).await.unwrap(), Some(archived));
    let back = |_: &Product| Some(product.clone());
    store.change_product(&grant, product.id, now, back, None).await.unwrap();
    assert_eq!(store.product(&tenant, product.id).await.unwrap(), Some(product.clone()));
    let cursor = Cursor::parse(&product.id.to_string());
    for (filter, after, items) in [
        (StatusFilter::All, None, 1),
        (StatusFilter::Active, None, 1),
        (StatusFilter::Archived, None, 0),
        (StatusFilter::All, cursor, 0),
        (StatusFilter::Active, cursor, 0),
        (StatusFilter::Archived, cursor, 0),
    ] {
        let page = store.products(&tenant, filter, after, Limit::default()).await.unwrap().unwrap();
        assert_eq!((page.items.len(), page.has_more), (items, false), "{filter:?} {after:?}");
    }
    assert!(
        store
            .products(&tenant, StatusFilter::All, Cursor::parse(&same_sku.id.to_string()), Limit::default())
            .await
            .unwrap()
            .is_none()
    );

    let actions: Vec<_> = store
        .audit_events(team.id, &AuditFilter::default(), None, 10)
        .await
        .unwrap()
        .iter()
        .map(|event| event.action)
        .collect();
    assert_eq!(
        actions,
        [
            Action::KeyCreated,
            Action::KeyRevoked,
            Action::KeyRenamed,
            Action::KeyCreated,
            Action::MemberAdded,
            Action::MemberAdded,
            Action::TeamCreated
        ]
    );
    store.checkpoint_and_detach().await.unwrap();
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
