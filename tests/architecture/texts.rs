//! Texts for users are written as a native engineer writes documentation: the phrases of earlier versions, and the words that
//! mark them, do not come back.

use super::{files, sources};

/// Phrases of earlier versions, in lower case with straight apostrophes.
const PHRASES: &[&str] = &[
    "there is nothing here",
    "there is no such page",
    "to the start",
    "nothing you typed was kept",
    "not for your role",
    "belongs to people with another role",
    "a few words in a row",
    "nothing else is asked",
    "it is the password of that",
    "you are the first here",
    "no mail is ever sent",
    "sends no mail",
    "to prove yourself with",
    "tried first; choose another",
    "holds little but",
    "addresses go on saying",
    "ends its keys",
    "that rests for",
    "below you see when",
    "leaves this list",
    "passes this filter",
    "lags by up to",
    "never part of a call",
    "sees the test catalog alone",
    "the most there can be",
    "the form was sent before",
    "is no token of this keyhouse",
    "its form is right",
    "type it as it stands above",
    "in the team\">", // "4 in the team"
    "nobody is found by that",
    "nobody further",
    "make invitation",
    "invitation made",
    "they are in the team already",
    "somebody else must give back",
    "with their next click",
    "they made none of",
    "never without one",
    "hand over team",
    "stay owner",
    "programs make products",
    "how programs do it",
    "it leaves the lists",
    "open the product anew",
    "nothing further back",
    "handed the team over",
    "a name must not be empty",
    "in one binary: keys that people make",
    "for inside the house",
    "let people in who",
    "end a key, or all",
    "to end it:",
    "for them, once, within",
    "it lets its holder",
    "every browser of theirs",
    "nobody has an account yet",
    "sells 48 products",
    "keys of this run",
    "sign in, once each",
    "another world",
    "read-only means it",
    "whole and in one binary",
    "modes that never touch",
    "one honest 401",
    "as absent as what never was",
    "the limit slides",
    "refused for where it comes from",
    "may rest for",
    "says whose turn it is",
    "the first of these is told",
    "so is what is no http",
    "is marked, as a question",
    "found where it should not be",
    "who may |",
    "leaves everything as it is",
    "capitals come back",
    "never passes for a default",
    "before you heard of it",
    "can be mended",
    "a twin that",
    "when it stands still",
    "is told at once",
    "how many at most",
    "has had its time",
    "is believed",
];

/// Words that no text for users needs. A word is compared as a whole.
const WORDS: &[&str] = &[
    "anew",
    "anybody",
    "e-mail",
    "everybody",
    "mend",
    "mended",
    "nobody",
    "oops",
    "please",
    "somebody",
    "successfully",
    "whoever",
];

/// The texts of a source file: its string literals, and in the command line also its doc comments, which `--help` prints.
fn texts_of(file: &str, source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut texts = String::new();
    for line in code.lines() {
        let trimmed = line.trim_start();
        if let Some(help) = trimmed.strip_prefix("///").filter(|_| file.starts_with("src/cli/")) {
            texts.push_str(help);
        } else if !trimmed.starts_with("//") {
            // Every second part is inside quotes; a literal over several lines continues on lines of its own.
            let inside = if trimmed.contains('"') { 1 } else { 0 };
            line.split('"').skip(inside).step_by(2).for_each(|part| {
                texts.push_str(part);
                texts.push(' ');
            });
        }
        texts.push('\n');
    }
    texts
}

/// What users read, by file.
fn texts() -> Vec<(String, String)> {
    let shown = |file: &str| !file.ends_with(".rs") && !file.contains("common_passwords");
    let mut all: Vec<_> = ["templates", "docs/guide", "assets", "README.md", "config.example.toml"]
        .iter()
        .flat_map(|place| files(place))
        .filter(|(file, _)| shown(file))
        .collect();
    let printed =
        |file: &str| ["src/", "crates/domain/", "crates/store/", "crates/token/"].iter().any(|at| file.starts_with(at));
    all.extend(sources().into_iter().filter(|(file, _)| printed(file)).map(|(file, source)| {
        let texts = texts_of(&file, &source);
        (file, texts)
    }));
    all
}

fn faults_in(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let flat = text.to_lowercase().replace('’', "'").split_whitespace().collect::<Vec<_>>().join(" ");
    faults.extend(PHRASES.iter().filter(|phrase| flat.contains(**phrase)).map(|phrase| format!("{file}: {phrase}")));
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    for word in flat.split(|c: char| !is_word(c)) {
        if WORDS.contains(&word) {
            faults.push(format!("{file}: {word}"));
        }
    }
    faults
}

#[test]
fn no_text_for_users_has_a_phrase_that_was_replaced() {
    let faults: Vec<_> = texts().iter().flat_map(|(file, text)| faults_in(file, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_phrase_is_found_in_a_literal_and_not_in_a_comment() {
    let source = "// Nobody knows.\nfn f() { g(\"Whoever asks\"); }\n";
    assert_eq!(faults_in("src/web/x.rs", &texts_of("src/web/x.rs", source)), ["src/web/x.rs: whoever"]);
    let wrapped = "    \"There is no such\n     page\"\n";
    assert_eq!(faults_in("x.md", wrapped), ["x.md: there is no such page"]);
}
