//! `keyhouse person`, and what is given by address.

use test_support::TestDatabase;
use test_support::process::{run, run_json};

use super::{places, shown, shown_short};

fn set_up(place: &TestDatabase) {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_goes_to_an_existing_account_only_on_request() {
    for place in places().await {
        set_up(&place);
        let create = ["team", "create", "Globex", "--owner", "ADA@example.com"];
        let refused = shown(&run(&place, &create));
        assert!(refused.starts_with("exit 1\nerror: ada@example.com is the account of ada, created 20"), "{refused}");
        assert!(refused.contains(", in acme (owner). If that is the owner you mean"), "{refused}");
        assert_eq!(run_json(&place, &["team", "list"]).as_array().unwrap().len(), 1, "no team was created");

        let created = run_json(&place, &[&create[..], &["--existing-account"]].concat());
        assert_eq!(created["existingAccount"]["name"], "ada");
        let stranger = ["team", "create", "Initech", "--owner", "new@example.com", "--existing-account"];
        assert_eq!(
            shown(&run(&place, &stranger)),
            "exit 1\nerror: there is no account with the address new@example.com\n"
        );

        let invite = ["member", "invite", "--team", "globex", "--role", "member", "--email"];
        run_json(&place, &["team", "create", "Initech", "--owner", "bob@example.com"]);
        let invited = shown(&run(&place, &[&invite[..], &["Bob@example.com"]].concat()));
        assert!(invited.contains("bob@example.com is the account of bob, created 20"), "{invited}");
        assert!(run_json(&place, &[&invite[..], &["eve@example.com"]].concat())["existingAccount"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_in_any_form_is_one_account() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        run_json(&place, &["team", "create", "Acme", "--owner", "Ann@b\u{fc}cher.example"]);
        let people = run_json(&place, &["person", "list"]);
        assert_eq!(people[0]["email"], "Ann@b\u{fc}cher.example");
        for email in ["ann@xn--bcher-kva.example", "ANN@B\u{dc}CHER.example", "ann@bu\u{308}cher.example"] {
            assert_eq!(run_json(&place, &["person", "reset", email])["email"], "Ann@b\u{fc}cher.example");
        }
        let refused = shown(&run(&place, &["team", "create", "X", "--owner", "ann@example.com,"]));
        assert!(refused.starts_with("exit 2\n") && refused.contains("must not contain , (U+002C)"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_removed_once_it_is_in_no_team() {
    for place in places().await {
        set_up(&place);
        let refused = shown(&run(&place, &["person", "remove", "ada@example.com"]));
        assert!(refused.starts_with("exit 1\n") && refused.contains("the person is in a team"), "{refused}");
        assert!(refused.contains("in acme (owner)"), "{refused}");

        let app = test_support::TestApp::at(place).await;
        let team = app.inner.queries().team(&"acme".parse().unwrap()).await.unwrap().unwrap();
        let email = keyhouse_domain::person::Email::parse("bob@example.com").unwrap();
        app.inner.add_member("tester", &team, &email, keyhouse_domain::role::Role::Member).await.unwrap();
        let place = &app.place;
        run_json(place, &["member", "remove", "--team", "acme", "--email", "bob@example.com"]);
        assert_eq!(run_json(place, &["person", "list"]).as_array().unwrap().len(), 2);
        assert_eq!(run_json(place, &["person", "remove", "bob@example.com"])["removed"], true);
        assert_eq!(run_json(place, &["person", "list"]).as_array().unwrap().len(), 1);
        let gone = shown_short(place, &run(place, &["person", "end-sessions", "bob@example.com"]));
        assert_eq!(
            gone,
            "exit 1\nerror: there is no account with the address bob@example.com; see `keyhouse person list`\n"
        );
        // The address is free again.
        run_json(place, &["team", "create", "Globex", "--owner", "bob@example.com"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_waits_for_its_link() {
    for place in places().await {
        set_up(&place);
        run_json(&place, &["team", "create", "Globex", "--owner", "bob@example.com"]);
        let taken = shown(&run(&place, &["person", "set-email", "ada@example.com", "BOB@example.com"]));
        assert_eq!(taken, "exit 1\nerror: another account has this address\n");
        let set = run_json(&place, &["person", "set-email", "ada@example.com", "ada@new.example"]);
        let ada = &run_json(&place, &["person", "list"])[0];
        assert_eq!((&ada["email"], &ada["pendingEmail"]), (&"ada@example.com".into(), &"ada@new.example".into()));

        let app = test_support::TestApp::at(place).await;
        let code = set["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let page = app.get(&format!("/link/{code}")).await;
        assert!(page.status == 200 && page.text().contains("ada@new.example"), "{}", page.text());
        assert_eq!(app.call("POST", &format!("/link/{code}")).form(&[]).await.status, 303);
        let ada = &run_json(&app.place, &["person", "list"])[0];
        assert_eq!((&ada["email"], &ada["pendingEmail"]), (&"ada@new.example".into(), &serde_json::Value::Null));
        assert_eq!(app.get(&format!("/link/{code}")).await.status, 404, "once");
    }
}
