//! The keys that sign the identity of forwarded calls.

use rstest::rstest;
use std::time::Duration;

use super::fixture::{Fixture, NOW};
use keyhouse_store::IdentityKeyRow;
use test_support::Engine;

fn row(number: i64) -> IdentityKeyRow {
    IdentityKeyRow { number, signs_from: NOW.plus(Duration::from_secs(60)), public: vec![1; 32], sealed: vec![2; 60] }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn identity_keys_are_read_in_the_order_of_their_numbers(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    assert_eq!(f.store.queries().identity_keys().await.unwrap(), []);
    for _ in 0..11 {
        f.store.add_identity_key(|number, _| Some(row(number)), |_| false).await.unwrap();
    }
    // As text, 10 sorts before 2.
    assert_eq!(f.store.queries().identity_keys().await.unwrap(), (1..=11).map(row).collect::<Vec<_>>());
    f.database.execute_sql("UPDATE settings SET value = 'x' WHERE name = 'identity.key.3'").await.unwrap();
    assert!(f.store.queries().identity_keys().await.unwrap_err().to_string().contains("identity.key"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn add_identity_key_deletes_what_it_replaces_in_the_same_transaction(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    for _ in 0..3 {
        f.store.add_identity_key(|number, _| Some(row(number)), |_| false).await.unwrap();
    }
    let added = f.store.add_identity_key(|number, _| Some(row(number)), |known| known.number < 3).await.unwrap();
    assert_eq!(added, Some(row(4)));
    assert_eq!(f.store.queries().identity_keys().await.unwrap(), [row(3), row(4)]);
    let refused = f.store.add_identity_key(|_, known| (known.is_empty()).then(|| row(9)), |_| true).await.unwrap();
    assert_eq!(refused, None);
    assert_eq!(f.store.queries().identity_keys().await.unwrap(), [row(3), row(4)], "nothing changed");
}
