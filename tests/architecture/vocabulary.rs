//! Names and prose use the standard terms of the field: words that the code once had for itself stay out.

use std::path::Path;

/// Words without a meaning of their own in this code, and the standard term.
const REPLACED: [(&str, &str); 18] = [
    ("deed", "action"),
    ("dice", "random bytes"),
    ("doer", "actor"),
    ("drill", "system test"),
    ("halt", "shutdown"),
    ("hears", "receives"),
    ("heard", "received"),
    ("judge", "check"),
    ("judged", "checked"),
    ("lately", "recently"),
    ("nobody", "no person"),
    ("seat", "membership"),
    ("somebody", "a person"),
    ("told", "shown, logged or returned"),
    ("twin", "duplicate"),
    ("visitor", "client"),
    ("whoever", "a person who"),
    ("worlds", "engines"),
];
const FOLDERS: [&str; 6] = ["src", "crates", "tests", "benches", "docs", "scripts"];
/// Files where such a word is data, or the name of something else: landed migrations never change, serde calls its trait
/// `Visitor`, and the tests list such words.
const EXEMPT: [&str; 4] =
    ["/migrations/", "src/web/json.rs", "tests/architecture/texts.rs", "tests/architecture/vocabulary.rs"];

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.display().to_string();
        if path.is_dir() {
            files(&path, found);
        } else if [".rs", ".md", ".mjs", ".py"].iter().any(|end| name.ends_with(end))
            && !EXEMPT.iter().any(|exempt| name.contains(exempt))
        {
            found.push(name);
        }
    }
}

#[test]
fn replaced_words_stay_out() {
    let mut paths = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    FOLDERS.iter().for_each(|folder| files(Path::new(folder), &mut paths));
    assert!(paths.len() > 200, "the folders are read");
    let mut faults = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a text file");
        for (number, line) in text.lines().enumerate() {
            for word in line.split(|c: char| !c.is_alphanumeric()) {
                let lower = word.to_lowercase();
                if let Some((_, standard)) = REPLACED.iter().find(|(replaced, _)| *replaced == lower) {
                    faults.push(format!("{path}:{}: {word}; write {standard}", number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
