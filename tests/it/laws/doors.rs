//! Law 2: every route has a row for every kind of caller. A route without one fails; the list of open ones may only shrink.

use std::collections::BTreeSet;

use keyhouse::domain::key::{Mode, Scope};

use super::repository;
use crate::harness::worlds;

/// Routes that answer without a key.
const OPEN: [&str; 8] = [
    "GET /api/v1/openapi.json",
    "GET /assets/{hash}/{name}",
    "GET /docs",
    "GET /docs.md",
    "GET /docs/{page}",
    "GET /healthz",
    "GET /llms.txt",
    "GET /readyz",
];

/// Route, then the status for: nobody, a revoked key, a read-only key, a test key, a live key, another team's key.
const MATRIX: [(&str, [u16; 6]); 7] = [
    ("GET /api/v1/key", [401, 401, 200, 200, 200, 200]),
    ("GET /api/v1/products", [401, 401, 200, 200, 200, 200]),
    ("POST /api/v1/products", [401, 401, 403, 415, 415, 415]),
    ("GET /api/v1/products/{id}", [401, 401, 200, 404, 200, 404]),
    ("PATCH /api/v1/products/{id}", [401, 401, 403, 415, 415, 415]),
    ("DELETE /api/v1/products/{id}", [401, 401, 403, 404, 200, 404]),
    ("POST /api/v1/products/{id}/restore", [401, 401, 403, 404, 200, 404]),
];

/// The API's routes as its description has them, which is made from the list that makes the router; and the rest as
/// `src/web/mod.rs` writes it: `.route("path", get(…))`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in keyhouse::web::openapi::document()["paths"].as_object().expect("paths") {
        found.extend(
            item.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    let source = repository("src/web/mod.rs");
    for piece in source.split(".route(\"").skip(1) {
        let (path, handlers) = piece.split_once("\", ").expect("a path and its handlers");
        let handlers = format!(" {}", handlers.split('\n').next().expect("a line"));
        let before = found.len();
        for method in ["get", "post", "patch", "put", "delete"] {
            if handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")) {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert!(found.len() > before, "{path} has no method that this law can read");
    }
    for way_around in [".nest(", ".nest_service(", ".route_service(", ".fallback_service(", " any(", " on("] {
        assert!(!source.contains(way_around), "src/web/mod.rs opens a door by {way_around} that this law can't see");
    }
    found
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let rows: BTreeSet<String> = MATRIX.iter().map(|(route, _)| *route).chain(OPEN).map(str::to_owned).collect();
    assert_eq!(routes(), rows);
}

worlds! {
    async fn the_matrix_holds(house) {
        let team = house.team("Acme").await;
        let other = house.team("Globex").await;
        let live = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        let revoked = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        house.app.revoke_key(&house.shell(&team), revoked.key.id).await.unwrap();
        let callers = [
            None,
            Some(revoked),
            Some(house.key(&team, Mode::Live, Scope::ReadOnly).await),
            Some(house.key(&team, Mode::Test, Scope::ReadWrite).await),
            Some(house.key(&team, Mode::Live, Scope::ReadWrite).await),
            Some(house.key(&other, Mode::Live, Scope::ReadWrite).await),
        ];
        let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
        let made = house.post("/api/v1/products", body).bearer(live.token.expose()).await.json();
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        for (route, expected) in MATRIX {
            let (method, path) = route.split_once(' ').unwrap();
            let mut statuses = Vec::new();
            for caller in &callers {
                let call = house.call(method, &path.replace("{id}", &id));
                let call = match caller {
                    Some(key) => call.bearer(key.token.expose()),
                    None => call,
                };
                statuses.push(call.await.status.as_u16());
            }
            assert_eq!(statuses, expected, "{route}");
        }
        let page = house.get("/docs").await;
        let asset = page.text().split('"').find(|text| text.starts_with("/assets/")).unwrap().to_owned();
        for route in OPEN {
            let path = route.split_once(' ').unwrap().1;
            let path = path.replace("/assets/{hash}/{name}", &asset).replace("{page}", "reference");
            assert_eq!(house.get(&path).await.status, 200, "{route}");
            let token = live.token.expose();
            assert_eq!(house.call("POST", &path).bearer(token).await.status, 405, "{route} is for reading");
        }
    }
}
