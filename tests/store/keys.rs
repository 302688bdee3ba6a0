//! Keys and the change feed.

use std::time::Duration;

use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, ENDED_SHOWN_FOR, NewKey};
use keyhouse_domain::audit::Action;
use keyhouse_domain::auth::AuthError;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::role::Role;
use keyhouse_store::{Changed, CreateKeyError, RenameKeyError, RevokeKeyError, Revoked, WriteProductError};
use rstest::rstest;
use test_support::{Engine, TestApp};

use super::fixture::{DAY, Fixture, HOUR, MS, NOW, context, grant, key_name, product, seed};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_key_writes_a_key_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let listed = it.queries().key(key.id).await.unwrap().unwrap();
    assert_eq!((&listed.key, listed.name), (&key, Some(key_name("Backend"))));
    let again = it.try_key(&it.key_admin(), 10).await;
    assert!(matches!(again, Err(CreateKeyError::Exists)), "{again:?}");
    assert_eq!(it.actions().await[0], Action::KeyCreated);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_key_refuses_the_eleventh_active_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    for n in 0..ACTIVE_KEYS_MAX {
        it.key(10 + n).await;
    }
    let refused = it.try_key(&it.key_admin(), 30).await;
    assert!(matches!(refused, Err(CreateKeyError::LimitReached)), "{refused:?}");
    it.store.revoke_key(&it.key_admin(), it.record(12).id, None, &context(31)).await.unwrap();
    it.key(30).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_key_needs_a_role_that_still_administers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Admin).await;
    let admin = KeyAdmin::member(&bob, "192.0.2.1").unwrap();
    it.store.change_role(&it.team_admin(), bob.person, Role::Manager, None, &context(12)).await.unwrap();
    let refused = it.try_key(&admin, 13).await;
    assert!(matches!(refused, Err(CreateKeyError::Forbidden(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_key_refuses_a_token_that_exists(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.key(10).await;
    let key = it.record(11);
    let new = NewKey::new(key_name("Copy"), key.mode, key.scope);
    let row = keyhouse_store::NewKeyRow { key: &key, hash: it.token(10).hash(), new: &new };
    let refused = it.store.create_key(&it.key_admin(), row, &context(12)).await;
    assert!(matches!(refused, Err(CreateKeyError::Store(_))), "{refused:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rename_key_changes_the_name_of_an_active_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let new = key_name("New");
    it.store.rename_key(&it.key_admin(), key.id, &new, None, &context(11)).await.unwrap();
    assert_eq!(it.queries().key(key.id).await.unwrap().unwrap().name.as_ref(), Some(&new));
    let outdated = it.store.rename_key(&it.key_admin(), key.id, &key_name("Mine"), Some("Backend"), &context(12)).await;
    assert!(matches!(&outdated, Err(RenameKeyError::Renamed(name)) if name == "New"), "{outdated:?}");
    let absent = it.store.rename_key(&it.key_admin(), KeyId::new(seed(99)), &new, None, &context(12)).await;
    assert!(matches!(absent, Err(RenameKeyError::NoSuchKey)), "{absent:?}");
    it.store.revoke_key(&it.key_admin(), key.id, None, &context(13)).await.unwrap();
    let revoked = it.store.rename_key(&it.key_admin(), key.id, &new, None, &context(14)).await;
    assert!(matches!(revoked, Err(RenameKeyError::Revoked)), "{revoked:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_key_revokes_once_and_only_the_own_team_s_key(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let stranger = KeyAdmin::shell("tester", it.other_team(20, "Other").await.id);
    let refused = it.store.revoke_key(&stranger, key.id, None, &context(11)).await;
    assert!(matches!(refused, Err(RevokeKeyError::NoSuchKey)), "{refused:?}");
    let before = it.store.local_changes();
    assert_eq!(it.store.revoke_key(&it.key_admin(), key.id, None, &context(12)).await.unwrap(), Revoked::Now);
    assert_eq!(it.store.local_changes(), before + 1);
    assert_eq!(it.store.revoke_key(&it.key_admin(), key.id, None, &context(13)).await.unwrap(), Revoked::Before);
    assert_eq!(it.store.local_changes(), before + 2, "the error says that it is revoked, so the cache reads it again");
    assert_eq!(it.actions().await.iter().filter(|action| **action == Action::KeyRevoked).count(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_all_keys_returns_the_keys_that_were_active(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (first, second) = (it.key(10).await, it.key(11).await);
    it.store.revoke_key(&it.key_admin(), first.id, None, &context(12)).await.unwrap();
    let revoked = it.store.revoke_all_keys(&it.key_admin(), &context(13)).await.unwrap();
    assert_eq!(revoked.iter().map(|key| key.key.id).collect::<Vec<_>>(), [second.id]);
    assert_eq!(it.store.revoke_all_keys(&it.key_admin(), &context(14)).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_by_hash_finds_active_and_revoked_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let hash = it.token(10).hash();
    assert_eq!(it.store.key_by_hash(&hash).await.unwrap().key, None);
    let key = it.key(10).await;
    let found = it.store.key_by_hash(&hash).await.unwrap();
    assert_eq!((found.key.as_ref(), found.seq), (Some(&key), 1));
    it.store.revoke_key(&it.key_admin(), key.id, None, &context(11)).await.unwrap();
    let revoked = it.store.key_by_hash(&hash).await.unwrap();
    assert_eq!((revoked.key.unwrap().is_active(NOW), revoked.seq, revoked.epoch), (false, 2, found.epoch));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_by_hash_reports_a_corrupt_row_and_the_api_answers_500_not_401(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    app.place.execute_sql("UPDATE keys SET allowed_networks = 'nonsense'").await.unwrap();
    let answer = app.get("/api/v1/key").bearer(&token).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal_error"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_returns_last_use_and_whether_its_creator_left(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let bob = it.add(10, "bob@example.com", Role::Admin).await;
    let key = it.try_key(&KeyAdmin::member(&bob, "192.0.2.1").unwrap(), 12).await.unwrap();
    assert!(!it.queries().key(key.id).await.unwrap().unwrap().creator_has_left);
    it.store.remove_member(&it.team_admin(), bob.person, false, &context(13)).await.unwrap();
    let listed = it.queries().key(key.id).await.unwrap().unwrap();
    assert!(listed.creator_has_left && listed.key.is_active(NOW) && listed.last_use.is_none());
    assert_eq!(it.queries().key(KeyId::new(seed(99))).await.unwrap(), None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_team_shows_revoked_keys_for_90_days(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (first, second) = (it.key(10).await, it.key(11).await);
    it.store.revoke_key(&it.key_admin(), first.id, None, &context(12)).await.unwrap();
    let ids = |now| {
        let it = &it;
        async move {
            let keys = it.queries().keys_of_team(it.team.id, now).await.unwrap();
            keys.into_iter().map(|key| key.key.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(NOW.plus(ENDED_SHOWN_FOR).minus(MS)).await, [second.id, first.id], "newest first");
    assert_eq!(ids(NOW.plus(ENDED_SHOWN_FOR)).await, [second.id]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_keys_of_team_leaves_out_revoked_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (first, second) = (it.key(10).await, it.key(11).await);
    it.store.revoke_key(&it.key_admin(), first.id, None, &context(12)).await.unwrap();
    let keys = it.queries().active_keys_of_team(it.team.id, NOW).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.key.id).collect::<Vec<_>>(), [second.id]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_keys_of_team_is_paged_by_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (first, second) = (it.key(10).await, it.key(11).await);
    it.store.revoke_key(&it.key_admin(), first.id, None, &context(12)).await.unwrap();
    it.store.revoke_key(&it.key_admin(), second.id, None, &context(13)).await.unwrap();
    let page = async |before| {
        let keys = it.queries().ended_keys_of_team(it.team.id, None, before, NOW, 1).await.unwrap();
        keys.into_iter().map(|key| key.key.id).collect::<Vec<_>>()
    };
    // Revoked in the same millisecond: the newer key first.
    assert_eq!(page(None).await, [second.id]);
    assert_eq!(page(Some((NOW, second.id))).await, [first.id]);
    assert_eq!(page(Some((NOW, first.id))).await, []);
    let gone = NOW.plus(ENDED_SHOWN_FOR);
    assert_eq!(it.queries().ended_keys_of_team(it.team.id, None, None, gone, 9).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redact_ended_key_names_clears_names_after_90_days(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    it.store.revoke_key(&it.key_admin(), key.id, None, &context(11)).await.unwrap();
    let end = NOW.plus(ENDED_SHOWN_FOR);
    assert_eq!(it.store.redact_ended_key_names(end.minus(MS), 10).await.unwrap(), 0);
    assert_eq!(it.store.redact_ended_key_names(end, 10).await.unwrap(), 1);
    assert_eq!(it.store.redact_ended_key_names(end, 10).await.unwrap(), 0);
    assert_eq!(it.queries().key(key.id).await.unwrap().unwrap().name, None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_key_counts_leave_out_teams_without_active_keys(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.other_team(20, "Other").await;
    assert_eq!(it.queries().active_key_counts(NOW).await.unwrap(), []);
    it.key(10).await;
    let second = it.key(11).await;
    it.store.revoke_key(&it.key_admin(), second.id, None, &context(12)).await.unwrap();
    assert_eq!(it.queries().active_key_counts(NOW).await.unwrap(), [(it.team.id, 1)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_key_count_counts_one_team_s_active_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    assert_eq!(it.queries().active_key_count(it.team.id, NOW).await.unwrap(), 0);
    it.key(10).await;
    assert_eq!(it.queries().active_key_count(it.team.id, NOW).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_returns_at_once_after_an_own_change(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.key(10).await;
    tokio::time::timeout(Duration::from_secs(5), it.store.changed()).await.expect("the change was counted");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poll_lists_the_keys_changed_since_the_poll_before(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let mut feed = it.store.change_feed();
    let first = feed.poll().await.unwrap();
    assert_eq!((first.seq, first.changed), (0, Changed::All), "a new connection");
    assert_eq!(feed.poll().await.unwrap().changed, Changed::Only(vec![]));
    it.key(10).await;
    let second = feed.poll().await.unwrap();
    assert_eq!((second.seq, second.changed), (1, Changed::Only(vec![it.token(10).hash()])));
    assert_eq!(second.epoch, first.epoch);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poll_invalidates_everything_when_more_than_10_000_keys_changed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    it.key(10).await;
    let mut feed = it.store.change_feed();
    feed.poll().await.unwrap();
    // As many revoked keys as a poll lists, and one more: all with the next number of the counter.
    let (hash, n) = match engine {
        Engine::Sqlite => {
            ("randomblob(32)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)")
        }
        Engine::Postgres => ("sha256(i::text::bytea)", "WITH n(i) AS (SELECT generate_series(1, 10001))"),
    };
    let insert = format!(
        "INSERT INTO keys (id, team_id, mode, scope, slot, created_at, created_by_name, revoked_at, ended_at, \
                           revoked_by_name, seq) \
         {n} SELECT 'key_' || i, team_id, mode, scope, 1, created_at, 'x', 1, 1, 'x', 2 FROM n, keys"
    );
    assert_eq!(it.database.execute_sql(&insert).await.unwrap(), 10_001);
    let insert = format!(
        "INSERT INTO key_tokens (hash, key_id, number, prefix, created_at) \
         {n} SELECT {hash}, 'key_' || i, 1, prefix, created_at FROM n, key_tokens"
    );
    assert_eq!(it.database.execute_sql(&insert).await.unwrap(), 10_001);
    it.database.execute_sql("UPDATE changes SET seq = 2").await.unwrap();
    assert_eq!(feed.poll().await.unwrap().changed, Changed::All);
    assert_eq!(feed.poll().await.unwrap().changed, Changed::Only(vec![]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poll_invalidates_everything_after_a_restore(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    it.key(10).await;
    let mut feed = it.store.change_feed();
    feed.poll().await.unwrap();
    it.database.execute_sql("UPDATE changes SET seq = 0").await.unwrap();
    assert_eq!(feed.poll().await.unwrap().changed, Changed::All, "the counter went back");
    it.database.execute_sql("UPDATE changes SET epoch = 'another'").await.unwrap();
    assert_eq!(feed.poll().await.unwrap().changed, Changed::All, "the epoch is another");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn try_claim_job_lets_one_node_run_it_in_each_period(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let mut claimed = Vec::new();
    for now in [NOW, NOW.plus(HOUR / 2), NOW.plus(HOUR), NOW.minus(DAY), NOW.plus(100 * DAY), NOW] {
        claimed.push(it.store.try_claim_job("clean", now, HOUR).await.unwrap());
    }
    // Not at the first claim, nor by a clock that jumped ahead; a claim by a clock that was far ahead is replaced.
    assert_eq!(claimed, [false, false, true, true, false, true]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_refused_if_its_key_was_revoked_before_the_commit(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    it.store.revoke_key(&it.key_admin(), key.id, None, &context(11)).await.unwrap();
    let refused = it.store.create_product(&grant(&key), product(12, "Vane", None), None).await;
    assert!(matches!(refused, Err(WriteProductError::Auth(AuthError::Revoked))), "{refused:?}");
    let mut gone = key.clone();
    gone.id = KeyId::new(seed(99));
    let refused = it.store.create_product(&grant(&gone), product(12, "Vane", None), None).await;
    assert!(matches!(refused, Err(WriteProductError::Auth(AuthError::Unknown))), "{refused:?}");
}
