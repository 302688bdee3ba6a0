//! The layer before real nodes, and before servers that answer what no node would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http_body_util::BodyExt;
use keyhouse_client::{Grant, KeyhouseClient, KeyhouseLayer};
use test_support::TestDatabase;
use test_support::child_process::free_address;
use test_support::process::{ServerProcess, run_json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceExt;

const UNKNOWN: &str = "Bearer pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

async fn who(grant: Grant, request: Request<Body>) -> String {
    let seen = request.headers().contains_key("authorization");
    format!("{} {} {:?} {:?} key seen: {seen}", grant.team, grant.key, grant.mode, grant.scope)
}

fn service(client: KeyhouseClient) -> Router {
    Router::new().route("/orders", any(who)).layer(KeyhouseLayer::new(client))
}

fn client(node: SocketAddr) -> KeyhouseClient {
    KeyhouseClient::new(&format!("http://{node}")).expect("an address")
}

struct Answer {
    status: u16,
    challenge: Option<String>,
    body: String,
}

async fn call(service: &Router, method: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri("/orders");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = service.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, challenge, body: String::from_utf8(body).unwrap() }
}

/// A server in place of a node, which counts its connections and calls.
struct Fake {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    async fn start(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, gate: Option<Arc<Notify>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, opened) = (Arc::clone(&calls), Arc::clone(&connections));
        let handler = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let (answer, gate) = (answer.clone(), gate.clone());
            async move {
                if let Some(gate) = gate {
                    gate.notified().await;
                }
                answer()
            }
        };
        let router = Router::new().route("/auth/verify", get(handler));
        let listener = axum::serve::ListenerExt::tap_io(listener, move |_| _ = opened.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, calls, connections }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn admission(max_age: &'static str) -> Response {
    let headers = [
        ("x-keyhouse-team", "team_1"),
        ("x-keyhouse-key", "key_1"),
        ("x-keyhouse-mode", "live"),
        ("x-keyhouse-scope", "read_only"),
        ("x-keyhouse-max-age", max_age),
    ];
    headers.into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_node_admits_and_refuses() {
    let place = TestDatabase::folder();
    let mut node = ServerProcess::start_with(&place, "serve", "warn", &[("KEYHOUSE_RATE_LIMIT_REQUESTS", "20")]);
    run_json(&place, &["team", "create", "Acme", "--owner", "owner@example.com"]);
    let key = |scope: &str| {
        run_json(&place, &["key", "create", "--team", "acme", "--name", "K", "--mode", "test", "--scope", scope])
    };
    let (writer, reader) = (key("read_write"), key("read_only"));
    let bearer = |key: &serde_json::Value| format!("Bearer {}", key["token"].as_str().unwrap());
    let service = service(client(node.address));

    let admitted = call(&service, "POST", &[("authorization", &bearer(&writer))]).await;
    assert_eq!(admitted.status, 200, "{}", admitted.body);
    assert!(admitted.body.starts_with("team_") && admitted.body.contains(writer["id"].as_str().unwrap()));
    assert!(admitted.body.ends_with("Test ReadWrite key seen: false"), "{}", admitted.body);
    assert_eq!(call(&service, "GET", &[("authorization", &bearer(&reader))]).await.status, 200);

    let refused = call(&service, "POST", &[("authorization", &bearer(&reader))]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.challenge.as_deref(), Some(r#"Bearer realm="api", error="insufficient_scope""#));
    assert!(refused.body.contains("scope_insufficient"));
    let overriding = [("authorization", bearer(&reader)), ("x-http-method-override", "DELETE".to_owned())];
    let overriding = overriding.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        call(&service, "GET", &overriding).await.status,
        403,
        "an admission is not reused for an overridden method"
    );
    let missing = call(&service, "GET", &[("x-keyhouse-team", "forged"), ("x-keyhouse-key", "forged")]).await;
    assert_eq!((missing.status, missing.challenge.as_deref()), (401, Some(r#"Bearer realm="api""#)));
    let unknown = call(&service, "GET", &[("authorization", UNKNOWN)]).await;
    assert_eq!(
        (unknown.status, unknown.challenge.as_deref()),
        (401, Some(r#"Bearer realm="api", error="invalid_token""#))
    );
    let twice = [("authorization", bearer(&writer)), ("authorization", bearer(&writer))];
    let twice = twice.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(call(&service, "GET", &twice).await.status, 401);

    // Reused admissions do not count for the limit of 20; asked ones do.
    for _ in 0..50 {
        assert_eq!(call(&service, "POST", &[("authorization", &bearer(&writer))]).await.status, 200);
    }
    let asking = self::service(client(node.address).without_reuse());
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses.push(call(&asking, "POST", &[("authorization", &bearer(&writer))]).await.status);
    }
    assert!(statuses.contains(&200) && statuses.last() == Some(&429), "{statuses:?}");

    run_json(&place, &["key", "revoke", reader["id"].as_str().unwrap()]);
    let revoked = tokio::time::timeout(Duration::from_secs(3), async {
        while call(&service, "GET", &[("authorization", &bearer(&reader))]).await.status == 200 {}
    });
    revoked.await.expect("a revoked key is refused within 3 seconds");
    assert_eq!(call(&service, "GET", &[("authorization", &bearer(&reader))]).await.status, 401);
    node.kill();
    let away = call(&asking, "POST", &[("authorization", &bearer(&writer))]).await;
    assert_eq!(away.status, 503);
    assert!(away.body.contains("service_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_answer_of_keyhouse_refuses_the_call() {
    let answers: [fn() -> Response; 8] = [
        || StatusCode::OK.into_response(),
        || [("x-keyhouse-team", "team_1"), ("x-keyhouse-key", "key_1"), ("x-keyhouse-mode", "live")].into_response(),
        || {
            let mut response = admission("1");
            response.headers_mut().insert("x-keyhouse-scope", "everything".parse().unwrap());
            response
        },
        || (StatusCode::NO_CONTENT, admission("1")).into_response(),
        || (StatusCode::FOUND, [("location", "/")], admission("1")).into_response(),
        || StatusCode::NOT_FOUND.into_response(),
        || (StatusCode::INTERNAL_SERVER_ERROR, admission("1")).into_response(),
        || (StatusCode::SERVICE_UNAVAILABLE, admission("1")).into_response(),
    ];
    for (nth, answer) in answers.into_iter().enumerate() {
        let fake = Fake::start(answer, None).await;
        let service = service(client(fake.address));
        for _ in 0..2 {
            assert_eq!(call(&service, "GET", &[("authorization", UNKNOWN)]).await.status, 503, "answer {nth}");
        }
        assert_eq!(fake.calls(), 2, "a refusal is not kept");
    }
    let nothing = service(client(free_address()));
    assert_eq!(call(&nothing, "GET", &[("authorization", UNKNOWN)]).await.status, 503);
    // A node that takes the call and never answers.
    let fake = Fake::start(|| admission("1"), Some(Arc::new(Notify::new()))).await;
    assert_eq!(call(&service(client(fake.address)), "GET", &[("authorization", UNKNOWN)]).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_calls_at_the_same_time_are_one_question() {
    let gate = Arc::new(Notify::new());
    let fake = Fake::start(|| admission("3"), Some(Arc::clone(&gate))).await;
    let service = service(client(fake.address));
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { call(&service, "GET", &[("authorization", UNKNOWN)]).await.status })
        })
        .collect();
    while fake.calls() == 0 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    for answered in calls {
        assert_eq!(answered.await.unwrap(), 200);
    }
    assert_eq!((fake.calls(), fake.connections.load(Ordering::Relaxed)), (1, 1));
    gate.notify_one();
    assert_eq!(call(&service, "DELETE", &[("authorization", UNKNOWN)]).await.status, 200);
    assert_eq!(fake.calls(), 2, "a write is another question");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_and_a_max_age_of_zero_asks_each_time() {
    let fake = Fake::start(|| admission("0"), None).await;
    let service = service(client(fake.address));
    for _ in 0..20 {
        assert_eq!(call(&service, "GET", &[("authorization", UNKNOWN)]).await.status, 200);
    }
    // A connection returns to the pool a moment after its answer, so now and then a call opens one more.
    let connections = fake.connections.load(Ordering::Relaxed);
    assert!(fake.calls() == 20 && connections < 5, "{} calls on {connections} connections", fake.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_another_header_leave_authorization_alone() {
    let fake = Fake::start(|| admission("0"), None).await;
    let client = client(fake.address).with_key_header(HeaderName::from_static("x-api-key"));
    let answer = call(&service(client), "GET", &[("x-api-key", "k"), ("authorization", "Basic a")]).await;
    assert!(answer.body.ends_with("key seen: true"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_outside_the_layer_refuses_every_call() {
    let open = Router::new().route("/orders", any(who));
    assert_eq!(call(&open, "GET", &[("authorization", UNKNOWN)]).await.status, 503);
}

#[test]
fn an_address_with_a_path_a_user_or_another_scheme_is_refused() {
    for address in ["https://a", "http://a/path", "http://a?x", "http://u:p@a", "a:80", "", "ftp://a"] {
        assert!(KeyhouseClient::new(address).is_err(), "{address}");
    }
    assert!(KeyhouseClient::new("http://[::1]:8080").is_ok());
}
