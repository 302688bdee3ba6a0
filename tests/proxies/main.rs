//! Each recipe of `examples/` in the real proxy, with a real service behind it.
//!
//! `scripts/test` installs the proxies under `target/tools` and runs this. `scripts/proxy-tests` runs the full counts.

mod client;
mod digests;
mod full_counts;
mod guide;
mod people_and_programs;
mod recipe;
mod stand;
mod upstream;

use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use sha2::{Digest, Sha256};

use client::{call, upgrade};
use recipe::{Recipe, Running};
use stand::{Stand, UNKNOWN, send, within};
use test_support::process::run_json;
use test_support::wait::eventually_blocking;

/// A count that `scripts/proxy-tests` raises.
#[expect(clippy::disallowed_methods, reason = "settings of the tests, not of the program")]
fn count(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

/// How many mixed calls each proxy gets.
fn mixed_calls() -> usize {
    count("PROXY_CALLS", 200)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_holds_in_the_real_proxy(
    #[values(Recipe::Nginx, Recipe::Caddy, Recipe::Traefik, Recipe::Envoy, Recipe::HaProxy)] recipe: Recipe,
) {
    let mut stand = Stand::new(mixed_calls(), &[]).await;
    let front = stand.front(recipe, None);
    verdicts_and_their_headers(&stand, &front, recipe);
    identity_cannot_be_forged(&stand, &front, recipe);
    a_write_cannot_be_smuggled(&stand, &front);
    bodies_and_upgrades_pass(&stand, &front);
    early_refusals_reach_the_client(&stand, &front);
    preflights_pass_without_a_key_and_nothing_else_does(&stand, &front);
    http_2_gets_the_same_answers(&stand, &front);
    the_node_takes_the_address_of_the_client(&stand, &front);
    long_cookies_do_not_count(&stand, &front, recipe);
    mixed(&stand, &front);
    a_revoked_key_is_refused_within_a_second(&stand, &front);
    without_its_database_nothing_passes(&stand, &front);
    without_keyhouse_nothing_passes(&mut stand, &front);
}

fn verdicts_and_their_headers(stand: &Stand, front: &Running, recipe: Recipe) {
    let admitted = call(front.address, "GET", "/orders?x=1", &[("Authorization", &stand.reader.bearer)], b"");
    assert_eq!(admitted.status, 200, "{admitted:?}");
    assert_eq!(admitted.json()["path"], "/orders");
    assert_eq!(admitted.received("x-keyhouse-key"), [stand.reader.id.as_str()]);
    assert_eq!(admitted.received("x-keyhouse-mode"), ["live"]);
    assert_eq!(admitted.received("x-keyhouse-scope"), ["read_only"]);
    assert!(admitted.received("x-keyhouse-team")[0].starts_with("team_"));
    assert!(admitted.received("authorization").is_empty(), "the key stays with the proxy");
    assert!(!admitted.json().to_string().contains(&stand.reader.token));
    assert_eq!(!admitted.header("x-ratelimit-remaining").is_empty(), recipe.shows_quota());

    let before = stand.upstream.calls();
    let unauthenticated = call(front.address, "GET", "/orders", &[], b"");
    assert_eq!((unauthenticated.status, unauthenticated.code().as_str()), (401, "invalid_token"));
    assert_eq!(unauthenticated.header("www-authenticate"), [r#"Bearer realm="api""#]);
    let bad = call(front.address, "GET", "/orders", &[("Authorization", UNKNOWN)], b"");
    assert_eq!((bad.status, bad.code().as_str()), (401, "invalid_token"));
    assert_eq!(bad.header("www-authenticate"), [r#"Bearer realm="api", error="invalid_token""#]);
    assert!(bad.json()["error"]["request_id"].as_str().is_some_and(|id| id.starts_with("req_")));
    for headers in [
        &[("Authorization", stand.writer.bearer.as_str()), ("Authorization", &stand.writer.bearer)][..],
        &[("X-API-Key", &stand.writer.token)],
        &[("Cookie", &stand.writer.bearer)],
    ] {
        // Some proxies refuse a repeated Authorization header themselves.
        let status = call(front.address, "GET", "/orders", headers, b"").status;
        assert!(status == 401 || (status == 400 && headers.len() == 2), "{status}");
    }
    let forbidden = call(front.address, "POST", "/orders", &[("Authorization", &stand.reader.bearer)], b"{}");
    assert_eq!((forbidden.status, forbidden.code().as_str()), (403, "scope_insufficient"));
    assert_eq!(forbidden.header("www-authenticate"), [r#"Bearer realm="api", error="insufficient_scope""#]);
    let limited = call(front.address, "GET", "/orders", &[("Authorization", &stand.spent.bearer)], b"");
    assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limit_exceeded"));
    assert!(limited.header("retry-after")[0].parse::<u32>().is_ok_and(|wait| wait > 1));
    assert_eq!(limited.header("x-ratelimit-remaining"), ["0"]);
    assert_eq!(stand.upstream.calls(), before, "no refused call reaches the service");
}

fn identity_cannot_be_forged(stand: &Stand, front: &Running, recipe: Recipe) {
    let forged = [
        ("X-Keyhouse-Team", "forged"),
        ("x-keyhouse-team", "forged"),
        ("X-Keyhouse_Team", "forged"),
        ("X_Keyhouse-Team", "forged"),
        ("X_KEYHOUSE_TEAM", "forged"),
        ("X.Keyhouse.Team", "forged"),
        ("X-Keyhouse.Team", "forged"),
        ("X-KEYHOUSE-KEY", "forged"),
        ("X-Keyhouse-Scope", "forged"),
        ("X-Keyhouse-Mode", "forged"),
        ("X-Keyhouse-Identity", "forged"),
        ("X-Keyhouse-Max-Age", "forged"),
    ];
    // nginx removes headers by their full names. The others remove every name that begins like this.
    let unknown = ("X-Keyhouse-Role", "forged");
    for connection in
        ["close", "close, X-Keyhouse-Team", "close, x-keyhouse-key, X-Keyhouse-Scope, X-Keyhouse-Mode, X-Keyhouse-Team"]
    {
        let mut headers = forged.to_vec();
        if recipe != Recipe::Nginx {
            headers.push(unknown);
        }
        headers.extend([("Authorization", stand.reader.bearer.as_str()), ("Connection", connection)]);
        let admitted = call(front.address, "GET", "/orders", &headers, b"");
        assert_eq!(admitted.status, 200);
        assert!(!admitted.json()["headers"].to_string().contains("forged"), "{}", admitted.json());
        assert_eq!(admitted.received("x-keyhouse-key"), [stand.reader.id.as_str()], "Connection: {connection}");
        assert_eq!(admitted.received("x-keyhouse-scope"), ["read_only"], "Connection: {connection}");
        assert_eq!(admitted.received("x-keyhouse-team").len(), 1, "Connection: {connection}");
        assert_eq!(admitted.received("x-keyhouse-mode"), ["live"], "Connection: {connection}");
    }
    // The credential must not get lost on the way to Keyhouse either, in a way that admits the call.
    let headers = [("Connection", "close, Authorization"), ("Authorization", stand.writer.bearer.as_str())];
    assert!([200, 401].contains(&call(front.address, "GET", "/orders", &headers, b"").status));
}

fn a_write_cannot_be_smuggled(stand: &Stand, front: &Running) {
    let before = stand.upstream.calls();
    let own = ("Authorization", stand.reader.bearer.as_str());
    for spoofed in [
        &[("X-Forwarded-Method", "GET")][..],
        &[("X-Original-Method", "GET")],
        &[("X-Forwarded-Method", "GET"), ("X-Original-Method", "GET")],
        &[("X-Forwarded-Method", "GET"), ("X-Forwarded-Method", "GET")],
        &[("X_Forwarded_Method", "GET"), ("X-Forwarded_Method", "GET"), ("X.Original.Method", "GET")],
        &[("Connection", "close, X-Forwarded-Method, X-Original-Method"), ("X-Forwarded-Method", "GET")],
        &[("X-HTTP-Method-Override", "GET")],
        &[("X-HTTP-Method", "GET"), ("X-Method-Override", "GET")],
        &[("X-Forwarded-Uri", "/healthz"), ("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")],
        &[("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")],
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let headers: Vec<_> = spoofed.iter().copied().chain([own]).collect();
            assert_eq!(call(front.address, method, "/orders", &headers, b"{}").status, 403, "{method} {spoofed:?}");
        }
    }
    let overridden = [own, ("X-HTTP-Method-Override", "DELETE")];
    assert_eq!(call(front.address, "GET", "/orders", &overridden, b"").status, 403);
    assert_eq!(stand.upstream.calls(), before);
}

fn bodies_and_upgrades_pass(stand: &Stand, front: &Running) {
    let body: Vec<u8> = (0..1_048_576_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stored = call(front.address, "POST", "/files", &[("Authorization", &stand.writer.bearer)], &body);
    assert_eq!((stored.status, stored.json()["length"].as_u64()), (200, Some(1_048_576)));
    let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stored.json()["sha256"], sum);
    let (status, echo) = upgrade(front.address, &[("Authorization", &stand.reader.bearer)]);
    assert_eq!((status, echo.as_str()), (101, "ping through the proxy"));
    assert_eq!(upgrade(front.address, &[("Authorization", UNKNOWN)]).0, 401);
    assert_eq!(upgrade(front.address, &[]).0, 401);
}

fn early_refusals_reach_the_client(stand: &Stand, front: &Running) {
    for (length, credential, expected) in [
        (20_000, UNKNOWN, 401),
        (60_000, UNKNOWN, 401),
        (500_000, UNKNOWN, 401),
        (60_000, &stand.reader.bearer, 403),
        (500_000, &stand.reader.bearer, 403),
    ] {
        for _ in 0..8 {
            // A client as people use it, which reads while it still sends.
            let body = vec![b'x'; length];
            let folder = tempfile::tempdir().expect("a temporary folder");
            std::fs::write(folder.path().join("body"), body).expect("a body");
            let status = curl(&[
                &format!("http://{}/files", front.address),
                "-H",
                &format!("Authorization: {credential}"),
                "-H",
                "Expect:",
                "--data-binary",
                &format!("@{}", folder.path().join("body").display()),
            ]);
            assert_eq!(status, expected, "{length} bytes");
        }
    }
}

fn preflights_pass_without_a_key_and_nothing_else_does(stand: &Stand, front: &Running) {
    let origin = ("Origin", "https://app.example.com");
    let asks = ("Access-Control-Request-Method", "POST");
    let own = ("Authorization", stand.writer.bearer.as_str());
    let forged = [("X-Keyhouse-Team", "forged"), ("X-Keyhouse-Key", "forged")];
    let preflight = call(front.address, "OPTIONS", "/orders", &[origin, asks, own, forged[0], forged[1]], b"");
    assert_eq!(preflight.status, 200, "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), ["*"]);
    let received = preflight.json().to_string();
    assert!(!received.contains("forged") && !received.contains(&stand.writer.token), "{received}");
    let odd =
        [origin, asks, ("X_Keyhouse_Team", "forged"), ("X-Keyhouse_Team", "forged"), ("X.Keyhouse.Team", "forged")];
    assert!(!call(front.address, "OPTIONS", "/orders", &odd, b"").json().to_string().contains("forged"));

    let before = stand.upstream.calls();
    for (method, headers) in [
        ("OPTIONS", &[][..]),
        ("OPTIONS", &[origin]),
        ("OPTIONS", &[asks]),
        ("OPTIONS", &[("Origin", ""), asks]),
        ("OPTIONS", &[origin, ("Access-Control-Request-Method", "")]),
        ("GET", &[origin, asks]),
        ("POST", &[origin, asks]),
    ] {
        assert_eq!(call(front.address, method, "/orders", headers, b"").status, 401, "{method} {headers:?}");
    }
    assert_eq!(stand.upstream.calls(), before);
}

fn http_2_gets_the_same_answers(stand: &Stand, front: &Running) {
    for (method, key, expected) in stand.cases() {
        let authorization = key.map_or("X-None: 1".to_owned(), |key| format!("Authorization: {}", key.bearer));
        let url = format!("http://{}/orders", front.address);
        let status = curl(&["--http2-prior-knowledge", "-X", method, "-H", &authorization, &url]);
        assert_eq!(status, expected, "{method} over HTTP/2");
    }
}

fn the_node_takes_the_address_of_the_client(stand: &Stand, front: &Running) {
    let url = format!("http://{}/orders", front.address);
    let authorization = format!("Authorization: {}", stand.reader.bearer);
    let status = curl(&["--interface", "127.0.0.9", "-H", "X-Forwarded-For: 203.0.113.66", "-H", &authorization, &url]);
    assert_eq!(status, 200);
    eventually_blocking("a log line with the client's address", || {
        let log = String::from_utf8(stand.serving.logs()).expect("text");
        log.lines().any(|line| line.contains("/auth/") && line.contains(r#""client":"127.0.0.9""#)).then_some(())
    });
}

fn long_cookies_do_not_count(stand: &Stand, front: &Running, recipe: Recipe) {
    let cookie = "a".repeat(7000);
    let headers: Vec<_> = ["Cookie"; 3].iter().map(|name| (*name, cookie.as_str())).collect();
    let headers: Vec<_> = headers.into_iter().chain([("Authorization", stand.reader.bearer.as_str())]).collect();
    // Two of the proxies themselves refuse a head of more than 16 KiB.
    let expected = match recipe {
        Recipe::Caddy => 431,
        Recipe::HaProxy => 400,
        Recipe::Nginx | Recipe::Traefik | Recipe::Envoy => 200,
    };
    assert_eq!(call(front.address, "GET", "/orders", &headers, b"").status, expected);
}

fn mixed(stand: &Stand, front: &Running) {
    let cases = stand.cases();
    let mut state = 20_261_125_u64;
    for n in 0..mixed_calls() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let case = cases[(state >> 33) as usize % cases.len()];
        assert_eq!(send(front, case).status, case.2, "call {n}: {}", case.0);
    }
}

fn a_revoked_key_is_refused_within_a_second(stand: &Stand, front: &Running) {
    let doomed = stand.key();
    let case = ("GET", Some(&doomed), 200);
    assert_eq!(send(front, case).status, 200);
    run_json(&stand.place, &["key", "revoke", &doomed.id]);
    within(Duration::from_secs(1), || send(front, case).status == 401);
    assert_eq!(send(front, case).status, 401);
}

fn without_its_database_nothing_passes(stand: &Stand, front: &Running) {
    stand.database.cut();
    let asked =
        [("GET", Some(&stand.writer), 200), ("GET", Some(&stand.revoked), 401), ("POST", Some(&stand.reader), 403)];
    within(Duration::from_secs(20), || {
        let statuses = asked.map(|case| (case.2, send(front, case).status));
        assert!(statuses.iter().all(|(right, status)| status == right || *status == 503), "{statuses:?}");
        statuses.iter().all(|(_, status)| *status == 503)
    });
    let before = stand.upstream.calls();
    let unavailable = send(front, asked[0]);
    assert_eq!((unavailable.status, unavailable.code().as_str()), (503, "service_unavailable"));
    assert!(!unavailable.header("retry-after").is_empty());
    assert_eq!(stand.upstream.calls(), before);
    stand.database.pass();
    within(Duration::from_secs(20), || send(front, asked[0]).status == 200);
}

fn without_keyhouse_nothing_passes(stand: &mut Stand, front: &Running) {
    stand.serving.kill();
    let before = stand.upstream.calls();
    for case in stand.cases() {
        assert_eq!(send(front, case).status, 503, "{}", case.0);
    }
    assert_eq!(stand.upstream.calls(), before);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_another_header_leaves_authorization_to_the_service(
    #[values(Recipe::Nginx, Recipe::Caddy, Recipe::Traefik, Recipe::Envoy, Recipe::HaProxy)] recipe: Recipe,
) {
    let stand = Stand::new(50, &[("KEYHOUSE_FORWARD_AUTH_KEY_HEADER", "X-API-Key")]).await;
    let front = stand.front(recipe, Some("X-API-Key"));
    let own = ("Authorization", "Basic dXNlcjpwYXNz");
    for value in [&stand.writer.token, &stand.writer.bearer] {
        let admitted = call(front.address, "POST", "/orders", &[("X-API-Key", value), own], b"{}");
        assert_eq!(admitted.status, 200);
        assert_eq!(admitted.received("authorization"), [own.1]);
        assert_eq!(admitted.received("x-keyhouse-key"), [stand.writer.id.as_str()]);
        assert!(!admitted.json().to_string().contains(&stand.writer.token), "the key stays with the proxy");
    }
    let before = stand.upstream.calls();
    for headers in [
        &[("Authorization", stand.writer.bearer.as_str())][..],
        &[own],
        &[("X-API-Key", UNKNOWN), ("Authorization", &stand.writer.bearer)],
        &[("X-API-Key", &stand.writer.token), ("X-API-Key", &stand.writer.token)],
    ] {
        assert_eq!(call(front.address, "GET", "/orders", headers, b"").status, 401);
    }
    assert_eq!(call(front.address, "POST", "/orders", &[("X-API-Key", &stand.reader.token)], b"{}").status, 403);
    assert_eq!(stand.upstream.calls(), before);
    assert_eq!(stand.serving.get("/api/v1/key", &stand.writer.token), 200, "/api/v1 still takes Authorization");
}

/// The status that curl gets.
fn curl(arguments: &[&str]) -> u16 {
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"])
        .args(arguments)
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.parse().unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}
