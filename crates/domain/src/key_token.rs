//! The tokens of a key: one, and for a while after a rotation two

use std::str::FromStr;
use std::time::Duration;

use super::time_span::{TimeSpanError, parse_time_span};
use super::timestamp::Timestamp;
use keyhouse_token::TokenPrefix;

/// Longest time for which a former token is accepted, counted from the rotation, whether or not the new token was used.
pub const FORMER_TOKEN_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is stored of a token, apart from its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyToken {
    /// 1 for the token that the key was created with, and one more for each rotation.
    pub number: u32,
    /// The part of the token that may be shown.
    pub prefix: TokenPrefix,
    /// When the token was created.
    pub created_at: Timestamp,
    /// When the token was first used; recorded only for tokens that replaced another.
    pub first_used_at: Option<Timestamp>,
    /// `None` for the current token. For a former one, the time from which it is refused; the first use of the current
    /// token may bring it forward.
    pub ends_at: Option<Timestamp>,
}

impl KeyToken {
    /// Whether the token is refused at `at` because another one has replaced it.
    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= at)
    }

    /// Whether a use of this token is its first, which starts the end of the former token.
    pub fn awaits_first_use(&self) -> bool {
        self.number > 1 && self.ends_at.is_none() && self.first_used_at.is_none()
    }
}

/// How long a former token is accepted after the first use of its successor: at most [`FORMER_TOKEN_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap(Duration);

/// Why a text is not an overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverlapError {
    /// Not a length of time.
    #[error(transparent)]
    Span(#[from] TimeSpanError),
    /// Longer than [`FORMER_TOKEN_MAX`].
    #[error("the former token can be kept for at most 7 days (7d)")]
    TooLong,
}

impl Overlap {
    /// The overlap of this length.
    ///
    /// # Errors
    ///
    /// [`OverlapError::TooLong`].
    pub fn new(length: Duration) -> Result<Self, OverlapError> {
        if length > FORMER_TOKEN_MAX { Err(OverlapError::TooLong) } else { Ok(Self(length)) }
    }

    /// Its length.
    pub fn length(self) -> Duration {
        self.0
    }
}

impl Default for Overlap {
    /// 24 hours.
    fn default() -> Self {
        Self(Duration::from_secs(24 * 60 * 60))
    }
}

impl FromStr for Overlap {
    type Err = OverlapError;

    fn from_str(text: &str) -> Result<Self, OverlapError> {
        Self::new(parse_time_span(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_at_most_seven_days() {
        assert_eq!("0".parse::<Overlap>().unwrap().length(), Duration::ZERO);
        assert_eq!("7d".parse::<Overlap>().unwrap().length(), FORMER_TOKEN_MAX);
        assert_eq!("169h".parse::<Overlap>(), Err(OverlapError::TooLong));
        assert_eq!("soon".parse::<Overlap>(), Err(OverlapError::Span(TimeSpanError)));
        assert_eq!(Overlap::default(), "24h".parse().unwrap());
    }
}
