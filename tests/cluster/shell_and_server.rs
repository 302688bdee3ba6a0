//! The command line is another process on the same database: the server applies its changes within a second.

use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_created_on_the_command_line_works_and_is_refused_once_revoked() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let mut serving = ServerProcess::start(&place, "serve", "info");
        run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        for round in 0..5 {
            let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
            let key = run_json(&place, &create);
            let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
            assert_eq!(serving.get("/api/v1/products", token), 200, "round {round}");
            run_json(&place, &["key", "revoke", id]);
            assert!(serving.refuses_in_time("/api/v1/products", token), "round {round}");
        }
        // A graceful stop writes last uses that are not due yet.
        let create = ["key", "create", "--team", "acme", "--name", "Last", "--mode", "live", "--scope", "read_only"];
        let key = run_json(&place, &create);
        assert_eq!(serving.get("/api/v1/key", key["token"].as_str().unwrap()), 200);
        assert!(serving.terminate().success());
        let listed = run_json(&place, &["key", "list", "--team", "acme"]);
        assert_eq!((&listed[0]["name"], &listed[0]["lastUsedFrom"]), (&"Last".into(), &"127.0.0.1".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_its_team_and_products_and_makes_new_keys() {
    for place in [TestDatabase::folder(), TestDatabase::postgres().await] {
        let mut first = ServerProcess::start(&place, "demo", "info");
        let token = |said: &serde_json::Value, n: usize| said["keys"][n]["token"].as_str().unwrap().to_owned();
        let old = token(&first.said, 0);
        assert_eq!(first.get("/api/v1/products?limit=100", &old), 200);
        first.kill();

        let second = ServerProcess::start(&place, "demo", "info");
        assert_eq!(second.get("/api/v1/key", &old), 401, "the keys of earlier runs are revoked");
        let count = |token: &str| {
            let request = format!(
                "GET /api/v1/products?limit=100 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            let answer = second.send(request.as_bytes());
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            let page: serde_json::Value = serde_json::from_str(body).unwrap();
            let rows = page["data"]["data"].as_array().unwrap().clone();
            let mut currencies: Vec<_> = rows.iter().map(|row| row["currency"].as_str().unwrap().to_owned()).collect();
            currencies.sort();
            currencies.dedup();
            (rows.len(), currencies.len())
        };
        let (live, currencies) = count(&token(&second.said, 0));
        assert!(live >= 40 && currencies >= 4, "{live} products in {currencies} currencies");
        assert_eq!(count(&token(&second.said, 1)), (live, currencies), "the read-only key sees the same");
        assert!((1..20).contains(&count(&token(&second.said, 2)).0), "a small catalog to test with");
        assert_eq!(run_json(&place, &["team", "list"]).as_array().unwrap().len(), 1);
    }
}
