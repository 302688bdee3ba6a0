//! `keyhouse move`.

use std::process::Stdio;

use sqlx::Connection;
use test_support::process::{ServerProcess, keyhouse, run, run_json};
use test_support::{Server, TestDatabase};

use super::shown;

fn set_up(place: &TestDatabase) -> (String, String) {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let keys = [run_json(place, &create), run_json(place, &create)];
    run_json(place, &["key", "revoke", keys[1]["id"].as_str().unwrap()]);
    run_json(place, &["member", "invite", "--team", "acme", "--role", "admin", "--email", "bob@example.com"]);
    (keys[0]["token"].as_str().unwrap().to_owned(), keys[1]["token"].as_str().unwrap().to_owned())
}

/// The flag that names a database as the target of a move.
fn target(place: &TestDatabase) -> String {
    let [_, value] = place.flags();
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_moved_to_postgres_and_back_with_every_table() {
    let (sqlite, postgres, back) = (TestDatabase::folder(), TestDatabase::postgres().await, TestDatabase::folder());
    let (token, revoked) = set_up(&sqlite);
    let serving = ServerProcess::start(&sqlite, "serve", "warn");
    let body = r#"{"name":"日本 €","unitPrice":12.5,"currency":"EUR"}"#;
    let request = format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: one\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    assert!(serving.send(request.as_bytes()).starts_with("HTTP/1.1 201"));
    let in_use = shown(&run(&sqlite, &["move", "--to", &target(&postgres)]));
    assert!(in_use.starts_with("exit 1\n") && in_use.contains("stop Keyhouse first"), "{in_use}");
    drop(serving);

    let moved = run_json(&sqlite, &["move", "--to", &target(&postgres)]);
    let mut tables: Vec<_> =
        moved["tables"].as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    tables.sort_unstable();
    let TestDatabase::Postgres { url } = &postgres else { unreachable!("it is PostgreSQL") };
    let all = Server::shared().sql_in(
        url,
        "SELECT tablename COLLATE \"C\" FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' ORDER BY 1",
    );
    assert_eq!(tables, all.lines().collect::<Vec<_>>(), "every table of the schema is moved");
    for table in ["keys", "products", "people", "members", "audit", "links", "idempotency"] {
        let rows = moved["tables"].as_array().unwrap().iter().find(|one| one["table"] == table).unwrap();
        assert!(rows["rows"].as_u64().unwrap() > 0, "{table} has rows in this test");
    }

    for refused in [run(&sqlite, &["team", "list"]), run(&sqlite, &["serve", "--listen", "127.0.0.1:0"])] {
        let refused = shown(&refused);
        assert!(
            refused.starts_with("exit 1\n") && refused.contains("this database was moved to PostgreSQL at"),
            "{refused}"
        );
    }
    let serving = ServerProcess::start(&postgres, "serve", "warn");
    assert_eq!((serving.get("/api/v1/key", &token), serving.get("/api/v1/key", &revoked)), (200, 401));
    assert!(serving.send(request.as_bytes()).contains("idempotent-replayed: true"));
    drop(serving);

    let returned = run_json(&postgres, &["move", "--to", &target(&back)]);
    let sums = |moved: &serde_json::Value, table: &str| {
        let tables = moved["tables"].as_array().unwrap();
        tables.iter().find(|one| one["table"] == table).unwrap()["sha256"].clone()
    };
    for table in ["keys", "products", "people", "members", "audit", "links", "idempotency"] {
        assert_eq!(sums(&moved, table), sums(&returned, table), "{table}");
    }
    let refused = shown(&run(&postgres, &["team", "list"]));
    assert!(refused.contains("this database was moved to the data folder"), "{refused}");
    assert_eq!(run_json(&postgres, &["move", "--cancel"])["cancelled"], true);
    assert_eq!(run_json(&postgres, &["team", "list"]).as_array().unwrap().len(), 1);
    let serving = ServerProcess::start(&back, "serve", "warn");
    assert_eq!((serving.get("/api/v1/key", &token), serving.get("/api/v1/key", &revoked)), (200, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_continues_where_it_was() {
    let (sqlite, postgres) = (TestDatabase::folder(), TestDatabase::postgres().await);
    let (token, _) = set_up(&sqlite);
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <";
    sqlite
        .execute_sql(&format!(
            "{numbers} 100000) INSERT INTO products SELECT printf('prd_%08d', i), teams.id, 'live', 'active', \
             'Product ' || i, i, 'EUR', NULL, 'SKU-' || i, NULL, 'SERVICES', 'unit', i, i FROM n, teams"
        ))
        .await
        .unwrap();
    sqlite
        .execute_sql(&format!(
            "{numbers} 10000) INSERT INTO audit SELECT printf('aud_%026d', i), teams.id, i, NULL, 'x', 'key.renamed', 'k', \
             'd' || i, 'shell' FROM n, teams"
        ))
        .await
        .unwrap();
    let TestDatabase::Postgres { url } = &postgres else { unreachable!("it is PostgreSQL") };
    let arrived = || {
        let count = "SELECT CASE WHEN to_regclass('products') IS NULL THEN 0 ELSE \
                     (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM products', false, true, '')))[1]::text::int END";
        Server::shared().sql_in(url, count).parse::<u64>().unwrap()
    };
    let mut moving =
        keyhouse(&sqlite, &["move", "--to", url]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let halfway = loop {
        let rows = arrived();
        assert!(moving.try_wait().unwrap().is_none(), "the move was over before it could be killed");
        if rows > 0 {
            moving.kill().unwrap();
            moving.wait().unwrap();
            break arrived();
        }
    };
    assert!(halfway < 100_000, "it was killed in the middle");
    let refused = shown(&run(&sqlite, &["team", "list"]));
    assert!(refused.contains("has not finished: run `keyhouse move` again"), "{refused}");
    let refused = shown(&run(&postgres, &["serve", "--listen", "127.0.0.1:0"]));
    assert!(refused.contains("a move into this database has not finished"), "{refused}");

    // The server ends the transaction of the killed client on its own.
    let moved = run_json(&sqlite, &["move", "--to", url]);
    let rows = |name: &str| {
        let tables = moved["tables"].as_array().unwrap();
        tables.iter().find(|one| one["table"] == name).unwrap()["rows"].as_u64().unwrap()
    };
    assert_eq!(rows("products"), 100_000);
    assert!(rows("audit") > 10_000);
    let again = run_json(&sqlite, &["move", "--to", url]);
    assert_eq!(again["tables"], moved["tables"], "once more changes nothing");
    let serving = ServerProcess::start(&postgres, "serve", "warn");
    assert_eq!(serving.get("/api/v1/key", &token), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_needs_an_empty_database_of_the_other_kind() {
    let (sqlite, postgres, other) = (TestDatabase::folder(), TestDatabase::postgres().await, TestDatabase::folder());
    set_up(&sqlite);
    set_up(&postgres);
    for (place, to, says) in [
        (&sqlite, &postgres, "already contains data: name an empty database"),
        (&sqlite, &other, "a move goes from SQLite to PostgreSQL or back"),
        (&other, &postgres, "does not contain a Keyhouse database yet"),
    ] {
        let refused = shown(&run(place, &["move", "--to", &target(to)]));
        assert!(refused.starts_with("exit 1\n") && refused.contains(says), "{refused}");
    }
    // Nothing was marked.
    run_json(&sqlite, &["team", "list"]);
    run_json(&postgres, &["team", "list"]);
    let TestDatabase::Folder(folder) = &sqlite else { unreachable!("it is a folder") };
    let url = format!("sqlite://{}/keyhouse.db", folder.path().display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let marks: i64 = sqlx::query_scalar("SELECT count(*) FROM settings WHERE name LIKE 'move.%'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(marks, 0);
}
