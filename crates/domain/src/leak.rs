//! Leaks: tokens that were found where they should not be, who reported them, and what happens to their keys.

use std::fmt;

use keyhouse_token::{Brand, find_tokens};

use super::ids::KeyId;
use super::timestamp::Timestamp;

/// Longest place that the audit log keeps of a report, in characters.
const PLACE_MAX: usize = 300;

/// What happens to a key whose token was reported: the setting `leaks.action`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeakAction {
    /// The key is revoked.
    #[default]
    Revoke,
    /// The key is paused until an Owner or Admin resumes it.
    Pause,
    /// The key keeps working; the team sees a notice.
    Flag,
}

/// The text is not a [`LeakAction`].
#[derive(Debug, thiserror::Error)]
#[error("must be revoke, pause or flag")]
pub struct UnknownLeakAction;

impl LeakAction {
    /// Reads the setting.
    ///
    /// # Errors
    ///
    /// [`UnknownLeakAction`] for any other word.
    pub fn parse(text: &str) -> Result<Self, UnknownLeakAction> {
        match text {
            "revoke" => Ok(Self::Revoke),
            "pause" => Ok(Self::Pause),
            "flag" => Ok(Self::Flag),
            _ => Err(UnknownLeakAction),
        }
    }

    /// What was done to the key, as the audit log and the notice state it.
    pub fn past(self) -> &'static str {
        match self {
            Self::Revoke => "revoked",
            Self::Pause => "paused",
            Self::Flag => "flagged",
        }
    }
}

/// How a report arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeakChannel {
    /// `POST /leaks/report` or the page `/leaks`.
    Public,
    /// GitHub's secret scanning.
    GitHub,
    /// A GitLab's secret detection.
    GitLab,
    /// `keyhouse leak report`.
    CommandLine,
}

impl fmt::Display for LeakChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public report",
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::CommandLine => "command line",
        })
    }
}

/// Where a token was found, as the reporter states it: a URL, say. At most 300 visible characters, and never a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakPlace(String);

impl LeakPlace {
    /// Reads a place. `None` if it is empty or holds a text that begins like a token.
    pub fn parse(text: &str, brand: &Brand) -> Option<Self> {
        if find_tokens(text.as_bytes(), brand).next().is_some() {
            return None;
        }
        let shown: String = text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(PLACE_MAX).collect();
        (!shown.is_empty()).then_some(Self(shown))
    }

    /// The place as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A report of a leaked key that a team's Owner or Admin has not dismissed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakNotice {
    /// The key.
    pub key: KeyId,
    /// When it was reported.
    pub at: Timestamp,
    /// The key's prefix and name, what was done, and where the token was found.
    pub detail: String,
    /// Who reported it.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_short_and_visible_and_never_repeats_a_token() {
        let brand = Brand::parse("pk").unwrap();
        let place = |text: &str| LeakPlace::parse(text, &brand).map(|place| place.as_str().to_owned());
        assert_eq!(place("https://github.com/a/b\r\n#L1"), Some("https://github.com/a/b#L1".to_owned()));
        assert_eq!(place(&"x".repeat(1000)).unwrap().len(), PLACE_MAX);
        assert_eq!(place(" \u{0}"), None);
        let token = "pk_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4d72RB";
        assert_eq!(place(&format!("https://a.example/?key={token}")), None);
        assert_eq!(place(&format!("https://a.example/?key={}", &token[..40])), None, "a part of one");
    }

    #[test]
    fn actions_read_back() {
        assert_eq!(LeakAction::parse("pause").unwrap(), LeakAction::Pause);
        assert!(LeakAction::parse("Revoke").is_err());
    }
}
