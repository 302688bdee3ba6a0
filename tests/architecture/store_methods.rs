//! Every public async method of the store has a test that is named after it and runs on both engines.

use super::{repository, sources};

const FILES: [&str; 15] = [
    "accounts",
    "connection",
    "digests",
    "identity",
    "key_lifecycle",
    "keys",
    "leaks",
    "links",
    "members",
    "nodes",
    "operations",
    "people",
    "products",
    "teams",
    "usage",
];

#[test]
fn every_method_of_the_store_has_a_test_of_its_own() {
    let mut tests = Vec::new();
    for file in FILES {
        let text = repository(&format!("tests/store/{file}.rs"));
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(rest) = line.strip_prefix("async fn ") else { continue };
            let Some((name, arguments)) = rest.split_once('(') else { continue };
            // rustfmt puts a long signature's arguments on the next line.
            let arguments = format!("{arguments}{}", lines.peek().copied().unwrap_or_default());
            if arguments.contains("#[values(Engine::Sqlite, Engine::Postgres)]") {
                tests.push(name.to_owned());
            }
        }
    }
    let mut count = 0;
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("crates/store/")) {
        for line in text.lines() {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let tested = tests.iter().any(|test| test.starts_with(&format!("{name}_")));
            assert!(tested, "{file}: no test in tests/store begins with {name}_");
            count += 1;
        }
    }
    assert!(count > 60, "only {count} methods were found");
}
