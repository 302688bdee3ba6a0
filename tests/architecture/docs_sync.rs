//! Law 7: each file says what it is for, none is too long to read, and the map shows the house as it is.

use super::{repository, sources};

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not open with //!");
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: make it a folder");
    }
}

#[test]
fn the_module_table_has_a_line_for_each_file_and_none_for_one_that_is_gone() {
    let map = repository("ARCHITECTURE.md");
    let listed: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path))
        .filter(|path| path.ends_with(".rs"))
        .collect();
    let there: Vec<_> = sources().into_iter().map(|(file, _)| file).collect();
    for file in &there {
        assert!(listed.contains(&file.as_str()), "ARCHITECTURE.md has no line for {file}");
    }
    for file in listed {
        assert!(there.iter().any(|path| path == file), "ARCHITECTURE.md lists {file}, which does not exist");
    }
}
