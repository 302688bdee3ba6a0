//! The dashboard in a real browser. The scenarios run twice: on localhost, and over plain HTTP with another host name, which
//! browsers treat as insecure: no clipboard, for example.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{Path, here, run, tool};

/// The accessibility check writes screenshots to `target/pictures`; `scripts/pictures` copies some of them to `docs`.
///
/// The browser tests run one at a time, by the test group in `.config/nextest.toml`, and by the lock under `cargo test`.
fn browse(program: &str, name: &str) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    run(Command::new(tool("bin/node"))
        .arg(here(program))
        .env("KEYHOUSE", env!("CARGO_BIN_EXE_keyhouse"))
        .env("NAME", name)
        .env("SHOTS", pictures)
        .env("PLAYWRIGHT", tool("node_modules/playwright-core/index.mjs"))
        .env("AXE", tool("node_modules/axe-core/axe.min.js")));
}

#[test]
fn the_dashboard_works_in_a_browser_on_localhost() {
    browse("dashboard.mjs", "127.0.0.1");
}

#[test]
fn the_dashboard_works_in_a_browser_over_plain_http_with_another_host_name() {
    browse("dashboard.mjs", "keyhouse.test");
}

/// Every page and dialog with axe-core: light and dark, 320, 768 and 1440 pixels wide.
#[test]
fn every_page_of_the_dashboard_passes_the_accessibility_checks() {
    browse("dashboard_looks.mjs", "127.0.0.1");
}

/// The page of a key, the requests and the actions on a key: what they do, and axe-core as above.
#[test]
fn the_pages_of_a_key_work_in_a_browser_and_pass_the_accessibility_checks() {
    browse("dashboard_keys.mjs", "127.0.0.1");
}
