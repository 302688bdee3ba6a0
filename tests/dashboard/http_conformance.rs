//! What every page tells the browser, and how errors look to people.

use std::net::SocketAddr;

use axum::http::Request;
use keyhouse::web::server::HttpService;
use keyhouse::web::{self, AppState};
use keyhouse_domain::public_url::PublicUrl;

use test_support::{Answer, Engine, TestApp, assert_text};

#[tokio::test]
async fn pages_have_security_headers() {
    let app = TestApp::on(Engine::Sqlite).await;
    let ada = app.set_up().await;
    let page = app.page(&ada, "/t/acme/settings/integrations/api-keys").await;
    let tag = app.inner.instance_tag().await.unwrap();
    let headers: Vec<_> = page
        .without_request_id()
        .replace(tag, "TAG")
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("content-length"))
        .map(str::to_owned)
        .collect();
    assert_text!(headers.join("\n"), @"
    200 OK
    cache-control: no-store
    content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
    content-type: text/html; charset=utf-8
    permissions-policy: camera=(), geolocation=(), microphone=()
    referrer-policy: same-origin
    set-cookie: keyhouse_TAG_team=acme; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000
    vary: Accept, Cookie
    x-content-type-options: nosniff
    x-request-id: req_…
    ");
    let signed_in = app.sign_in("ada@example.com", super::PASSWORD).await;
    let cookie = signed_in.header("set-cookie").unwrap();
    let secret = super::between(cookie, "_session=", ";");
    assert_text!(cookie.replace(secret, "…").replace(tag, "TAG"), @"keyhouse_TAG_session=…; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000");
}

#[tokio::test]
async fn over_https_the_cookie_is_for_https_and_for_this_host_alone() {
    let app = TestApp::on(Engine::Sqlite).await;
    app.set_up().await;
    let public_url = Some(PublicUrl::parse("https://keys.example.com").unwrap());
    let service = web::service(AppState { public_url, ..AppState::new(app.inner.clone()) });
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = Request::builder().method(method).uri(path).header("host", "10.0.0.1:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
        let service = service.clone();
        async move { Answer::read(service.handle(SocketAddr::from(([203, 0, 113, 7], 1)), request).await).await }
    };
    let form = "email=ada%40example.com&password=lamp+river+quiet+stone";
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let ours = ask("POST", "/sign-in", &[kind, ("origin", "https://keys.example.com")], form).await;
    let cookie = ours.header("set-cookie").unwrap();
    let tag = app.inner.instance_tag().await.unwrap();
    let secret = super::between(cookie, "_session=", ";");
    assert_text!(cookie.replace(secret, "…").replace(tag, "TAG"), @"__Host-keyhouse_TAG_session=…; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2592000");
    assert_eq!(ours.header("strict-transport-security"), Some("max-age=63072000"));
    let plain = ask("POST", "/sign-in", &[kind, ("origin", "http://keys.example.com")], form).await;
    assert_eq!(plain.status, 400);
    assert!(plain.text().contains("Open Keyhouse at https://keys.example.com"), "{plain}");
    let wrong_host = ask("GET", "/sign-in", &[], "").await;
    assert!(wrong_host.text().contains("Sign in at <a href=\"https://keys.example.com\">"), "{wrong_host}");
    // A cookie of the plain name could have been set by a neighbour: it is none.
    let planted = cookie.split(';').next().unwrap().replace("__Host-", "");
    assert_eq!(ask("GET", "/account", &[("cookie", &planted)], "").await.status, 303);
    assert_eq!(ask("GET", "/account", &[("cookie", cookie.split(';').next().unwrap())], "").await.status, 200);
}

#[tokio::test]
async fn a_fresh_installation_points_to_its_set_up_link() {
    let app = TestApp::on(Engine::Sqlite).await;
    assert!(app.get("/sign-in").await.text().contains("Open the set-up link"));
    app.set_up().await;
    assert!(!app.get("/sign-in").await.text().contains("set-up link"));
}

#[tokio::test]
async fn people_read_errors_as_pages_and_programs_as_json() {
    let app = TestApp::on(Engine::Sqlite).await;
    let page = app.get("/nowhere").header("accept", "text/html,*/*").await;
    assert!(page.status == 404 && page.text().contains("Page not found"));
    assert!(page.text().contains(page.header("x-request-id").unwrap()), "it quotes the id");
    assert_eq!(app.get("/nowhere").await.code(), "route_not_found");
    assert_eq!(
        app.get("/api/v1/nowhere").header("accept", "text/html").await.code(),
        "invalid_token",
        "the API has one voice"
    );
    let foreign =
        app.call("POST", "/sign-in").header("origin", "https://evil.example").header("accept", "text/html").await;
    assert!(foreign.status == 400 && foreign.text().contains("did not come from a page of this Keyhouse"));
    let media = app.call("POST", "/sign-in").header("origin", "http://keyhouse.test").json("{}").await;
    assert_eq!(media.status, 415, "a form is no JSON");
}

#[tokio::test]
async fn a_database_that_is_away_ends_no_session() {
    let app = TestApp::on(Engine::Postgres).await;
    let ada = app.set_up().await;
    app.inner.close().await.unwrap();
    let away = app.get("/account").cookie(&ada).header("accept", "text/html").await;
    assert_eq!((away.status.as_u16(), away.header("set-cookie")), (503, None));
    assert!(away.text().contains("Keyhouse is temporarily unavailable"));
    assert_eq!(app.sign_in("ada@example.com", super::PASSWORD).await.status, 503, "never: wrong password");
}

#[tokio::test]
async fn a_chosen_theme_is_rendered_on_every_page() {
    let app = TestApp::on(Engine::Sqlite).await;
    let chosen = app.call("POST", "/theme").header("referer", "http://keyhouse.test/docs/errors?lang=go");
    let chosen = chosen.form(&[("theme", "dark")]).await;
    assert_eq!((chosen.status.as_u16(), chosen.location()), (303, "/docs/errors?lang=go"));
    let cookie = chosen.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    for (path, status) in [("/sign-in", 200), ("/docs", 200), ("/nowhere", 404)] {
        let page = app.get(path).cookie(&cookie).header("accept", "text/html").await;
        assert_eq!(page.status, status);
        assert!(page.text().contains(r#"<html lang="en" data-theme="dark">"#), "{path}");
    }
    let elsewhere = app.call("POST", "/theme").header("referer", "http://keyhouse.test//evil.example").form(&[]).await;
    assert_eq!(elsewhere.location(), "/");
}
