//! What is done to a key on its page: rotate, end the former token, pause, resume, conditions, revoke with a reason, and a
//! successor.

use std::time::Duration;

use keyhouse::app::usage::Flush;
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_token::Mode;
use rstest::rstest;

use super::{PASSWORD, between, faults};
use test_support::{Answer, Engine, TestApp};

const KEYS: &str = "/t/acme/settings/integrations/api-keys";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn team(app: &TestApp) -> Team {
    app.inner.queries().team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap()
}

async fn listed(app: &TestApp, id: KeyId) -> ListedKey {
    app.inner.queries().key(id).await.unwrap().unwrap()
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/key").bearer(token).await.status.as_u16()
}

fn token_in(page: &Answer) -> String {
    between(page.text(), "translate=\"no\">", "<").to_owned()
}

fn path(id: KeyId, rest: &str) -> String {
    format!("{KEYS}/{id}{rest}")
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_shows_the_new_token_once_and_says_which_token_is_used(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let key = app.key(&team(&app).await, Mode::Live, Scope::ReadOnly).await;
    let (id, former) = (key.key.id, key.token.expose().to_owned());
    assert_eq!(app.send(&ada, &path(id, "/rotate"), &[("overlap", "9d")]).await.status, 422);
    let rotated = app.send(&ada, &path(id, "/rotate"), &[("overlap", "24h")]).await;
    assert_eq!(rotated.status, 200, "{rotated}");
    let new = token_in(&rotated);
    assert!(new.len() == 50 && new != former && rotated.text().contains("data-guard"));
    assert_eq!((status(&app, &former).await, status(&app, &new).await), (200, 200));

    let again = app.send(&ada, &path(id, "/rotate"), &[("overlap", "24h")]).await;
    assert_eq!(again.status, 409, "a form that is sent twice rotates once");
    assert!(again.text().contains("End it before you rotate again") && !again.text().contains(&new[12..]));

    app.inner.flush_usage(Flush::Everything).await.unwrap();
    app.inner.record_token_uses().await.unwrap();
    let page = app.page(&ada, &path(id, "")).await;
    assert!(page.text().contains("The former token is still used"), "{page}");
    assert!(!page.text().contains(&new[12..]), "never again");
    let tokens = between(page.text(), r#"<ul class="tokens">"#, "</ul>");
    let badges = tokens.find("New</span>").zip(tokens.find("Former</span>"));
    assert!(badges.is_some_and(|(new, former)| new < former) && tokens.matches("Last used").count() == 2, "{tokens}");
    let ended = app.send(&ada, &path(id, "/end-former"), &[]).await;
    assert_eq!(ended.location(), path(id, "?done=former-ended"));
    assert_eq!((status(&app, &former).await, status(&app, &new).await), (401, 200));
    assert!(app.page(&ada, ended.location()).await.text().contains("Former token ended"));
    app.advance(Duration::from_secs(60));
    assert_eq!(status(&app, &former).await, 401);
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let tried = app.page(&ada, &path(id, "")).await;
    let sentence = format!(
        "<strong>The former token is still tried.</strong> <code>{}...</code> was refused 2 times since it ended, \
         from <code>203.0.113.7</code>, last <time class=\"when\"",
        &former[..11]
    );
    assert!(tried.text().contains(&sentence), "{tried}");
    assert!(!tried.text().contains("The former token is still used"), "{tried}");

    let now = app.send(&ada, &path(id, "/rotate"), &[("overlap", "now")]).await;
    assert_eq!((status(&app, &new).await, status(&app, &token_in(&now)).await), (401, 200), "it leaked");
    app.advance(HOUR);
    let asked = app.send(&ada, &path(id, "/rotate"), &[("overlap", "24h")]).await;
    assert!(asked.text().contains("confirm_password"), "a live key needs a recent sign-in: {asked}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_says_who_was_refused_and_resuming_a_live_key_needs_a_recent_sign_in(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let key = app.key(&team(&app).await, Mode::Live, Scope::ReadOnly).await;
    let (id, token) = (key.key.id, key.token.expose());
    app.advance(HOUR);
    assert_eq!(app.send(&ada, &path(id, "/pause"), &[]).await.status, 422);
    let paused = app.send(&ada, &path(id, "/pause"), &[("length", "24h")]).await;
    assert_eq!(paused.location(), path(id, "?done=paused"), "without a password: {paused}");
    assert_eq!(status(&app, token).await, 401);
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let page = app.page(&ada, paused.location()).await;
    assert!(page.text().contains("Refused 1 time</strong> from <code>203.0.113.7</code>"), "{page}");
    let undo = format!("</span><form method=\"post\" action=\"{}\">", path(id, "/resume"));
    assert!(page.text().contains(&undo), "the message offers Undo: {page}");
    assert!(app.page(&ada, KEYS).await.text().contains(">Paused</span>"));

    let asked = app.send(&ada, &path(id, "/resume"), &[]).await;
    assert!(asked.text().contains("confirm_password") && status(&app, token).await == 401);
    let resumed = app.send(&ada, &path(id, "/resume"), &[("confirm_password", PASSWORD)]).await;
    assert_eq!((resumed.location(), status(&app, token).await), (&*path(id, "?done=resumed"), 200));

    let ada = resumed.cookie().unwrap_or(ada);
    app.send(&ada, &path(id, "/pause"), &[("length", "1h")]).await;
    assert_eq!(status(&app, token).await, 401);
    app.advance(HOUR);
    assert_eq!(status(&app, token).await, 200, "it resumes by itself");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_tried_on_recent_calls_before_they_are_saved(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let key = app.key(&team(&app).await, Mode::Test, Scope::ReadOnly).await;
    let (id, token) = (key.key.id, key.token.expose());
    assert_eq!(status(&app, token).await, 200);
    app.inner.flush_usage(Flush::Everything).await.unwrap();
    let send = async |fields: &[(&str, &str)]| app.send(&ada, &path(id, "/conditions"), fields).await;

    let clean = send(&[("allowed", "203.0.113.0/24"), ("step", "check")]).await;
    assert!(
        clean.text().contains("Of the 1 recorded calls of the last 7 days, <strong>0 would have been refused"),
        "{clean}"
    );
    let outside = send(&[("allowed", "198.51.100.0/24"), ("step", "save")]).await;
    assert!(outside.text().contains("<strong>1 would have been refused</strong>. Outside: <code>203.0.113.7</code>"));
    assert_eq!(status(&app, token).await, 200, "nothing is saved before it was seen");
    let fields = [("allowed", "198.51.100.0/24"), ("seen", "198.51.100.0/24"), ("step", "save")];
    assert_eq!(send(&fields).await.location(), path(id, "?done=conditions"));
    assert_eq!(status(&app, token).await, 401);
    let refused = send(&[("allowed", "10.0.0.5/8"), ("expires", "soon")]).await;
    assert_eq!((refused.status.as_u16(), faults(&refused).len()), (422, 2), "{refused}");
    assert_eq!(send(&[("expires", "2020-01-01")]).await.status, 422, "in the past");

    send(&[("expires", "2026-11-30")]).await;
    assert_eq!(status(&app, token).await, 200, "any address again");
    for page in [app.page(&ada, KEYS).await, app.page(&ada, &path(id, "")).await] {
        assert!(page.text().contains("Expires <time") && page.text().contains("in 7 days"), "{page}");
    }
    app.advance(HOUR * 24 * 7);
    let ada = app.browser("ada@example.com").await;
    assert_eq!(status(&app, token).await, 401);
    assert!(app.page(&ada, &path(id, "")).await.text().contains("<strong>Expired</strong>"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longest_lifetime_makes_new_keys_expire(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    for typed in ["0", "4000", "x"] {
        assert_eq!(
            app.send(&ada, "/t/acme/settings", &[("setting", "lifetime"), ("lifetime", typed)]).await.status,
            422,
            "{typed}"
        );
    }
    let saved = app.send(&ada, "/t/acme/settings", &[("setting", "lifetime"), ("lifetime", "30")]).await;
    assert_eq!(saved.location(), "/t/acme/settings?done=lifetime");
    let form = app.page(&ada, &format!("{KEYS}/new")).await;
    assert!(form.text().contains(r#"value="2026-12-24""#), "the longest is filled in: {form}");
    let create = async |expires: &str, allowed: &str| {
        let id = app.inner.new_key_id().to_string();
        let fields = [("name", "CI"), ("mode", "test"), ("scope", "read_only"), ("same_name", "CI")];
        let conditions = [("id", &*id), ("expires", expires), ("allowed", allowed)];
        app.send(&ada, &format!("{KEYS}/new"), &[&fields[..], &conditions[..]].concat()).await
    };
    for (expires, allowed) in [("", ""), ("2027-12-24", ""), ("2026-12-01", "everywhere")] {
        assert_eq!(create(expires, allowed).await.status, 422, "{expires} {allowed}");
    }
    let created = create("2026-12-01", "203.0.113.7").await;
    assert_eq!((created.status.as_u16(), status(&app, &token_in(&created)).await), (200, 200));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_revoked_with_a_reason_and_a_successor(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let key = app.key(&team(&app).await, Mode::Test, Scope::ReadOnly).await;
    let id = key.key.id;
    let long = "x".repeat(201);
    assert_eq!(app.send(&ada, &path(id, "/revoke"), &[("reason", &long)]).await.status, 422);
    let new_id = app.inner.new_key_id();
    let (new, reason) = (new_id.to_string(), "Found in a public repository");
    let fields = [("step", "successor"), ("successor", &*new), ("reason", reason), ("from", "key")];
    let shown = app.send(&ada, &path(id, "/revoke"), &fields).await;
    assert_eq!(shown.status, 200, "{shown}");
    let token = token_in(&shown);
    assert_eq!((status(&app, key.token.expose()).await, status(&app, &token).await), (200, 200));
    assert!(shown.text().contains(r#"name="reason" value="Found in a public repository""#));
    let again = app.send(&ada, &path(id, "/revoke"), &fields).await;
    assert!(again.status == 422 && !again.text().contains(&token[12..]), "shown once: {again}");

    let done = app.send(&ada, &path(id, "/revoke"), &[("reason", reason), ("from", "key")]).await;
    assert_eq!((status(&app, key.token.expose()).await, status(&app, &token).await), (401, 200));
    assert!(app.page(&ada, done.location()).await.text().contains("“<bdi>Found in a public repository</bdi>”"));
    assert_eq!(listed(&app, id).await.successor, Some(new_id));
    let link = format!("<dt>Successor</dt><dd><a href=\"{}\"", path(new_id, ""));
    assert!(app.page(&ada, done.location()).await.text().contains(&link));
    let created = app.page(&ada, &path(new_id, "")).await;
    assert!(created.text().contains(&format!("in place of {}", key.key.prefix())), "{created}");
    let successor = listed(&app, new_id).await;
    assert_eq!((successor.name, successor.key.scope), (listed(&app, id).await.name, Scope::ReadOnly));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_that_a_person_created_are_revoked_at_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let ada = app.set_up().await;
    let other = app.key(&team(&app).await, Mode::Test, Scope::ReadOnly).await;
    let mut tokens = Vec::new();
    for name in ["One", "Two"] {
        let id = app.inner.new_key_id().to_string();
        let fields = [("id", &*id), ("name", name), ("mode", "test"), ("scope", "read_only")];
        tokens.push(token_in(&app.send(&ada, &format!("{KEYS}/new"), &fields).await));
    }
    let person = app.person_id(&ada).await.unwrap();
    let page = format!("{KEYS}/created-by/{person}");
    let asked = app.page(&ada, &page).await;
    assert!(asked.text().contains("Revoke 2 keys") && !asked.text().contains("A key"), "{asked}");
    let done = app.send(&ada, &page, &[("reason", "Left the company")]).await;
    assert_eq!(done.location(), format!("{KEYS}?done=all-revoked"));
    for token in &tokens {
        assert_eq!(status(&app, token).await, 401);
    }
    assert_eq!(status(&app, other.token.expose()).await, 200);
    assert!(app.page(&ada, &page).await.text().contains("hasn’t created any keys that are active"));
}
