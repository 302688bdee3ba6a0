//! Tests of the root service.

use axum::http::StatusCode;
use axum::routing::get;

use super::*;
use crate::app::App;
use crate::app::infra::clock::Clock;
use crate::app::infra::rng::Rng;
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamName;
use keyhouse_store::{Location, Store};
use keyhouse_token::{Mode, RawToken};

/// An application with a read-only key, and the key's token.
async fn state_with_key() -> (tempfile::TempDir, AppState, String) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let (store, brand, _) = Store::migrate_and_open(&location, None).await.unwrap();
    let app = App::new(store, brand, Clock::System, Rng::System, Default::default());
    let owner = Email::parse("ada@example.com").unwrap();
    let team = app.create_team("tester", &TeamName::parse("Acme").unwrap(), &owner).await.unwrap();
    let new = NewKey::new(KeyName::parse("K").unwrap(), Mode::Test, Scope::ReadOnly);
    let key = app.create_key(&KeyAdmin::shell("tester", team.id), new).await.unwrap();
    (folder, AppState::new(app), key.token.expose().to_owned())
}

async fn boom() -> StatusCode {
    panic!("a fault in a handler, for the test")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_handler_is_a_500_for_that_request_alone() {
    let (_folder, state, token) = state_with_key().await;
    let routes = |root: &str| {
        Router::new().route(&format!("{root}/boom"), get(boom)).route(&format!("{root}/fine"), get(async || "fine"))
    };
    let routers = Routers { api: routes("/api/v1"), forward_auth: Router::new(), site: routes("") };
    let root = RootService::new(state, routers, []);
    let ask = async |path: &str| {
        let token = format!("Bearer {token}");
        let request = Request::get(path).header("host", "a").header("authorization", token);
        let peer = SocketAddr::from(([203, 0, 113, 7], 1));
        root.handle(peer, request.body(Body::empty()).unwrap()).await.status().as_u16()
    };
    for path in ["/boom", "/fine", "/api/v1/boom", "/api/v1/fine"] {
        assert_eq!(ask(path).await, if path.ends_with("boom") { 500 } else { 200 }, "{path}");
    }
    assert!(root.0.state.app.metrics_text().unwrap().contains("keyhouse_api_requests_total{outcome=\"admitted\"} 2"));
}

#[tokio::test]
async fn a_direct_answer_is_the_one_that_the_router_gives() {
    let (_folder, state, token) = state_with_key().await;
    let client = IpAddr::from([203, 0, 113, 7]);
    let key =
        state.app.authenticate(RawToken::parse(token.as_bytes(), state.app.brand()).unwrap(), client).await.unwrap();
    let root = super::super::service(state.clone()).0;
    for direct in Direct::ALL {
        // A read-only key may not be used for the second.
        for method in ["GET", "POST"] {
            let context = RequestContext::new(state.app.ids().request(), client);
            context.set_key(Arc::clone(&key));
            let request = Request::get(direct.template()).header("x-forwarded-method", method);
            let request = request.extension(context.clone()).body(Body::empty()).unwrap();
            assert_eq!(Direct::of(&state, request.method(), request.uri().path()), Some(direct));
            let quick = direct.respond(&state, &context, request.headers());
            let router = match Tree::of(direct.template()) {
                Tree::Api => &root.routers.api,
                Tree::ForwardAuth => &root.routers.forward_auth,
                Tree::Site => &root.routers.site,
            };
            let routed = router.clone().oneshot(request).await.unwrap();
            assert_eq!(seen(quick).await, seen(routed).await, "{direct:?} {method}");
        }
    }
}

/// Status, headers in their order, and body.
async fn seen(response: Response) -> (u16, Vec<(HeaderName, HeaderValue)>, Vec<u8>) {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    (parts.status.as_u16(), headers, axum::body::to_bytes(body, 4096).await.unwrap().to_vec())
}
