//! Look-ups of keys that are not cached: shared by concurrent calls, left by cancelled ones, and of unknown tokens.

use std::pin::Pin;
use std::time::Duration;

use rstest::rstest;

use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::Team;
use keyhouse_store::ChangeFeed;
use keyhouse_token::{Mode, RawToken};

use super::lease::{asked, status};
use test_support::{Engine, TestApp, TestDatabase, follow, open};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_calls_with_an_uncached_key_are_one_look_up(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    follow(&app.inner, &mut app.inner.change_feed()).await;
    let calls = (0..1000).map(|_| status(&app, &token));
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(asked(&app.inner), 1);
}

/// A call with a new key that waits for its look-up, and the key's token.
async fn call_in_flight<'a>(
    app: &'a TestApp,
    team: &Team,
    change_feed: &mut ChangeFeed,
) -> (String, Pin<Box<dyn Future<Output = u16> + 'a>>) {
    // The database may respond within the first poll: then another key is tried.
    for _ in 0..5 {
        let token = app.key(team, Mode::Live, Scope::ReadOnly).await.token.expose().to_owned();
        follow(&app.inner, change_feed).await;
        let sent = token.clone();
        let mut call: Pin<Box<dyn Future<Output = u16>>> = Box::pin(async move { status(app, &sent).await });
        if futures_util::poll!(&mut call).is_pending() {
            return (token, call);
        }
    }
    panic!("five look-ups finished within one poll");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_leaves_its_look_up_to_the_calls_that_wait_for_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let mut change_feed = app.inner.change_feed();
    let (token, cancelled) = call_in_flight(&app, &team, &mut change_feed).await;
    let before = asked(&app.inner);
    let waiting = async { tokio::join!(status(&app, &token), async move { drop(cancelled) }).0 };
    assert_eq!((waiting.await, asked(&app.inner)), (200, before), "one look-up for both");

    let (token, cancelled) = call_in_flight(&app, &team, &mut change_feed).await;
    let before = asked(&app.inner);
    drop(cancelled);
    assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, before + 1), "no call was left to finish it");
}

/// Two applications with the same seed create the same tokens, so the test has the token before it exists.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_is_cached_for_a_second_and_works_as_soon_as_its_key_is_created() {
    let token = TestApp::on(Engine::Sqlite).await.live_token().await;
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let app = TestApp::at(place).await;
        let node = open(&app.place, app.clock.clone(), 2).await;
        let mut change_feed = node.change_feed();
        follow(&node, &mut change_feed).await;
        let identify = async || {
            let token = RawToken::parse(token.as_bytes(), node.brand()).unwrap();
            (node.authenticate(token, std::net::Ipv4Addr::LOCALHOST.into()).await.is_ok(), asked(&node))
        };
        assert_eq!([identify().await, identify().await], [(false, 1), (false, 1)]);
        app.advance(Duration::from_secs(1));
        assert_eq!([identify().await, identify().await], [(false, 2), (false, 2)], "for a second");
        assert_eq!(app.live_token().await, token);
        assert_eq!(identify().await, (false, 2), "made elsewhere");
        follow(&node, &mut change_feed).await;
        assert_eq!(identify().await, (true, 3));
    }
}
