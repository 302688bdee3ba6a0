//! `keyhouse key find`.

use std::io::Write;
use std::process::{Output, Stdio};

use test_support::TestDatabase;
use test_support::process::{keyhouse, run, run_json};

use super::{places, shown, shown_short};

const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

fn find(place: &TestDatabase, flags: &[&str], text: &str) -> Output {
    let mut child = keyhouse(place, &["key", "find"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn key(place: &TestDatabase, team: &str, name: &str) -> (String, String) {
    let create = ["key", "create", "--team", team, "--name", name, "--mode", "test", "--scope", "read_only"];
    let key = run_json(place, &create);
    (key["id"].as_str().unwrap().to_owned(), key["token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_in_a_text_is_found_with_its_key() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        let (id, token) = key(&place, "acme", "Leaked");
        let (revoked_id, revoked) = key(&place, "acme", "Old");
        run_json(&place, &["key", "revoke", &revoked_id]);
        for text in [
            format!("  {token}\n"),
            format!("\"{token}\","),
            format!("Authorization: Bearer {token}"),
            format!("2026-11-25T09:00:00Z GET /x KEY={token} 200"),
        ] {
            let found = shown(&find(&place, &[], &text));
            assert!(
                found.starts_with("exit 0\n") && found.contains("Leaked") && found.contains("Acme (acme)"),
                "{found}"
            );
            assert!(found.contains("Active") && found.contains("by [Command line ("), "{found}");
            assert!(!found.contains(&token[11..]), "never the token itself");
            let short = shown_short(&place, &find(&place, &[], &text));
            assert!(short.contains(&format!("To revoke it: keyhouse key revoke {id}\n")), "{short}");
        }

        let text = format!("a={token}\nb={revoked}\nc={UNKNOWN}\nagain={token}\n{}", &token[..40]);
        let found = find(&place, &["--json"], &text);
        assert_eq!(found.status.code(), Some(0));
        let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
        let states: Vec<_> = found.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["active", "revoked", "unknown", "malformed"]);
        assert_eq!((&found[0]["id"], &found[1]["id"]), (&id.into(), &revoked_id.into()));
        assert_eq!(found[0]["team"]["slug"], "acme");
        assert!([&token, &revoked].iter().all(|token| !found.to_string().contains(&token[11..])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_of_this_database_it_fails() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    assert_eq!(
        shown(&find(&place, &[], UNKNOWN)),
        "exit 1\npk_live_012... has the format of a token, but no key on this server has it.\n\
         error: no token in this text belongs to a key on this server\n"
    );
    assert_eq!(
        shown(&find(&place, &[], &UNKNOWN.replace("RB", "RX"))),
        "exit 1\nA string in this text starts like a token but is not valid (wrong checksum). It may be truncated or mistyped.\n\
         error: no token in this text belongs to a key on this server\n"
    );
    for text in ["", "nothing of the kind"] {
        assert_eq!(
            shown(&find(&place, &[], text)),
            "exit 1\nerror: there is no token in this text: tokens begin with pk_live_ or pk_test_\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_deleted_team_is_found() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        let team = run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        let (id, token) = key(&place, "acme", "Last");
        let app = test_support::TestApp::at(place).await;
        let team = app.inner.queries().team(&team["id"].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
        let owner = keyhouse_domain::permission::TeamOwner::shell("tester", team.id);
        app.inner.delete_team(&owner).await.unwrap();
        let found = shown(&find(&app.place, &[], &token));
        assert!(found.starts_with("exit 0\n") && found.contains("Acme (deleted "), "{found}");
        assert!(found.contains("Revoked with its team ") && !found.contains("To revoke it"), "{found}");
        let again = shown(&run(&app.place, &["key", "revoke", &id]));
        assert!(again.starts_with("exit 0\n") && again.contains("; nothing changed."), "{again}");
    }
}
