//! What the packages are made of: the systemd unit, the man pages and the completions.

use std::path::Path;
use std::process::Command;

use test_support::TestDatabase;
use test_support::process::keyhouse;

use super::run;

/// A command without a database.
fn generate(words: &[&str]) -> Command {
    let mut command = keyhouse(&TestDatabase::folder(), &["generate"]);
    command.args(words);
    command
}

#[test]
fn the_systemd_unit_is_valid_and_confined() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/keyhouse.service");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("keyhouse.service");
    // The program is not installed here.
    let text = std::fs::read_to_string(unit).expect("the unit").replace("/usr/bin/keyhouse", "/bin/true");
    std::fs::write(&copy, text).expect("a file");
    run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy));
    // The threshold is in tenths: 2.0 of 10.
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&copy));
}

#[test]
fn man_pages_describe_every_command_and_man_can_read_them() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&mut generate(&["man", folder.path().to_str().expect("UTF-8")]));
    for page in ["keyhouse.1", "keyhouse-serve.1", "keyhouse-backup.1", "keyhouse-key-revoke.1"] {
        let file = folder.path().join(page);
        let text =
            run(Command::new("man").args(["--warnings", "-l"]).arg(&file).env("MANPAGER", "cat").env("MANWIDTH", "80"));
        assert!(text.contains("NAME") && !text.contains("warning:"), "{page}: {text}");
    }
}

#[test]
fn completions_are_valid_shell_scripts() {
    for shell in ["bash", "fish", "zsh"] {
        let script = run(&mut generate(&["completions", shell]));
        assert!(script.contains("doctor") && script.contains("revoke"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keyhouse.bash");
    std::fs::write(&file, run(&mut generate(&["completions", "bash"]))).expect("a file");
    let complete = format!(
        "source {}; COMP_WORDS=(keyhouse ba); COMP_CWORD=1; _keyhouse keyhouse ba keyhouse; echo \"${{COMPREPLY[*]}}\"",
        file.display()
    );
    assert_eq!(run(Command::new("bash").args(["-c", &complete])).trim(), "backup");
}
