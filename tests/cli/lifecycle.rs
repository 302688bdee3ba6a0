//! Keys that rotate, expire and pause, over the shell; and the commands of the guide's pages about it.

use std::process::Command;

use serde_json::{Value, json};
use test_support::TestDatabase;
use test_support::process::{ServerProcess, keyhouse, run, run_json};
use test_support::wait::eventually_blocking;

use super::{places, shown, shown_short};

fn acme(place: &TestDatabase) {
    run_json(place, &["migrate"]);
    run_json(place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
}

fn create(place: &TestDatabase, more: &[&str]) -> Value {
    let create = ["key", "create", "--team", "acme", "--name", "Backend", "--mode", "live", "--scope", "read_write"];
    run_json(place, &[&create, more].concat())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text instead of {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotates_with_both_tokens_accepted_until_the_former_one_is_ended() {
    for place in places().await {
        acme(&place);
        let server = ServerProcess::start(&place, "serve", "warn");
        let key = create(&place, &[]);
        let (id, former) = (text(&key["id"]), text(&key["token"]));
        let rotated = run_json(&place, &["key", "rotate", id]);
        let fields: Vec<_> = rotated.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["id", "token", "prefix", "mode", "scope", "formerTokenEndsAt"]);
        let token = text(&rotated["token"]);
        assert_eq!((&rotated["id"], &rotated["mode"]), (&key["id"], &key["mode"]));
        assert_eq!((server.get("/api/v1/key", former), server.get("/api/v1/key", token)), (200, 200));

        let again = run(&place, &["key", "rotate", id]);
        assert!(shown(&again).starts_with("exit 1\nerror: the former token is accepted until "), "{}", shown(&again));
        let shown_key = run_json(&place, &["key", "show", id]);
        assert_eq!(shown_key["tokens"].as_array().unwrap().len(), 2, "{shown_key}");
        assert_eq!(shown_key["tokens"][0]["prefix"], rotated["prefix"]);
        assert_eq!(shown_key["tokens"][1]["prefix"], key["prefix"]);

        run_json(&place, &["key", "end-former", id]);
        assert!(server.refuses_in_time("/api/v1/key", former));
        assert_eq!(server.get("/api/v1/key", token), 200);
        let none = shown(&run(&place, &["key", "end-former", id]));
        assert_eq!(none, "exit 1\nerror: the key has no former token that is still accepted\n");
        let too_long = shown(&run(&place, &["key", "rotate", id, "--overlap", "8d"]));
        assert!(too_long.starts_with("exit 2\n") && too_long.contains("at most 7 days (7d)"), "{too_long}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_given_at_creation_and_changed_later() {
    for place in places().await {
        acme(&place);
        let key = create(&place, &["--expires", "2099-01-31", "--allow-from", "10.0.0.0/8,2001:db8::1"]);
        let id = text(&key["id"]);
        let conditions = |key: Value| (key["expiresAt"].clone(), key["allowedNetworks"].clone());
        assert_eq!(
            conditions(run_json(&place, &["key", "show", id])),
            (json!("2099-01-31T23:59:59.999Z"), json!(["10.0.0.0/8", "2001:db8::1/128"]))
        );
        let changed = run_json(&place, &["key", "conditions", id, "--allow-from", "any"]);
        assert_eq!(conditions(changed), (json!("2099-01-31T23:59:59.999Z"), json!([])), "the expiry stays");
        let changed = run_json(&place, &["key", "conditions", id, "--expires", "never"]);
        assert_eq!(conditions(changed), (json!(null), json!([])));

        for (flags, code, message) in [
            (&["--expires", "2001-01-31"][..], 1, "the expiry is in the past"),
            (&["--expires", "soon"], 2, "an expiry is a time span of at most 100 years such as 90d"),
            (
                &["--allow-from", "10.0.0.5/8"],
                2,
                "write 10.0.0.0/8 for the network, or 10.0.0.5 for the single address",
            ),
            (&["--allow-from", "0.0.0.0/0"], 2, "0.0.0.0/0 allows every address: leave the list empty instead"),
            (&[], 2, "<--expires <WHEN>|--allow-from <CIDR,…>>"),
        ] {
            let refused = shown(&run(&place, &[&["key", "conditions", id], flags].concat()));
            assert!(refused.starts_with(&format!("exit {code}\n")) && refused.contains(message), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_key_is_refused_until_it_is_resumed() {
    for place in places().await {
        acme(&place);
        let server = ServerProcess::start(&place, "serve", "warn");
        let key = create(&place, &[]);
        let (id, token) = (text(&key["id"]), text(&key["token"]));
        assert_eq!(server.get("/api/v1/key", token), 200);
        let paused = run_json(&place, &["key", "pause", id, "--for", "1h"]);
        assert_eq!(paused["status"], "paused");
        assert!(paused["pausedUntil"].is_string(), "{paused}");
        assert!(server.refuses_in_time("/api/v1/key", token));
        let listed = shown(&run(&place, &["key", "list", "--team", "acme"]));
        assert!(listed.contains("Acme: 1 of 10 active") && listed.contains("Paused, resumes in 1 hour"), "{listed}");
        assert_eq!(run_json(&place, &["key", "resume", id])["status"], "active");
        eventually_blocking("the resumed key", || (server.get("/api/v1/key", token) == 200).then_some(()));
        let forever = shown_short(&place, &run(&place, &["key", "pause", id]));
        assert!(forever.contains(&format!("To resume it: keyhouse key resume {id}")), "{forever}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_records_its_reason() {
    for place in places().await {
        acme(&place);
        let key = create(&place, &[]);
        let id = text(&key["id"]);
        let revoked = run_json(&place, &["key", "revoke", id, "--reason", "found in  a public\nlog"]);
        assert_eq!(
            (&revoked["status"], &revoked["revokedReason"]),
            (&json!("revoked"), &json!("found in a public log"))
        );
        let page = shown(&run(&place, &["key", "show", id]));
        assert!(page.contains("]: found in a public log"), "{page}");
        for (command, message) in [
            ("rotate", "the key has ended: create a new one"),
            ("pause", "the key has ended: it can be neither paused nor resumed"),
            ("resume", "the key has ended: it can be neither paused nor resumed"),
        ] {
            assert_eq!(shown(&run(&place, &["key", command, id])), format!("exit 1\nerror: {message}\n"));
        }
    }
}

#[test]
fn the_commands_of_the_guide_run() {
    let place = TestDatabase::folder();
    acme(&place);
    let key = create(&place, &[]);
    let folder = tempfile::tempdir().unwrap();
    let program = std::path::PathBuf::from(keyhouse(&place, &[]).get_program());
    for page in [include_str!("../../docs/guide/rotation.md"), include_str!("../../docs/guide/expiry.md")] {
        let blocks: Vec<_> = page.split("```bash\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(blocks.len() >= 3, "commands");
        let output = Command::new("bash")
            // A date that is still ahead whenever the test runs.
            .args(["-ec", &blocks.concat().replace("2027-01-31", "2099-01-31")])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()))
            .env("KEYHOUSE_DATA", &place.flags()[1])
            .env("KEY_ID", text(&key["id"]))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", shown(&output));
    }
    let rotated: Value = serde_json::from_slice(&std::fs::read(folder.path().join("rotated.json")).unwrap()).unwrap();
    assert!(rotated["formerTokenEndsAt"].is_string());
}
