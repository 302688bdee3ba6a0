//! kill -9, and databases that stop or are suspended.

use std::io::Read;
use std::process::Stdio;

use keyhouse::app::usage::{Call, Flush};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::usage::{Outcome, UtcDay};
use keyhouse_store::Store;
use keyhouse_token::Mode;

use test_support::process::{ServerProcess, keyhouse, run_json};
use test_support::{Engine, Server, TestApp, TestDatabase};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_it_creates_keys_leaves_no_half_written_key() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        run_json(&place, &["migrate"]);
        let mut acknowledged = Vec::new();
        for round in 0..20 {
            let mut server = ServerProcess::start(&place, "serve", "info");
            let team = run_json(
                &place,
                &["team", "create", &format!("Team {round}"), "--owner", &format!("owner{round}@example.com")],
            );
            let slug = team["slug"].as_str().unwrap().to_owned();
            let create =
                ["key", "create", "--team", &slug, "--name", "K", "--mode", "live", "--scope", "read_only", "--json"];
            let mut children: Vec<_> = (0..3)
                .map(|_| keyhouse(&place, &create).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
                .collect();
            // The processes are killed at a different point in each round.
            if round % 4 != 0 {
                let mut one = [0];
                let _first_byte = children[round % 3].stdout.as_mut().unwrap().read(&mut one).unwrap();
                if one[0] == b'{' {
                    let mut rest = String::new();
                    children[round % 3].stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
                    let key: serde_json::Value = serde_json::from_str(&format!("{{{rest}")).unwrap();
                    acknowledged.push(key["token"].as_str().unwrap().to_owned());
                }
            }
            for child in &mut children {
                let _may_have_ended = child.kill();
            }
            server.kill();
            for mut child in children {
                let mut text = String::new();
                child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
                child.wait().unwrap();
                if let Ok(key) = serde_json::from_str::<serde_json::Value>(&text) {
                    acknowledged.push(key["token"].as_str().unwrap().to_owned());
                }
            }
        }
        let server = ServerProcess::start(&place, "serve", "info");
        assert!(acknowledged.len() >= 15, "the axe fell too early to show anything: {}", acknowledged.len());
        for token in &acknowledged {
            assert_eq!(server.get("/api/v1/key", token), 200);
        }
        // Atomic: each key has its audit event, and each event its key.
        let halves = "UPDATE teams SET touched_at = touched_at WHERE \
            (SELECT count(*) FROM keys) <> (SELECT count(*) FROM audit WHERE action = 'key.created') \
            OR (SELECT seq FROM changes) <> (SELECT count(*) FROM keys)";
        assert_eq!(place.execute_sql(halves).await.unwrap(), 0);
    }
}

/// On a separate PostgreSQL, which is killed and restarted.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_503_while_postgres_is_down_and_work_after_its_restart() {
    let server = Server::start();
    let app = TestApp::at(TestDatabase::Postgres { url: server.new_database().await }).await;
    let token = app.live_token().await;
    assert_eq!(app.get("/api/v1/products").bearer(&token).await.status, 200);
    server.kill();
    for _ in 0..3 {
        let answer = app.get("/api/v1/products").bearer(&token).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
    }
    let answer = app.post("/api/v1/products", "{}").bearer(&token).await;
    assert_eq!(answer.status, 503);
    server.resume();
    // The pool discards its broken connections one by one.
    let mut status = 0;
    for _ in 0..20 {
        status = app.get("/api/v1/products").bearer(&token).await.status.as_u16();
        if status == 200 {
            break;
        }
        assert_eq!(status, 503);
    }
    assert_eq!(status, 200);
}

/// A suspended server enforces no time-out, so the client's must: in a call in progress and at shutdown.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_postgres_is_503_and_does_not_block_shutdown() {
    let server = Server::start();
    let place = TestDatabase::Postgres { url: server.new_database().await };
    let mut serving = ServerProcess::start(&place, "demo", "info");
    let token = serving.said["keys"][0]["token"].as_str().unwrap().to_owned();
    assert_eq!(serving.get("/api/v1/products", &token), 200);
    server.freeze();
    assert_eq!(serving.get("/api/v1/products", &token), 503);
    assert_eq!(serving.get("/readyz", &token), 503);
    assert_eq!(serving.get("/healthz", &token), 200);
    server.thaw();
    let mut status = 503;
    for _ in 0..20 {
        status = serving.get("/api/v1/products", &token);
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200, "and it comes back without a restart");
    server.freeze();
    // The last use can not be written, which is logged, and the process exits.
    assert_eq!(serving.terminate().code(), Some(1));
    assert!(String::from_utf8(serving.logs()).unwrap().contains("the usage of some keys could not be written"));
}

/// Two nodes write the same rows concurrently.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_write_the_usage_of_the_same_keys_at_once() {
    let app = TestApp::on(Engine::Postgres).await;
    let mut tokens = Vec::new();
    for n in 0..4 {
        let team = app.team(&format!("T{n}")).await;
        for _ in 0..10 {
            tokens.push(app.key(&team, Mode::Live, Scope::ReadOnly).await);
        }
    }
    let other = test_support::open(&app.place, app.clock.clone(), 2).await;
    for _ in 0..5 {
        app.advance(std::time::Duration::from_secs(61));
        for (n, node) in [(1, &app.inner), (2, &other)] {
            for key in &tokens {
                // More addresses than are kept: both nodes delete the oldest ones of the same key.
                for host in 0..30 {
                    node.record_call(&Call {
                        key: key.key.id,
                        request: node.ids().request(),
                        at: node.clock().now(),
                        from: [192, 0, n, host].into(),
                        agent: b"curl/8.14",
                        method: "GET",
                        route: "/api/v1/key",
                        status: 200,
                        outcome: Outcome::Admitted,
                    });
                }
            }
        }
        let (one, two) = tokio::join!(app.inner.flush_usage(Flush::Due), other.flush_usage(Flush::Due));
        one.unwrap();
        two.unwrap();
    }
    for key in &tokens {
        let counted = app.inner.queries().calls_by_day(key.key.id, UtcDay::from_number(0)).await.unwrap();
        assert_eq!(counted.iter().map(|day| day.calls).sum::<u64>(), 300);
        assert_eq!(app.inner.queries().addresses_of_key(key.key.id).await.unwrap().len(), 20);
    }
}

/// kill -9 does not show whether a server is durable; its settings do.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_not_durable_is_logged_at_start() {
    let server = Server::start_with(&["fsync=off", "full_page_writes=off", "synchronous_commit=off"]);
    let place = TestDatabase::Postgres { url: server.new_database().await };
    let (store, _, warnings) = Store::migrate_and_open(&place.location(), None).await.unwrap();
    store.close().await;
    let warnings: Vec<_> = warnings.into_iter().map(|warning| warning.0).collect();
    // synchronous_commit can be set per session, and the application sets it.
    assert_eq!(
        warnings,
        [
            "PostgreSQL runs with fsync = off: a crash of its machine can lose or damage everything. Set it to on.",
            "PostgreSQL runs with full_page_writes = off: a crash of its machine can damage the database. Set it to on."
        ]
    );
    let shown = test_support::process::run(&place, &["team", "list"]);
    assert!(String::from_utf8(shown.stderr).unwrap().contains("fsync = off"), "the shell says it too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_standby_is_logged_and_can_not_be_opened() {
    let primary = Server::start();
    let place = TestDatabase::Postgres { url: primary.new_database().await };
    let (store, _, warnings) = Store::migrate_and_open(&place.location(), None).await.unwrap();
    assert_eq!(warnings, []);
    let standby = Server::standby_of(&primary);
    let (_, _, warnings) = Store::open(&place.location(), None).await.unwrap();
    assert_eq!(warnings, [], "a commit waits for it");
    primary.sql("ALTER SYSTEM RESET synchronous_standby_names");
    primary.sql("SELECT pg_reload_conf()");
    let warned = async || Store::open(&place.location(), None).await.unwrap().2;
    let mut warnings = warned().await;
    // The server reloads its settings asynchronously.
    for _ in 0..200 {
        if !warnings.is_empty() {
            break;
        }
        warnings = warned().await;
    }
    let shown = warnings.first().expect("a warning");
    assert_eq!(
        shown.0,
        "PostgreSQL does not wait for its standbys: a failover can lose changes that Keyhouse has acknowledged, \
         revocations among them. Name one in synchronous_standby_names."
    );
    store.close().await;
    let TestDatabase::Postgres { url } = &place else { unreachable!("it was made above") };
    let database = url.rsplit('/').next().unwrap();
    let there = TestDatabase::Postgres { url: standby.url(database) };
    for refused in [
        Store::open(&there.location(), None).await.unwrap_err(),
        Store::migrate_and_open(&there.location(), None).await.unwrap_err(),
    ] {
        assert!(refused.to_string().contains("the server is a standby, not the primary"), "{refused}");
    }
}
