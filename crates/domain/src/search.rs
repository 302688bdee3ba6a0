//! Search terms: what a person types into the search field of a list.

use std::time::Duration;

use unicode_normalization::UnicodeNormalization;

/// Longest search term, in characters (Unicode scalar values).
pub const SEARCH_MAX: usize = 100;
/// Longest time that a search reads rows. It then returns what it has found, and where it stopped.
pub const SEARCH_BUDGET: Duration = Duration::from_millis(300);

/// A text to search for. Upper and lower case, compatibility forms and ways to compose a character are the same:
/// `STRASSE`, `Straße` and `ｓｔｒａßｅ` match each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTerm(String);

/// The text has more than [`SEARCH_MAX`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A search can have at most {SEARCH_MAX} characters")]
pub struct SearchTooLong;

impl SearchTerm {
    /// Reads what was typed, without the white space around it. `None` if nothing is left.
    ///
    /// # Errors
    ///
    /// [`SearchTooLong`].
    pub fn parse(text: &str) -> Result<Option<Self>, SearchTooLong> {
        let text = text.trim();
        if text.chars().nth(SEARCH_MAX).is_some() {
            return Err(SearchTooLong);
        }
        Ok(Some(fold(text)).filter(|folded| !folded.is_empty()).map(Self))
    }

    /// Whether the text contains the term.
    pub fn is_in(&self, text: &str) -> bool {
        fold(text).contains(&self.0)
    }
}

/// Unicode normalization form KC without case. Upper case first: it spells out characters such as `ß`, which lower case
/// alone keeps, and unites both forms of the Greek sigma.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkc().collect::<String>().to_uppercase().to_lowercase().nfkc().collect()
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T, C> {
    /// The matches, in the order of the list.
    pub items: Vec<T>,
    /// Where the rest of the list begins; `None` at its end.
    pub next: Option<C>,
    /// Whether the search ran out of time before it had a page of matches.
    pub is_cut_short: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(text: &str) -> SearchTerm {
        SearchTerm::parse(text).unwrap().unwrap()
    }

    #[test]
    fn case_and_composition_make_no_difference() {
        for (text, within) in [
            ("wind", "WIND VANE"),
            ("müller", "MÜLLER"),
            ("MU\u{308}LLER", "Müller"),
            ("strasse", "Große Straße 1"),
            ("ΟΔΟΣ", "οδος"),
            ("οδος", "ΟΔΟΣ 7"),
            ("日本", "東京、日本"),
            ("100%", "100% wool"),
        ] {
            assert!(term(text).is_in(within), "{text} in {within}");
        }
        for (text, within) in [("vane", "van"), ("%", "100"), ("_", "a b"), ("muller", "Müller")] {
            assert!(!term(text).is_in(within), "{text} in {within}");
        }
    }

    #[test]
    fn a_term_has_at_most_100_characters() {
        assert_eq!(SearchTerm::parse(" \t "), Ok(None));
        assert!(SearchTerm::parse(&format!(" {} ", "日".repeat(100))).unwrap().is_some());
        assert_eq!(SearchTerm::parse(&"a".repeat(101)), Err(SearchTooLong));
    }
}
