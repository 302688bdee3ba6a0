//! Law 7: each file says what it is for, none is too long to read, and the map shows the house as it is.

use super::{repository, sources};

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "src/{file} does not open with //!");
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "src/{file} has {lines} lines: make it a folder");
    }
}

#[test]
fn the_map_names_every_room_and_file_that_is_there_and_none_that_is_gone() {
    let map = repository("ARCHITECTURE.md");
    for (file, _) in sources() {
        let name = file.rsplit('/').next().expect("a name");
        assert!(name == "mod.rs" || map.contains(name), "ARCHITECTURE.md does not name src/{file}");
    }
    let there: Vec<_> = sources().into_iter().map(|(file, _)| file).collect();
    for word in map.split(|c: char| !(c.is_alphanumeric() || "_./".contains(c))).filter(|word| word.ends_with(".rs")) {
        let word = word.trim_start_matches("src/");
        assert!(
            word.starts_with("tests/") || there.iter().any(|file| file.ends_with(word)),
            "ARCHITECTURE.md names {word}, which is gone"
        );
    }
}
