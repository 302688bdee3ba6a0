//! Why a key was revoked, in the words of the person who did it

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

use super::characters;

/// A reason of 1 to 200 characters in Unicode normalization form C, on one line, without control or invisible characters.
/// Characters are Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationReason(String);

/// Why a text is not a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Nothing but white space.
    #[error("a reason must not be empty")]
    Empty,
    /// More than [`RevocationReason::MAX`] characters.
    #[error("a reason has at most {} characters", RevocationReason::MAX)]
    TooLong,
    /// A control or an invisible character, which is given.
    #[error("a reason must not contain control or invisible characters; this one has U+{:04X}", u32::from(*.0))]
    Invisible(char),
}

impl RevocationReason {
    /// The greatest length, in Unicode scalar values.
    pub const MAX: usize = 200;

    /// Reads a reason back from the database.
    pub fn from_stored(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RevocationReason {
    type Err = ReasonError;

    /// Runs of white space, line ends included, become one space.
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect();
        let is_control = |c: &char| c.is_control();
        match text.chars().count() {
            0 => Err(ReasonError::Empty),
            n if n > Self::MAX => Err(ReasonError::TooLong),
            _ => match text.chars().find(is_control).or_else(|| characters::first_invisible(&text)) {
                Some(invisible) => Err(ReasonError::Invisible(invisible)),
                None => Ok(Self(text)),
            },
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_visible_line() {
        let parse = |text: &str| text.parse::<RevocationReason>().map(|reason| reason.0);
        assert_eq!(parse("  seen in\na public log ").unwrap(), "seen in a public log");
        assert_eq!(parse(" \n "), Err(ReasonError::Empty));
        assert_eq!(parse("a\u{202e}b"), Err(ReasonError::Invisible('\u{202e}')));
        assert_eq!(parse("a\0b"), Err(ReasonError::Invisible('\0')));
        assert!(parse(&"é".repeat(200)).is_ok());
        assert_eq!(parse(&"é".repeat(201)), Err(ReasonError::TooLong));
    }
}
