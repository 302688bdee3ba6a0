//! The dashboard in a real browser. The stories run twice: on localhost, and over plain HTTP on another name, where
//! browsers trust less and lend no clipboard.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{Path, here, run, tool};

/// The look-over leaves its pictures in `target/pictures`; `scripts/pictures` takes some of them into `docs`.
///
/// One browser after the other: three at once leave each other no frames on a small machine.
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
fn the_dashboards_stories_come_true() {
    browse("dashboard.mjs", "127.0.0.1");
}

#[test]
fn the_dashboards_stories_come_true_over_plain_http_on_another_name() {
    browse("dashboard.mjs", "keyhouse.test");
}

/// Every page and dialog, by an engine for accessibility: light and dark, 320, 768 and 1440 wide.
#[test]
fn the_dashboard_can_be_read_by_everybody_everywhere() {
    browse("dashboard_looks.mjs", "127.0.0.1");
}
