//! Repeats one piece of work, so that `tests/budgets` can count its instructions and its allocations. Instructions are counted
//! inside [`measured`] alone: what a start costs differs by millions from run to run and from machine to machine.
//!
//! `measured-calls WORK NUMBER`, with WORK one of `verdict` (token parsed and hashed, its cached record checked), `call`
//! (`GET /api/v1/key` without the socket), `logged-call` (the same with its line in the log), `usage` (the part of a call that
//! records its key's usage), `refused-call` (a wrong checksum) and `bare-route` (one axum route that answers a fixed response).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use keyhouse::app::App;
use keyhouse::app::infra::clock::Clock;
use keyhouse::app::infra::rng::Rng;
use keyhouse::app::rate_limit::Limits;
use keyhouse::app::usage::Call;
use keyhouse::web::server::HttpService;
use keyhouse::web::{self, AppState, RootService};
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::TeamName;
use keyhouse_domain::usage::Outcome;
use keyhouse_store::Store;
use keyhouse_token::{Mode, TokenHash};
use test_support::{BEGINNING, TestDatabase};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// An application with a key and its token. Its clock stands still, so that the lease does not end meanwhile.
async fn application(place: &TestDatabase) -> (App, String) {
    let limits = Limits { per_key: RateLimit::new(1_000_000_000, Duration::from_secs(60)), bad_tokens: None };
    let (store, brand, _) = Store::migrate_and_open(&place.location(), None).await.expect("the database opens");
    let app = App::new(store, brand, Clock::manual(BEGINNING), Rng::System, limits);
    let owner = Email::parse("ada@example.com").expect("an address");
    let team = app.create_team("tester", &TeamName::parse("Acme").expect("a name"), &owner).await.expect("a team");
    let new = NewKey::new(KeyName::parse("K").expect("a name"), Mode::Live, Scope::ReadWrite);
    let made = app.create_key(&KeyAdmin::shell("tester", team.id), new).await.expect("a key");
    app.apply_changes(&mut app.change_feed()).await.expect("the database answers");
    (app, made.token.expose().to_owned())
}

fn request(token: &str) -> Request<Body> {
    let request =
        Request::get("/api/v1/key").header("host", "a.example").header("authorization", format!("Bearer {token}"));
    request.body(Body::empty()).expect("a request")
}

async fn verdicts(app: &App, token: &str, number: u32) {
    for _ in 0..number {
        let hash = TokenHash::of_token(token.as_bytes(), app.brand()).expect("a token");
        app.authenticate_hash(&hash, CLIENT).await.expect("the key may act");
    }
}

async fn calls(service: &RootService, token: &str, number: u32, status: u16) {
    for _ in 0..number {
        let response = service.handle(SocketAddr::new(CLIENT, 1), request(token)).await;
        assert_eq!(response.status(), status);
        response.into_body().collect().await.expect("a body");
    }
}

/// Records calls as the root service does after each response.
async fn usage(app: &App, token: &str, number: u32) {
    let hash = TokenHash::of_token(token.as_bytes(), app.brand()).expect("a token");
    let key = app.authenticate_hash(&hash, CLIENT).await.expect("the key may act");
    for _ in 0..number {
        app.record_call(&Call {
            key: key.id,
            request: app.ids().request(),
            at: app.clock().now(),
            from: CLIENT,
            agent: b"curl/8.5.0",
            method: "GET",
            route: "/api/v1/key",
            status: 200,
            outcome: Outcome::Admitted,
        });
    }
}

async fn bare_route(token: &str, number: u32) {
    let router = Router::new().route("/api/v1/key", get(async || r#"{"data":{}}"#));
    for _ in 0..number {
        let response = router.clone().oneshot(request(token)).await.expect("axum does not fail");
        response.into_body().collect().await.expect("a body");
    }
}

/// The part of the run that callgrind counts.
#[inline(never)]
fn measured<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().expect("what to do");
    let number: u32 = arguments.next().and_then(|number| number.parse().ok()).expect("how often");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let place = TestDatabase::folder();
    let (app, token) = runtime.block_on(application(&place));
    let service = web::service(AppState::new(app.clone()));
    // The first call fills the cache.
    runtime.block_on(calls(&service, &token, 1, 200));
    match work.as_str() {
        "verdict" => measured(&runtime, verdicts(&app, &token, number)),
        "call" => measured(&runtime, calls(&service, &token, number, 200)),
        "logged-call" => {
            keyhouse::start_logging();
            measured(&runtime, calls(&service, &token, number, 200));
        }
        "usage" => measured(&runtime, usage(&app, &token, number)),
        "refused-call" => {
            let wrong = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RC";
            measured(&runtime, calls(&service, wrong, number, 401));
        }
        "bare-route" => measured(&runtime, bare_route(&token, number)),
        other => panic!("there is no work {other}"),
    }
    runtime.block_on(app.close()).expect("the database closes");
}
