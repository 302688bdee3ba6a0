//! A running node after a newer version has changed the schema.

use rstest::rstest;
use test_support::process::{ServerProcess, run_json};
use test_support::{Engine, TestDatabase};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_responds_with_503_where_a_newer_version_has_changed_the_schema(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let place = match engine {
        Engine::Sqlite => TestDatabase::folder(),
        Engine::Postgres => TestDatabase::postgres().await,
    };
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let key = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_write"];
    let token = run_json(&place, &key)["token"].as_str().unwrap().to_owned();
    let serving = ServerProcess::start(&place, "serve", "warn");
    assert_eq!(serving.get("/api/v1/products", &token), 200);
    for (change, back) in [
        (
            "ALTER TABLE products RENAME COLUMN sku TO stock_number",
            "ALTER TABLE products RENAME COLUMN stock_number TO sku",
        ),
        ("ALTER TABLE products RENAME TO goods", "ALTER TABLE goods RENAME TO products"),
    ] {
        place.execute_sql(change).await.unwrap();
        assert_eq!(serving.get("/api/v1/products", &token), 503, "{change}");
        place.execute_sql(back).await.unwrap();
        assert_eq!(serving.get("/api/v1/products", &token), 200, "{back}");
    }
    let log = String::from_utf8(serving.logs()).unwrap();
    assert!(log.contains("a newer version has changed the database's schema: install it on this node"), "{log}");
}
