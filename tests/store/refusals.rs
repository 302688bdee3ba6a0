//! The second line: what the database refuses, whatever a statement says.

use keyhouse_domain::scope::Scope;
use keyhouse_token::Mode;
use rstest::rstest;

use test_support::{Engine, TestApp, TestDatabase};

async fn refused(app: &TestApp, sql: &'static str, because: &str) {
    let error = app.place.execute_sql(sql).await.expect_err(sql).to_string();
    assert!(error.contains(because), "{sql}: {error}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_stays_revoked(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    let key = app.key(&team, Mode::Live, Scope::ReadWrite).await;
    app.inner.revoke_key(&app.shell(&team), key.key.id, None).await.unwrap();
    let because = "a revoked key stays revoked";
    refused(&app, "UPDATE keys SET revoked_at = NULL, revoked_by_name = NULL", because).await;
    refused(&app, "UPDATE keys SET revoked_at = revoked_at + 1", because).await;
    refused(&app, "UPDATE keys SET revoked_by_name = 'another'", because).await;
    refused(&app, "UPDATE keys SET revoked_reason = 'another'", because).await;
    refused(&app, "UPDATE keys SET ended_at = NULL", "a key that has ended stays ended").await;
    // The daily job may do what it must.
    assert_eq!(app.place.execute_sql("UPDATE keys SET name = NULL").await.unwrap(), 1);
    assert_eq!(app.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_keeps_its_token_team_and_mode_and_is_never_deleted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    app.live_token().await;
    let because = "a key keeps what it was made with";
    refused(&app, "UPDATE keys SET mode = 'test'", because).await;
    refused(&app, "UPDATE keys SET id = 'key_x'", because).await;
    refused(&app, "UPDATE keys SET scope = 'read_only'", because).await;
    refused(&app, "UPDATE keys SET created_by_name = 'another'", because).await;
    refused(&app, "DELETE FROM keys", "a key is never deleted").await;
    refused(&app, "UPDATE key_tokens SET number = 2", "a token keeps what it was made with").await;
    refused(&app, "DELETE FROM key_tokens", "a token is never deleted").await;
    app.place.execute_sql("UPDATE key_tokens SET ends_at = 5").await.unwrap();
    let put_off = "the end of a former token is never put off";
    refused(&app, "UPDATE key_tokens SET ends_at = 6", put_off).await;
    refused(&app, "UPDATE key_tokens SET ends_at = NULL", put_off).await;
    match &app.place {
        TestDatabase::Folder(_) => {
            let replace = "INSERT OR REPLACE INTO keys SELECT * FROM keys";
            refused(&app, replace, "a key is never replaced").await;
            refused(&app, "INSERT OR REPLACE INTO audit SELECT * FROM audit", "an audit event is never replaced").await;
        }
        TestDatabase::Postgres { .. } => {
            refused(&app, "TRUNCATE keys CASCADE", "a key is never deleted").await;
            refused(&app, "TRUNCATE audit", "an audit event is never deleted").await;
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eleventh_active_key_has_no_slot(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    let team = app.team("Acme").await;
    for _ in 0..10 {
        app.key(&team, Mode::Live, Scope::ReadOnly).await;
    }
    let error = app.place.execute_sql("UPDATE keys SET slot = 1").await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());
    assert!(
        app.place
            .execute_sql("UPDATE keys SET slot = 11")
            .await
            .unwrap_err()
            .as_database_error()
            .unwrap()
            .is_check_violation()
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_final(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let app = TestApp::on(engine).await;
    app.live_token().await;
    refused(&app, "UPDATE audit SET by_name = 'another'", "an audit event is never changed").await;
    refused(&app, "DELETE FROM audit", "an audit event is never deleted").await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_read_is_an_alarm_not_a_default(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let app = TestApp::on(engine).await;
    let token = app.live_token().await;
    let made = app.post("/api/v1/products", r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#).bearer(&token).await;
    app.place.execute_sql("UPDATE products SET currency = 'nonsense'").await.unwrap();
    let answer = app.get(made.header("location").unwrap()).bearer(&token).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal_error"));
}
