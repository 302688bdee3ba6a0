//! What a node remembers of keys, and how long it may.

use std::time::Duration;

use keyhouse::app::App;
use keyhouse::domain::key::{Mode, Scope};
use keyhouse::domain::role::TeamOwner;
use keyhouse::domain::token::RawToken;

use sqlx::{Connection, PgConnection};

use crate::harness::metrics::Metrics;
use crate::harness::proxy::Proxy;
use crate::harness::{House, Place, Server, follow, open, worlds};

/// Revokes behind everybody's back: without the change counter, so that only a look into the database can tell.
const REVOKED_IN_SECRET: &str = "UPDATE keys SET revoked_at = 1, revoked_by_name = 'nobody' WHERE revoked_at IS NULL";

const GUIDE: &str = include_str!("../../../docs/guide/operating.md");

async fn status(house: &House, token: &str) -> u16 {
    house.get("/api/v1/key").bearer(token).await.status.as_u16()
}

/// How often the database was asked whose token it is.
fn asked(app: &App) -> u64 {
    let asked = Metrics::of(app).value("keyhouse_key_lookups_total{answer=\"database\"}");
    asked.expect("it is counted") as u64
}

worlds! {
    async fn a_record_counts_for_three_seconds_after_the_last_good_question(house) {
        let token = house.live_token().await;
        let mut follower = house.app.follower();
        follow(&house.app, &mut follower).await;
        assert_eq!(status(&house, &token).await, 200);
        house.place.tamper(REVOKED_IN_SECRET).await.unwrap();
        house.advance(Duration::from_millis(2999));
        assert_eq!(status(&house, &token).await, 200, "from memory: nothing was said to have changed");
        assert_eq!(house.get("/readyz").await.status, 200);
        house.advance(Duration::from_millis(1));
        assert_eq!(status(&house, &token).await, 401, "from the database");
        assert_eq!(house.get("/readyz").await.text(), "the changes of keys can't be followed\n");
        follow(&house.app, &mut follower).await;
        assert_eq!(house.get("/readyz").await.status, 200);
    }

    async fn a_wall_clock_that_jumps_ends_the_lease(house) {
        let token = house.live_token().await;
        let mut follower = house.app.follower();
        for jump in [1001, -1001] {
            follow(&house.app, &mut follower).await;
            assert_eq!(status(&house, &token).await, 200);
            let before = asked(&house.app);
            house.clock.set_wall(jump / 2);
            assert_eq!((status(&house, &token).await, asked(&house.app)), (200, before), "half a second is nothing");
            house.clock.set_wall(jump - jump / 2);
            assert_eq!((status(&house, &token).await, asked(&house.app)), (200, before + 1), "asked again");
        }
    }

    async fn without_anybody_to_follow_the_changes_the_database_is_asked_each_time(house) {
        let token = house.live_token().await;
        for calls in 1..=3 {
            assert_eq!((status(&house, &token).await, asked(&house.app)), (200, calls));
        }
    }

    async fn revoked_here_a_key_is_refused_by_the_very_next_call(house) {
        let team = house.team("Acme").await;
        let mut follower = house.app.follower();
        for way in 0..4 {
            let key = house.key(&team, Mode::Live, Scope::ReadOnly).await;
            follow(&house.app, &mut follower).await;
            assert_eq!(status(&house, key.token.expose()).await, 200);
            let admin = house.shell(&team);
            match way {
                0 => drop(house.app.revoke_key(&admin, key.key.id).await.unwrap()),
                1 => drop(house.app.revoke_all_keys(&admin).await.unwrap()),
                2 => {
                    // Somebody else's change says nothing of this key; what is remembered is asked for once, and counts again.
                    let other = house.team("Other").await;
                    house.key(&other, Mode::Live, Scope::ReadOnly).await;
                    let before = asked(&house.app);
                    for _ in 0..3 {
                        assert_eq!((status(&house, key.token.expose()).await, asked(&house.app)), (200, before + 1));
                    }
                    continue;
                }
                _ => {
                    let owner = &house.app.members_of(&team).await.unwrap()[0];
                    house.app.delete_team(&TeamOwner::member(owner, "192.0.2.1").unwrap()).await.unwrap();
                }
            }
            assert_eq!(status(&house, key.token.expose()).await, 401, "way {way}");
        }
    }

    async fn revoked_elsewhere_a_key_is_refused_once_the_node_has_asked(house) {
        let other = open(&house.place, house.clock.clone(), 2).await;
        let team = house.team("Acme").await;
        let (mut follower, admin) = (house.app.follower(), house.shell(&team));
        follow(&house.app, &mut follower).await;
        let [gone, kept] = [Scope::ReadOnly, Scope::ReadWrite].map(|scope| house.key(&team, Mode::Live, scope));
        let (gone, kept) = (gone.await, kept.await);
        follow(&house.app, &mut follower).await;
        for key in [&gone, &kept] {
            assert_eq!(status(&house, key.token.expose()).await, 200);
        }
        other.revoke_key(&admin, gone.key.id).await.unwrap();
        follow(&house.app, &mut follower).await;
        assert_eq!(status(&house, gone.token.expose()).await, 401);
        let before = asked(&house.app);
        assert_eq!((status(&house, kept.token.expose()).await, asked(&house.app)), (200, before), "only what changed is dropped");
        let seen = Metrics::of(&house.app).value("keyhouse_change_seen_seconds_count");
        assert_eq!(seen, Some(3.0), "two made, one revoked");
    }

    async fn a_revoked_key_writes_nothing_not_even_on_a_node_that_has_not_heard_of_it(house) {
        let other = open(&house.place, house.clock.clone(), 2).await;
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        let token = key.token.expose();
        let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
        follow(&house.app, &mut house.app.follower()).await;
        let made = house.post("/api/v1/products", product).bearer(token).await;
        let path = format!("/api/v1/products/{}", made.json()["data"]["id"].as_str().unwrap());
        other.revoke_key(&house.shell(&team), key.key.id).await.unwrap();
        assert_eq!(status(&house, token).await, 200, "under a good lease");
        let refused = house.post("/api/v1/products", product).bearer(token).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, "invalid_token".to_owned()));
        assert_eq!(house.call("PATCH", &path).json(r#"{"name":"y"}"#).bearer(token).await.status, 401);
        assert_eq!(house.call("DELETE", &path).bearer(token).await.status, 401);
        let list = house.get("/api/v1/products").bearer(token).await;
        assert_eq!((list.json()["data"]["data"][0]["name"].as_str(), list.json()["data"]["data"].as_array().unwrap().len()), (Some("x"), 1));
    }

    async fn a_database_that_was_put_back_is_believed_and_nothing_from_before(house) {
        let token = house.live_token().await;
        let mut follower = house.app.follower();
        for put_back in ["UPDATE changes SET seq = seq - 1", "UPDATE changes SET epoch = 'another'"] {
            follow(&house.app, &mut follower).await;
            assert_eq!(status(&house, &token).await, 200);
            let before = asked(&house.app);
            house.place.tamper(put_back).await.unwrap();
            follow(&house.app, &mut follower).await;
            assert_eq!((status(&house, &token).await, asked(&house.app)), (200, before + 1), "{put_back}");
        }
    }

    async fn the_guides_sql_after_a_restore_makes_nodes_forget_and_people_sign_in_again(house) {
        let token = house.live_token().await;
        let cookie = house.browser("owner@acme.example").await;
        let mut follower = house.app.follower();
        follow(&house.app, &mut follower).await;
        assert_eq!((status(&house, &token).await, house.get("/account").cookie(&cookie).await.status.as_u16()), (200, 200));
        let before = asked(&house.app);
        let block = match house.place {
            Place::Folder(_) => "```sql sqlite\n",
            Place::Postgres { .. } => "```sql postgres\n",
        };
        let sql = GUIDE.split(block).nth(1).and_then(|rest| rest.split("```").next()).expect("the guide has it");
        for statement in sql.lines() {
            house.place.tamper(statement).await.unwrap();
        }
        follow(&house.app, &mut follower).await;
        assert_eq!((status(&house, &token).await, asked(&house.app)), (200, before + 1));
        assert_eq!(house.get("/account").cookie(&cookie).await.status, 303, "to the sign-in page");
    }

    async fn a_thousand_cold_calls_with_one_key_are_one_question(house) {
        let token = house.live_token().await;
        follow(&house.app, &mut house.app.follower()).await;
        let calls = (0..1000).map(|_| status(&house, &token));
        let statuses = futures_util::future::join_all(calls).await;
        assert!(statuses.iter().all(|status| *status == 200));
        assert_eq!(asked(&house.app), 1);
    }

    async fn a_call_that_hangs_up_leaves_the_look_up_to_those_who_wait(house) {
        let token = house.live_token().await;
        follow(&house.app, &mut house.app.follower()).await;
        let mut hasty = Box::pin(status(&house, &token));
        let begun = futures_util::poll!(&mut hasty);
        let patient = async { tokio::join!(status(&house, &token), async move { drop(hasty) }).0 };
        assert_eq!((patient.await, asked(&house.app)), (200, 1), "begun: {begun:?}");
        // And with nobody left, the next one asks anew.
        let other = house.key(&house.team("Other").await, Mode::Live, Scope::ReadOnly).await;
        let mut hasty = Box::pin(status(&house, other.token.expose()));
        let begun = futures_util::poll!(&mut hasty);
        drop(hasty);
        let known = if begun.is_ready() { 2 } else { 3 };
        assert_eq!((status(&house, other.token.expose()).await, asked(&house.app)), (200, known));
    }
}

/// A key that is revoked while a call of it waits for a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_waited_for_a_lock_while_its_key_was_revoked_writes_nothing() {
    let house = House::on_postgres().await;
    let team = house.team("Acme").await;
    let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    let product = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let made = house.post("/api/v1/products", product).bearer(token).await;
    let path = format!("/api/v1/products/{}", made.json()["data"]["id"].as_str().unwrap());
    let Place::Postgres { url } = &house.place else { unreachable!("it is on PostgreSQL") };
    let mut holder = PgConnection::connect(url).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("UPDATE products SET status = status").execute(&mut *held).await.unwrap();
    let change = async { house.call("PATCH", &path).json(r#"{"name":"y"}"#).bearer(token).await };
    let revoke = async {
        let mut watch = PgConnection::connect(url).await.unwrap();
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watch).await.unwrap() == 0 {}
        house.app.revoke_key(&house.shell(&team), key.key.id).await.unwrap();
        held.rollback().await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, revoke);
    assert_eq!((changed.status.as_u16(), changed.code()), (401, "invalid_token".to_owned()));
    let kept = "UPDATE products SET status = status WHERE name = 'x'";
    assert_eq!(house.place.tamper(kept).await.unwrap(), 1);
}

/// Houses with the same dice make the same tokens: what one has made is what the other will.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_has_is_remembered_briefly_and_works_as_soon_as_it_is_made() {
    let token = House::on_sqlite().await.live_token().await;
    for place in [Place::folder(), Place::postgres().await] {
        let house = House::at(place).await;
        let node = open(&house.place, house.clock.clone(), 2).await;
        let mut follower = node.follower();
        follow(&node, &mut follower).await;
        let identify = async || {
            let token = RawToken::parse(token.as_bytes(), node.brand()).unwrap();
            (node.identify(token).await.is_ok(), asked(&node))
        };
        assert_eq!([identify().await, identify().await], [(false, 1), (false, 1)]);
        house.advance(Duration::from_secs(1));
        assert_eq!([identify().await, identify().await], [(false, 2), (false, 2)], "for a second");
        assert_eq!(house.live_token().await, token);
        assert_eq!(identify().await, (false, 2), "made elsewhere");
        follow(&node, &mut follower).await;
        assert_eq!(identify().await, (true, 3));
    }
}

/// On a PostgreSQL of its own, which is killed and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_what_is_known_counts_until_the_lease_is_over() {
    let server = Server::start();
    let house = House::at(Place::Postgres { url: server.new_database().await }).await;
    let token = house.live_token().await;
    let mut follower = house.app.follower();
    follow(&house.app, &mut follower).await;
    assert_eq!(status(&house, &token).await, 200);
    server.kill();
    assert!(house.app.follow(&mut follower).await.is_err());
    assert_eq!(status(&house, &token).await, 200, "under a good lease");
    house.advance(Duration::from_secs(3));
    let answer = house.get("/api/v1/key").bearer(&token).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")), "nobody knows: never 401");
    assert_eq!(house.get("/readyz").await.status, 503);
    server.resume();
    // A question's own connection is made anew; what is in the pool is found dead one by one.
    follow(&house.app, &mut follower).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) && statuses.len() < 20 {
        statuses.push(status(&house, &token).await);
    }
    assert!(statuses.ends_with(&[200]) && statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
}

/// A network that fails in other ways than a server does: nothing arrives, or far too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_loses_sight_of_the_database_stops_believing_what_it_knows() {
    type Trouble = fn(&Proxy);
    let troubles: [Trouble; 3] = [Proxy::cut, Proxy::black_hole, |proxy| proxy.delay(Duration::from_secs(30))];
    for trouble in troubles {
        let server = Server::shared();
        let proxy = Proxy::to(server.address());
        let direct = server.new_database().await;
        let house = House::at(Place::Postgres { url: proxy.lead(&direct) }).await;
        let team = house.team("Acme").await;
        let [gone, kept] = [Scope::ReadOnly, Scope::ReadWrite].map(|scope| house.key(&team, Mode::Live, scope));
        let (gone, kept) = (gone.await, kept.await);
        let mut follower = house.app.follower();
        follow(&house.app, &mut follower).await;
        for key in [&gone, &kept] {
            assert_eq!(status(&house, key.token.expose()).await, 200);
        }
        trouble(&proxy);
        let other = open(&Place::Postgres { url: direct }, house.clock.clone(), 2).await;
        other.revoke_key(&house.shell(&team), gone.key.id).await.unwrap();
        assert!(house.app.follow(&mut follower).await.is_err());
        assert_eq!(status(&house, kept.token.expose()).await, 200, "under a good lease");
        house.advance(Duration::from_secs(3));
        for key in [&gone, &kept] {
            let answer = house.get("/api/v1/key").bearer(key.token.expose()).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
        }
        proxy.pass();
        follow(&house.app, &mut follower).await;
        let mut statuses = Vec::new();
        while statuses.last() != Some(&200) && statuses.len() < 50 {
            statuses.push(status(&house, kept.token.expose()).await);
        }
        assert!(
            statuses.ends_with(&[200]) && statuses.iter().all(|status| [200, 503].contains(status)),
            "{statuses:?}"
        );
        assert_eq!(status(&house, gone.token.expose()).await, 401);
    }
}

/// Its own database answers, but nobody has ever told it what changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_had_a_lease_is_not_ready_and_asks_each_time() {
    let house = House::on_sqlite().await;
    let token = house.live_token().await;
    let server = Server::shared();
    let proxy = Proxy::to(server.address());
    let elsewhere = Place::Postgres { url: proxy.lead(&server.new_database().await) };
    let mut deaf = open(&elsewhere, house.clock.clone(), 2).await.follower();
    proxy.cut();
    assert!(house.app.follow(&mut deaf).await.is_err());
    assert_eq!(house.get("/readyz").await.text(), "the changes of keys can't be followed\n");
    for calls in 1..=2 {
        assert_eq!((status(&house, &token).await, asked(&house.app)), (200, calls));
    }
}

#[test]
fn no_order_of_things_revives_a_key() {
    crate::harness::interleavings::explore(1000);
}

#[test]
fn the_guide_shows_the_balancer_that_is_drilled() {
    assert!(GUIDE.contains(crate::harness::balancer::CONFIG));
}
