//! The key cache and its lease.

use rstest::rstest;
use std::time::Duration;

use keyhouse::app::App;
use keyhouse_domain::permission::TeamOwner;
use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;

use sqlx::{Connection, PgConnection};

use test_support::metrics::Metrics;
use test_support::proxy::Proxy;
use test_support::wait::eventually;
use test_support::{Engine, Server, TestApp, TestDatabase, follow, open};

/// Revokes by SQL without the change counter, so that only a query of the database shows it.
const REVOKED_IN_SECRET: &str =
    "UPDATE keys SET revoked_at = 1, ended_at = 1, revoked_by_name = 'another' WHERE revoked_at IS NULL";

const MANY_NODES: &str = include_str!("../../docs/guide/many-nodes.md");
const BACKUP: &str = include_str!("../../docs/guide/backup.md");

pub(super) async fn status(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/key").bearer(token).await.status.as_u16()
}

/// The number of key look-ups in the database.
pub(super) fn asked(app: &App) -> u64 {
    let asked = Metrics::of(app).value("keyhouse_key_lookups_total{source=\"database\"}");
    asked.expect("it is counted") as u64
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_used_for_three_seconds_after_the_last_successful_poll(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let mut change_feed = app.inner.change_feed();
    follow(&app.inner, &mut change_feed).await;
    assert_eq!(status(&app, &token).await, 200);
    app.place.execute_sql(REVOKED_IN_SECRET).await.unwrap();
    app.advance(Duration::from_millis(2999));
    assert_eq!(status(&app, &token).await, 200, "from memory: nothing was said to have changed");
    assert_eq!(app.get("/readyz").await.status, 200);
    app.advance(Duration::from_millis(1));
    assert_eq!(status(&app, &token).await, 401, "from the database");
    assert_eq!(
        app.get("/readyz").await.text(),
        "no valid key-cache lease: the database must respond to a change poll within 900 ms\n"
    );
    follow(&app.inner, &mut change_feed).await;
    assert_eq!(app.get("/readyz").await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_ends_the_lease(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let mut change_feed = app.inner.change_feed();
    for jump in [1001, -1001] {
        follow(&app.inner, &mut change_feed).await;
        assert_eq!(status(&app, &token).await, 200);
        let before = asked(&app.inner);
        app.clock.set_wall(jump / 2);
        assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, before), "half a second is nothing");
        app.clock.set_wall(jump - jump / 2);
        assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, before + 1), "asked again");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_change_feed_each_call_queries_the_database(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    for calls in 1..=3 {
        assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, calls));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_on_this_node_is_refused_by_the_next_call(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let mut change_feed = app.inner.change_feed();
    for way in 0..4 {
        let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
        follow(&app.inner, &mut change_feed).await;
        assert_eq!(status(&app, key.token.expose()).await, 200);
        let admin = app.shell(&team);
        match way {
            0 => drop(app.inner.revoke_key(&admin, key.key.id, None).await.unwrap()),
            1 => drop(app.inner.revoke_all_keys(&admin).await.unwrap()),
            2 => {
                // Another key changed: the cached record is queried once more, and then used again.
                let other = app.team("Other").await;
                app.key(&other, Mode::Live, Scope::ReadOnly).await;
                let before = asked(&app.inner);
                for _ in 0..3 {
                    assert_eq!((status(&app, key.token.expose()).await, asked(&app.inner)), (200, before + 1));
                }
                continue;
            }
            _ => {
                let owner = &app.inner.queries().members(team.id).await.unwrap()[0];
                app.inner.delete_team(&TeamOwner::member(owner, "192.0.2.1").unwrap()).await.unwrap();
            }
        }
        assert_eq!(status(&app, key.token.expose()).await, 401, "way {way}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_on_another_node_is_refused_after_the_next_poll(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let other = open(&app.place, app.clock.clone(), 2).await;
    let team = app.team("Acme").await;
    let (mut change_feed, admin) = (app.inner.change_feed(), app.shell(&team));
    follow(&app.inner, &mut change_feed).await;
    let [gone, kept] = [Scope::ReadOnly, Scope::ReadWrite].map(|scope| app.key(&team, Mode::Live, scope));
    let (gone, kept) = (gone.await, kept.await);
    follow(&app.inner, &mut change_feed).await;
    for key in [&gone, &kept] {
        assert_eq!(status(&app, key.token.expose()).await, 200);
    }
    other.revoke_key(&admin, gone.key.id, None).await.unwrap();
    follow(&app.inner, &mut change_feed).await;
    assert_eq!(status(&app, gone.token.expose()).await, 401);
    let before = asked(&app.inner);
    assert_eq!(
        (status(&app, kept.token.expose()).await, asked(&app.inner)),
        (200, before),
        "only what changed is dropped"
    );
    let seen = Metrics::of(&app.inner).value("keyhouse_revocation_propagation_seconds_count");
    assert_eq!(seen, Some(3.0), "two made, one revoked");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_writes_nothing_even_on_a_node_that_still_caches_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let other = open(&app.place, app.clock.clone(), 2).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    follow(&app.inner, &mut app.inner.change_feed()).await;
    let made = app.post("/api/v1/products", product).bearer(token).await;
    let path = format!("/api/v1/products/{}", made.json()["data"]["id"].as_str().unwrap());
    other.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    assert_eq!(status(&app, token).await, 200, "under a good lease");
    let refused = app.post("/api/v1/products", product).bearer(token).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (401, "invalid_token".to_owned()));
    assert_eq!(app.call("PATCH", &path).json(r#"{"name":"y"}"#).bearer(token).await.status, 401);
    assert_eq!(app.call("DELETE", &path).bearer(token).await.status, 401);
    let list = app.get("/api/v1/products").bearer(token).await;
    assert_eq!(
        (list.json()["data"]["data"][0]["name"].as_str(), list.json()["data"]["data"].as_array().unwrap().len()),
        (Some("x"), 1)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_went_back_clears_the_cache(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let mut change_feed = app.inner.change_feed();
    for put_back in ["UPDATE changes SET seq = seq - 1", "UPDATE changes SET epoch = 'another'"] {
        follow(&app.inner, &mut change_feed).await;
        assert_eq!(status(&app, &token).await, 200);
        let before = asked(&app.inner);
        app.place.execute_sql(put_back).await.unwrap();
        follow(&app.inner, &mut change_feed).await;
        assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, before + 1), "{put_back}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_sql_after_a_restore_clears_caches_and_ends_sessions(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let cookie = app.browser("owner@acme.example").await;
    let mut change_feed = app.inner.change_feed();
    follow(&app.inner, &mut change_feed).await;
    assert_eq!((status(&app, &token).await, app.get("/account").cookie(&cookie).await.status.as_u16()), (200, 200));
    let before = asked(&app.inner);
    let block = match app.place {
        TestDatabase::Folder(_) => "```sql sqlite\n",
        TestDatabase::Postgres { .. } => "```sql postgres\n",
    };
    let sql = BACKUP.split(block).nth(1).and_then(|rest| rest.split("```").next()).expect("the guide has it");
    for statement in sql.lines() {
        app.place.execute_sql(statement).await.unwrap();
    }
    follow(&app.inner, &mut change_feed).await;
    assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, before + 1));
    assert_eq!(app.get("/account").cookie(&cookie).await.status, 303, "to the sign-in page");
}

/// The key is revoked while its call waits for a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_waited_for_a_lock_while_its_key_was_revoked_writes_nothing() {
    let app = TestApp::on(Engine::Postgres).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let made = app.post("/api/v1/products", product).bearer(token).await;
    let path = format!("/api/v1/products/{}", made.json()["data"]["id"].as_str().unwrap());
    let TestDatabase::Postgres { url } = &app.place else { unreachable!("it is on PostgreSQL") };
    let mut holder = PgConnection::connect(url).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("UPDATE products SET status = status").execute(&mut *held).await.unwrap();
    let change = async { app.call("PATCH", &path).json(r#"{"name":"y"}"#).bearer(token).await };
    let revoke = async {
        let mut watch = PgConnection::connect(url).await.unwrap();
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        eventually("the call to wait for the lock", async || {
            (sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watch).await.unwrap() > 0).then_some(())
        })
        .await;
        app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
        held.rollback().await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, revoke);
    assert_eq!((changed.status.as_u16(), changed.code()), (401, "invalid_token".to_owned()));
    let kept = "UPDATE products SET status = status WHERE name = 'x'";
    assert_eq!(app.place.execute_sql(kept).await.unwrap(), 1);
}

/// On a separate PostgreSQL, which is killed and restarted.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_cached_records_are_used_until_the_lease_ends() {
    let server = Server::start();
    let app = TestApp::at(TestDatabase::Postgres { url: server.new_database().await }).await;
    let token = app.live_token().await;
    let mut change_feed = app.inner.change_feed();
    follow(&app.inner, &mut change_feed).await;
    assert_eq!(status(&app, &token).await, 200);
    server.kill();
    assert!(app.inner.apply_changes(&mut change_feed).await.is_err());
    assert_eq!(status(&app, &token).await, 200, "under a good lease");
    app.advance(Duration::from_secs(3));
    let answer = app.get("/api/v1/key").bearer(&token).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, Some("1")),
        "the state is unknown: never 401"
    );
    assert_eq!(app.get("/readyz").await.status, 503);
    server.resume();
    // The change feed opens a new connection; the pool discards its broken ones one by one.
    follow(&app.inner, &mut change_feed).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) && statuses.len() < 20 {
        statuses.push(status(&app, &token).await);
    }
    assert!(statuses.ends_with(&[200]) && statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
}

/// Network faults: nothing arrives, or much too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_can_not_reach_the_database_stops_using_cached_records() {
    type Trouble = fn(&Proxy);
    let troubles: [Trouble; 3] = [Proxy::cut, Proxy::black_hole, |proxy| proxy.delay(Duration::from_secs(30))];
    for trouble in troubles {
        let server = Server::shared();
        let proxy = Proxy::to(server.address());
        let direct = server.new_database().await;
        let app = TestApp::at(TestDatabase::Postgres { url: proxy.lead(&direct) }).await;
        let team = app.team("Acme").await;
        let [gone, kept] = [Scope::ReadOnly, Scope::ReadWrite].map(|scope| app.key(&team, Mode::Live, scope));
        let (gone, kept) = (gone.await, kept.await);
        let mut change_feed = app.inner.change_feed();
        follow(&app.inner, &mut change_feed).await;
        for key in [&gone, &kept] {
            assert_eq!(status(&app, key.token.expose()).await, 200);
        }
        trouble(&proxy);
        let other = open(&TestDatabase::Postgres { url: direct }, app.clock.clone(), 2).await;
        other.revoke_key(&app.shell(&team), gone.key.id, None).await.unwrap();
        assert!(app.inner.apply_changes(&mut change_feed).await.is_err());
        assert_eq!(status(&app, kept.token.expose()).await, 200, "under a good lease");
        app.advance(Duration::from_secs(3));
        for key in [&gone, &kept] {
            let answer = app.get("/api/v1/key").bearer(key.token.expose()).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
        }
        proxy.pass();
        follow(&app.inner, &mut change_feed).await;
        let mut statuses = Vec::new();
        while statuses.last() != Some(&200) && statuses.len() < 50 {
            statuses.push(status(&app, kept.token.expose()).await);
        }
        assert!(
            statuses.ends_with(&[200]) && statuses.iter().all(|status| [200, 503].contains(status)),
            "{statuses:?}"
        );
        assert_eq!(status(&app, gone.token.expose()).await, 401);
    }
}

/// Its database responds, but its change feed was never polled.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_had_a_lease_is_not_ready_and_queries_each_time() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let server = Server::shared();
    let proxy = Proxy::to(server.address());
    let elsewhere = TestDatabase::Postgres { url: proxy.lead(&server.new_database().await) };
    let mut deaf = open(&elsewhere, app.clock.clone(), 2).await.change_feed();
    proxy.cut();
    assert!(app.inner.apply_changes(&mut deaf).await.is_err());
    assert_eq!(
        app.get("/readyz").await.text(),
        "no valid key-cache lease: the database must respond to a change poll within 900 ms\n"
    );
    for calls in 1..=2 {
        assert_eq!((status(&app, &token).await, asked(&app.inner)), (200, calls));
    }
}

#[test]
fn no_interleaving_admits_a_revoked_key() {
    test_support::interleavings::explore(1000);
}

#[test]
fn the_guide_shows_the_balancer_configuration_that_is_tested() {
    assert!(MANY_NODES.contains(test_support::balancer::CONFIG));
}
