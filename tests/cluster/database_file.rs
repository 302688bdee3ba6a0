//! SQLite files that are replaced, and database servers that do not respond.

use std::time::Duration;

use keyhouse_domain::ids::TeamId;
use keyhouse_domain::permission::KeyAdmin;

use test_support::process::{ServerProcess, run, run_json};
use test_support::proxy::Proxy;
use test_support::{Engine, Server, TestApp, TestDatabase, follow};

/// On SQLite, where a server keeps its file open after the path was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_was_replaced_is_noticed_and_nothing_is_written_to_the_old_one() {
    let app = TestApp::on(Engine::Sqlite).await;
    let token = app.live_token().await;
    let mut change_feed = app.inner.change_feed();
    follow(&app.inner, &mut change_feed).await;
    let TestDatabase::Folder(folder) = &app.place else { unreachable!("it is on SQLite") };
    let [file, backup] = ["keyhouse.db", "backup.db"].map(|name| folder.path().join(name));
    app.place.execute_sql(&format!("VACUUM INTO '{}'", backup.display())).await.unwrap();
    std::fs::rename(&backup, &file).unwrap();
    let refused = app.inner.apply_changes(&mut change_feed).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database file was moved or replaced while Keyhouse ran");
    app.advance(Duration::from_secs(3));
    assert_eq!(app.get("/api/v1/key").bearer(&token).await.status, 503);
    let admin = KeyAdmin::shell("tester", TeamId::new(app.inner.ids().seed()));
    assert!(app.inner.revoke_all_keys(&admin).await.is_err());
}

/// The process exits, so that its supervisor starts it on the new file, which is intact: the old write-ahead log is not left
/// beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_file_was_replaced_ends_and_starts_again_on_the_backup() {
    let place = TestDatabase::folder();
    let mut serving = ServerProcess::start(&place, "serve", "info");
    assert_eq!(serving.get("/readyz", ""), 200);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = || {
        let key = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
        run_json(&place, &key)["token"].as_str().unwrap().to_owned()
    };
    let before = create();
    let TestDatabase::Folder(folder) = &place else { unreachable!("it was made above") };
    let [file, backup] = ["keyhouse.db", "backup.db"].map(|name| folder.path().join(name));
    place.execute_sql(&format!("VACUUM INTO '{}'", backup.display())).await.unwrap();
    let since: Vec<_> = (0..5).map(|_| create()).collect();
    for token in [&before, &since[4]] {
        assert_eq!(serving.get("/api/v1/key", token), 200);
    }
    std::fs::rename(&backup, &file).unwrap();
    assert_eq!(serving.wait().code(), Some(1));
    let logs = String::from_utf8(serving.logs()).unwrap();
    assert!(logs.contains("the database file was moved or replaced while Keyhouse ran"), "{logs}");
    assert!(!logs.contains("keyhouse.db-wal"), "the log went home: {logs}");
    let serving = ServerProcess::start(&place, "serve", "info");
    assert_eq!(serving.get("/api/v1/key", &before), 200);
    assert_eq!(since.iter().filter(|token| serving.get("/api/v1/key", token) == 401).count(), 5, "not in the backup");
    create();
}

/// A server that accepts connections and sends nothing: `key revoke` reports it.
#[test]
fn a_database_that_does_not_respond_is_reported_after_five_seconds() {
    let proxy = Proxy::to(Server::shared().address());
    proxy.black_hole();
    let place = TestDatabase::Postgres { url: proxy.lead("postgres://keyhouse:hunter2@db/keyhouse") };
    for words in [&["team", "list"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let output = run(&place, words);
        let shown = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(
            shown.contains(&format!("PostgreSQL at {}", proxy.address()))
                && shown.contains("no answer within 5 seconds"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"));
    }
}
