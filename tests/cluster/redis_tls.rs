//! A Redis that takes TLS connections only, with a certificate of a private authority.

use test_support::TestDatabase;
use test_support::process::{ServerProcess, run_json};
use test_support::redis::Redis;

/// A server on a new database and a token, with Redis at a `rediss://` URL.
fn start(redis: &Redis, place: &TestDatabase, trusted: Option<&str>) -> (ServerProcess, String) {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
    let token = run_json(place, &create)["token"].as_str().unwrap().to_owned();
    let url = redis.tls_url().expect("it takes TLS");
    let mut settings = vec![("KEYHOUSE_REDIS_URL", url.as_str())];
    settings.extend(trusted.map(|authority| ("SSL_CERT_FILE", authority)));
    (ServerProcess::start_with(place, "serve", "info", &settings), token)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_in_a_redis_behind_tls() {
    let (redis, place) = (Redis::start_with_tls(), TestDatabase::folder());
    let authority = redis.authority().display().to_string();
    let (serving, token) = start(&redis, &place, Some(&authority));
    assert_eq!(serving.get("/api/v1/key", &token), 200);
    let keys = redis.keys();
    assert_eq!(keys.len(), 2, "the list of nodes and the counter of one key: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_certificate_is_not_trusted_is_not_used_and_no_call_fails() {
    let (redis, place) = (Redis::start_with_tls(), TestDatabase::folder());
    let other = Redis::start_with_tls();
    let authority = other.authority().display().to_string();
    let (serving, token) = start(&redis, &place, Some(&authority));
    assert_eq!(serving.get("/api/v1/key", &token), 200);
    assert_eq!(redis.keys(), [""; 0], "nothing was written");
}
