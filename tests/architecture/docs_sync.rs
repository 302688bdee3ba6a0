//! Every source file states its purpose, none is too long, and the module table of ARCHITECTURE.md lists exactly the files.

use super::{repository, sources};

#[test]
fn every_file_begins_with_its_purpose() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not begin with //!");
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: split it");
    }
}

#[test]
fn the_module_table_lists_every_file_and_no_other() {
    let document = repository("ARCHITECTURE.md");
    let listed: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path))
        .filter(|path| path.ends_with(".rs"))
        .collect();
    let existing: Vec<_> = sources().into_iter().map(|(file, _)| file).collect();
    for file in &existing {
        assert!(listed.contains(&file.as_str()), "ARCHITECTURE.md has no line for {file}");
    }
    for file in listed {
        assert!(existing.iter().any(|path| path == file), "ARCHITECTURE.md lists {file}, which does not exist");
    }
}
