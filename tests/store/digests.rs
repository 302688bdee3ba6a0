//! Keys by the digest of their tokens.

use rstest::rstest;

use super::fixture::{Fixture, context};
use keyhouse_store::ChangedToken;
use test_support::Engine;

fn numbers(tokens: &[ChangedToken]) -> Vec<i64> {
    tokens.iter().map(|token| token.seq).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn position_moves_with_each_change_of_a_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let f = Fixture::on(engine).await;
    let before = f.queries().position().await.unwrap();
    f.key(10).await;
    let after = f.queries().position().await.unwrap();
    assert_eq!(after.epoch, before.epoch);
    assert!(after.seq > before.seq);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn changed_tokens_come_in_the_order_of_their_changes_and_never_in_parts(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let f = Fixture::on(engine).await;
    let other = f.other_team(40, "Globex").await;
    for n in 10..14 {
        f.key(n).await;
    }
    let all = f.queries().changed_tokens(None, 0, None, 100).await.unwrap();
    let hashes: Vec<_> = all.iter().map(|token| token.hash).collect();
    assert_eq!(hashes, (10..14).map(|n| f.token(n).hash()).collect::<Vec<_>>());
    let first = f.queries().changed_tokens(None, 0, None, 3).await.unwrap();
    assert_eq!(numbers(&first), numbers(&all)[..3]);
    let rest = f.queries().changed_tokens(None, first[2].seq, None, 3).await.unwrap();
    assert_eq!(numbers(&rest), numbers(&all)[3..]);
    assert_eq!(f.queries().changed_tokens(Some(other.id), 0, None, 100).await.unwrap(), []);
    assert_eq!(f.queries().changed_tokens(Some(f.team.id), 0, None, 100).await.unwrap().len(), 4);

    // One transaction revokes all four under one number: a page has all of them, however small it is.
    f.store.revoke_all_keys(&f.key_admin(), &context(30)).await.unwrap();
    let revoked = f.queries().changed_tokens(None, all[3].seq, None, 1).await.unwrap();
    assert_eq!(revoked.len(), 4);
    let end = f.queries().position().await.unwrap().seq;
    assert_eq!(f.queries().changed_tokens(None, 0, Some(end), 100).await.unwrap(), [], "none can be used any more");
    let later = f.queries().changed_tokens(None, 0, Some(end - 1), 100).await.unwrap();
    assert_eq!(later.len(), 4, "what changed after that is reported, ended or not");
}
