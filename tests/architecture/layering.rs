//! Layering inside the `keyhouse` package. Between packages Cargo enforces it.

use super::sources;

/// A layer of `src/`, the modules above it, and the crates that it must not use.
const LAYERS: [(&str, &[&str], &[&str]); 3] = [
    ("app", &["web", "cli", "startup", "config"], &["axum", "hyper", "sqlx", "clap"]),
    ("web", &["cli", "startup", "config"], &["sqlx", "clap"]),
    ("cli", &["web"], &["axum", "hyper", "sqlx"]),
];

/// Whether a line of code names a path's first segment, as in `crate::web` or `sqlx::query`.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_word(before) && (path.ends_with(':') || !is_word(after))
    })
}

fn faults_in(file: &str, text: &str) -> Vec<String> {
    let Some((_, above, crates)) = LAYERS.iter().find(|(layer, ..)| file.starts_with(&format!("src/{layer}/"))) else {
        return Vec::new();
    };
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut faults = Vec::new();
    for line in code {
        // A list after `crate::` would hide which module is imported.
        let hides = line.contains("crate::{")
            && above.iter().any(|module| names(&line[line.find("crate::{").unwrap_or(0)..], module));
        let reaches = above.iter().any(|module| names(line, &format!("crate::{module}")));
        let uses = crates.iter().any(|name| names(line, &format!("{name}::")) || names(line, &format!("use {name}")));
        if hides || reaches || uses {
            faults.push(format!("{file}: {}", line.trim()));
        }
    }
    faults
}

#[test]
fn no_layer_imports_one_above_it() {
    let faults: Vec<_> = sources().iter().flat_map(|(file, text)| faults_in(file, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_forbidden_import_is_found_wherever_it_stands() {
    for line in [
        "use crate::cli::main;",
        "    use crate::web::Query;",
        "use crate::{cli, web};",
        "let pool: sqlx::Pool;",
        "use sqlx::Pool;",
    ] {
        let text = format!("//! A file.\n\n#[cfg(test)]\nmod tests {{\n{line}\n}}\n");
        assert_eq!(faults_in("src/app/keys.rs", &text).len(), 1, "{line}");
    }
    assert!(faults_in("src/app/keys.rs", "//! See `crate::web`.\nuse crate::app::App;\n").is_empty());
}

#[test]
fn every_module_name_says_what_the_module_holds() {
    for (file, _) in sources() {
        for vague in ["util", "common", "helper", "misc"] {
            assert!(!file.contains(vague), "{file} does not say what it holds");
        }
    }
}
