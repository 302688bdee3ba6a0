//! `keyhouse backup` and `keyhouse restore`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use test_support::TestDatabase;
use test_support::process::{ServerProcess, keyhouse, run, run_json};

use super::{places, shown};

const OWNER: &str = "ada@example.com";

/// A database with a team, two keys and an admin; returns the ids of the keys and a token.
fn set_up(place: &TestDatabase) -> (Vec<String>, String) {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", OWNER]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let keys: Vec<_> = (0..2).map(|_| run_json(place, &create)).collect();
    let token = keys[0]["token"].as_str().unwrap().to_owned();
    (keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect(), token)
}

fn folder(place: &TestDatabase) -> &Path {
    match place {
        TestDatabase::Folder(folder) => folder.path(),
        TestDatabase::Postgres { .. } => unreachable!("it is a folder"),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn status_of(place: &TestDatabase, id: &str) -> String {
    let keys = run_json(place, &["key", "list", "--team", "acme"]);
    let key = keys.as_array().unwrap().iter().find(|key| key["id"] == id).expect("the key is listed");
    key["status"].as_str().unwrap().to_owned()
}

/// The names of the products in a SQLite database.
async fn products(file: &Path) -> Vec<String> {
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::query_scalar("SELECT name FROM products").fetch_all(&mut connection).await.unwrap()
}

fn create_product(serving: &ServerProcess, token: &str, name: &str) -> bool {
    let body = format!(r#"{{"name":"{name}","unitPrice":1,"currency":"EUR"}}"#);
    let request = format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    serving.send(request.as_bytes()).starts_with("HTTP/1.1 201")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_during_writes_holds_every_change_acknowledged_before_it() {
    let place = TestDatabase::folder();
    let (_, token) = set_up(&place);
    let settings = [("KEYHOUSE_RATE_LIMIT_REQUESTS", "0")];
    let serving = ServerProcess::start_with(&place, "serve", "warn", &settings);
    let backups = tempfile::tempdir().unwrap();
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let taken: Vec<(PathBuf, Vec<String>)> = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (serving, token, acknowledged, stop) = (&serving, &token, &acknowledged, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let name = format!("{writer}-{n}");
                    if create_product(serving, token, &name) {
                        acknowledged.lock().unwrap().push(name);
                    }
                }
            });
        }
        let backups = (0..3).map(|n| {
            while acknowledged.lock().unwrap().len() < 40 * (n + 1) {
                std::thread::yield_now();
            }
            let before = acknowledged.lock().unwrap().clone();
            let file = backups.path().join(format!("{n}.db"));
            assert_eq!(run_json(&place, &["backup", text(&file)])["verified"], true);
            (file, before)
        });
        let backups = backups.collect();
        stop.store(true, Ordering::SeqCst);
        backups
    });
    for (file, before) in taken {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let held = products(&file).await;
        let missing: Vec<_> = before.iter().filter(|name| !held.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?} of {} are missing", before.len());
    }

    // On another machine there is an empty folder, and nothing to compare with.
    let elsewhere = TestDatabase::folder();
    let restored = run_json(&elsewhere, &["restore", text(&backups.path().join("2.db"))]);
    assert_eq!((&restored["restored"], &restored["compared"]), (&true.into(), &false.into()));
    let serving = ServerProcess::start(&elsewhere, "serve", "warn");
    assert_eq!(serving.get("/api/v1/key", &token), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_lists_what_it_would_give_back_and_changes_nothing_without_consent() {
    let place = TestDatabase::folder();
    let (keys, token) = set_up(&place);
    let backups = tempfile::tempdir().unwrap();
    let file = backups.path().join("keyhouse.backup");
    run_json(&place, &["backup", text(&file)]);
    let refused = shown(&run(&place, &["backup", text(&file)]));
    assert!(refused.starts_with("exit 1\n") && refused.contains("exists"), "{refused}");

    run_json(&place, &["key", "revoke", &keys[0]]);
    place.execute_sql("UPDATE people SET password = 'new' WHERE email = 'ada@example.com'").await.unwrap();
    let refused = shown(&run(&place, &["restore", text(&file)]));
    assert!(refused.starts_with("exit 1\n"), "{refused}");
    assert!(refused.contains(&keys[0]) && !refused.contains(&keys[1]), "{refused}");
    assert!(refused.contains("the backup gives back 1 entry"), "{refused}");
    let refused = shown(&run(&place, &["restore", text(&file), "--accept", "2"]));
    assert!(refused.starts_with("exit 1\n") && refused.contains("gives back 1 entry, not 2"), "{refused}");
    assert_eq!(status_of(&place, &keys[0]), "revoked", "nothing was restored");

    let restored = run_json(&place, &["restore", text(&file), "--carry-over"]);
    assert_eq!((&restored["restored"], &restored["count"]), (&true.into(), &1.into()));
    assert_eq!(restored["returning"][0]["kind"], "key");
    assert_eq!(status_of(&place, &keys[0]), "revoked", "the revocation was carried over");
    assert_eq!(status_of(&place, &keys[1]), "active");
    let former = restored["formerDatabase"].as_str().unwrap();
    assert_eq!(std::fs::metadata(former).unwrap().permissions().mode() & 0o777, 0o600);

    let restored = run_json(&place, &["restore", text(&file), "--accept", "1"]);
    assert_eq!(restored["restored"], true);
    assert_eq!(status_of(&place, &keys[0]), "active", "this was accepted");
    let serving = ServerProcess::start(&place, "serve", "warn");
    assert_eq!(serving.get("/api/v1/key", &token), 200);
    let refused = shown(&run(&place, &["restore", text(&file)]));
    assert!(refused.contains("open: stop Keyhouse first"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_lists_members_roles_accounts_teams_and_passwords() {
    let place = TestDatabase::folder();
    set_up(&place);
    let app = test_support::TestApp::at(place).await;
    let team = app.inner.queries().team(&"acme".parse().unwrap()).await.unwrap().unwrap();
    for (email, role) in [("bob@example.com", "admin"), ("eve@example.com", "manager"), ("joe@example.com", "member")] {
        let email = keyhouse_domain::person::Email::parse(email).unwrap();
        let role = keyhouse_domain::role::Role::parse(role).unwrap();
        app.inner.add_member("tester", &team, &email, role).await.unwrap();
    }
    let place = &app.place;
    place.execute_sql("UPDATE people SET password = 'old'").await.unwrap();
    app.browser("eve@example.com").await;
    run_json(place, &["team", "create", "Globex", "--owner", "sue@example.com"]);
    let backups = tempfile::tempdir().unwrap();
    let file = backups.path().join("b");
    run_json(place, &["backup", text(&file)]);
    app.inner.close().await.unwrap();

    run_json(place, &["member", "remove", "--team", "acme", "--email", "bob@example.com"]);
    run_json(place, &["person", "remove", "bob@example.com"]);
    run_json(place, &["member", "role", "--team", "acme", "--email", "eve@example.com", "--role", "member"]);
    place.execute_sql("UPDATE people SET password = 'new' WHERE email = 'joe@example.com'").await.unwrap();
    place.execute_sql("UPDATE teams SET deleted_at = 5, slug = 'x' WHERE slug = 'globex'").await.unwrap();
    let output = keyhouse(place, &["restore", text(&file), "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut kinds: Vec<String> = listed["returning"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["subject"].as_str().unwrap()))
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "account bob@example.com",
            "member bob@example.com: admin",
            "password joe@example.com",
            "role eve@example.com: manager (now member)",
            "team globex"
        ]
    );
    assert_eq!(run_json(place, &["restore", text(&file), "--carry-over"])["restored"], true);
    let members = run_json(place, &["member", "list", "--team", "acme"]);
    let roles: Vec<_> = members.as_array().unwrap().iter().map(|m| format!("{} {}", m["email"], m["role"])).collect();
    assert_eq!(
        roles,
        [r#""ada@example.com" "owner""#, r#""eve@example.com" "member""#, r#""joe@example.com" "member""#]
    );
    assert_eq!(run_json(place, &["team", "list"]).as_array().unwrap().len(), 1);
    let open = place.execute_sql("UPDATE sessions SET ended_at = 1 WHERE ended_at IS NULL").await.unwrap();
    assert_eq!((open, place.execute_sql("DELETE FROM links").await.unwrap()), (0, 0), "sessions and links have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_needs_its_passphrase() {
    let place = TestDatabase::folder();
    let (keys, _) = set_up(&place);
    let folder_of_files = tempfile::tempdir().unwrap();
    let [file, right, wrong] = ["backup.age", "right", "wrong"].map(|name| folder_of_files.path().join(name));
    std::fs::write(&right, "correct horse battery staple\n").unwrap();
    std::fs::write(&wrong, "another\n").unwrap();
    let sealed = run_json(&place, &["backup", text(&file), "--passphrase-file", text(&right)]);
    assert_eq!((&sealed["encrypted"], &sealed["activeKeys"]), (&true.into(), &2.into()));
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"SQLite") && !bytes.windows(11).any(|w| w == b"ada@example"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files: Vec<_> = std::fs::read_dir(folder(&place)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().contains("backup")), "{files:?}");

    let elsewhere = TestDatabase::folder();
    for (flags, says) in [
        (&[][..], "is encrypted: name the file of its passphrase"),
        (&["--passphrase-file", text(&wrong)], "is it the right passphrase file?"),
    ] {
        let refused = shown(&run(&elsewhere, &[&["restore", text(&file)], flags].concat()));
        assert!(refused.starts_with("exit 1\n") && refused.contains(says), "{refused}");
    }
    run_json(&elsewhere, &["restore", text(&file), "--passphrase-file", text(&right)]);
    assert_eq!(status_of(&elsewhere, &keys[0]), "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_sound_backup_leaves_the_database_alone() {
    let place = TestDatabase::folder();
    let (keys, _) = set_up(&place);
    let files = tempfile::tempdir().unwrap();
    let [good, cut, other, missing] = ["good", "cut", "other", "missing"].map(|name| files.path().join(name));
    run_json(&place, &["backup", text(&good)]);
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(&other, "not a database, but long enough to have a header of a hundred bytes".repeat(9)).unwrap();
    for (file, says) in [(&cut, "is damaged"), (&other, "is damaged"), (&missing, "No such file")] {
        let refused = shown(&run(&place, &["restore", text(file)]));
        assert!(refused.starts_with("exit 1\n") && refused.contains(says), "{refused}");
        assert_eq!(status_of(&place, &keys[1]), "active");
    }
    // Neither does a database that can't be read get replaced silently.
    std::fs::write(folder(&place).join("keyhouse.db"), "damaged".repeat(1000)).unwrap();
    for name in ["keyhouse.db-wal", "keyhouse.db-shm"] {
        let _may_be_missing = std::fs::remove_file(folder(&place).join(name));
    }
    let refused = shown(&run(&place, &["restore", text(&good)]));
    assert!(refused.contains("can't be read") && refused.contains("--without-comparison"), "{refused}");
    run_json(&place, &["restore", text(&good), "--without-comparison"]);
    assert_eq!(status_of(&place, &keys[1]), "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_are_printed_for_postgres_work_as_pasted() {
    let [_, place] = places().await;
    let (keys, token) = set_up(&place);
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("keyhouse.dump");
    let sh = |command: &str| {
        let output =
            Command::new("sh").args(["-ec", command]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let backup = run(&place, &["backup", text(&file)]);
    let command = String::from_utf8(backup.stdout).unwrap();
    assert_eq!(command.lines().count(), 1, "nothing but the command is on standard output: {command}");
    sh(&command);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    run_json(&place, &["key", "revoke", &keys[0]]);

    let restore = run_json(&place, &["restore", text(&file)]);
    let commands: Vec<&str> = restore["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    sh(commands[0]);
    sh(commands[1]);
    let compare = |flags: &str| {
        Command::new("sh").args(["-c", &format!("{} {flags}", commands[2])]).env_clear().output().expect("sh runs")
    };
    let refused = shown(&compare(""));
    assert!(refused.starts_with("exit 1\n") && refused.contains(&keys[0]), "{refused}");
    let restored = shown(&compare("--carry-over"));
    assert!(restored.starts_with("exit 0\n"), "{restored}");
    let TestDatabase::Postgres { url } = &place else { unreachable!("it is PostgreSQL") };
    let restored = TestDatabase::Postgres { url: format!("{url}_restored") };
    assert_eq!(status_of(&restored, &keys[0]), "revoked");
    let serving = ServerProcess::start(&restored, "serve", "warn");
    assert_eq!(serving.get("/api/v1/key", &token), 401, "the token of the revoked key");
}
