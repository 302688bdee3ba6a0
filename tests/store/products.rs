//! Products and stored responses.

use std::time::Duration;

use keyhouse_domain::audit::Action;
use keyhouse_domain::idempotency::{IdempotencyKey, IdempotentRequest, RETENTION, StoredResponse};
use keyhouse_domain::pagination::{Cursor, Limit};
use keyhouse_domain::permission::Editor;
use keyhouse_domain::product::{Product, Status, StatusFilter};
use keyhouse_domain::role::Role;
use keyhouse_domain::search::{SEARCH_BUDGET, SearchTerm};
use keyhouse_store::{EditProductError, ListProductsError, Write, WriteProductError};
use keyhouse_token::Mode;
use rstest::rstest;
use test_support::Engine;

use super::fixture::{DAY, Fixture, MS, NOW, at, context, grant, product};

impl Fixture {
    fn editor(&self) -> Editor {
        Editor::shell("tester", self.team.id)
    }
}

fn archived(old: &Product) -> Option<Product> {
    Some(Product { status: Status::Archived, ..old.clone() })
}

fn respond(product: &Product) -> StoredResponse {
    StoredResponse { status: 201, body: product.id.to_string().into(), location: Some("/x".into()) }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_product_replays_an_idempotent_call(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let call = |value: &str, body: &[u8]| {
        IdempotentRequest::new(key.id, "POST", "/p".into(), IdempotencyKey::parse(value.as_bytes()).unwrap(), body)
    };
    let (first, second) = (product(11, "Vane", Some("V")), product(12, "Vane", Some("V")));
    let (request, other) = (call("k", b"1"), call("k", b"2"));
    let done = it.store.create_product(&grant(&key), first.clone(), Some((&request, &respond))).await.unwrap();
    assert_eq!(done, Write::Done(first.clone()));
    let again = it.store.create_product(&grant(&key), second.clone(), Some((&request, &respond))).await.unwrap();
    assert_eq!(again, Write::Replayed(respond(&first)));
    let reused = it.store.create_product(&grant(&key), second.clone(), Some((&other, &respond))).await;
    assert!(matches!(reused, Err(WriteProductError::OtherBody)), "{reused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_product_that_is_refused_leaves_no_stored_response(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    it.store.create_product(&grant(&key), product(11, "Vane", Some("V")), None).await.unwrap();
    let value = IdempotencyKey::parse(b"k").unwrap();
    let request = IdempotentRequest::new(key.id, "POST", "/p".into(), value, b"");
    let refused =
        it.store.create_product(&grant(&key), product(12, "Copy", Some("V")), Some((&request, &respond))).await;
    assert!(matches!(refused, Err(WriteProductError::SkuTaken)), "{refused:?}");
    assert_eq!(it.store.purge_responses(NOW.plus(RETENTION), 10).await.unwrap(), 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_responses_deletes_them_after_24_hours(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let value = IdempotencyKey::parse(b"k").unwrap();
    let request = IdempotentRequest::new(key.id, "POST", "/p".into(), value, b"");
    let once = Some((&request, &respond as &(dyn Fn(&Product) -> StoredResponse + Sync)));
    it.store.create_product(&grant(&key), product(11, "Vane", None), once).await.unwrap();
    assert_eq!(it.store.purge_responses(NOW.plus(DAY).minus(MS), 10).await.unwrap(), 0);
    assert_eq!(it.store.purge_responses(NOW.plus(DAY), 10).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_product_moves_updated_at_only_if_something_changes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let made = product(11, "Vane", None);
    it.store.create_product(&grant(&key), made.clone(), None).await.unwrap();
    let later = NOW.plus(DAY);
    let same = it.store.change_product(&grant(&key), made.id, later, &|_| true, |_| None, None).await.unwrap();
    assert_eq!(same, Write::Done(made.clone()));
    let changed = it.store.change_product(&grant(&key), made.id, later, &|_| true, archived, None).await.unwrap();
    let expected = Product { status: Status::Archived, updated_at: later, ..made.clone() };
    assert_eq!(changed, Write::Done(expected.clone()));
    assert_eq!(it.queries().product(grant(&key).tenant(), made.id).await.unwrap(), Some(expected));
    let refused = it.store.change_product(&grant(&key), made.id, later, &|_| false, |_| None, None).await;
    assert!(matches!(refused, Err(WriteProductError::PreconditionFailed)), "{refused:?}");
    let absent =
        it.store.change_product(&grant(&key), product(99, "x", None).id, later, &|_| true, |_| None, None).await;
    assert!(matches!(absent, Err(WriteProductError::NoSuchProduct)), "{absent:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_product_is_refused_to_a_revoked_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let made = product(11, "Vane", None);
    it.store.create_product(&grant(&key), made.clone(), None).await.unwrap();
    it.store.revoke_key(&it.key_admin(), key.id, None, &context(12)).await.unwrap();
    let refused = it.store.change_product(&grant(&key), made.id, NOW, &|_| true, |_| None, None).await;
    assert!(matches!(refused, Err(WriteProductError::Auth(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_product_as_a_member_is_audited(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Manager).await;
    let editor = Editor::member(&bob, "192.0.2.1").unwrap();
    let made = product(12, "Vane", Some("V"));
    assert_eq!(it.store.create_product_as(&editor, Mode::Test, made.clone(), &context(12)).await.unwrap(), made);
    assert_eq!(it.actions().await[0], Action::ProductCreated);
    let copy = it.store.create_product_as(&editor, Mode::Test, product(13, "Copy", Some("V")), &context(13)).await;
    assert!(matches!(copy, Err(EditProductError::SkuTaken)), "{copy:?}");
    it.store.change_role(&it.team_admin(), bob.person, Role::Member, None, &context(14)).await.unwrap();
    let refused = it.store.create_product_as(&editor, Mode::Test, product(15, "Other", None), &context(15)).await;
    assert!(matches!(refused, Err(EditProductError::Forbidden(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_product_as_a_member_refuses_a_version_that_was_changed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let made = product(10, "Vane", None);
    it.store.create_product_as(&it.editor(), Mode::Test, made.clone(), &context(11)).await.unwrap();
    let later = NOW.plus(DAY);
    let change = |seen, n| {
        let it = &it;
        async move {
            let context = at(n, later);
            it.store.change_product_as(&it.editor(), Mode::Test, made.id, Some(seen), archived, &context).await
        }
    };
    let changed = change(NOW, 12).await.unwrap();
    assert_eq!((changed.status, changed.updated_at), (Status::Archived, later));
    assert_eq!(it.actions().await[0], Action::ProductArchived);
    let stale = change(NOW, 13).await;
    assert!(matches!(stale, Err(EditProductError::VersionConflict)), "{stale:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn product_is_found_in_its_own_mode_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let made = product(10, "Vane", None);
    it.store.create_product_as(&it.editor(), Mode::Test, made.clone(), &context(11)).await.unwrap();
    assert_eq!(it.queries().product(&it.editor().tenant(Mode::Test), made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(it.queries().product(&it.editor().tenant(Mode::Live), made.id).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_paged_newest_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let tenant = it.editor().tenant(Mode::Test);
    for n in 10..13 {
        it.store.create_product_as(&it.editor(), Mode::Test, product(n, "Vane", None), &context(n)).await.unwrap();
    }
    let id = |n| product(n, "Vane", None).id;
    let two = Limit::parse("2").unwrap();
    let first = it.queries().products(&tenant, StatusFilter::All, None, two).await.unwrap();
    assert_eq!(first.items.iter().map(|found| found.id).collect::<Vec<_>>(), [id(12), id(11)]);
    assert!(first.has_more);
    let cursor = Cursor::parse(&id(11).to_string());
    for (filter, found) in [(StatusFilter::All, 1), (StatusFilter::Active, 1), (StatusFilter::Archived, 0)] {
        let page = it.queries().products(&tenant, filter, cursor, two).await.unwrap();
        assert_eq!((page.items.len(), page.has_more), (found, false), "{filter:?}");
    }
    let foreign = it.queries().products(&tenant, StatusFilter::All, Cursor::parse(&id(99).to_string()), two).await;
    assert!(matches!(foreign, Err(ListProductsError::Cursor)), "{foreign:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_products_finds_parts_of_names_and_skus(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let made = product(10, "Größe Wind Vane 100%", Some("WV-É1"));
    it.store.create_product_as(&it.editor(), Mode::Test, made, &context(11)).await.unwrap();
    let tenant = it.editor().tenant(Mode::Test);
    let search = async |text: &str, filter, budget| {
        let term = SearchTerm::parse(text).unwrap().unwrap();
        it.queries().search_products(&tenant, filter, &term, None, Limit::default(), budget).await.unwrap()
    };
    for (text, filter, count) in [
        ("wind", StatusFilter::Active, 1),
        ("GRÖSSE", StatusFilter::Active, 1),
        ("100%", StatusFilter::All, 1),
        ("wv-é", StatusFilter::Active, 1),
        ("wv-e\u{301}1", StatusFilter::Active, 1),
        ("wind", StatusFilter::Archived, 0),
        ("1000", StatusFilter::All, 0),
        ("_", StatusFilter::All, 0),
    ] {
        let found = search(text, filter, SEARCH_BUDGET).await;
        assert_eq!((found.items.len(), found.is_cut_short), (count, false), "{text}");
    }
    let found = search("wind", StatusFilter::Active, Duration::ZERO).await;
    assert_eq!((found.items.len(), found.is_cut_short), (0, true), "no time at all");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_continues_where_its_page_ended(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for n in 0..5 {
        let made = product(10 + n, &format!("{} {n}", if n % 2 == 0 { "vane" } else { "mast" }), None);
        it.store.create_product_as(&it.editor(), Mode::Test, made, &context(30 + n)).await.unwrap();
    }
    let tenant = it.editor().tenant(Mode::Test);
    let (term, limit) = (SearchTerm::parse("vane").unwrap().unwrap(), Limit::parse("2").unwrap());
    let page = async |after| {
        let search = it.queries().search_products(&tenant, StatusFilter::All, &term, after, limit, SEARCH_BUDGET);
        let found = search.await.unwrap();
        let names: Vec<_> = found.items.iter().map(|product| product.fields.name.as_str().to_owned()).collect();
        (names, found.next)
    };
    let (names, next) = page(None).await;
    assert_eq!(names, ["vane 4", "vane 2"]);
    assert_eq!(page(next).await, (vec!["vane 0".to_owned()], None));
}
