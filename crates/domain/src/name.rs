//! Names of people, teams and keys: one rule, one type per noun.

use std::fmt;
use std::marker::PhantomData;

use unicode_normalization::UnicodeNormalization;

use crate::characters;

/// What a [`Name`] names. The implementations are [`Key`], [`Team`] and [`Person`].
pub trait Noun {
    /// Whether a name could be mistaken for one that Keyhouse writes itself, such as that of the command line.
    fn is_reserved(_name: &str) -> bool {
        false
    }
}

/// The noun of [`KeyName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {}

/// The noun of [`TeamName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Team {}

/// The noun of [`PersonName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {}

impl Noun for Key {}
impl Noun for Team {}

impl Noun for Person {
    /// Changes made on the command line or by the server itself are recorded under such names.
    fn is_reserved(name: &str) -> bool {
        let name = name.to_lowercase();
        name == "keyhouse" || name.starts_with("command line") || name.starts_with("leak report")
    }
}

/// The private name of an API key. Need not be unique.
pub type KeyName = Name<Key>;
/// The name of a team. Its slug is made from it.
pub type TeamName = Name<Team>;
/// What a person is called.
pub type PersonName = Name<Person>;

/// A name of 1 to 100 characters in Unicode normalization form C: no control characters, no invisible ones, at least one
/// that can be seen, and single spaces between words. Characters are Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<N> {
    text: String,
    noun: PhantomData<N>,
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("enter a name")]
    Empty,
    /// More characters than the limit, which is given.
    #[error("a name has at most {0} characters")]
    TooLong(usize),
    /// A control character, such as a tab or a line end, between others.
    #[error("a name must not contain control characters")]
    Control,
    /// An invisible character, which is given.
    #[error("a name must not contain invisible characters; this one has U+{:04X}", u32::from(*.0))]
    Invisible(char),
    /// Accents without a letter.
    #[error("a name must have at least one visible character")]
    NothingToSee,
    /// A name that Keyhouse uses itself.
    #[error("this name is reserved: Keyhouse records its own changes under it")]
    Reserved,
}

impl<N: Noun> Name<N> {
    /// The greatest length, in Unicode scalar values.
    pub const MAX: usize = 100;

    /// Reads a name that a person chose. White space around it is dropped, each run of white space inside it becomes one
    /// space, and the rest is normalized to NFC.
    ///
    /// # Errors
    ///
    /// One of [`NameError`]; the text is not changed further to make it fit.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        let text = fold(text);
        if let Some(invisible) = characters::first_invisible(&text) {
            return Err(NameError::Invisible(invisible));
        }
        if text.chars().count() > Self::MAX {
            return Err(NameError::TooLong(Self::MAX));
        }
        if !text.chars().any(characters::is_visible) {
            return Err(NameError::NothingToSee);
        }
        if N::is_reserved(&text) {
            return Err(NameError::Reserved);
        }
        Ok(Self::new(text))
    }

    /// Reads a name back from the database, as it is: older rows may break the rules of [`Name::parse`].
    ///
    /// # Errors
    ///
    /// [`NameError::Empty`] for a text that was never stored as a name.
    pub fn from_stored(text: &str) -> Result<Self, NameError> {
        if text.is_empty() { Err(NameError::Empty) } else { Ok(Self::new(text.to_owned())) }
    }

    /// Whether `typed` repeats this name, as a confirmation asks for. Compares what can be seen: both sides are
    /// normalized, and invisible characters and the width of white space do not count. If the name consists of invisible
    /// characters alone, an empty text matches.
    pub fn is_repeated_by(&self, typed: &str) -> bool {
        let seen = |text: &str| {
            let visible: String = text
                .chars()
                .filter(|c| c.is_whitespace() || !(c.is_control() || characters::is_invisible(*c)))
                .collect();
            fold(visible.trim())
        };
        seen(&self.text) == seen(typed)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<N> Name<N> {
    fn new(text: String) -> Self {
        Self { text, noun: PhantomData }
    }
}

impl<N> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// NFC, with one space in place of each run of white space.
fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_to_what_is_seen() {
        for (text, name) in [
            ("  Backend \n", "Backend"),
            ("CI  deploy", "CI deploy"),
            ("CI\u{a0}deploy", "CI deploy"),
            ("cafe\u{301}", "café"),
            ("Ada Lovelace 👩\u{200d}💻", "Ada Lovelace 👩\u{200d}💻"),
            (&"ä".repeat(100), &"ä".repeat(100)),
        ] {
            assert_eq!(KeyName::parse(text).unwrap().as_str(), name);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, fault) in [
            (" \t ", NameError::Empty),
            ("a\u{7}b", NameError::Control),
            ("a\tb", NameError::Control),
            ("\u{200b}", NameError::Invisible('\u{200b}')),
            ("safe\u{202e}evil", NameError::Invisible('\u{202e}')),
            ("\u{3164}", NameError::Invisible('\u{3164}')),
            ("\u{2800}", NameError::Invisible('\u{2800}')),
            ("\u{301}", NameError::NothingToSee),
            (&"ä".repeat(101), NameError::TooLong(100)),
        ] {
            assert_eq!(KeyName::parse(text), Err(fault), "{text:?}");
        }
        assert_eq!(
            NameError::Invisible('\u{200b}').to_string(),
            "a name must not contain invisible characters; this one has U+200B"
        );
    }

    #[test]
    fn people_are_not_called_like_the_command_line() {
        for text in ["Command line (root)", "COMMAND  LINE", "Keyhouse"] {
            assert_eq!(PersonName::parse(text), Err(NameError::Reserved), "{text}");
            assert!(KeyName::parse(text).is_ok(), "{text}");
        }
        assert!(PersonName::parse("Keyhouse Smith").is_ok());
    }

    #[test]
    fn a_confirmation_compares_what_is_seen() {
        let old = |text: &str| KeyName::from_stored(text).unwrap();
        for (name, typed) in [
            ("CI  deploy", "CI deploy"),
            ("CI\u{a0}deploy", "CI deploy"),
            ("CI deploy", " CI  deploy\n"),
            ("cafe\u{301}", "café"),
            ("de\u{200b}ploy", "deploy"),
            ("\u{200b}", ""),
        ] {
            assert!(old(name).is_repeated_by(typed), "{name:?} {typed:?}");
        }
        assert!(!old("CI deploy").is_repeated_by("CIdeploy"));
        assert!(!old("CI deploy").is_repeated_by("ci deploy"));
        assert!(!old("CI deploy").is_repeated_by(""));
    }
}
