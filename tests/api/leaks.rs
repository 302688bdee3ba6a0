//! Reports of leaked tokens: without an account, from GitHub and from GitLab.

use rstest::rstest;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use keyhouse::app::infra::clock::Clock;
use keyhouse::app::leaks::LeakAction;
use keyhouse::web::leaks::GithubKeys;
use keyhouse::web::shared_secret::SharedSecret;
use keyhouse_domain::audit::{Action, AuditEvent, AuditFilter};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::Team;
use keyhouse_token::{Brand, Mode, RawToken};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use test_support::{Answer, BEGINNING, Engine, TestApp, TestDatabase, assert_text, open};

const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
const SECRET: &str = "gitlab-and-keyhouse-share-this-secret";
const TYPE: &str = "gitleaks_rule_id_keyhouse_api_key";

/// A key that signs like GitHub's, under an id.
struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    fn pem(&self) -> String {
        let prefix = HEXLOWER.decode(b"3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        let der = [&prefix[..], self.pair.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&der))
    }

    fn sign(&self, body: &str) -> String {
        BASE64.encode(self.pair.sign(&SystemRandom::new(), body.as_bytes()).unwrap().as_ref())
    }
}

/// Keyhouse with GitHub's and GitLab's protocols on, and the file of GitHub's keys.
struct Partners {
    app: TestApp,
    signers: [Signer; 2],
    file: tempfile::NamedTempFile,
}

async fn partners(engine: Engine, action: LeakAction) -> Partners {
    let signers = [Signer::new("first"), Signer::new("second")];
    let file = tempfile::NamedTempFile::new().unwrap();
    publish(&file, &signers);
    let keys = GithubKeys::parse(file.path().to_str().unwrap()).unwrap();
    let (place, clock) = (TestDatabase::on(engine).await, Clock::manual(BEGINNING));
    let app = open(&place, clock.clone(), 1).await;
    let app = TestApp::serve(place, clock, app, |state| {
        state.leaks.action = action;
        state.leaks.github = Some(Arc::new(keys));
        state.leaks.gitlab = Some(SharedSecret::parse(SECRET).unwrap());
    });
    Partners { app, signers, file }
}

fn publish(file: &tempfile::NamedTempFile, signers: &[Signer]) {
    let keys: Vec<_> = signers
        .iter()
        .map(|signer| json!({ "key_identifier": signer.id, "key": signer.pem(), "is_current": true }))
        .collect();
    std::fs::write(file.path(), json!({ "public_keys": keys }).to_string()).unwrap();
}

impl Partners {
    async fn github(&self, signer: &Signer, body: &str) -> Answer {
        self.signed(signer.id, &signer.sign(body), body).await
    }

    async fn signed(&self, id: &str, signature: &str, body: &str) -> Answer {
        let call = self.app.post("/leaks/github", body);
        call.header("Github-Public-Key-Identifier", id).header("Github-Public-Key-Signature", signature).await
    }
}

fn matches(tokens: &[&str]) -> String {
    let all: Vec<_> = tokens
        .iter()
        .map(|token| json!({ "token": token, "type": "keyhouse_api_key", "url": "https://github.com/a/b", "source": "Commit" }))
        .collect();
    json!(all).to_string()
}

async fn works(app: &TestApp, token: &str) -> bool {
    app.get("/api/v1/key").bearer(token).await.status == 200
}

async fn reports(app: &TestApp, team: &Team) -> Vec<AuditEvent> {
    let filter = AuditFilter { action: Some(Action::KeyLeaked), ..AuditFilter::default() };
    app.inner.queries().audit_events(team.id, &filter, None, 100).await.unwrap()
}

fn tokens(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 202, "{answer}");
    answer.json()["data"]["tokens"].as_u64().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_report_ends_the_keys_of_the_tokens_and_shows_nothing_about_them(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let (one, two) =
        (app.key(&team, Mode::Live, Scope::ReadWrite).await, app.key(&team, Mode::Test, Scope::ReadOnly).await);
    let text = format!("KEY={}\ncurl -H 'Authorization: Bearer {}'", one.token.expose(), two.token.expose());
    assert!(works(&app, one.token.expose()).await && works(&app, two.token.expose()).await);
    let answer = app.post("/leaks/report", &json!({ "text": text }).to_string()).await;
    assert_eq!(tokens(&answer), 2);
    assert!(!works(&app, one.token.expose()).await && !works(&app, two.token.expose()).await);
    let events = reports(&app, &team).await;
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].by.name.as_str(), events[0].source.as_str()), ("Leak report (public report)", "203.0.113.7"));
    assert!(events.iter().all(|event| !event.detail.contains(&one.token.expose()[11..])), "never the token");

    let again = app.post("/leaks/report", &json!({ "text": text }).to_string()).await;
    assert_eq!(again.without_request_id(), answer.without_request_id(), "the same for a revoked key");
    let unknown = app.call("POST", "/leaks/report").header("content-type", "text/plain").body(UNKNOWN).await;
    assert_text!(unknown.without_request_id(), @r#"
    202 Accepted
    cache-control: no-store
    content-length: 21
    content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
    content-type: application/json
    permissions-policy: camera=(), geolocation=(), microphone=()
    referrer-policy: same-origin
    vary: Accept, Cookie
    x-content-type-options: nosniff
    x-request-id: req_…

    {"data":{"tokens":1}}
    "#);
    let none = app.call("POST", "/leaks/report").header("content-type", "text/plain; charset=utf-8").body("none").await;
    assert_eq!(tokens(&none), 0);
    assert_eq!(reports(&app, &team).await.len(), 2, "repeated reports write nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_can_not_be_read_is_refused() {
    let app = TestApp::on(Engine::Sqlite).await;
    for (body, status, code) in [
        ("", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ("{}", 400, "validation_failed"),
        (r#"{"text":1}"#, 400, "validation_failed"),
        (r#"{"text":"a","text":"b"}"#, 400, "validation_failed"),
        (r#"{"text":"a","token":"b"}"#, 400, "validation_failed"),
        (&format!("{{\"text\":\"{}\"}}", "x".repeat(64 << 10)), 413, "payload_too_large"),
    ] {
        let answer = app.post("/leaks/report", body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body:.40}");
    }
    let form = app.call("POST", "/leaks/report").header("content-type", "application/x-www-form-urlencoded").await;
    assert_eq!((form.status.as_u16(), form.header("accept")), (415, Some("application/json, text/plain")));
    assert_eq!(app.get("/leaks/report").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_limited_by_network_and_can_be_turned_off() {
    let app = TestApp::on(Engine::Sqlite).await;
    let send = || app.call("POST", "/leaks/report").header("content-type", "text/plain").body("x");
    for _ in 0..60 {
        assert_eq!(send().await.status, 202);
    }
    let refused = send().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(app.answer_from([198, 51, 100, 7], send()).await.status, 202, "another network");
    app.advance(Duration::from_secs(120));
    assert_eq!(send().await.status, 202);

    let (place, clock) = (TestDatabase::folder(), Clock::manual(BEGINNING));
    let inner = open(&place, clock.clone(), 1).await;
    let off = TestApp::serve(place, clock, inner, |state| state.leaks.public_report = false);
    let answer = off.call("POST", "/leaks/report").header("content-type", "text/plain").body(UNKNOWN).await;
    assert_eq!((answer.status.as_u16(), off.get("/leaks").await.status.as_u16()), (404, 404));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn github_reports_matches_and_gets_feedback_about_each(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let partners = partners(engine, LeakAction::Revoke).await;
    let app = &partners.app;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    assert!(works(app, token).await);
    let answer = partners.github(&partners.signers[1], &matches(&[token, UNKNOWN, "not ours"])).await;
    assert_eq!(answer.status, 200, "{answer}");
    let feedback = answer.json();
    let labels: Vec<_> = feedback.as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["true_positive", "false_positive", "false_positive"]);
    let hash = HEXLOWER.encode(&Sha256::digest(token.as_bytes()));
    assert_eq!(feedback[0], json!({ "token_hash": hash, "token_type": "keyhouse_api_key", "label": "true_positive" }));
    assert!(!answer.text().contains(token));
    assert!(!works(app, token).await);
    let events = reports(app, &team).await;
    assert_eq!(events[0].by.name, "Leak report (GitHub)");
    assert!(events[0].detail.ends_with("revoked, found at https://github.com/a/b"), "{}", events[0].detail);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn github_requests_that_are_forged_changed_swapped_or_repeated_do_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let partners = partners(engine, LeakAction::Revoke).await;
    let app = &partners.app;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let body = matches(&[key.token.expose()]);
    let [first, second] = &partners.signers;
    let forger = Signer::new("first");
    let spaced = body.replace(',', ", ");
    let good = first.sign(&body);
    let (start, end) = good.split_at(20);
    let other = if end.starts_with('A') { "B" } else { "A" };
    let changed = format!("{start}{other}{}", &end[1..]);
    for (id, signature, body, what) in [
        ("first", forger.sign(&body), &body, "signed by a forger under GitHub's id"),
        ("forger", forger.sign(&body), &body, "an id that GitHub has not"),
        ("second", good.clone(), &body, "the id of GitHub's other key"),
        ("first", second.sign(&body), &body, "signed by GitHub's other key"),
        ("first", good.clone(), &spaced, "serialized again with spaces"),
        ("first", first.sign("[]"), &body, "the signature of another report"),
        ("first", String::new(), &body, "an empty signature"),
        ("first", changed, &body, "a changed signature"),
        ("first", "not base64!".to_owned(), &body, "no Base64"),
    ] {
        let answer = partners.signed(id, &signature, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "bad_request"), "{what}: {answer}");
    }
    assert_eq!(app.post("/leaks/github", &body).await.status, 400, "without the headers");
    let twice = app.post("/leaks/github", &body).header("Github-Public-Key-Identifier", "first");
    let twice = twice.header("Github-Public-Key-Signature", &good).header("Github-Public-Key-Signature", &good);
    assert_eq!(twice.await.status, 400, "two signatures");
    assert!(works(app, key.token.expose()).await, "none of them did anything");

    assert_eq!(partners.signed("first", &good, &body).await.status, 200);
    let repeated = partners.signed("first", &good, &body).await;
    assert_eq!((repeated.status.as_u16(), repeated.code().as_str()), (400, "bad_request"));
    let signed_again = partners.github(first, &body).await;
    assert_eq!(signed_again.status, 400, "the same report under another signature");
    assert_eq!(reports(app, &team).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_github_is_read_when_it_is_first_used() {
    let partners = partners(Engine::Sqlite, LeakAction::Revoke).await;
    let third = [Signer::new("third")];
    assert_eq!(partners.github(&partners.signers[0], "[]").await.status, 200);
    publish(&partners.file, &third);
    assert_eq!(partners.github(&third[0], "[ ]").await.status, 400, "the list is read at most once a minute");
    partners.app.advance(Duration::from_secs(60));
    assert_eq!(partners.github(&third[0], "[ ]").await.status, 200);
    partners.app.advance(Duration::from_secs(60 * 60));
    std::fs::remove_file(partners.file.path()).unwrap();
    assert_eq!(partners.github(&third[0], "[  ]").await.status, 200, "the former list is used if there is no new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_keys_github_is_asked_to_try_again() {
    let (place, clock) = (TestDatabase::folder(), Clock::manual(BEGINNING));
    let inner = open(&place, clock.clone(), 1).await;
    let app = TestApp::serve(place, clock, inner, |state| {
        state.leaks.github = Some(Arc::new(GithubKeys::parse("http://127.0.0.1:1/keys").unwrap()));
    });
    let signer = Signer::new("first");
    let call = app.post("/leaks/github", "[]").header("Github-Public-Key-Identifier", signer.id);
    let answer = call.header("Github-Public-Key-Signature", signer.sign("[]")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("60")));
}

/// 1,000 matches in one report, a tenth of them keys of a hundred teams: two transactions change them all.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_matches_are_processed_in_one_report(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let partners = partners(engine, LeakAction::Revoke).await;
    let app = &partners.app;
    let brand = Brand::parse("pk").unwrap();
    let mut all = Vec::new();
    for n in 0..100 {
        let team = app.team(&format!("Team{n}")).await;
        all.push(app.key(&team, Mode::Live, Scope::ReadWrite).await.token.expose().to_owned());
    }
    let real = all.clone();
    for n in 0..900u32 {
        let token = RawToken::from_entropy(&brand, Mode::Test, |bytes| bytes.fill((n % 248) as u8));
        all.push(if n < 248 { token.expose().to_owned() } else { format!("pk_test_{n:042}") });
    }
    let body = matches(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let answer = partners.github(&partners.signers[0], &body).await;
    assert_eq!(answer.status, 200, "{answer}");
    let labels = answer.json();
    let positive = |one: &&Value| one["label"] == "true_positive";
    assert_eq!(labels.as_array().unwrap().len(), 1000);
    assert_eq!(labels.as_array().unwrap().iter().filter(positive).count(), 100);
    for token in &real {
        assert!(!works(app, token).await);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn gitlab_lists_the_type_and_revokes_tokens_with_the_shared_secret(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let partners = partners(engine, LeakAction::Revoke).await;
    let app = &partners.app;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let token = key.token.expose();
    let types = "/leaks/gitlab/v1/revocable_token_types";
    for secret in [SECRET.to_owned(), format!("Bearer {SECRET}")] {
        let answer = app.get(types).header("authorization", &secret).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "types": [TYPE] })));
    }
    for secret in ["", "Bearer ", &SECRET[1..], "Basic x", token] {
        let answer = app.get(types).header("authorization", secret).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some(r#"Bearer realm="leaks""#)));
    }
    assert_eq!(app.get(types).await.status, 401);

    let revoke = "/leaks/gitlab/v1/revoke_tokens";
    let finding =
        |kind: &str| json!([{ "type": kind, "token": token, "location": "https://git.example/x" }]).to_string();
    assert_eq!(app.post(revoke, &finding(TYPE)).await.status, 401);
    let send = |body: &str| app.post(revoke, body).header("authorization", SECRET);
    for (body, status) in [(finding("gitleaks_rule_id_other"), 400), ("{}".to_owned(), 400), ("x".to_owned(), 400)] {
        assert_eq!(send(&body).await.status.as_u16(), status, "{body}");
    }
    assert!(works(app, token).await);
    let answer = send(&finding(TYPE)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert!(!works(app, token).await);
    assert_eq!(send(&finding(TYPE)).await.status, 204, "a repeated call is accepted");
    let events = reports(app, &team).await;
    assert_eq!((events.len(), events[0].by.name.as_str()), (1, "Leak report (GitLab)"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_key_works_again_once_an_admin_resumes_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let partners = partners(engine, LeakAction::Pause).await;
    let app = &partners.app;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let report = || {
        let text = key.token.expose().to_owned();
        app.call("POST", "/leaks/report").header("content-type", "text/plain").body(text)
    };
    assert_eq!(tokens(&report().await), 1);
    assert!(!works(app, key.token.expose()).await);
    assert_eq!(tokens(&report().await), 1, "a repeated report");
    let events = reports(app, &team).await;
    assert!(events.len() == 1 && events[0].detail.ends_with("paused"), "{events:?}");
    app.inner.resume_key(&app.shell(&team), key.key.id).await.unwrap();
    assert!(works(app, key.token.expose()).await, "it was not revoked");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_flagged_key_goes_on_working(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let partners = partners(engine, LeakAction::Flag).await;
    let app = &partners.app;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    let answer =
        app.call("POST", "/leaks/report").header("content-type", "text/plain").body(key.token.expose().to_owned());
    assert_eq!(tokens(&answer.await), 1);
    assert!(works(app, key.token.expose()).await);
    let events = reports(app, &team).await;
    assert!(events.len() == 1 && events[0].detail.ends_with("flagged"), "{events:?}");
}
