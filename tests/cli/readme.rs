//! The README's commands work as pasted while the demo runs.

use std::process::Command;

use test_support::TestDatabase;
use test_support::process::ServerProcess;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_s_commands_work_while_the_demo_runs() {
    let place = TestDatabase::folder();
    let demo = ServerProcess::start(&place, "demo", "warn");
    let block = README.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of commands");
    let [flag, folder] = place.flags();
    let written = "./target/release/keyhouse --data ./keyhouse-demo";
    assert!(block.contains(written), "{block}");
    let script = block.replace(written, &format!("{} {flag} {folder}", env!("CARGO_BIN_EXE_keyhouse")));
    let output = Command::new("bash").args(["-e", "-c", &script]).output().expect("bash starts");
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
    for expected in ["Warehouse display", "Old storefront", "pk_test_", &format!("http://{}/link/", demo.address)] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}
