//! Every method of `Store` runs in `tests/store/methods*.rs`, which run on both engines.

use super::{repository, sources};

#[test]
fn every_method_of_the_store_runs_on_both_engines() {
    let run = repository("tests/store/methods.rs") + &repository("tests/store/methods_of_people.rs");
    let mut count = 0;
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("crates/store/")) {
        for line in text.lines() {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let run: String = run.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let called = run.contains(&format!(".{name}(")) || run.contains(&format!("::{name}("));
            assert!(called, "{file}: {name} does not run in tests/store/methods*.rs");
            count += 1;
        }
    }
    assert!(count > 15, "the law found its methods");
}
