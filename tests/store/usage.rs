//! The usage of keys: what is added up, what is kept, and what is deleted.

use std::time::Duration;

use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::{IdSeed, KeyId, RequestId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{
    CALLS_KEPT, CALLS_PER_KEY, CALLS_PER_WRITE, CallFilter, DAYS_KEPT, KeyUsage, Outcome, RecordedCall, SeenAddress,
    UtcDay,
};
use rstest::rstest;
use test_support::Engine;

use super::fixture::{DAY, Fixture, HOUR, MS, NOW};

fn nothing(key: KeyId) -> KeyUsage {
    KeyUsage { key, last_use: None, days: Vec::new(), addresses: Vec::new(), calls: Vec::new() }
}

fn seen(address: &str, at: Timestamp) -> SeenAddress {
    SeenAddress {
        address: address.into(),
        agent: "curl/8.14".into(),
        first_at: at,
        last_at: at,
        calls: 2,
        refused: 1,
        refused_at: Some(at),
        accepted_at: None,
    }
}

fn request(n: u64) -> RequestId {
    RequestId::new(IdSeed { ms: n, random: 1 })
}

fn call(n: u64, at: Timestamp) -> RecordedCall {
    RecordedCall {
        request: request(n),
        at,
        method: "GET".into(),
        route: "/api/v1/products".into(),
        status: 200,
        outcome: Outcome::Admitted,
        address: "192.0.2.7".into(),
        agent: "curl/8.14".into(),
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_usage_keeps_the_latest_use(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    let used = LastUse { at: NOW, from: "192.0.2.7".into() };
    it.store.store_usage(&[], NOW).await.unwrap();
    it.store.store_usage(&[KeyUsage { last_use: Some(used.clone()), ..nothing(key) }], NOW).await.unwrap();
    let older = LastUse { at: NOW.minus(MS), from: "192.0.2.8".into() };
    it.store.store_usage(&[KeyUsage { last_use: Some(older), ..nothing(key) }], NOW).await.unwrap();
    assert_eq!(it.queries().key(key).await.unwrap().unwrap().last_use, Some(used));
}

/// Ten keys that are called all the time from many addresses, written four times a day for 30 days. What a key may occupy
/// has a fixed bound, so a write per minute needs the same space.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_ten_busy_keys_takes_less_than_five_mebibytes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let mut keys = Vec::new();
    for n in 10..20 {
        keys.push(it.key(n).await.id);
    }
    let (mut number, began) = (1_u64 << 40, NOW);
    for round in 0..30 * 4_u32 {
        let now = began.plus(6 * HOUR * round);
        let usage: Vec<_> = keys.iter().map(|&key| busy_time(key, now, &mut number)).collect();
        it.store.store_usage(&usage, now).await.unwrap();
        it.store.purge_usage(now, 500).await.unwrap();
        if engine == Engine::Postgres && round % 4 == 3 {
            // PostgreSQL does it by itself after a while; a day of this test takes less.
            it.database.execute_sql("VACUUM key_addresses, key_calls, key_calls_by_day").await.unwrap();
        }
    }
    let bytes = it.database.usage_bytes().await;
    println!("{engine:?}: {bytes} bytes");
    assert!(bytes > 1 << 20, "{bytes} bytes: the tables were measured");
    assert!(bytes <= 5 << 20, "{bytes} bytes");
}

/// Some hours of a busy key: every outcome, 20 addresses with long user agents, and the most calls that a write may have.
fn busy_time(key: KeyId, now: Timestamp, number: &mut u64) -> KeyUsage {
    let agent = format!("storefront/2.0 (+https://shop.example/{})", "x".repeat(60));
    let host = |n: u64| format!("2001:db8:85a3:8d3:1319:8a2e:370:{:x}", n % 40);
    let addresses = (0..20).map(|n| SeenAddress { agent: agent.clone(), ..seen(&host(n + *number / 20), now) });
    let addresses = addresses.collect();
    let calls = (0..CALLS_PER_WRITE as u64).map(|n| {
        *number += 1;
        RecordedCall { request: request(*number), address: host(n), agent: agent.clone(), ..call(n, now) }
    });
    let calls = calls.collect();
    let days = Outcome::ALL.iter().map(|&outcome| (UtcDay::of(now), outcome, 1000)).collect();
    KeyUsage { last_use: Some(LastUse { at: now, from: host(1) }), days, addresses, calls, ..nothing(key) }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_by_day_adds_up_the_writes_of_all_nodes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (one, two) = (it.key(10).await.id, it.key(11).await.id);
    let (today, yesterday) = (UtcDay::of(NOW), UtcDay::of(NOW.minus(DAY)));
    let days = vec![(yesterday, Outcome::Admitted, 5), (today, Outcome::Admitted, 3), (today, Outcome::Scope, 1)];
    // 150 rows: statements of each size.
    let many = (1..=147).map(|n| (UtcDay::from_number(today.number() - n - 1), Outcome::Revoked, 1));
    for _ in 0..2 {
        let of_one = KeyUsage { days: days.iter().copied().chain(many.clone()).collect(), ..nothing(one) };
        let of_two = KeyUsage { days: days.clone(), ..nothing(two) };
        it.store.store_usage(&[of_one, of_two], NOW).await.unwrap();
    }
    let counted = it.queries().calls_by_day(one, yesterday).await.unwrap();
    let counts: Vec<_> = counted.iter().map(|row| (row.day, row.outcome, row.calls)).collect();
    assert_eq!(counts, [(yesterday, Outcome::Admitted, 10), (today, Outcome::Admitted, 6), (today, Outcome::Scope, 2)]);
    assert_eq!(it.queries().calls_by_day(one, UtcDay::from_number(0)).await.unwrap().len(), 150);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_by_day_of_team_has_no_other_teams_keys(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    let today = UtcDay::of(NOW);
    let usage = KeyUsage { days: vec![(today, Outcome::Admitted, 3)], ..nothing(key) };
    it.store.store_usage(&[usage], NOW).await.unwrap();
    let counted = it.queries().calls_by_day_of_team(it.team.id, today).await.unwrap();
    assert_eq!(counted.iter().map(|row| (row.key, row.calls)).collect::<Vec<_>>(), [(key, 3)]);
    let other = it.other_team(20, "Other").await;
    assert_eq!(it.queries().calls_by_day_of_team(other.id, today).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_key_are_the_latest_twenty(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    for (round, hosts) in [(0, 0..20_u8), (1, 15..35)] {
        let at = |host: u8| NOW.plus(Duration::from_millis(u64::from(host)) + HOUR * round);
        let addresses = hosts.map(|host| seen(&format!("192.0.2.{host}"), at(host))).collect();
        it.store.store_usage(&[KeyUsage { addresses, ..nothing(key) }], NOW).await.unwrap();
    }
    let kept = it.queries().addresses_of_key(key).await.unwrap();
    assert_eq!((kept.len(), &*kept[0].address, &*kept[19].address), (20, "192.0.2.34", "192.0.2.15"));
    let twice = &kept[19];
    assert_eq!((twice.calls, twice.refused), (4, 2), "seen in both rounds");
    assert_eq!((twice.first_at, twice.last_at), (NOW.plus(MS * 15), NOW.plus(MS * 15 + HOUR)));
    assert_eq!((twice.refused_at, twice.accepted_at), (Some(twice.last_at), None));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recent_calls_are_filtered_and_paged(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let (one, two) = (it.key(10).await.id, it.key(11).await.id);
    let post = RecordedCall { method: "POST".into(), status: 403, outcome: Outcome::Scope, ..call(3, NOW) };
    let from =
        RecordedCall { address: "2001:db8::1".into(), status: 503, outcome: Outcome::ServerError, ..call(4, NOW) };
    let of_one = KeyUsage { calls: vec![call(1, NOW.minus(HOUR)), post, from], ..nothing(one) };
    let of_two = KeyUsage { calls: vec![call(2, NOW)], ..nothing(two) };
    // Written twice, as after a commit whose answer was lost.
    for _ in 0..2 {
        it.store.store_usage(&[of_one.clone(), of_two.clone()], NOW).await.unwrap();
    }
    let find = async |filter: CallFilter, before: Option<u64>, limit: u32| {
        let found = it.queries().recent_calls(it.team.id, &filter, before.map(request), limit).await.unwrap();
        found.into_iter().map(|(_, call)| call.request).collect::<Vec<_>>()
    };
    let ids = |ids: &[u64]| ids.iter().map(|&n| request(n)).collect::<Vec<_>>();
    let any = CallFilter::default;
    assert_eq!(find(any(), None, 3).await, ids(&[4, 3, 2]));
    assert_eq!(find(any(), Some(2), 3).await, ids(&[1]));
    assert_eq!(find(CallFilter { key: Some(two), ..any() }, None, 9).await, ids(&[2]));
    assert_eq!(find(CallFilter { outcome: Some(Outcome::Scope), ..any() }, None, 9).await, ids(&[3]));
    let route = Some(("POST".to_owned(), "/api/v1/products".to_owned()));
    assert_eq!(find(CallFilter { route, ..any() }, None, 9).await, ids(&[3]));
    assert_eq!(find(CallFilter { status_class: Some(5), ..any() }, None, 9).await, ids(&[4]));
    assert_eq!(find(CallFilter { since: Some(NOW.minus(MS)), ..any() }, None, 9).await, ids(&[4, 3, 2]));
    assert_eq!(find(CallFilter { request: Some(request(1)), ..any() }, None, 9).await, ids(&[1]));
    assert_eq!(find(CallFilter { address: Some("2001:db8::1".into()), ..any() }, None, 9).await, ids(&[4]));
    let other = it.other_team(20, "Other").await;
    assert_eq!(it.queries().recent_calls(other.id, &any(), None, 9).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recent_calls_of_a_key_are_the_newest_500(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    let calls = |n: std::ops::Range<u64>| n.map(|n| call(n, NOW)).collect::<Vec<_>>();
    for n in [0..400, 400..800] {
        it.store.store_usage(&[KeyUsage { calls: calls(n), ..nothing(key) }], NOW).await.unwrap();
    }
    let kept = it.queries().recent_calls(it.team.id, &CallFilter::default(), None, 1000).await.unwrap();
    assert_eq!((kept.len(), kept[499].1.request), (CALLS_PER_KEY as usize, request(300)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_usage_deletes_calls_after_7_days_and_counts_after_400(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let it = Fixture::on(engine).await;
    let key = it.key(10).await.id;
    let today = UtcDay::of(NOW);
    let usage = KeyUsage {
        days: vec![(today, Outcome::Admitted, 3)],
        addresses: vec![seen("192.0.2.1", NOW)],
        calls: vec![call(1, NOW), call(2, NOW.plus(MS))],
        ..nothing(key)
    };
    it.store.store_usage(&[usage], NOW).await.unwrap();
    assert_eq!(it.store.purge_usage(NOW.plus(CALLS_KEPT).minus(MS), 10).await.unwrap(), 0);
    assert_eq!(it.store.purge_usage(NOW.plus(CALLS_KEPT), 10).await.unwrap(), 1);
    assert_eq!(it.store.purge_usage(NOW.plus(DAYS_KEPT).minus(MS), 10).await.unwrap(), 1, "the other call");
    assert_eq!(it.queries().calls_by_day(key, today).await.unwrap().len(), 1);
    assert_eq!(it.store.purge_usage(NOW.plus(DAYS_KEPT + DAY), 1).await.unwrap(), 2, "the counts and the address");
    assert_eq!(it.queries().addresses_of_key(key).await.unwrap(), []);
}
