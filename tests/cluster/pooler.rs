//! PostgreSQL behind PgBouncer as Debian installs it.

use test_support::pgbouncer::{PgBouncer, PoolMode};
use test_support::process::{ServerProcess, run, run_json};
use test_support::{Server, TestDatabase};

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_works_as_installed() {
    let server = Server::shared();
    let pooler = PgBouncer::in_front_of(server, PoolMode::Session);
    let place = pooler.lead(&server.new_database().await);
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let key = run_json(&place, &create);
    let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
    let serving = ServerProcess::start(&place, "serve", "warn");
    let body = r#"{"name":"Anchor","unitPrice":1,"currency":"EUR"}"#;
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..60)
            .map(|_| {
                let head = format!(
                    "POST /api/v1/products HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let serving = &serving;
                scope.spawn(move || test_support::process::status(&serving.send(head.as_bytes())))
            })
            .collect();
        let statuses: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    });
    run_json(&place, &["key", "revoke", id]);
    assert!(serving.refuses_in_time("/api/v1/key", token), "the key stays valid for more than the lease");
    assert_eq!(String::from_utf8_lossy(&serving.logs()), "", "nothing to warn of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_with_the_remedy() {
    let server = Server::shared();
    let pooler = PgBouncer::in_front_of(server, PoolMode::Transaction);
    let url = server.new_database().await;
    let place = pooler.lead(&url);
    run_json(&TestDatabase::Postgres { url }, &["migrate"]);
    // PgBouncer 1.18 gives the second connection the server session of the first, whose prepared statements are in the way.
    let output = run(&place, &["serve", "--listen", "127.0.0.1:0"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("a pooler in transaction mode loses prepared statements: set it to session mode"),
        "{error}"
    );
}
