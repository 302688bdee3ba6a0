//! `keyhouse leak report`, and the commands of the page "When a key leaks".

use std::io::Write;
use std::process::{Command, Output, Stdio};

use test_support::TestDatabase;
use test_support::process::{keyhouse, run_json};

use super::places;

const UNKNOWN: &str = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";

fn report(place: &TestDatabase, flags: &[&str], text: &str) -> Output {
    let mut child = keyhouse(place, &["leak", "report"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn key(place: &TestDatabase, name: &str) -> (String, String) {
    let create = ["key", "create", "--team", "acme", "--name", name, "--mode", "test", "--scope", "read_only"];
    let key = run_json(place, &create);
    (key["id"].as_str().unwrap().to_owned(), key["token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_ends_the_keys_in_a_text_and_lists_what_it_did() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        let ((flagged, first), (revoked, second)) = (key(&place, "First"), key(&place, "Second"));
        let text = format!("a={first}\nagain={first}\nc={UNKNOWN}\n{}", &second[..40]);
        let output = report(&place, &["--action", "flag", "--json"], &text);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&found["tokens"], &found["action"]), (&2.into(), &"flagged".into()));
        assert_eq!(found["keys"].as_array().unwrap().len(), 1);
        assert_eq!((&found["keys"][0]["id"], &found["keys"][0]["acted"]), (&flagged.into(), &true.into()));

        let output = report(&place, &[], &format!("{first} {second}"));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("2 tokens in this text; 2 belong to keys on this server.\n"), "{said}");
        assert!(said.contains(&format!(" Second ({revoked}): revoked\n")), "{said}");
        assert!([&first, &second].iter().all(|token| !said.contains(&token[11..])), "never a token");
        let again = report(&place, &[], &second);
        let said = String::from_utf8(again.stdout).unwrap();
        assert!(said.contains("unchanged: already ended or reported"), "{said}");
        let wrong = report(&place, &["--action", "delete"], "");
        assert_eq!(wrong.status.code(), Some(2));
    }
}

#[test]
fn the_commands_of_the_guide_run() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let (id, token) = key(&place, "Leaked");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("incident.txt"), format!("KEY={token}\n")).unwrap();
    let page = include_str!("../../docs/guide/leaks.md");
    let (_, rest) = page.split_once("```bash\n").expect("commands");
    let commands = rest.split_once("```").expect("their end").0;
    let program = std::path::PathBuf::from(keyhouse(&place, &[]).get_program());
    let output = Command::new("bash")
        .args(["-ec", commands])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()))
        .env("KEYHOUSE_DATA", &place.flags()[1])
        .env("KEY_ID", &id)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("To revoke it: keyhouse key revoke {id}")), "{said}");
    assert!(said.contains("1 token in this text; 1 belongs to a key on this server."), "{said}");
    assert!(said.contains(&format!(" Leaked ({id}): revoked")), "{said}");
    assert!(said.contains("Complete: no node accepts it."), "{said}");
}
