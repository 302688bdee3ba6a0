//! Passwords: long rather than odd. 15 to 128 characters, none of those that everybody tries first (NIST SP 800-63B-4).

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// A password as its owner typed it, in one normal form (NFC); wiped from memory when dropped.
pub struct Password(Zeroizing<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("Use at least {} characters; a few words in a row are good", Password::MIN)]
    TooShort,
    #[error("Use at most {} characters", Password::MAX)]
    TooLong,
    #[error("This password is too common; choose another")]
    Common,
    #[error("Too similar to your name, email or team")]
    Personal,
}

/// What people reach for when fifteen characters are asked for. Compared in lower case without spaces and punctuation.
const COMMON: &[&str] = &[
    "changemechangeme",
    "correcthorsebatterystaple",
    "iloveyouiloveyou",
    "keyhousekeyhouse",
    "letmeinletmeinletmein",
    "mypasswordispassword",
    "onceuponatimeinaland",
    "passwordpassword",
    "qwertyuiopasdfgh",
    "qwertyuiopasdfghjkl",
    "qwertyuiopasdfghjklzxcvbnm",
    "thequickbrownfox",
    "thequickbrownfoxjumpsoverthelazydog",
    "thisisapassword",
    "thisismypassword",
    "tobeornottobethatisthequestion",
    "administrator",
    "adminadminadmin",
    "welcomewelcome",
    "zaqwsxcderfvbgt",
    "1qaz2wsx3edc4rfv",
    "1qaz2wsx3edc4rfv5tgb",
    "1q2w3e4r5t6y7u8i",
    "q1w2e3r4t5y6u7i8",
];

/// Rows of keys and letters that are typed along.
const ROWS: &[&str] = &["01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm"];

impl Password {
    pub const MIN: usize = 15;
    pub const MAX: usize = 128;

    /// Judges a password that is to be set. `personal`: words that others know of its owner.
    pub fn validate_new(text: &str, personal: &[&str]) -> Result<Self, PasswordError> {
        let password = Self::from_input(text).ok_or(PasswordError::TooLong)?;
        if password.0.chars().count() < Self::MIN {
            return Err(PasswordError::TooShort);
        }
        let bare = bare(&password.0);
        let digits_off = bare.trim_end_matches(|c: char| c.is_ascii_digit());
        if COMMON.iter().any(|common| bare == *common || digits_off == *common)
            || bare.contains("passwordpassword")
            || is_repeated(&password.0)
            || (!bare.is_empty() && is_row(&bare))
        {
            return Err(PasswordError::Common);
        }
        let mut rest = bare.clone();
        for word in personal.iter().map(|word| self::bare(word)).filter(|word| word.chars().count() >= 4) {
            rest = rest.replace(&word, "");
        }
        if rest.chars().count() < 6 && rest != bare {
            return Err(PasswordError::Personal);
        }
        Ok(password)
    }

    /// A password that is to be compared. `None`: longer than any, so it is nobody's.
    pub fn from_input(text: &str) -> Option<Self> {
        // Bytes first: a giant must cost nothing.
        if text.len() > 8 * Self::MAX {
            return None;
        }
        let normal: Zeroizing<String> = Zeroizing::new(text.nfc().collect());
        (normal.chars().count() <= Self::MAX).then_some(Self(normal))
    }

    /// For the hash function alone.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What is stored of a password: Argon2id in its PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// One to five characters over and over.
fn is_repeated(text: &str) -> bool {
    let chars: Vec<_> = text.chars().flat_map(char::to_lowercase).collect();
    (1..=5).any(|span| chars.iter().zip(chars.iter().skip(span)).all(|(a, b)| a == b))
}

/// Nothing but pieces of four or more of the rows, forwards or backwards.
fn is_row(text: &str) -> bool {
    let mut rest: &str = text;
    while !rest.is_empty() {
        let step = (4..=rest.len()).rev().find(|&n| {
            let Some(piece) = rest.get(..n) else { return false };
            let back: String = piece.chars().rev().collect();
            ROWS.iter().any(|row| row.contains(piece) || row.contains(&back))
        });
        let Some(step) = step else { return false };
        rest = &rest[step..];
    }
    true
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_not_what_everybody_tries() {
        for (text, fault) in [
            ("short", Some(PasswordError::TooShort)),
            ("fourteen chars", Some(PasswordError::TooShort)),
            ("lamp river quiet stone", None),
            ("äöü äöü äöü äöx", None),
            ("aaaaaaaaaaaaaaaaaaaa", Some(PasswordError::Common)),
            ("abcabcabcabcabcabc", Some(PasswordError::Common)),
            ("Password Password!", Some(PasswordError::Common)),
            ("correct horse battery staple", Some(PasswordError::Common)),
            ("correct-horse-battery-staple-1", Some(PasswordError::Common)),
            ("1234567890123456", Some(PasswordError::Common)),
            ("qwertyuiopasdfghjkl123", Some(PasswordError::Common)),
            ("--- --- --- --- ---", Some(PasswordError::Common)),
            ("!?=+ *~#/ <>|-_ ;:,.", None),
            ("ada@example.com 12", Some(PasswordError::Personal)),
            ("ada lovelace ada lovelace", Some(PasswordError::Personal)),
            ("ada's cat sleeps in the sun", None),
        ] {
            let judged = Password::validate_new(text, &["ada@example.com", "example", "Ada Lovelace"]);
            assert_eq!(judged.err(), fault, "{text}");
        }
        assert!(Password::validate_new(&"lamp river ".repeat(11), &[]).is_ok(), "121 characters");
        assert_eq!(Password::validate_new(&"lamp river ".repeat(12), &[]).err(), Some(PasswordError::TooLong));
    }

    #[test]
    fn one_password_however_it_is_composed() {
        let (composed, decomposed) =
            (Password::from_input("caf\u{e9}").unwrap(), Password::from_input("cafe\u{301}").unwrap());
        assert_eq!(composed.expose(), decomposed.expose());
        assert!(Password::from_input(&"x".repeat(129)).is_none());
        assert_eq!(format!("{composed:?}"), "Password(…)");
    }
}
