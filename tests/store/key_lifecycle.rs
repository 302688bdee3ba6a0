//! Rotation, expiry, pause and conditions of keys.

use std::time::Duration;

use keyhouse_domain::api_key::{
    AllowedNetworks, ApiKey, Conditions, KeyLifetime, KeyStatus, LastUse, NewKey, Overlap, Pause,
};
use keyhouse_domain::audit::Action;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{
    ChangeConditionsError, CreateKeyError, EndFormerTokenError, ExpiryRefused, FirstUse, NewKeyRow, NewToken,
    PauseKeyError, RenameKeyError, Revoked, RotateKeyError, SetKeyLifetimeError, TokenUse,
};
use rstest::rstest;
use test_support::Engine;

use super::fixture::{DAY, Fixture, HOUR, MS, NOW, at, context, key_name, seed};

impl Fixture {
    /// Rotates a key to the token of number `n`.
    async fn rotate(&self, key: KeyId, n: u32, when: Timestamp) -> Result<Timestamp, RotateKeyError> {
        let token = self.token(n);
        let new = NewToken { hash: token.hash(), prefix: token.prefix() };
        let rotated = self.store.rotate_key(&self.key_admin(), key, new, Overlap::default(), &at(n, when)).await;
        rotated.map(|(_, ends_at)| ends_at)
    }

    /// The key's record as it is found by token `n`.
    async fn found(&self, n: u32) -> ApiKey {
        self.store.key_by_hash(&self.token(n).hash()).await.unwrap().key.unwrap()
    }

    async fn expiring(&self, n: u32, expires_at: Timestamp) -> Result<ApiKey, CreateKeyError> {
        let conditions = Conditions { expires_at: Some(expires_at), ..Conditions::default() };
        let key = ApiKey { conditions: conditions.clone(), ..self.record(n) };
        let new = NewKey::new(key_name("Expiring"), key.mode, key.scope).with_conditions(conditions);
        let row = NewKeyRow { key: &key, hash: self.token(n).hash(), new: &new };
        self.store.create_key(&self.key_admin(), row, &context(n)).await.map(|()| key)
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_key_adds_a_token_and_ends_the_former_one_after_seven_days(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let end = NOW.plus(7 * DAY);
    assert_eq!(it.rotate(key.id, 11, NOW).await.unwrap(), end);
    let (former, current) = (it.found(10).await, it.found(11).await);
    assert_eq!((former.id, current.id), (key.id, key.id));
    assert_eq!((former.token.number, former.token.ends_at), (1, Some(end)));
    assert_eq!((current.token.number, current.token.ends_at, current.token.first_used_at), (2, None, None));
    let listed = it.queries().key(key.id).await.unwrap().unwrap();
    assert_eq!((&listed.key, &listed.former.unwrap().token), (&current, &former.token));
    let lives = it.rotate(key.id, 12, end.minus(MS)).await;
    assert!(matches!(lives, Err(RotateKeyError::FormerTokenLives { ends_at }) if ends_at == end), "{lives:?}");
    it.rotate(key.id, 12, end).await.unwrap();
    assert_eq!(it.found(10).await.token.number, 1, "an ended token still finds its key");
    it.store.revoke_key(&it.key_admin(), key.id, None, &at(13, end)).await.unwrap();
    let ended = it.rotate(key.id, 14, end.plus(30 * DAY)).await;
    assert!(matches!(ended, Err(RotateKeyError::Ended)), "{ended:?}");
    let unknown = it.rotate(KeyId::new(seed(99)), 15, NOW).await;
    assert!(matches!(unknown, Err(RotateKeyError::NoSuchKey)), "{unknown:?}");
    assert_eq!(it.actions().await[..3], [Action::KeyRevoked, Action::KeyRotated, Action::KeyRotated]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_former_token_ends_it_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let none = it.store.end_former_token(&it.key_admin(), key.id, &context(11)).await;
    assert!(matches!(none, Err(EndFormerTokenError::NoFormerToken)), "{none:?}");
    it.rotate(key.id, 12, NOW).await.unwrap();
    it.store.end_former_token(&it.key_admin(), key.id, &at(13, NOW.plus(HOUR))).await.unwrap();
    assert_eq!(it.found(10).await.token.ends_at, Some(NOW.plus(HOUR)));
    let again = it.store.end_former_token(&it.key_admin(), key.id, &at(14, NOW.plus(HOUR))).await;
    assert!(matches!(again, Err(EndFormerTokenError::NoFormerToken)), "{again:?}");
    it.rotate(key.id, 15, NOW.plus(HOUR)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_first_uses_counts_the_earliest_use_and_brings_the_end_forward(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    it.rotate(key.id, 11, NOW).await.unwrap();
    it.store.record_first_uses(&[]).await.unwrap();
    let first = |at: Timestamp| [FirstUse { key: key.id, token: 2, at }];
    let before = it.store.key_by_hash(&it.token(10).hash()).await.unwrap().seq;
    it.store.record_first_uses(&first(NOW.plus(2 * HOUR))).await.unwrap();
    let found = it.store.key_by_hash(&it.token(10).hash()).await.unwrap();
    assert_eq!(found.key.unwrap().token.ends_at, Some(NOW.plus(26 * HOUR)), "24 hours after the first use");
    assert_eq!(found.seq, before + 1, "nodes read the record again");
    // Another node saw an earlier use, and wrote later.
    it.store.record_first_uses(&first(NOW.plus(HOUR))).await.unwrap();
    it.store.record_first_uses(&first(NOW.plus(3 * HOUR))).await.unwrap();
    assert_eq!(it.found(10).await.token.ends_at, Some(NOW.plus(25 * HOUR)));
    assert_eq!(it.found(11).await.token.first_used_at, Some(NOW.plus(HOUR)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_first_uses_never_puts_the_end_off(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    it.rotate(key.id, 11, NOW).await.unwrap();
    let late = FirstUse { key: key.id, token: 2, at: NOW.plus(7 * DAY - HOUR) };
    it.store.record_first_uses(&[late]).await.unwrap();
    assert_eq!(
        it.found(10).await.token.ends_at,
        Some(NOW.plus(7 * DAY)),
        "seven days after the rotation at the latest"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_token_uses_keeps_the_latest_use_of_each_token(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    it.rotate(key, 11, NOW).await.unwrap();
    it.store.store_token_uses(&[]).await.unwrap();
    let used = |token: u32, at: Timestamp, from: &str| TokenUse { key, token, used: LastUse { at, from: from.into() } };
    let uses = [used(1, NOW, "192.0.2.7"), used(2, NOW.plus(MS), "192.0.2.8")];
    it.store.store_token_uses(&uses).await.unwrap();
    it.store.store_token_uses(&[used(2, NOW, "192.0.2.9")]).await.unwrap();
    let listed = it.queries().key(key).await.unwrap().unwrap();
    assert_eq!(listed.current_use, Some(uses[1].used.clone()), "an older use does not replace it");
    assert_eq!(listed.former.unwrap().last_use, Some(uses[0].used.clone()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_key_and_resume_key_leave_an_event_each(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (key, admin) = (it.key(10).await, it.key_admin());
    let until = Some(NOW.plus(HOUR));
    it.store.pause_key(&admin, key.id, until, &context(11)).await.unwrap();
    let pause = Pause { at: NOW, until };
    assert_eq!(it.found(10).await.status(NOW), KeyStatus::Paused(pause));
    // A later pause keeps the beginning of the one that lasts.
    it.store.pause_key(&admin, key.id, None, &at(12, NOW.plus(MS))).await.unwrap();
    assert_eq!(it.found(10).await.pause, Some(Pause { until: None, ..pause }));
    let past = it.store.pause_key(&admin, key.id, Some(NOW), &context(13)).await;
    assert!(matches!(past, Err(PauseKeyError::Past)), "{past:?}");
    it.store.revoke_key(&admin, key.id, None, &context(14)).await.unwrap();
    let ended = it.store.pause_key(&admin, key.id, None, &context(15)).await;
    assert!(matches!(ended, Err(PauseKeyError::Ended)), "{ended:?}");
    assert_eq!(it.actions().await[..3], [Action::KeyRevoked, Action::KeyPaused, Action::KeyPaused]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_key_ends_a_pause_and_changes_nothing_otherwise(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let (key, admin) = (it.key(10).await, it.key_admin());
    it.store.resume_key(&admin, key.id, &context(11)).await.unwrap();
    it.store.pause_key(&admin, key.id, None, &context(12)).await.unwrap();
    it.store.resume_key(&admin, key.id, &context(13)).await.unwrap();
    it.store.resume_key(&admin, key.id, &context(14)).await.unwrap();
    assert_eq!((it.found(10).await.pause, it.found(10).await.status(NOW)), (None, KeyStatus::Active));
    assert_eq!(it.actions().await[..3], [Action::KeyResumed, Action::KeyPaused, Action::KeyCreated]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_conditions_judges_the_new_expiry(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (key, admin) = (it.key(10).await, it.key_admin());
    let allowed = AllowedNetworks::parse("203.0.113.0/24, 2001:db8::/32").unwrap();
    let conditions = Conditions { expires_at: Some(NOW.plus(30 * DAY)), allowed };
    let none = Conditions::default();
    it.store.change_conditions(&admin, key.id, &conditions, &none, &context(11)).await.unwrap();
    it.store.change_conditions(&admin, key.id, &conditions, &none, &context(12)).await.unwrap();
    assert_eq!(it.found(10).await.conditions, conditions);
    let past = Conditions { expires_at: Some(NOW), ..Conditions::default() };
    let outdated = it.store.change_conditions(&admin, key.id, &past, &none, &context(13)).await;
    assert!(matches!(outdated, Err(ChangeConditionsError::Changed)), "{outdated:?}");
    let refused = it.store.change_conditions(&admin, key.id, &past, &conditions, &context(13)).await;
    assert!(matches!(refused, Err(ChangeConditionsError::Expiry(ExpiryRefused::Past))), "{refused:?}");
    it.store.set_key_lifetime(&it.team_admin(), KeyLifetime::from_days(10).ok(), None, &context(14)).await.unwrap();
    let refused = it.store.change_conditions(&admin, key.id, &none, &conditions, &context(15)).await;
    assert!(matches!(refused, Err(ChangeConditionsError::Expiry(ExpiryRefused::Lifetime { days: 10 }))), "{refused:?}");
    let networks_only = Conditions { allowed: AllowedNetworks::default(), expires_at: conditions.expires_at };
    it.store.change_conditions(&admin, key.id, &networks_only, &conditions, &context(16)).await.unwrap();
    assert_eq!(it.found(10).await.conditions, networks_only, "an expiry that stays is not checked again");
    assert_eq!(
        it.actions().await[..3],
        [Action::KeyConditionsChanged, Action::TeamKeyLifetimeChanged, Action::KeyConditionsChanged]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_key_lifetime_applies_to_new_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let older = it.key(10).await;
    it.store.set_key_lifetime(&it.team_admin(), KeyLifetime::from_days(90).ok(), None, &context(11)).await.unwrap();
    let team = it.queries().teams().await.unwrap().remove(0);
    assert_eq!(team.key_lifetime, KeyLifetime::from_days(90).ok());
    let refused = it.try_key(&it.key_admin(), 12).await;
    assert!(matches!(refused, Err(CreateKeyError::Expiry(ExpiryRefused::Lifetime { days: 90 }))), "{refused:?}");
    it.expiring(13, NOW.plus(90 * DAY)).await.unwrap();
    assert!(it.queries().key(older.id).await.unwrap().unwrap().key.is_active(NOW.plus(1000 * DAY)));
    let outdated = it.store.set_key_lifetime(&it.team_admin(), None, None, &context(14)).await;
    let ninety = KeyLifetime::from_days(90).ok();
    assert!(matches!(outdated, Err(SetKeyLifetimeError::Changed(now)) if now == ninety), "{outdated:?}");
    it.store.set_key_lifetime(&it.team_admin(), None, ninety, &context(14)).await.unwrap();
    it.key(15).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_with_expired_keys_are_found_until_the_expiry_is_recorded(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let end = NOW.plus(DAY);
    it.expiring(10, end).await.unwrap();
    it.expiring(11, end.plus(DAY)).await.unwrap();
    assert_eq!(it.store.teams_with_expired_keys(end.minus(MS), 9).await.unwrap(), []);
    assert_eq!(it.store.teams_with_expired_keys(end, 9).await.unwrap(), [it.team.id]);
    assert_eq!(it.store.record_expiries(it.team.id, &at(12, end)).await.unwrap(), 1);
    assert_eq!(it.store.teams_with_expired_keys(end, 9).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_expiries_leaves_one_event_for_each_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let end = NOW.plus(DAY);
    let key = it.expiring(10, end).await.unwrap();
    let contexts = [at(11, end), at(12, end)];
    let (one, other) = tokio::join!(
        it.store.record_expiries(it.team.id, &contexts[0]),
        it.store.record_expiries(it.team.id, &contexts[1])
    );
    assert_eq!(one.unwrap() + other.unwrap(), 1, "two nodes at once");
    let events = it.queries().audit_events(it.team.id, &Default::default(), None, 1).await.unwrap();
    assert_eq!((events[0].action, events[0].by.name.as_str()), (Action::KeyExpired, "Keyhouse"));
    assert_eq!((events[0].source.as_str(), events[0].target.clone()), ("server", key.id.to_string()));
    assert_eq!(it.queries().ended_keys_of_team(it.team.id, None, None, end, 9).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_key_is_ended_before_the_job_has_recorded_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let (end, admin) = (NOW.plus(DAY), it.key_admin());
    let key = it.expiring(10, end).await.unwrap();
    for n in 11..20 {
        it.key(n).await;
    }
    assert!(matches!(it.try_key(&admin, 20).await, Err(CreateKeyError::LimitReached)));
    assert_eq!(it.queries().active_key_count(it.team.id, end.minus(MS)).await.unwrap(), 10);
    assert_eq!(it.queries().active_key_count(it.team.id, end).await.unwrap(), 9);
    let renamed = it.store.rename_key(&admin, key.id, &key_name("New"), None, &at(21, end)).await;
    assert!(matches!(renamed, Err(RenameKeyError::Expired)), "{renamed:?}");
    assert_eq!(it.store.revoke_key(&admin, key.id, None, &at(22, end)).await.unwrap(), Revoked::Before);
    let extended =
        it.store.change_conditions(&admin, key.id, &Conditions::default(), &key.conditions, &at(23, end)).await;
    assert!(matches!(extended, Err(ChangeConditionsError::Ended)), "{extended:?}");
    // A new key takes the slot of the expired one, and there is no twelfth place.
    let create = async |n: u32| {
        let key = ApiKey { created_at: end, ..it.record(n) };
        let new = NewKey::new(key_name("Next"), key.mode, key.scope);
        let row = NewKeyRow { key: &key, hash: it.token(n).hash(), new: &new };
        it.store.create_key(&admin, row, &at(n, end)).await
    };
    let (one, other) = tokio::join!(create(24), create(30));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    assert_eq!(it.queries().active_key_count(it.team.id, end).await.unwrap(), 10);
    assert_eq!(it.actions().await[..2], [Action::KeyCreated, Action::KeyExpired]);
    let past = it.expiring(40, NOW.minus(MS)).await;
    assert!(matches!(past, Err(CreateKeyError::Expiry(ExpiryRefused::Past))), "{past:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_rotations_at_once_one_is_made(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await;
    let (one, other) = tokio::join!(it.rotate(key.id, 11, NOW), it.rotate(key.id, 12, NOW));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    let rotations = it.actions().await.iter().filter(|action| **action == Action::KeyRotated).count();
    assert_eq!((rotations, it.queries().key(key.id).await.unwrap().unwrap().key.token.number), (1, 2));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_while_it_rotates_has_no_token_that_works(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    for n in [10, 20, 30, 40] {
        let key = it.key(n).await;
        let context = context(n + 2);
        let admin = it.key_admin();
        let (rotated, revoked) =
            tokio::join!(it.rotate(key.id, n + 1, NOW), it.store.revoke_key(&admin, key.id, None, &context));
        assert_eq!(revoked.unwrap(), Revoked::Now);
        assert!(matches!(rotated, Ok(_) | Err(RotateKeyError::Ended)), "{rotated:?}");
        let from = [192, 0, 2, 1].into();
        assert!(it.found(n).await.check(NOW, from).is_err());
        if rotated.is_ok() {
            assert!(it.found(n + 1).await.check(NOW.plus(Duration::from_secs(1)), from).is_err());
        }
    }
}
