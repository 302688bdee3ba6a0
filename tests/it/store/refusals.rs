//! The second line: what the database refuses, whatever a statement says.

use keyhouse::domain::key::{Mode, Scope};

use crate::harness::{House, Place, worlds};

async fn refused(house: &House, sql: &'static str, because: &str) {
    let error = house.place.tamper(sql).await.expect_err(sql).to_string();
    assert!(error.contains(because), "{sql}: {error}");
}

worlds! {
    async fn a_revoked_key_stays_revoked(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        house.app.revoke_key(&house.shell(&team), key.key.id).await.unwrap();
        let because = "a revoked key stays revoked";
        refused(&house, "UPDATE keys SET revoked_at = NULL, revoked_by_name = NULL", because).await;
        refused(&house, "UPDATE keys SET revoked_at = revoked_at + 1", because).await;
        refused(&house, "UPDATE keys SET revoked_by_name = 'somebody else'", because).await;
        // The daily job may do what it must.
        assert_eq!(house.place.tamper("UPDATE keys SET name = NULL").await.unwrap(), 1);
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
    }

    async fn a_key_keeps_its_token_team_and_mode_and_is_never_deleted(house) {
        house.live_token().await;
        let because = "a key keeps what it was made with";
        refused(&house, "UPDATE keys SET mode = 'test'", because).await;
        refused(&house, "UPDATE keys SET id = 'key_x'", because).await;
        refused(&house, "UPDATE keys SET scope = 'read_only'", because).await;
        refused(&house, "UPDATE keys SET created_by_name = 'nobody'", because).await;
        refused(&house, "DELETE FROM keys", "a key is never deleted").await;
        match &house.place {
            Place::Folder(_) => {
                let replace = "INSERT OR REPLACE INTO keys SELECT * FROM keys";
                refused(&house, replace, "a key is never replaced").await;
                refused(&house, "INSERT OR REPLACE INTO audit SELECT * FROM audit", "an audit event is never replaced").await;
            }
            Place::Postgres { .. } => {
                refused(&house, "TRUNCATE keys CASCADE", "a key is never deleted").await;
                refused(&house, "TRUNCATE audit", "an audit event is never deleted").await;
            }
        }
    }

    async fn an_eleventh_active_key_has_no_slot(house) {
        let team = house.team("Acme").await;
        for _ in 0..10 {
            house.key(&team, Mode::Live, Scope::ReadOnly).await;
        }
        let error = house.place.tamper("UPDATE keys SET slot = 1").await.unwrap_err();
        assert!(error.as_database_error().unwrap().is_unique_violation());
        assert!(house.place.tamper("UPDATE keys SET slot = 11").await.unwrap_err().as_database_error().unwrap().is_check_violation());
    }

    async fn the_audit_log_is_final(house) {
        house.live_token().await;
        refused(&house, "UPDATE audit SET by_name = 'nobody'", "an audit event is never changed").await;
        refused(&house, "DELETE FROM audit", "an audit event is never deleted").await;
    }

    async fn a_value_that_cannot_be_read_is_an_alarm_not_a_default(house) {
        let token = house.live_token().await;
        let made = house.post("/api/v1/products", r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#).bearer(&token).await;
        house.place.tamper("UPDATE products SET currency = 'nonsense'").await.unwrap();
        let answer = house.get(made.header("location").unwrap()).bearer(&token).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal_error"));
    }
}
