//! The team: settings, members, and what is lost when a role is.

use std::time::Duration;

use keyhouse::domain::key::{KeyName, Mode, NewKey, Scope};
use keyhouse::domain::person::Email;
use keyhouse::domain::role::{Permit, Role, Seat};
use keyhouse::domain::secret::Secret;
use keyhouse::domain::team::TeamRef;

use super::{PASSWORD, between, faults};
use crate::harness::{House, shows, worlds};

const MEMBERS: &str = "/t/acme/settings/members";
const KEYS: &str = "/t/acme/settings/integrations/api-keys";

async fn person(house: &House, email: &str) -> String {
    let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
    let member = house.app.member_by_email(&team, &Email::parse(email).unwrap()).await.unwrap();
    member.unwrap().person.to_string()
}

/// The seat of a browser, as a request that has just been let in holds it.
async fn seat(house: &House, cookie: &str) -> Seat {
    let secret = Secret::parse(cookie.split_once('=').unwrap().1).unwrap();
    let (session, person) = house.app.session(&secret).await.unwrap().unwrap();
    let (team, role) = house.app.teams_of(person.id).await.unwrap().remove(0);
    Seat { team, role, person, session: session.id, origin: "203.0.113.7".into() }
}

worlds! {
    async fn each_role_sees_what_is_theirs(house) {
        let ada = house.set_up().await;
        for (name, role, manages, edits) in [("Ann", "admin", true, true), ("Max", "manager", false, true), ("Mia", "member", false, false)] {
            let cookie = house.join(&ada, name, role).await;
            let products = house.page(&cookie, "/t/acme/products").await;
            assert_eq!(products.text().contains("/t/acme/settings"), manages, "{role}: the menu");
            assert_eq!(products.text().contains("/t/acme/products/new"), edits, "{role}: the button");
            let keys = house.page(&cookie, KEYS).await;
            if manages {
                assert_eq!(keys.status, 200);
            } else {
                assert_eq!(keys.status, 403);
                assert!(keys.text().contains("Ask one of them") && keys.text().contains("ada@example.com"));
            }
            let settings = house.page(&cookie, "/t/acme/settings").await;
            assert_eq!(settings.status == 200, manages);
            assert!(!settings.text().contains("Delete team"), "{role}: the owner's alone");
        }
    }

    async fn members_are_changed_and_removed_with_or_without_their_keys(house) {
        let ada = house.set_up().await;
        let ann = house.join(&ada, "Ann", "admin").await;
        let id = person(&house, "ann@example.com").await;
        let ada_id = person(&house, "ada@example.com").await;
        let made = house.send(&ann, &format!("{KEYS}/new"), &[("name", "Ann's"), ("mode", "live"), ("scope", "read_only")]).await;
        let token = between(made.text(), "translate=\"no\">", "<").to_owned();

        for (path, fields) in [("role", [("role", "member")]), ("remove", [("keys", "keep")])] {
            let refused = house.send(&ann, &format!("{MEMBERS}/{ada_id}/{path}"), &fields).await;
            shows!(faults(&refused).join("\n"), @"This is the owner: the team must be handed over first.");
        }
        let dialog = house.page(&ada, &format!("{MEMBERS}/{id}/remove")).await;
        assert!(dialog.text().contains("These active ones they made") && dialog.text().contains("Ann&#39;s"));
        assert_eq!(house.send(&ada, &format!("{MEMBERS}/{id}/remove"), &[("keys", "keep")]).await.status, 303);
        assert_eq!(house.page(&ann, "/t/acme/products").await.status, 404, "with the next request");
        assert_eq!(house.get("/api/v1/key").bearer(&token).await.status, 200, "keys belong to the team");
        assert!(house.page(&ada, KEYS).await.text().contains("Ann (no longer in the team)"));

        house.join_again(&ada, "ann@example.com", "admin").await;
        assert_eq!(house.send(&ada, &format!("{MEMBERS}/{id}/remove"), &[("keys", "revoke")]).await.status, 303);
        assert_eq!(house.get("/api/v1/key").bearer(&token).await.status, 401);
    }

    async fn a_team_is_handed_over_and_left(house) {
        let ada = house.set_up().await;
        let bob = house.join(&ada, "Bob", "member").await;
        let stays = house.send(&ada, "/t/acme/leave", &[]).await;
        assert!(stays.text().contains("You are its owner"));
        let id = person(&house, "bob@example.com").await;
        assert_eq!(house.send(&ada, &format!("{MEMBERS}/{id}/hand-over"), &[]).await.status, 303);
        assert!(house.page(&bob, "/t/acme/settings").await.text().contains("Delete team"));
        assert_eq!(house.send(&ada, "/t/acme/settings/delete", &[("name", "Acme")]).await.status, 403, "an admin now");
        assert_eq!(house.send(&ada, "/t/acme/leave", &[]).await.location(), "/account?done=left");
        assert_eq!(house.page(&ada, "/t/acme/products").await.status, 404);
        assert!(house.page(&ada, "/").await.text().contains("You are in no team"));
    }

    async fn a_deleted_team_takes_its_keys_along(house) {
        let ada = house.set_up().await;
        let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
        let key = house.key(&team, Mode::Live, Scope::ReadWrite).await;
        let body = r#"{"name":"x","unitPrice":1,"currency":"EUR"}"#;
        assert_eq!(house.post("/api/v1/products", body).bearer(key.token.expose()).await.status, 201);
        let wrong = house.send(&ada, "/t/acme/settings/delete", &[("name", "acme")]).await;
        shows!(faults(&wrong).join("\n"), @"This is not the team’s name; type it as it stands above.");
        house.advance(Duration::from_secs(16 * 60));
        assert_eq!(house.send(&ada, "/t/acme/settings/delete", &[("name", "Acme")]).await.status, 403, "asks again first");
        let done = house.send(&ada, "/t/acme/settings/delete", &[("name", "Acme"), ("confirm_password", PASSWORD)]).await;
        assert_eq!(done.location(), "/");
        assert_eq!(house.get("/api/v1/key").bearer(key.token.expose()).await.status, 401);
        assert_eq!(house.page(&done.cookie().unwrap(), "/t/acme/products").await.status, 404);
        assert_eq!(house.app.purge_products().await.unwrap(), 1);
        assert_eq!(house.team("Acme").await.slug.as_str(), "acme", "the slug is free again");
    }

    async fn a_role_or_session_lost_before_the_write_is_lost(house) {
        let ada = house.set_up().await;
        let ann = house.join(&ada, "Ann", "admin").await;
        let id = person(&house, "ann@example.com").await;
        let new_key = || NewKey { name: KeyName::parse("K").unwrap(), mode: Mode::Test, scope: Scope::ReadOnly };

        // Let in as an admin; by the time of the write she is none.
        let before = seat(&house, &ann).await;
        assert_eq!(house.send(&ada, &format!("{MEMBERS}/{id}/role"), &[("role", "member")]).await.status, 303);
        let refused = house.app.create_key(&before.permit().unwrap(), new_key()).await;
        assert!(matches!(refused, Err(keyhouse::app::keys::CreateKeyError::NotAllowed)));
        let editor: Permit<keyhouse::domain::role::EditProducts> = before.permit().unwrap();
        let missing = house.app.set_product_status_as(&editor, Mode::Live, house.app.ids().product(), keyhouse::domain::product::Status::Archived).await;
        assert!(matches!(missing, Err(keyhouse::app::products::WriteProductError::NotAllowed)));

        // Let in with a session; by the time of the write it is ended.
        let hers = seat(&house, &ada).await;
        let admin: keyhouse::domain::role::TeamAdmin = hers.permit().unwrap();
        house.send(&ada, "/sign-out", &[]).await;
        let refused = house.app.invite(&admin, &Email::parse("x@example.com").unwrap(), Role::Member).await;
        assert!(matches!(refused, Err(keyhouse::app::links::InviteError::NotAllowed)));
        let refused = house.app.rename_team(&admin, &keyhouse::domain::team::TeamName::parse("X").unwrap()).await;
        assert!(matches!(refused, Err(keyhouse::app::teams::ChangeTeamError::NotAllowed)));
    }

    async fn a_thousand_members_are_paged_and_searched(house) {
        let ada = house.set_up().await;
        let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
        for n in 0..120 {
            house.app.add_member("tester", &team, &Email::parse(&format!("m{n:03}@example.com")).unwrap(), Role::Member).await.unwrap();
        }
        let (mut page, mut seen) = (MEMBERS.to_owned(), 0);
        loop {
            let answer = house.page(&ada, &page).await;
            seen += answer.text().matches("<tr><th scope=\"row\">").count();
            let Some(at) = answer.text().find("More members") else { break };
            let before = &answer.text()[..at];
            page = before[before.rfind("href=\"").unwrap() + 6..].split('"').next().unwrap().replace("&#38;", "&");
        }
        assert_eq!(seen, 121);
        let found = house.page(&ada, &format!("{MEMBERS}?q=M007")).await;
        assert!(found.text().contains("m007@example.com") && !found.text().contains("m008@"));
    }
}

impl House {
    /// Somebody with [`PASSWORD`] joins once more.
    async fn join_again(&self, admin: &str, email: &str, role: &str) {
        let invited = self.send(admin, &format!("{MEMBERS}/invite"), &[("email", email), ("role", role)]).await;
        let joined = self.call("POST", &super::link_in(&invited)).form(&[("password", PASSWORD)]).await;
        assert_eq!(joined.status, 303, "{joined}");
    }
}
