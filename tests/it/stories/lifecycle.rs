//! What becomes of a key over its months.

use std::time::Duration;

use keyhouse::app::keys::{RenameKeyError, Revocation, RevokeKeyError};
use keyhouse::domain::audit::Action;
use keyhouse::domain::key::{KeyName, Mode, Scope};
use keyhouse::domain::person::Email;
use keyhouse::domain::role::{KeyAdmin, Role};

use crate::harness::{shows, worlds};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

worlds! {
    async fn ninety_days_later(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        house.advance(DAY);
        assert_eq!(house.app.revoke_key(&house.shell(&team), key.key.id).await.unwrap(), Revocation::Now);

        house.advance(90 * DAY - Duration::from_millis(1));
        let listed = house.app.keys_of(&team).await.unwrap();
        assert_eq!(listed.len(), 1, "to the last millisecond");
        assert_eq!(listed[0].key.listed_until().unwrap().ms(), house.clock.now().ms() + 1);
        assert_eq!(house.app.forget_key_names().await.unwrap(), 0);

        house.advance(Duration::from_millis(1));
        assert!(house.app.keys_of(&team).await.unwrap().is_empty());
        assert_eq!(house.app.forget_key_names().await.unwrap(), 1);
        assert_eq!(house.app.key(key.key.id).await.unwrap().unwrap().name, None);

        // The hash stays: the token is refused for good, and a found one still leads to its key.
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
        assert!(house.app.find_key(key.token).await.unwrap().is_some());
        assert!(house.app.audit_of(&team, &Default::default(), None, 10).await.unwrap().iter().any(|event| event.action == Action::KeyRevoked));
    }

    async fn revoked_is_for_good(house) {
        let team = house.team("Acme").await;
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        let id = key.key.id;
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
        house.app.revoke_key(&house.shell(&team), id).await.unwrap();
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 401, "the very next call");

        let first = house.app.key(id).await.unwrap();
        house.advance(DAY);
        assert_eq!(house.app.revoke_key(&house.shell(&team), id).await.unwrap(), Revocation::Before);
        let renamed = house.app.rename_key(&house.shell(&team), id, &KeyName::parse("x").unwrap()).await;
        assert!(matches!(renamed, Err(RenameKeyError::Revoked)));
        assert!(house.app.revoke_all_keys(&house.shell(&team)).await.unwrap().is_empty());
        assert_eq!(house.app.key(id).await.unwrap(), first, "nothing changed it");
    }

    async fn each_change_leaves_one_audit_event(house) {
        let team = house.team("Acme").await;
        let member = house.app.members_of(&team).await.unwrap().remove(0);
        let admin = KeyAdmin::member(&member, "192.0.2.44").unwrap();
        let key = house.key(&team, Mode::Test, Scope::ReadOnly).await;
        house.app.rename_key(&admin, key.key.id, &KeyName::parse("Renamed").unwrap()).await.unwrap();
        house.app.revoke_key(&admin, key.key.id).await.unwrap();
        house.app.revoke_key(&admin, key.key.id).await.unwrap();
        let told: Vec<_> = house.app.audit_of(&team, &Default::default(), None, 10).await.unwrap().into_iter().rev()
            .map(|event| format!("{} {} | {} | {}", event.action.as_str(), event.detail, event.by.name, event.origin)).collect();
        shows!(told.join("\n"), @r#"
        team.created "Acme" | Command line (tester) | shell
        member.added owner@acme.example as owner | Command line (tester) | shell
        key.created pk_test_nX8... "A key", Read-only | Command line (tester) | shell
        key.renamed pk_test_nX8... "A key" to "Renamed" | owner | 192.0.2.44
        key.revoked pk_test_nX8... "Renamed" | owner | 192.0.2.44
        "#);
    }

    async fn a_role_lost_before_the_write_is_lost(house) {
        let team = house.team("Acme").await;
        let email = Email::parse("bob@example.com").unwrap();
        house.app.add_member("tester", &team, &email, Role::Admin).await.unwrap();
        let bob = house.app.member_by_email(&team, &email).await.unwrap().unwrap();
        let admin = KeyAdmin::member(&bob, "192.0.2.1").unwrap();
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        house.place.tamper("UPDATE members SET role = 'manager' WHERE role = 'admin'").await.unwrap();
        // The proof in hand was good when it was made; the write looks again.
        assert!(matches!(house.app.revoke_key(&admin, key.key.id).await, Err(RevokeKeyError::NotAllowed)));
        assert!(matches!(house.app.revoke_all_keys(&admin).await, Err(RevokeKeyError::NotAllowed)));
        let renamed = house.app.rename_key(&admin, key.key.id, &KeyName::parse("x").unwrap()).await;
        assert!(matches!(renamed, Err(RenameKeyError::NotAllowed)));
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 200);
    }

    async fn another_teams_key_can_be_neither_renamed_nor_revoked(house) {
        let ours = house.team("Acme").await;
        let theirs = house.team("Globex").await;
        let key = house.key(&theirs, Mode::Live, Scope::ReadWrite).await;
        assert!(matches!(house.app.revoke_key(&house.shell(&ours), key.key.id).await, Err(RevokeKeyError::NoSuchKey)));
        let renamed = house.app.rename_key(&house.shell(&ours), key.key.id, &KeyName::parse("x").unwrap()).await;
        assert!(matches!(renamed, Err(RenameKeyError::NoSuchKey)));
    }
}
