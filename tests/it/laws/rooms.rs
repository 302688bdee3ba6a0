//! Law 1: rooms look down, never up. What a room does not know is an invariant.

use super::sources;

/// Room, the rooms it must not know, the crates and words it must not use.
const WALLS: [(&str, &[&str], &[&str]); 5] = [
    (
        "domain",
        &["app", "store", "web", "cli", "boot", "config"],
        &["async ", ".await", "axum", "sqlx", "tokio", "SystemTime", "getrandom"],
    ),
    ("store", &["app", "web", "cli", "boot", "config"], &["axum", "hyper", "clap"]),
    ("app", &["web", "cli", "boot", "config"], &["axum", "hyper", "sqlx", "clap"]),
    ("web", &["cli", "boot", "config"], &["sqlx", "clap"]),
    ("cli", &["store", "web"], &["axum", "hyper", "sqlx"]),
];

#[test]
fn rooms_do_not_know_those_above_them() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let Some((_, rooms, words)) = WALLS.iter().find(|(room, ..)| file.starts_with(&format!("{room}/"))) else {
            continue;
        };
        // Tests at a file's end may look wherever they like; prose may name anything.
        let code: Vec<_> = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg("))
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for line in code {
            // A list after `crate::`, or a climb out of the room, would hide what is reached.
            let climbs = line.matches("super::").count() > file.matches('/').count();
            if line.contains("crate::{") || climbs {
                faults.push(format!("{file} hides what it reaches: {}", line.trim()));
            }
            let reaches = |room: &str| ["::", ";", " "].iter().any(|end| line.contains(&format!("crate::{room}{end}")));
            // The database's own error is how the web tells "away" from "broken".
            let error_alone = file.starts_with("web/") && line.contains("crate::store::StoreError");
            if rooms.iter().any(|room| reaches(room)) || words.iter().any(|word| line.contains(word)) {
                faults.push(format!("{file}: {}", line.trim()));
            }
            if file.starts_with("web/") && reaches("store") && !error_alone {
                faults.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_are_five_rooms_and_no_drawers() {
    let mut rooms: Vec<_> = sources().iter().filter_map(|(file, _)| Some(file.split_once('/')?.0.to_owned())).collect();
    rooms.dedup();
    assert_eq!(rooms, ["app", "cli", "domain", "store", "web"]);
    for (file, _) in sources() {
        for drawer in ["util", "common", "helper", "misc"] {
            assert!(!file.contains(drawer), "{file} hides work");
        }
    }
}
