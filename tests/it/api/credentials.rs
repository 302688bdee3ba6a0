//! Who may call: one 401 for every bad credential, byte for byte.

use std::time::Duration;

use keyhouse::domain::key::{Mode, Scope};
use keyhouse::web::server::Door;

use crate::harness::{House, shows, worlds};

const WELL_FORMED: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

worlds! {
    async fn every_bad_token_hears_the_same_401(house) {
        let team = house.team("Acme").await;
        let revoked = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        house.app.revoke_key(&house.shell(&team), revoked.key.id).await.unwrap();

        let unknown = house.get("/api/v1/products").bearer(WELL_FORMED).await;
        shows!(unknown.without_request_id(), @r#"
        401 Unauthorized
        cache-control: no-store
        content-length: 151
        content-type: application/json
        www-authenticate: Bearer realm="api", error="invalid_token"
        x-content-type-options: nosniff
        x-request-id: req_…

        {"error":{"type":"authentication_error","code":"invalid_token","message":"Invalid or missing API token","request_id":"req_…"}}
        "#);
        let giant = "a".repeat(100_000);
        let swapped = WELL_FORMED.replace("live", "test");
        for value in [
            format!("Bearer {}", revoked.token.expose()),
            format!("Bearer {}", &WELL_FORMED[..49]),
            format!("Bearer {WELL_FORMED}x"),
            format!("Bearer {swapped}"),
            format!("Bearer {giant}"),
            format!("Bearer {WELL_FORMED} "),
            format!("Bearer {WELL_FORMED}\t"),
            format!("Bearer \t{WELL_FORMED}"),
            format!("Bearer {WELL_FORMED},{WELL_FORMED}"),
            format!("Bearer \"{WELL_FORMED}\""),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer pk_live_%30123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB".to_owned(),
            "Bearer \u{00a0}pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB".to_owned(),
        ] {
            let answer = house.get("/api/v1/products").header("authorization", &value).await;
            assert_eq!(answer.without_request_id(), unknown.without_request_id(), "{:.80}", value);
        }
    }

    async fn what_is_no_credential_gets_the_bare_challenge(house) {
        let token = house.live_token().await;
        let missing = house.get("/api/v1/products").await;
        shows!(missing.without_request_id(), @r#"
        401 Unauthorized
        cache-control: no-store
        content-length: 151
        content-type: application/json
        www-authenticate: Bearer realm="api"
        x-content-type-options: nosniff
        x-request-id: req_…

        {"error":{"type":"authentication_error","code":"invalid_token","message":"Invalid or missing API token","request_id":"req_…"}}
        "#);
        let bearer = format!("Bearer {token}");
        let cases = [
            house.get("/api/v1/products").header("authorization", &bearer).header("authorization", &bearer),
            house.get("/api/v1/products").header("authorization", format!("Basic {token}")),
            house.get("/api/v1/products").header("authorization", &token),
            house.get("/api/v1/products").header("authorization", format!("Bearer\t{token}")),
            house.get("/api/v1/products").header("authorization", format!(" Bearer {token}")),
            house.get(&format!("/api/v1/products?token={token}&access_token={token}&api_key={token}")),
            house.get("/api/v1/products").header("cookie", format!("token={token}; session={token}")),
            house.get("/api/v1/products").header("x-api-key", &token),
            house.get("/api/v1/products").header("proxy-authorization", &bearer),
        ];
        for call in cases {
            assert_eq!(call.await.without_request_id(), missing.without_request_id());
        }
    }

    async fn the_scheme_is_taken_in_any_case_and_with_any_number_of_spaces(house) {
        let token = house.live_token().await;
        for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR    "] {
            let answer = house.get("/api/v1/products").header("authorization", format!("{scheme}{token}")).await;
            assert_eq!(answer.status, 200, "{scheme:?}");
        }
    }

    async fn without_a_key_every_path_of_the_tree_is_401(house) {
        for (method, path) in [
            ("GET", "/api/v1"),
            ("GET", "/api/v1/"),
            ("GET", "/api/v1/nothing"),
            ("GET", "/api/v1//products"),
            ("GET", "/api/v1/products/"),
            ("GET", "/api/v1/%70roducts"),
            ("GET", "/api/v1/../v1/products"),
            ("PUT", "/api/v1/products"),
            ("TRACE", "/api/v1/products"),
            ("OPTIONS", "/api/v1/products"),
            ("BREW", "/api/v1/products"),
        ] {
            assert_eq!(house.call(method, path).await.status, 401, "{method} {path}");
        }
        assert_eq!(house.get("/api/v10/products").await.status, 404, "another tree");
    }

    async fn a_read_only_key_reads_and_nothing_else(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadOnly).await;
        let token = key.token.expose();
        assert_eq!(house.get("/api/v1/products").bearer(token).await.status, 200);
        assert_eq!(house.call("HEAD", "/api/v1/products").bearer(token).await.status, 200);
        let refused = house.post("/api/v1/products", "not even JSON").bearer(token).await;
        shows!(refused.without_request_id(), @r#"
        403 Forbidden
        cache-control: no-store
        content-length: 183
        content-type: application/json
        www-authenticate: Bearer realm="api", error="insufficient_scope"
        x-content-type-options: nosniff
        x-request-id: req_…

        {"error":{"type":"permission_error","code":"scope_insufficient","message":"This key is read-only; use a Read & Write key for this call","request_id":"req_…"}}
        "#);
        let tricked = house.post("/api/v1/products", "{}").bearer(token).header("x-http-method-override", "GET").await;
        assert_eq!(tricked.without_request_id(), refused.without_request_id());
    }

    async fn the_key_tells_what_it_is_but_not_its_name(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Test, Scope::ReadOnly).await;
        let answer = house.get("/api/v1/key").bearer(key.token.expose()).await;
        shows!(answer.text(), @r#"{"data":{"id":"key_01m86e81e056bfar8m5wah876a","prefix":"pk_test_nX8","mode":"test","scope":"read_only","createdAt":"2026-11-24T09:30:00.000Z"}}"#);
    }

    async fn last_used_moves_in_the_background_and_on_admitted_calls_alone(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadOnly).await;
        let last_use = async || {
            house.app.flush_usage(keyhouse::app::usage::Flush::Due).await.unwrap();
            let listed = house.app.key(key.key.id).await.unwrap().unwrap();
            listed.last_use.map(|used| (used.at.ms() - crate::harness::BEGINNING.ms(), used.from))
        };
        assert_eq!(last_use().await, None);

        house.advance(Duration::from_secs(1));
        house.post("/api/v1/products", "{}").bearer(key.token.expose()).await;
        assert_eq!(last_use().await, Some((1000, "203.0.113.7".to_owned())), "a 403 is a use");

        house.advance(Duration::from_secs(2));
        house.get("/api/v1/products").bearer(key.token.expose()).await;
        assert_eq!(last_use().await.unwrap().0, 1000, "one write a minute");
        house.advance(Duration::from_secs(58));
        assert_eq!(last_use().await.unwrap().0, 3000);

        house.advance(Duration::from_secs(90));
        house.app.revoke_key(&house.shell(&team), key.key.id).await.unwrap();
        house.get("/api/v1/products").bearer(key.token.expose()).await;
        assert_eq!(last_use().await.unwrap().0, 3000, "a refused call is no use");
    }
}

#[tokio::test]
async fn the_client_behind_a_listed_proxy_is_who_it_says() {
    let house = House::on_sqlite().await;
    let team = house.team("Acme").await;
    let key = house.key(&team, Mode::Live, Scope::ReadOnly).await;
    for (peer, client) in [("203.0.113.7", "203.0.113.7"), ("192.0.2.1", "198.51.100.9")] {
        let request = axum::http::Request::get("/api/v1/products")
            .header("host", "keyhouse.test")
            .header("authorization", format!("Bearer {}", key.token.expose()))
            .header("x-forwarded-for", "10.9.8.7, 198.51.100.9");
        let peer = std::net::SocketAddr::new(peer.parse().unwrap(), 1);
        house.front.answer(peer, request.body(axum::body::Body::empty()).unwrap()).await;
        house.app.flush_usage(keyhouse::app::usage::Flush::Everything).await.unwrap();
        assert_eq!(house.app.key(key.key.id).await.unwrap().unwrap().last_use.unwrap().from, client);
        house.advance(Duration::from_secs(1));
    }
}
