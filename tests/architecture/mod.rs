//! Rules about the source itself: layering, the access matrix, error codes, docs in step with the code, secrets.

mod access_matrix;
mod docs_sync;
mod error_codes;
mod layering;
mod secrets;
mod store_methods;
mod stylesheet;
mod texts;
mod vocabulary;

use std::path::{Path, PathBuf};

/// Every Rust file of the product, by its path from the repository's root: `src/` and the `src/` of each crate.
fn sources() -> Vec<(String, String)> {
    let folders = ["src", "crates/token/src", "crates/domain/src", "crates/store/src"];
    let mut found: Vec<_> = folders.iter().flat_map(|folder| files(folder)).collect();
    found.retain(|(path, _)| path.ends_with(".rs"));
    found.sort();
    found
}

/// Every text file of a folder, or the file itself, by its path from the repository's root.
fn files(place: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(place), &mut found);
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((path.strip_prefix(root).expect("under the root").display().to_string(), text))
    };
    found.into_iter().filter_map(text).collect()
}

fn walk(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_dir() {
        for entry in std::fs::read_dir(place).expect("a folder") {
            walk(&entry.expect("an entry").path(), found);
        }
    } else {
        found.push(place.to_owned());
    }
}

fn repository(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}
