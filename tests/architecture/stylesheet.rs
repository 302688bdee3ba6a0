//! The stylesheet is one file of bounded length, and every class, id and token in it is used.

use std::collections::BTreeSet;

use super::{files, repository, sources};

/// The text without comments.
fn without_comments(css: &str) -> String {
    let mut rest = css;
    let mut text = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text + rest
}

/// A word of CSS names: letters, digits, `-` and `_`.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The classes and ids that selectors name.
fn names(css: &str) -> BTreeSet<String> {
    // A selector is what stands before `{`, after the brace or semicolon before.
    let selectors = css.split('{').map(|part| part.rsplit(['}', ';', '{']).next().unwrap_or_default());
    let mut found = BTreeSet::new();
    for selector in selectors.filter(|selector| !selector.trim_start().starts_with('@')) {
        for mark in ['.', '#'] {
            for part in selector.split(mark).skip(1) {
                let name = word(part);
                if name.starts_with(|c: char| c.is_alphabetic()) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    text.match_indices(name)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + name.len()..].chars().next()))
}

#[test]
fn every_class_id_and_token_of_the_stylesheet_is_used() {
    let css = without_comments(&repository("assets/keyhouse.css"));
    let mut pages: Vec<String> = files("templates").into_iter().map(|(_, text)| text).collect();
    pages.extend(files("assets").into_iter().filter(|(file, _)| file.ends_with(".js")).map(|(_, text)| text));
    pages.extend(sources().into_iter().filter(|(file, _)| file.starts_with("src/web/")).map(|(_, text)| text));
    let unused: Vec<_> =
        names(&css).into_iter().filter(|name| !pages.iter().any(|page| has_word(page, name))).collect();
    assert!(unused.is_empty(), "no page uses {unused:?}");

    let declared: BTreeSet<_> = css
        .split([';', '{'])
        .filter_map(|part| part.trim().strip_prefix("--")?.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    let unused: Vec<_> = declared.iter().filter(|name| !css.contains(&format!("var(--{name}"))).collect();
    assert!(unused.is_empty(), "no rule uses the tokens {unused:?}");
}

#[test]
fn the_stylesheet_has_at_most_900_lines() {
    let lines = repository("assets/keyhouse.css").lines().count();
    assert!(lines <= 900, "{lines} lines");
}

#[test]
fn names_are_read_from_selectors_alone() {
    let css = ".a, #b > .c-d:hover { margin: .5rem; & .e { color: #fff; } }\n@media (width < 1.5px) { .f { x: y } }";
    assert_eq!(names(css).into_iter().collect::<Vec<_>>(), ["a", "b", "c-d", "e", "f"]);
}
