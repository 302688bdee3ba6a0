//! The access matrix: every route with the status for every kind of caller. A route without a row fails the test.

use rstest::rstest;
use std::collections::BTreeSet;

use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamName;
use keyhouse_token::Mode;

use super::repository;
use test_support::{Engine, TestApp};

/// Routes that answer without a key or a session.
const OPEN: [&str; 9] = [
    "GET /.well-known/jwks.json",
    "GET /api/v1/openapi.json",
    "GET /assets/{hash}/{name}",
    "GET /docs",
    "GET /docs.md",
    "GET /docs/{page}",
    "GET /healthz",
    "GET /llms.txt",
    "GET /readyz",
];

/// Route, then the status without a key, with a revoked key, a read-only key, a test key, a live key, another team's key.
const MATRIX: [(&str, [u16; 6]); 11] = [
    ("GET /api/v1/key", [401, 401, 200, 200, 200, 200]),
    ("GET /api/v1/products", [401, 401, 200, 200, 200, 200]),
    ("POST /api/v1/products", [401, 401, 403, 415, 415, 415]),
    ("GET /api/v1/products/{id}", [401, 401, 200, 404, 200, 404]),
    ("PATCH /api/v1/products/{id}", [401, 401, 403, 415, 415, 415]),
    ("DELETE /api/v1/products/{id}", [401, 401, 403, 404, 200, 404]),
    ("POST /api/v1/products/{id}/restore", [401, 401, 403, 404, 200, 404]),
    // Without a header that names the method, the proxied call counts as a write.
    ("ANY /auth/verify", [401, 401, 403, 200, 200, 200]),
    ("ANY /auth/envoy", [401, 401, 200, 200, 200, 200]),
    ("ANY /auth/envoy/", [401, 401, 200, 200, 200, 200]),
    ("ANY /auth/envoy/{*path}", [401, 401, 200, 200, 200, 200]),
];

/// Routes with a proof of their own, then the status of an empty request: the feed and the protocols of GitHub and GitLab are
/// off by default.
const REPORTS: [(&str, u16); 5] = [
    ("GET /feed/keys", 404),
    ("POST /leaks/report", 415),
    ("POST /leaks/github", 404),
    ("GET /leaks/gitlab/v1/revocable_token_types", 404),
    ("POST /leaks/gitlab/v1/revoke_tokens", 404),
];

/// A page, then the status without a session, with a live key, for the owner of another team, and for a member, a manager, an
/// admin, the owner. A form is sent empty. Without a session a page is a redirect to the sign-in page, 303, and a
/// form is the sign-in page itself, 403.
#[rustfmt::skip]
const PAGES: [(&str, [u16; 7]); 67] = [
    ("GET /", [303, 303, 303, 200, 200, 200, 200]),
    ("GET /sign-in", [200, 200, 303, 303, 303, 303, 303]),
    ("POST /sign-in", [422, 422, 422, 422, 422, 422, 422]),
    ("GET /sign-out", [303, 303, 303, 303, 303, 303, 303]),
    ("POST /sign-out", [303, 303, 303, 303, 303, 303, 303]),
    ("GET /link/{code}", [200, 200, 200, 200, 200, 200, 200]),
    ("POST /link/{code}", [422, 422, 422, 422, 422, 422, 422]),
    ("POST /theme", [303, 303, 303, 303, 303, 303, 303]),
    ("GET /leaks", [200, 200, 200, 200, 200, 200, 200]),
    ("POST /leaks", [422, 422, 422, 422, 422, 422, 422]),
    ("GET /account", [303, 303, 200, 200, 200, 200, 200]),
    ("POST /account", [403, 403, 400, 400, 400, 400, 400]),
    ("GET /account/docs", [200, 200, 200, 200, 200, 200, 200]),
    ("GET /t/{team}", [303, 303, 404, 303, 303, 303, 303]),
    ("GET /t/{team}/leave", [303, 303, 404, 200, 200, 200, 200]),
    ("POST /t/{team}/leave", [403, 403, 404, 303, 303, 303, 200]),
    ("GET /t/{team}/products", [303, 303, 404, 200, 200, 200, 200]),
    ("GET /t/{team}/products/new", [303, 303, 404, 403, 200, 200, 200]),
    ("POST /t/{team}/products/new", [403, 403, 404, 403, 422, 422, 422]),
    ("POST /t/{team}/products/checklist", [403, 403, 404, 303, 303, 303, 303]),
    ("GET /t/{team}/products/{id}", [303, 303, 404, 200, 200, 200, 200]),
    ("POST /t/{team}/products/{id}", [403, 403, 404, 403, 422, 422, 422]),
    ("GET /t/{team}/settings", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/delete", [303, 303, 404, 403, 403, 403, 200]),
    ("POST /t/{team}/settings/delete", [403, 403, 404, 403, 403, 403, 422]),
    ("GET /t/{team}/settings/members", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/members/invite", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/members/invite", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/members/{person}/email", [303, 303, 404, 403, 403, 404, 404]),
    ("POST /t/{team}/settings/members/{person}/email", [403, 403, 404, 403, 403, 404, 404]),
    ("GET /t/{team}/settings/members/{person}/role", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/members/{person}/role", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/members/{person}/remove", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/members/{person}/remove", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/members/{person}/hand-over", [303, 303, 404, 403, 403, 403, 200]),
    ("POST /t/{team}/settings/members/{person}/hand-over", [403, 403, 404, 403, 403, 403, 303]),
    ("GET /t/{team}/settings/invitations/{id}/withdraw", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/invitations/{id}/withdraw", [403, 403, 404, 403, 403, 303, 303]),
    ("POST /t/{team}/settings/invitations/{id}/restore", [403, 403, 404, 403, 403, 404, 404]),
    ("GET /t/{team}/settings/integrations", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/integrations/api-keys", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/integrations/api-keys/new", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/new", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/integrations/api-keys/find", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/find", [403, 403, 404, 403, 403, 422, 422]),
    ("POST /t/{team}/settings/integrations/api-keys/leak-notice", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/rename", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/rename", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/revoke", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/revoke", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/rotate", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/rotate", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/end-former", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/end-former", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/pause", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/pause", [403, 403, 404, 403, 403, 422, 422]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/resume", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/resume", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/api-keys/{key}/conditions", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/{key}/conditions", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/api-keys/created-by/{person}", [303, 303, 404, 403, 403, 200, 200]),
    ("POST /t/{team}/settings/integrations/api-keys/created-by/{person}", [403, 403, 404, 403, 403, 303, 303]),
    ("GET /t/{team}/settings/integrations/requests", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/audit", [303, 303, 404, 403, 403, 200, 200]),
    ("GET /t/{team}/settings/audit.csv", [303, 303, 404, 403, 403, 200, 200]),
];

/// The API's routes from the OpenAPI document, which is built from the same list as the router, and the other routes as
/// `src/web/mod.rs` and `src/web/dashboard/mod.rs` write it: `.route("path", get(…))`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in keyhouse::web::openapi::document(None)["paths"].as_object().expect("paths") {
        found.extend(
            item.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    let source = repository("src/web/mod.rs") + &repository("src/web/dashboard/mod.rs");
    // Proxies send any method there, so that each route takes all of them.
    let forward_auth = repository("src/web/forward_auth.rs");
    for piece in forward_auth.split(".route(\"").skip(1) {
        let (path, handler) = piece.split_once("\", ").expect("a path and its handler");
        assert!(handler.starts_with("any("), "{path} does not take all methods");
        found.insert(format!("ANY {path}"));
    }
    for piece in source.split(".route(\"").skip(1) {
        let (path, handlers) = piece.split_once("\", ").expect("a path and its handlers");
        let handlers = format!(" {}", handlers.split('\n').next().expect("a line"));
        let before = found.len();
        for method in ["get", "post", "patch", "put", "delete"] {
            if handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")) {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert!(found.len() > before, "{path} has no method that this test can read");
    }
    for way_around in [".nest(", ".nest_service(", ".route_service(", ".fallback_service(", " any(", " on("] {
        assert!(!source.contains(way_around), "{way_around} adds routes that this test can't see");
    }
    found
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let pages = PAGES.iter().map(|(route, _)| *route);
    let reports = REPORTS.iter().map(|(route, _)| *route);
    let rows: BTreeSet<String> =
        MATRIX.iter().map(|(route, _)| *route).chain(OPEN).chain(reports).chain(pages).map(str::to_owned).collect();
    assert_eq!(routes(), rows);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_gets_the_status_in_the_matrix(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let other = app.team("Globex").await;
    let live = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let revoked = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&team), revoked.key.id, None).await.unwrap();
    let callers = [
        None,
        Some(revoked),
        Some(app.key(&team, Mode::Live, Scope::ReadOnly).await),
        Some(app.key(&team, Mode::Test, Scope::ReadWrite).await),
        Some(app.key(&team, Mode::Live, Scope::ReadWrite).await),
        Some(app.key(&other, Mode::Live, Scope::ReadWrite).await),
    ];
    let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
    let made = app.post("/api/v1/products", body).bearer(live.token.expose()).await.json();
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    for (route, expected) in MATRIX {
        let (method, path) = route.split_once(' ').unwrap();
        let mut statuses = Vec::new();
        for caller in &callers {
            let method = if method == "ANY" { "GET" } else { method };
            let call = app.call(method, &path.replace("{id}", &id).replace("{*path}", "orders"));
            let call = match caller {
                Some(key) => call.bearer(key.token.expose()),
                None => call,
            };
            statuses.push(call.await.status.as_u16());
        }
        assert_eq!(statuses, expected, "{route}");
    }
    for (route, expected) in REPORTS {
        let (method, path) = route.split_once(' ').unwrap();
        for caller in [None, Some(live.token.expose())] {
            let call = app.call(method, path);
            let call = if let Some(token) = caller { call.bearer(token) } else { call };
            assert_eq!(call.await.status.as_u16(), expected, "{route}");
        }
        assert_eq!(app.call("PUT", path).await.status, 405, "{route}");
    }
    let page = app.get("/docs").await;
    let asset = page.text().split('"').find(|text| text.starts_with("/assets/")).unwrap().to_owned();
    for route in OPEN {
        let path = route.split_once(' ').unwrap().1;
        let path = path.replace("/assets/{hash}/{name}", &asset).replace("{page}", "reference");
        assert_eq!(app.get(&path).await.status, 200, "{route}");
        let token = live.token.expose();
        let call = app.call("POST", &path).bearer(token).header("sec-fetch-site", "same-origin");
        assert_eq!(call.await.status, 405, "{route} is for reading");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_person_gets_the_status_in_the_matrix_of_pages(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let people =
        ["outsider@example.com", "member@example.com", "manager@example.com", "admin@example.com", "owner@example.com"];
    let address = |text: &str| Email::parse(text).unwrap();
    let new_team = |name: &str, owner: &str| {
        let (name, owner) = (TeamName::parse(name).unwrap(), address(owner));
        let app = app.inner.clone();
        async move { app.create_team("tester", &name, &owner).await.unwrap() }
    };
    new_team("Elsewhere", people[0]).await;
    let mut browsers: Vec<String> = Vec::new();
    for (row, (route, expected)) in PAGES.into_iter().enumerate() {
        let (method, path) = route.split_once(' ').unwrap();
        let mut statuses = Vec::new();
        for caller in 0..7 {
            // A new team for each caller, so that one caller's change does not affect the next.
            let team = new_team(&format!("Acme {row} {caller}"), people[4]).await;
            for (email, role) in [
                (people[1], Role::Member),
                (people[2], Role::Manager),
                (people[3], Role::Admin),
                ("guest@example.com", Role::Member),
            ] {
                app.inner.add_member("tester", &team, &address(email), role).await.unwrap();
            }
            if browsers.is_empty() {
                for person in people {
                    browsers.push(app.browser(person).await);
                }
            }
            let guest =
                app.inner.queries().member_by_email(team.id, &address("guest@example.com")).await.unwrap().unwrap();
            let key = app.key(&team, Mode::Test, Scope::ReadWrite).await;
            let admin = TeamAdmin::shell("tester", team.id);
            let invited = address(&format!("new{row}{caller}@example.com"));
            let code = app.inner.invite(&admin, &invited, Role::Member).await.unwrap();
            let invitation = app.inner.invitations_of(&team).await.unwrap().remove(0);
            let live = app.key(&team, Mode::Live, Scope::ReadWrite).await;
            let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
            let made = app.post("/api/v1/products", body).bearer(live.token.expose()).await.json();
            let id = if path.contains("invitations") {
                invitation.id.to_string()
            } else {
                made["data"]["id"].as_str().unwrap().to_owned()
            };
            let path = path
                .replace("{team}", team.slug.as_str())
                .replace("{code}", code.expose())
                .replace("{person}", &guest.person.to_string())
                .replace("{key}", &key.key.id.to_string())
                .replace("{id}", &id);
            let call = app.call(method, &path);
            let call = if method == "POST" { call.form(&[]) } else { call };
            let answer = match caller {
                0 => call.await,
                1 => call.bearer(live.token.expose()).await,
                caller if method == "POST" => app.send(&browsers[caller - 2], &path, &[]).await,
                caller => call.cookie(&browsers[caller - 2]).await,
            };
            statuses.push(answer.status.as_u16());
            if caller < 2 && answer.status == 303 && !["/sign-out", "/theme"].contains(&path.as_str()) {
                assert!(answer.location().starts_with("/sign-in"), "{route} leads to {}", answer.location());
            }
            if answer.cookie().is_some() {
                browsers.clear();
            }
            if method == "POST" {
                let mut foreign = app.call(method, &path).form(&[]);
                foreign = foreign.header("sec-fetch-site", "cross-site");
                assert_eq!(foreign.await.status, 400, "{route} from another site");
            }
            if caller == 0 {
                assert_eq!(app.call("PUT", &path).header("sec-fetch-site", "same-origin").await.status, 405, "{route}");
            }
        }
        assert_eq!(statuses, expected, "{route}");
    }
}
