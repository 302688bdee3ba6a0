//! Set-up, invitations, passwords, sessions: who gets in, and for how long.

use std::future::IntoFuture;
use std::time::Duration;

use keyhouse::domain::audit::AuditFilter;
use keyhouse::domain::person::Email;
use keyhouse::domain::team::TeamRef;

use super::{PASSWORD, between, faults, link_in};
use crate::harness::{shows, worlds};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

worlds! {
    async fn the_first_person_sets_up_by_the_newest_link_once(house) {
        let old = house.app.set_up_link().await.unwrap().unwrap();
        let code = house.app.set_up_link().await.unwrap().unwrap();
        assert_eq!(house.get(&format!("/link/{}", old.expose())).await.status, 404, "each start replaces it");
        let path = format!("/link/{}", code.expose());
        let looked = house.get(&path).await;
        assert!(looked.status == 200 && looked.text().contains("Set up Keyhouse"), "looking does not use it");
        let short = house.call("POST", &path).form(&[("name", "Ada"), ("email", "ada@example.com"), ("team", "Acme"), ("password", "short")]).await;
        assert_eq!(short.status, 422);
        shows!(faults(&short).join("\n"), @"Use at least 15 characters; a few words in a row are good.");
        assert!(short.text().contains(r#"value="ada@example.com""#), "what was typed is kept");
        assert!(!short.text().contains("short"), "but the password is not");

        let cookie = house.set_up().await;
        assert_eq!(house.get(&path).await.status, 404, "replaced again");
        assert!(house.app.set_up_link().await.unwrap().is_none(), "somebody is there");
        assert!(house.page(&cookie, "/t/acme/settings/members").await.text().contains("Ada"));
        let events = house.app.audit_of(&house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap(), &AuditFilter::default(), None, 9).await.unwrap();
        let told: Vec<_> = events.iter().map(|event| format!("{} | {} | {}", event.action.as_str(), event.by.name, event.origin)).collect();
        shows!(told.join("\n"), @"
        person.signed_in | Ada | 203.0.113.7
        member.added | Ada | 203.0.113.7
        team.created | Ada | 203.0.113.7
        ");
    }

    async fn an_invitation_makes_an_account_once_and_ends_after_seven_days(house) {
        let ada = house.set_up().await;
        let invite = |email: &'static str| {
            let (house, ada) = (&house, &ada);
            async move { house.send(ada, "/t/acme/settings/members/invite", &[("email", email), ("role", "manager")]).await }
        };
        let first = link_in(&invite("bob@example.com").await);
        let second = link_in(&invite("Bob@example.com").await);
        assert_eq!(house.get(&first).await.status, 404, "a new link ends the old one");
        house.advance(7 * DAY - Duration::from_millis(1));
        assert_eq!(house.get(&second).await.status, 200);
        let joined = house.call("POST", &second).form(&[("name", "Bob"), ("password", PASSWORD)]).await;
        assert_eq!(joined.location(), "/t/acme/products");
        assert_eq!(house.call("POST", &second).form(&[("name", "Eve"), ("password", PASSWORD)]).await.status, 404, "dead on use");
        let bob = joined.cookie().unwrap();
        assert_eq!(house.page(&bob, "/t/acme/products").await.status, 200);

        let ada = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        let late = link_in(&house.send(&ada, "/t/acme/settings/members/invite", &[("email", "eve@example.com"), ("role", "member")]).await);
        house.advance(7 * DAY);
        assert_eq!(house.get(&late).await.status, 404);
    }

    async fn somebody_known_joins_with_their_own_password_alone(house) {
        let ada = house.set_up().await;
        house.join(&ada, "Bob", "member").await;
        // Bob is invited to another team, whose owner holds the link too.
        let eve = Email::parse("eve@example.com").unwrap();
        let other = house.app.create_team("tester", &keyhouse::domain::team::TeamName::parse("Globex").unwrap(), &eve).await.unwrap();
        let eve = house.browser("eve@example.com").await;
        let link = link_in(&house.send(&eve, "/t/globex/settings/members/invite", &[("email", "bob@example.com"), ("role", "admin")]).await);
        let asked = house.get(&link).await;
        assert!(asked.text().contains("You have an account here already"));
        let guessed = house.call("POST", &link).form(&[("name", "Bob"), ("password", "another long password")]).await;
        assert_eq!((guessed.status.as_u16(), guessed.cookie()), (422, None));
        let joined = house.call("POST", &link).form(&[("password", PASSWORD)]).await;
        assert_eq!(joined.location(), "/t/globex/products");
        let bob = joined.cookie().unwrap();
        assert!(house.page(&bob, "/").await.text().contains("Acme"), "one person in two teams");

        // Somebody without a password can't be had by inviting them.
        house.app.add_member("tester", &other, &Email::parse("joe@example.com").unwrap(), keyhouse::domain::role::Role::Member).await.unwrap();
        let link = link_in(&house.send(&ada, "/t/acme/settings/members/invite", &[("email", "joe@example.com"), ("role", "member")]).await);
        let refused = house.call("POST", &link).form(&[("name", "Joe"), ("password", PASSWORD)]).await;
        assert_eq!((refused.status.as_u16(), refused.cookie()), (409, None));
        assert!(refused.text().contains("keyhouse person reset joe@example.com"));
    }

    async fn unknown_and_wrong_are_one_answer(house) {
        house.set_up().await;
        let wrong = house.sign_in("ada@example.com", "not her password").await;
        let unknown = house.sign_in("bob@example.com", "not her password").await;
        assert_eq!((wrong.status.as_u16(), wrong.cookie()), (422, None));
        let same = |answer: &crate::harness::Answer| answer.without_request_id().replace("ada@", "@").replace("bob@", "@").replace(&answer.text().len().to_string(), "");
        assert_eq!(same(&wrong), same(&unknown));
        shows!(faults(&wrong).join("\n"), @"The e-mail address or the password is wrong.");
        let good = house.sign_in(" ADA@example.com ", PASSWORD).await;
        assert_eq!(good.status, 303, "in either case, with spaces around");
        let team = house.app.team(&TeamRef::Slug("acme".into())).await.unwrap().unwrap();
        // The failure is noted while nobody waits for it.
        let failed = AuditFilter { action: Some(keyhouse::domain::audit::Action::SignInFailed), ..AuditFilter::default() };
        while house.app.audit_of(&team, &failed, None, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let mut events = house.app.audit_of(&team, &AuditFilter::default(), None, 2).await.unwrap();
        events.sort_by_key(|event| event.action.as_str());
        let told: Vec<_> = events.iter().map(|event| format!("{} by {}", event.action.as_str(), event.by.name)).collect();
        shows!(told.join("\n"), @"
        person.sign_in_failed by Somebody as ada@example.com
        person.signed_in by Ada
        ");
    }

    async fn guessing_is_throttled_and_locks_nobody_out(house) {
        house.set_up().await;
        let from = |addr: &str, password: &str| {
            let call = house.call("POST", "/sign-in").header("x-forwarded-for", addr).form(&[("email", "ada@example.com"), ("password", password)]);
            // Through the listed proxy, so that strangers come from where they say.
            house.answer_from([192, 0, 2, 1], call)
        };
        for _ in 0..10 {
            assert_eq!(from("198.51.100.1", "wrong").await.status, 422);
        }
        let refused = from("198.51.100.1", PASSWORD).await;
        assert_eq!(refused.status, 429, "ten of one account from one network");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
        // Strangers everywhere use up what strangers get, and still she gets in where she has been before.
        for n in 2..=10 {
            for _ in 0..10 {
                assert_eq!(from(&format!("198.51.{n}.1"), "wrong").await.status, 422);
            }
        }
        assert_eq!(from("198.51.200.1", PASSWORD).await.status, 429, "a hundred from everywhere");
        assert_eq!(house.sign_in("ada@example.com", PASSWORD).await.status, 303, "from the network of her first session");
        // And a link from the shell always works.
        house.browser("ada@example.com").await;
        house.advance(2 * DAY);
        assert_eq!(from("198.51.200.1", PASSWORD).await.status, 303);
    }

    async fn one_network_gets_thirty_guesses_whatever_the_account(house) {
        house.set_up().await;
        for n in 0..30 {
            assert_eq!(house.sign_in(&format!("p{n}@example.com"), "wrong").await.status, 422);
        }
        assert_eq!(house.sign_in("p31@example.com", "wrong").await.status, 429);
        house.advance(31 * MINUTE);
        for _ in 0..12 {
            assert_eq!(house.sign_in("ada@example.com", PASSWORD).await.status, 303, "what is right is no guess");
        }
    }

    async fn sessions_end_by_rest_by_age_and_by_word(house) {
        let ada = house.set_up().await;
        let second = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        assert_ne!(ada, second, "a new one each time");
        for _ in 0..4 {
            house.advance(7 * DAY - MINUTE);
            assert!(house.is_in(&ada).await);
        }
        assert!(!house.is_in(&second).await, "seven days at rest");
        house.advance(3 * DAY);
        assert!(!house.is_in(&ada).await, "thirty days in all");

        let one = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        let other = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        assert_eq!(house.send(&one, "/sign-out", &[]).await.location(), "/sign-in?signed_out=1");
        assert!(!house.is_in(&one).await && house.is_in(&other).await);
        let third = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        house.send(&third, "/account", &[("do", "sign_out_everywhere")]).await;
        assert!(!house.is_in(&other).await && !house.is_in(&third).await);
        // What is no session of ours is never adopted.
        assert!(!house.is_in(&format!("keyhouse_session={}", "ab".repeat(32))).await);
    }

    async fn a_new_password_ends_every_session_and_begins_one(house) {
        let ada = house.set_up().await;
        let other = house.sign_in("ada@example.com", PASSWORD).await.cookie().unwrap();
        let change = |cookie: String, old: &'static str, new: &'static str| {
            let house = &house;
            async move { house.send(&cookie, "/account", &[("do", "password"), ("password", old), ("new_password", new)]).await }
        };
        let wrong = change(ada.clone(), "not her password", "green kettle slow train").await;
        shows!(faults(&wrong).join("\n"), @"This is not your password.");
        let weak = change(ada.clone(), PASSWORD, "passwordpassword").await;
        shows!(faults(&weak).join("\n"), @"This is one of the passwords that are tried first; choose another.");
        let changed = change(ada.clone(), PASSWORD, "green kettle slow train").await;
        assert_eq!(changed.location(), "/account?done=password");
        assert!(!house.is_in(&ada).await && !house.is_in(&other).await);
        assert!(house.is_in(&changed.cookie().unwrap()).await);
        assert_eq!(house.sign_in("ada@example.com", PASSWORD).await.status, 422);
        assert_eq!(house.sign_in("ada@example.com", "green kettle slow train").await.status, 303);

        // A forgotten one: by a link from the shell.
        let email = Email::parse("ada@example.com").unwrap();
        let (_, code) = house.app.reset_link("tester", &email).await.unwrap().unwrap();
        let reset = house.call("POST", &format!("/link/{}", code.expose())).form(&[("password", PASSWORD)]).await;
        assert_eq!(reset.status, 303);
        assert!(!house.is_in(&changed.cookie().unwrap()).await);
        assert_eq!(house.sign_in("ada@example.com", PASSWORD).await.status, 303);
    }

    async fn what_ends_or_opens_for_good_asks_again_after_fifteen_minutes(house) {
        let ada = house.set_up().await;
        let path = "/t/acme/settings/integrations/api-keys/new";
        let fields = [("name", "Backend <1>"), ("mode", "live"), ("scope", "read_only")];
        house.advance(15 * MINUTE);
        let asked = house.send(&ada, path, &fields).await;
        assert_eq!(asked.status, 403);
        assert!(asked.text().contains("Confirm it’s you") && asked.text().contains(r#"name="name" value="Backend &#60;1&#62;""#), "{asked}");
        let wrong = house.send(&ada, path, &[&fields[..], &[("confirm_password", "not her password")]].concat()).await;
        assert_eq!((wrong.status.as_u16(), wrong.cookie()), (403, None));
        assert!(!wrong.text().contains("not her password"), "a password is never sent back");
        let done = house.send(&ada, path, &[&fields[..], &[("confirm_password", PASSWORD)]].concat()).await;
        assert!(done.status == 200 && done.text().contains("pk_live_"));
        let renewed = done.cookie().expect("a new secret");
        assert!(!house.is_in(&ada).await && house.is_in(&renewed).await, "the old secret is good for nothing");
        // A test key endangers nothing, and is not asked for.
        house.advance(60 * MINUTE);
        let test = house.send(&renewed, path, &[("name", "T"), ("mode", "test"), ("scope", "read_only")]).await;
        assert_eq!(test.status, 200);
        let fresh = house.send(&renewed, path, &fields).await;
        assert_eq!(fresh.status, 403);
    }

    async fn a_form_survives_the_end_of_its_session(house) {
        let ada = house.set_up().await;
        house.send(&ada, "/sign-out", &[]).await;
        let path = "/t/acme/settings/integrations/api-keys/new";
        let cut = house.send(&ada, path, &[("id", "key_01kav9ft0028t5cy4tqkff04hm"), ("name", "Back end"), ("mode", "test"), ("scope", "read_only"), ("confirm_password", "secret")]).await;
        shows!(cut.location(), @"/sign-in?next=%2Ft%2Facme%2Fsettings%2Fintegrations%2Fapi-keys%2Fnew%3Fid%3Dkey_01kav9ft0028t5cy4tqkff04hm%26name%3DBack%2Bend%26mode%3Dtest%26scope%3Dread_only&cut_off=1");
        let sign_in = house.get(cut.location()).await;
        assert!(sign_in.text().contains("nothing was created or changed"));
        let next = between(sign_in.text(), r#"name="next" value=""#, "\"").replace("&#38;", "&");
        let back = house.call("POST", "/sign-in").form(&[("email", "ada@example.com"), ("password", PASSWORD), ("next", &next)]).await;
        let form = house.page(&back.cookie().unwrap(), back.location()).await;
        assert!(form.text().contains(r#"value="Back end""#) && form.text().contains(r#"value="key_01kav9ft0028t5cy4tqkff04hm""#), "{form}");
        for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example"] {
            let back = house.call("POST", "/sign-in").form(&[("email", "ada@example.com"), ("password", PASSWORD), ("next", elsewhere)]).await;
            assert_eq!(back.location(), "/", "{elsewhere}");
        }
    }

    async fn links_end_with_what_they_were_for(house) {
        // Somebody is there, by the shell: nobody sets up any more.
        let code = house.app.set_up_link().await.unwrap().unwrap();
        house.team("Globex").await;
        assert_eq!(house.get(&format!("/link/{}", code.expose())).await.status, 404);

        // A new password ends the links that would let somebody in as its owner.
        let other = house.team("Initech").await;
        let owner = Email::parse("owner@initech.example").unwrap();
        let (_, code) = house.app.reset_link("tester", &owner).await.unwrap().unwrap();
        house.call("POST", &format!("/link/{}", code.expose())).form(&[("password", PASSWORD)]).await;
        let (_, stale) = house.app.reset_link("tester", &owner).await.unwrap().unwrap();
        let cookie = house.sign_in("owner@initech.example", PASSWORD).await.cookie().unwrap();
        let change = [("do", "password"), ("password", PASSWORD), ("new_password", "green kettle slow train")];
        assert_eq!(house.send(&cookie, "/account", &change).await.status, 303);
        assert_eq!(house.get(&format!("/link/{}", stale.expose())).await.status, 404);

        // Whoever may not invite any more has seen the links of those they invited.
        for (path, fields) in [("role", [("role", "manager")]), ("remove", [("keys", "keep")])] {
            let ann = Email::parse(&format!("ann-{path}@example.com")).unwrap();
            house.app.add_member("tester", &other, &ann, keyhouse::domain::role::Role::Admin).await.unwrap();
            let ann_in = house.browser(ann.as_str()).await;
            let invited = house.send(&ann_in, "/t/initech/settings/members/invite", &[("email", &format!("friend-{path}@example.com")), ("role", "admin")]).await;
            let link = link_in(&invited);
            assert_eq!(house.get(&link).await.status, 200);
            let id = house.app.member_by_email(&other, &ann).await.unwrap().unwrap().person;
            let owner = house.sign_in("owner@initech.example", "green kettle slow train").await.cookie().unwrap();
            assert_eq!(house.send(&owner, &format!("/t/initech/settings/members/{id}/{path}"), &fields).await.status, 303);
            assert_eq!(house.get(&link).await.status, 404, "{path}");
        }
    }

    async fn a_test_product_stays_one_on_the_way_through_the_sign_in_page(house) {
        let ada = house.set_up().await;
        house.send(&ada, "/sign-out", &[]).await;
        let path = "/t/acme/products/new?mode=test";
        let cut = house.send(&ada, path, &[("name", "Vane"), ("unitPrice", "1"), ("currency", "EUR"), ("seen", "0")]).await;
        let sign_in = house.get(cut.location()).await;
        let next = between(sign_in.text(), r#"name="next" value=""#, "\"").replace("&#38;", "&");
        let back = house.call("POST", "/sign-in").form(&[("email", "ada@example.com"), ("password", PASSWORD), ("next", &next)]).await;
        let form = house.page(&back.cookie().unwrap(), back.location()).await;
        assert!(form.text().contains(r#"action="/t/acme/products/new?mode=test""#) && form.text().contains(r#"value="Vane""#), "{form}");
    }

    async fn guesses_that_were_never_judged_are_none(house) {
        house.set_up().await;
        // The address is dropped while it waits for its verdict.
        for _ in 0..40 {
            let call = house.call("POST", "/sign-in").form(&[("email", "ada@example.com"), ("password", "wrong")]);
            let mut call = Box::pin(call.into_future());
            let polled = futures_util::poll!(call.as_mut());
            assert!(polled.is_pending());
            drop(call);
        }
        assert_eq!(house.sign_in("ada@example.com", PASSWORD).await.status, 303);
    }
}
