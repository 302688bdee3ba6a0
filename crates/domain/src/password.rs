//! Passwords: 15 to 128 characters, rated by an estimator and a list of common ones, without rules on their composition
//! (NIST SP 800-63B-4, section 3.1.1.2).

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// A password as its owner typed it, normalized to NFC. It is wiped from memory when dropped.
pub struct Password(Zeroizing<String>);

/// Why a new password is refused. The messages are for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer characters than [`Password::MIN`].
    #[error("Use at least {} characters; a passphrase of several words works well", Password::MIN)]
    TooShort,
    /// More characters than [`Password::MAX`].
    #[error("Use at most {} characters", Password::MAX)]
    TooLong,
    /// Rated by the estimator as guessable with few attempts, or on the list of common passwords.
    #[error("This password is too common; choose another")]
    Common,
    /// Made of what is known about its owner.
    #[error("Too similar to your name, email or team")]
    Personal,
}

/// Common passwords and phrases of 15 characters and more whose words the estimator rates as chosen at random, such as
/// `correct horse battery staple`. One a line, in lower case, without spaces and punctuation.
const COMMON: &str = include_str!("common_passwords.txt");

/// The least score of zxcvbn that is accepted. Below it fewer than 10^8 guesses find the password.
const MIN_SCORE: Score = Score::Three;

impl Password {
    /// The least number of characters (Unicode scalar values).
    pub const MIN: usize = 15;
    /// The greatest number of characters (Unicode scalar values).
    pub const MAX: usize = 128;

    /// Checks a password that a person chose. `personal` lists texts that others know about the owner, such as their
    /// name, their address and the name of their team.
    ///
    /// # Errors
    ///
    /// One of [`PasswordError`].
    pub fn validate_new(text: &str, personal: &[&str]) -> Result<Self, PasswordError> {
        let password = Self::from_input(text).ok_or(PasswordError::TooLong)?;
        if password.0.chars().count() < Self::MIN {
            return Err(PasswordError::TooShort);
        }
        let letters = letters_and_digits(&password.0);
        let without_digits = letters.trim_end_matches(|c: char| c.is_ascii_digit());
        if COMMON.lines().any(|common| *letters == *common || without_digits == common) {
            return Err(PasswordError::Common);
        }
        let mut rest = letters.clone();
        // Each text as a whole, then each of its words, so that "skylark instruments skylark" is seen through.
        let words = personal.iter().copied().chain(personal.iter().flat_map(|text| text.split_whitespace()));
        for word in words.map(letters_and_digits).filter(|word| word.chars().count() >= 4) {
            rest = Zeroizing::new(rest.replace(&*word, ""));
        }
        if rest.chars().count() < 6 && rest != letters {
            return Err(PasswordError::Personal);
        }
        if zxcvbn(&password.0, personal).score() < MIN_SCORE {
            return Err(PasswordError::Common);
        }
        Ok(password)
    }

    /// Reads a password that is to be compared with a stored one. `None` if it is longer than any password can be.
    pub fn from_input(text: &str) -> Option<Self> {
        // The length in bytes is checked first, because normalizing a very long text would cost time.
        if text.len() > 8 * Self::MAX {
            return None;
        }
        let normal: Zeroizing<String> = Zeroizing::new(text.nfc().collect());
        (normal.chars().count() <= Self::MAX).then_some(Self(normal))
    }

    /// The bytes to hash.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The stored form of a password: an Argon2id hash as a PHC string. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn letters_and_digits(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
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
    fn short_common_and_personal_passwords_are_refused() {
        for (text, fault) in [
            ("short", Some(PasswordError::TooShort)),
            ("fourteen chars", Some(PasswordError::TooShort)),
            ("lamp river quiet stone", None),
            ("grüne äpfel über öland", None),
            ("äöü äöü äöü äöx", Some(PasswordError::Common)),
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
            ("lovelace ada lovelace ada", Some(PasswordError::Personal)),
            ("password123456789", Some(PasswordError::Common)),
            ("Password1234567", Some(PasswordError::Common)),
            ("iloveyou1234567", Some(PasswordError::Common)),
            ("football1234567", Some(PasswordError::Common)),
            ("qazwsxedcrfvtgb", Some(PasswordError::Common)),
            ("1q2w3e4r5t6y7u8i9o0p", Some(PasswordError::Common)),
            ("passw0rdpassw0rd", Some(PasswordError::Common)),
            ("letmein12345678", Some(PasswordError::Common)),
            ("linkedinlinkedin", Some(PasswordError::Common)),
            ("trustno1trustno1", Some(PasswordError::Common)),
            ("This is my password!", Some(PasswordError::Common)),
            ("ada's cat sleeps in the sun", None),
        ] {
            let result = Password::validate_new(text, &["ada@example.com", "example", "Ada Lovelace"]);
            assert_eq!(result.err(), fault, "{text}");
        }
        assert!(Password::validate_new(&"lamp river ".repeat(11), &[]).is_ok(), "121 characters");
        assert_eq!(Password::validate_new(&"lamp river ".repeat(12), &[]).err(), Some(PasswordError::TooLong));
    }

    #[test]
    fn composed_and_decomposed_characters_are_one_password() {
        let (composed, decomposed) =
            (Password::from_input("caf\u{e9}").unwrap(), Password::from_input("cafe\u{301}").unwrap());
        assert_eq!(composed.expose(), decomposed.expose());
        assert!(Password::from_input(&"x".repeat(129)).is_none());
        assert_eq!(format!("{composed:?}"), "Password(…)");
    }
}
