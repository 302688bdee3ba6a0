//! `keyhouse doctor`: each planted fault is found, and its remedy is named.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use test_support::process::{ServerProcess, keyhouse, run_json};
use test_support::proxy::Proxy;
use test_support::redis::Redis;
use test_support::{Server, TestDatabase};

/// A folder for the settings file, and a database that is set up.
struct Installation {
    place: TestDatabase,
    files: tempfile::TempDir,
}

impl Installation {
    fn on(place: TestDatabase) -> Self {
        run_json(&place, &["migrate"]);
        Self { place, files: tempfile::tempdir().expect("a temporary folder") }
    }

    fn sqlite() -> Self {
        Self::on(TestDatabase::folder())
    }

    fn folder(&self) -> &Path {
        match &self.place {
            TestDatabase::Folder(folder) => folder.path(),
            TestDatabase::Postgres { .. } => unreachable!("it is a folder"),
        }
    }

    fn settings(&self, text: &str) -> PathBuf {
        let file = self.files.path().join("keyhouse.toml");
        std::fs::write(&file, text).expect("the settings can be written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("its rights can be set");
        file
    }

    /// The report, and the exit code.
    fn report(&self, flags: &[&str]) -> (Value, i32) {
        let output = keyhouse(&self.place, &["doctor", "--json"]).args(flags).output().expect("keyhouse runs");
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
        (report, output.status.code().expect("an exit code"))
    }

    /// Asserts that a check finds something, in these words, and names this remedy.
    fn finds(&self, flags: &[&str], check: &str, level: &str, message: &str, remedy: &str) {
        let (report, code) = self.report(flags);
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let found = report["checks"].as_array().expect("a list").iter().any(|finding| {
            text(finding, "check") == check
                && text(finding, "level") == level
                && text(finding, "message").contains(message)
                && text(finding, "remedy").contains(remedy)
        });
        assert!(found, "no {level} of {check} with \"{message}\" and \"{remedy}\" in {report:#}");
        assert_eq!(code, i32::from(report["failures"].as_u64() != Some(0)), "{report:#}");
    }

    fn finds_with(&self, settings: &str, check: &str, level: &str, message: &str, remedy: &str) {
        let file = self.settings(settings);
        self.finds(
            &["--config", file.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"],
            check,
            level,
            message,
            remedy,
        );
    }
}

const FREE: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_without_a_fault_passes_every_check() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let it = Installation::on(place);
        let (report, code) = it.report(&FREE);
        assert_eq!((code, &report["ok"], &report["warnings"]), (0, &true.into(), &0.into()), "{report:#}");
        let output = keyhouse(&it.place, &["doctor"]).args(FREE).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("checks, 0 failed, 0 with a warning.") && text.contains("--listen"), "{text}");
    }
}

#[test]
fn faults_of_settings_are_found() {
    let it = Installation::sqlite();
    // 1 A misspelt setting: nothing else can be checked.
    it.finds_with("listne = \"x\"", "settings", "failure", "did you mean `listen`?", "Correct it there.");
    // 2 Reached from elsewhere without a public URL.
    it.finds(
        &["--listen", "0.0.0.0:0"],
        "public_url",
        "warning",
        "links begin with the listen address",
        "Set public_url",
    );
    // 3 No TLS in front.
    let plain = "public_url = \"http://keys.example.com\"";
    it.finds_with(plain, "tls", "failure", "passwords, cookies and keys are sent unencrypted", "Put a TLS proxy");
    // 4 Everybody is a trusted proxy.
    let all = "trusted_proxies = [\"0.0.0.0/0\"]";
    it.finds_with(all, "trusted_proxies", "failure", "any client can claim any address", "List only the addresses");
    // 5 Metrics for everybody.
    it.finds_with("ops_listen = \"0.0.0.0:0\"", "ops_listen", "warning", "on every address", "127.0.0.1:9090");
    // 6 The public URL leads nowhere.
    let nowhere = "public_url = \"http://127.0.0.1:1\"";
    it.finds_with(
        nowhere,
        "front",
        "warning",
        "can't be reached from this machine",
        "Check the proxy and the DNS name",
    );
}

#[test]
fn faults_of_files_are_found() {
    let it = Installation::sqlite();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its rights can be set");
    };
    // 7 The database is readable by others.
    let file = it.folder().join("keyhouse.db");
    set_mode(&file, 0o644);
    it.finds(
        &FREE,
        "files",
        "failure",
        "other users of this machine can open",
        &format!("chmod 600 {}", file.display()),
    );
    set_mode(&file, 0o600);
    // 8 So is a settings file with a password.
    let redis = "redis_url = \"redis://:hunter2@127.0.0.1:1\"";
    it.finds_with(redis, "files", "failure", "which contains settings with a password", "chmod 600");
    let (report, _) = it.report(&["--config", it.settings(redis).to_str().unwrap()]);
    assert!(!report.to_string().contains("hunter2"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_database_are_found() {
    // 9 Not set up.
    let it = Installation { place: TestDatabase::folder(), files: tempfile::tempdir().unwrap() };
    it.finds(&FREE, "database", "failure", "does not contain a Keyhouse database yet", "keyhouse migrate");
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let it = Installation::on(place);
        // 10 The clock of a node was ahead, or this one is behind.
        let insert = "INSERT INTO job_runs (name, started_at) VALUES ('a job', 4000000000000)";
        it.place.execute_sql(insert).await.unwrap();
        it.finds(&FREE, "clock", "failure", "ahead of this machine's clock", "with a time server");
        it.place.execute_sql("DELETE FROM job_runs").await.unwrap();
        // 11 An address that waits.
        run_json(&it.place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        it.place.execute_sql("UPDATE people SET pending_email = 'ada@new.example'").await.unwrap();
        it.finds(&FREE, "accounts", "warning", "ada@new.example, which needs", "person set-email ada@example.com");
        // 12 A key that was not used.
        let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
        let key = run_json(&it.place, &create)["id"].as_str().unwrap().to_owned();
        let drop = match &it.place {
            TestDatabase::Folder(_) => "DROP TRIGGER keys_stay_themselves",
            TestDatabase::Postgres { .. } => "DROP TRIGGER keys_stay_themselves ON keys",
        };
        it.place.execute_sql(drop).await.unwrap();
        it.place.execute_sql("UPDATE keys SET created_at = 1").await.unwrap();
        it.finds(&FREE, "keys", "warning", "has not been used for 90 days", &format!("keyhouse key revoke {key}"));
        // A key that expires soon.
        run_json(&it.place, &["key", "conditions", &key, "--expires", "13d"]);
        let remedy = format!("keyhouse key conditions {key} --expires 90d");
        it.finds(&FREE, "keys", "warning", "\"K\" of acme expires at ", &remedy);
        // 13 An older schema.
        it.place.execute_sql("DELETE FROM _sqlx_migrations WHERE version > 4").await.unwrap();
        it.finds(&FREE, "migrations", "failure", "the database's schema is version 4", "keyhouse migrate");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_a_database_server_are_found() {
    let it = Installation::on(TestDatabase::postgres().await);
    let TestDatabase::Postgres { url } = &it.place else { unreachable!("it is PostgreSQL") };
    let proxy = Proxy::to(Server::shared().address());
    let far =
        Installation { place: TestDatabase::Postgres { url: proxy.lead(url) }, files: tempfile::tempdir().unwrap() };
    // 14 It is far away.
    proxy.delay(std::time::Duration::from_millis(30));
    far.finds(&FREE, "round trip", "warning", "a round trip takes", "Run Keyhouse near its database");
    // 15 It does not answer.
    let gone = TestDatabase::Postgres { url: "postgres://keyhouse@127.0.0.1:1/keyhouse".to_owned() };
    let gone = Installation { place: gone, files: tempfile::tempdir().unwrap() };
    gone.finds(&FREE, "database", "failure", "PostgreSQL at 127.0.0.1:1", "Check that the server runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_commits_is_found() {
    // 16 A crash of its machine loses what was acknowledged.
    let server = Server::start_with(&["fsync=off"]);
    let it = Installation::on(TestDatabase::Postgres { url: server.new_database().await });
    it.finds(&FREE, "durability", "failure", "PostgreSQL runs with fsync = off", "Failover");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_ports_and_redis_are_found() {
    let it = Installation::sqlite();
    // 17 The port is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    it.finds(&["--listen", &address], "listen", "failure", "another program", "Stop it");
    drop(taken);
    // 18 An address of another machine.
    it.finds(
        &["--listen", "192.0.2.1:8080"],
        "listen",
        "failure",
        "is not an address of this machine",
        "0.0.0.0 for all",
    );
    // 19 Redis is not there.
    let away = ["--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1"];
    it.finds(&away, "redis", "failure", "does not respond", "Check redis_url");
    // 20 Redis refuses the script.
    let redis = Redis::start();
    redis.ask(&["ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-@scripting"]);
    let url = redis.url().replace("redis://", "redis://limited:secret@");
    let limited = ["--listen", "127.0.0.1:0", "--redis", &url];
    it.finds(&limited, "redis", "failure", "Redis refuses a command", "the rights of its user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_only_a_running_node_sees_are_found() {
    let place = TestDatabase::folder();
    let settings = [("KEYHOUSE_PUBLIC_URL", "http://localhost:1"), ("KEYHOUSE_OPS_LISTEN", "127.0.0.1:0")];
    let serving = ServerProcess::start_with(&place, "serve", "warn", &settings);
    let it = Installation { place, files: tempfile::tempdir().unwrap() };
    let listen = serving.address.to_string();
    let (report, _) = it.report(&["--listen", &listen]);
    assert!(report.to_string().contains(&format!("the node at {listen} is ready")), "{report:#}");

    // 21 A proxy that is not listed; 22 a browser at another address.
    let form = |header: &str| {
        serving.send(
            format!(
                "POST /sign-in HTTP/1.1\r\nHost: {listen}\r\n{header}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: 1\r\nConnection: close\r\n\r\nx"
            )
            .as_bytes(),
        )
    };
    form("X-Forwarded-For: 198.51.100.7");
    form(&format!("Origin: http://{listen}"));
    let settings = "public_url = \"http://localhost:1\"";
    let file = it.settings(settings);
    let flags = ["--config", file.to_str().unwrap(), "--listen", &listen];
    // What was observed is stored in the background.
    for _ in 0..100 {
        if it.report(&flags).0.to_string().contains("links lead to a different address") {
            break;
        }
    }
    it.finds(&flags, "trusted_proxies", "warning", "127.0.0.1 sends X-Forwarded-For", "trusted_proxies = [");
    it.finds(&flags, "public_url", "warning", &format!("a browser used http://{listen}"), "Set public_url");

    let ops = serving.said["opsUrl"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let (report, _) = it.report(&["--listen", &listen, "--ops-listen", &ops]);
    let lease = report["checks"].as_array().unwrap().iter().find(|finding| finding["check"] == "lease").cloned();
    assert!(lease.is_some_and(|lease| lease["level"] == "ok"), "{report:#}");
}
