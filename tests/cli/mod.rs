//! The command line: output, errors, exit codes.

mod backup;
mod closed_pipe;
mod demo;
mod doctor;
mod export;
mod find;
mod guide;
mod leaks;
mod lifecycle;
mod move_database;
mod people;
mod readme;

use std::process::Output;

use test_support::process::{ServerProcess, keyhouse, run, run_json};
use test_support::{TestDatabase, assert_text};

fn shown(output: &Output) -> String {
    format!(
        "exit {}\n{}{}",
        output.status.code().expect("an exit code"),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// As [`shown`], with the program as `keyhouse` and without the flags of the database in the commands that are printed.
fn shown_short(place: &TestDatabase, output: &Output) -> String {
    let [flag, database] = place.flags();
    shown(output).replace(env!("CARGO_BIN_EXE_keyhouse"), "keyhouse").replace(&format!(" {flag} {database}"), "")
}

async fn places() -> [TestDatabase; 2] {
    [TestDatabase::folder(), TestDatabase::postgres().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_whole_life_over_the_shell() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        let team = run_json(&place, &["team", "create", "Acme Ltd", "--owner", "ada@example.com"]);
        assert_eq!(team["slug"], "acme-ltd");
        let create =
            ["key", "create", "--team", "acme-ltd", "--name", "Backend", "--mode", "live", "--scope", "read_write"];
        let key = run_json(&place, &create);
        let (id, token) = (key["id"].as_str().unwrap(), key["token"].as_str().unwrap());
        assert_eq!(key["prefix"], token[..11]);
        assert_eq!((&key["mode"], &key["scope"]), (&"live".into(), &"read_write".into()));

        assert_eq!(run_json(&place, &["key", "rename", id, "Backend, new"])["name"], "Backend, new");
        let listed = run_json(&place, &["key", "list", "--team", "acme-ltd"]);
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!((&listed[0]["name"], &listed[0]["status"]), (&"Backend, new".into(), &"active".into()));
        assert!(listed[0]["createdBy"].as_str().unwrap().starts_with("Command line ("));
        assert!(!listed.to_string().contains(&token[11..]));

        assert_eq!(run_json(&place, &["key", "revoke", id])["status"], "revoked");
        let again = run(&place, &["key", "revoke", id]);
        assert!(
            shown(&again).starts_with("exit 0\n") && shown(&again).contains("; nothing changed."),
            "{}",
            shown(&again)
        );
        let renamed = shown(&run(&place, &["key", "rename", id, "x"]));
        assert_eq!(renamed, "exit 1\nerror: the key is revoked, and a revoked key can't be renamed\n");

        let teams = run_json(&place, &["team", "list"]);
        assert_eq!(teams[0]["activeKeys"], 0);
        let by_id = run_json(&place, &["member", "list", "--team", team["id"].as_str().unwrap()]);
        assert_eq!((&by_id[0]["email"], &by_id[0]["role"]), (&"ada@example.com".into(), &"owner".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_keys_then_revoke_all() {
    for place in places().await {
        run_json(&place, &["migrate"]);
        run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
        let create = ["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"];
        for _ in 0..10 {
            run_json(&place, &create);
        }
        let refused = shown(&run(&place, &create));
        assert_eq!(refused, "exit 1\nerror: the team already has 10 active keys (the maximum); revoke one first\n");
        assert_eq!(
            run_json(&place, &["key", "revoke", "--all", "--team", "acme"])["revoked"].as_array().unwrap().len(),
            10
        );
        assert_eq!(
            run_json(&place, &["key", "revoke", "--all", "--team", "acme"])["revoked"].as_array().unwrap().len(),
            0
        );
        run_json(&place, &create);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_explained() {
    let place = TestDatabase::folder();
    for (words, says) in [
        (
            &["team", "list"][..],
            "exit 1\nerror: FOLDER does not contain a Keyhouse database yet: run `keyhouse migrate` or `keyhouse serve` with the same setting first\n",
        ),
        (
            &["serve", "--config", "/nowhere.toml"],
            "exit 2\nerror: can't read /nowhere.toml: No such file or directory (os error 2)\n",
        ),
    ] {
        let folder = place.flags()[1].clone();
        assert_eq!(shown(&run(&place, words)).replace(&folder, "FOLDER"), says);
    }
    let empty = TestDatabase::postgres().await;
    let not_set_up = shown(&run(&empty, &["team", "list"]));
    assert!(
        not_set_up.starts_with("exit 1\nerror: the database does not contain a Keyhouse database yet"),
        "{not_set_up}"
    );

    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    for (words, says) in [
        (
            &["key", "list", "--team", "absent"][..],
            "exit 1\nerror: there is no team `absent`; see `keyhouse team list`\n",
        ),
        (
            &["key", "revoke", "key_01kasnjn004hmasy4tqvr14d1m"],
            "exit 1\nerror: there is no key key_01kasnjn004hmasy4tqvr14d1m\n",
        ),
        (
            &[
                "key",
                "create",
                "--team",
                "acme",
                "--name",
                "x",
                "--mode",
                "live",
                "--scope",
                "read_only",
                "--as",
                "bob@example.com",
            ],
            "exit 1\nerror: bob@example.com is not in acme\n",
        ),
    ] {
        assert_eq!(shown_short(&place, &run(&place, words)), says);
    }
    for words in [
        &["key", "revoke"][..],
        &["key", "revoke", "nonsense"],
        &["key", "revoke", "--all"],
        &["key", "create", "--team", "acme", "--name", "", "--mode", "live", "--scope", "read_only"],
        &["key", "create", "--team", "acme", "--name", "x", "--mode", "prod", "--scope", "read_only"],
        &["team", "create", "x", "--owner", "absent"],
        &["nonsense"],
    ] {
        assert!(shown(&run(&place, words)).starts_with("exit 2\nerror: "), "{words:?}: {}", shown(&run(&place, words)));
    }
    let typo = keyhouse(&place, &["team", "list"]).env("KEYHOUSE_LISTN", "x").output().unwrap();
    assert_eq!(
        shown(&typo),
        "exit 2\nerror: the environment variable KEYHOUSE_LISTN is not a setting; did you mean KEYHOUSE_LISTEN?\n"
    );
    let branded = keyhouse(&place, &["team", "list"]).env("KEYHOUSE_TOKEN_BRAND", "acme").output().unwrap();
    assert_eq!(
        shown(&branded),
        "exit 1\nerror: this database's tokens begin with \"pk\", but token.brand is \"acme\": the brand is fixed when a database is set up\n"
    );
}

#[test]
fn a_brand_of_ones_own() {
    let place = TestDatabase::folder();
    let migrated = keyhouse(&place, &["migrate"]).env("KEYHOUSE_TOKEN_BRAND", "acme").output().unwrap();
    assert!(migrated.status.success());
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let key =
        run_json(&place, &["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"]);
    assert!(key["token"].as_str().unwrap().starts_with("acme_live_"), "the database's brand counts");
}

#[test]
fn output_for_people_is_aligned_and_plain_in_a_pipe() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let empty = shown_short(&place, &run(&place, &["key", "list", "--team", "acme"]));
    assert_text!(empty, @r#"
    exit 0
    Acme: 0 of 10 active

    Next: keyhouse key create --team acme --name "My first key" --mode test --scope read_write
    "#);
    for (name, mode) in [("Backend", "live"), ("Ünïcode 测试", "test")] {
        run_json(&place, &["key", "create", "--team", "acme", "--name", name, "--mode", mode, "--scope", "read_write"]);
    }
    let listed = shown(&run(&place, &["key", "list", "--team", "acme"]));
    assert!(!listed.contains('\u{1b}'), "no colour in a pipe");
    // Every column begins at one place: the ids are the last of them.
    let at: Vec<_> = listed
        .lines()
        .filter_map(|line| line.find("key_").map(|at| unicode_width::UnicodeWidthStr::width(&line[..at])))
        .collect();
    assert!(at.len() == 2 && at[0] == at[1], "{listed}");
    let help = shown(&run(&place, &["--help"]));
    assert!(help.starts_with("exit 0\n") && help.contains("keyhouse demo"), "{help}");
    assert!(shown(&run(&place, &["--version"])).starts_with("exit 0\nkeyhouse 0."));
}

#[test]
fn output_that_goes_nowhere() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    run_json(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let create = ["key", "create", "--team", "acme", "--name", "Unseen", "--mode", "live", "--scope", "read_only"];
    for json in [&[][..], &["--json"]] {
        let output = keyhouse(&place, &create).args(json).stdout(full()).output().unwrap();
        assert_eq!(shown(&output), "exit 1\nerror: the token could not be shown, so the key was revoked\n");
    }
    let keys = run_json(&place, &["key", "list", "--team", "acme"]);
    assert!(keys.as_array().unwrap().iter().all(|key| key["status"] == "revoked"), "{keys}");
    let mut mute = keyhouse(&place, &["key", "list", "--team", "absent"]);
    assert_eq!(mute.stdout(full()).stderr(full()).status().unwrap().code(), Some(1));
}

#[test]
fn a_key_is_not_revoked_for_another_team() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    for (team, owner) in [("Acme", "ada@example.com"), ("Globex", "eve@example.com")] {
        run_json(&place, &["team", "create", team, "--owner", owner]);
    }
    let key =
        run_json(&place, &["key", "create", "--team", "acme", "--name", "K", "--mode", "live", "--scope", "read_only"]);
    let id = key["id"].as_str().unwrap();
    let refused = shown(&run(&place, &["key", "revoke", id, "--team", "globex"]));
    assert_eq!(refused, format!("exit 1\nerror: {id} is not a key of globex; nothing was revoked\n"));
    assert_eq!(run_json(&place, &["key", "revoke", id, "--team", "acme"])["status"], "revoked");
}

#[test]
fn a_damaged_database_is_not_taken_for_a_missing_one() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    let TestDatabase::Folder(folder) = &place else { unreachable!("it is a folder") };
    std::fs::write(
        folder.path().join("keyhouse.db"),
        b"not a database, but long enough to be read as one ".repeat(100),
    )
    .unwrap();
    let shown = shown(&run(&place, &["team", "list"]));
    assert!(
        shown.starts_with("exit 1\nerror: can't open the database: ") && shown.contains("not a database"),
        "{shown}"
    );
}

#[test]
fn a_setting_of_the_wrong_type_is_refused_with_its_line_and_both_types() {
    let place = TestDatabase::folder();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyhouse.toml");
    for (text, line, says) in [
        ("[rate_limit]\nrequests = 1.5\n", 2, "`rate_limit.requests` must be of type integer, not float"),
        ("[rate_limit]\nrequests = -0.0\n", 2, "`rate_limit.requests` must be of type integer, not float"),
        ("[rate_limit]\nrequests = nan\n", 2, "`rate_limit.requests` must be of type integer, not float"),
        ("listen = 2026-11-25\n", 1, "`listen` must be of type string, not datetime"),
        ("\nlisten = 07:32:00\n", 2, "`listen` must be of type string, not datetime"),
        ("trusted_proxies = 1\n", 1, "`trusted_proxies` must be of type array, not integer"),
    ] {
        std::fs::write(&file, text).unwrap();
        let path = file.display().to_string();
        let refused = shown(&run(&place, &["team", "list", "--config", &path]));
        assert_eq!(refused, format!("exit 2\nerror: {path}:{line}: {says}\n"), "{text}");
    }
}

#[test]
fn printed_commands_and_links_work_as_pasted() {
    let place = TestDatabase::folder();
    run_json(&place, &["migrate"]);
    let created = shown(&run(&place, &["team", "create", "Acme", "--owner", "ada@example.com"]));
    let next = created.lines().find_map(|line| line.strip_prefix("Next: ")).expect("a next step");
    let paste = |command: &str| std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    let made = shown(&paste(next));
    assert!(made.starts_with("exit 0\nCreated My first key for Acme"), "{made}");
    let revoke = made.lines().find_map(|line| line.strip_prefix("To revoke it: ")).expect("a command");
    let revoked = shown(&paste(revoke));
    assert!(revoked.starts_with("exit 0\nRevoked My first key"), "{revoked}");

    // Before the first start the configured address is all there is to go by.
    assert!(
        run_json(&place, &["person", "reset", "ada@example.com"])["link"].as_str().unwrap().contains(":8080/link/")
    );
    let server = ServerProcess::start(&place, "serve", "warn");
    let link = run_json(&place, &["person", "reset", "ada@example.com"])["link"].clone();
    assert!(link.as_str().unwrap().starts_with(&format!("http://{}/link/", server.address)), "{link}");
}
