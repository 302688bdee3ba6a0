//! Secrets of people's browsers: what a session's cookie and a one-time link hold. 256 random bits, stored as their hash.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const BYTES: usize = 32;

/// The secret itself, as 64 hexadecimal digits; wiped from memory when dropped. No `Display`, no `Serialize`, no `Clone`.
pub struct Secret(Zeroizing<String>);

/// What is stored of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; BYTES]);

impl Secret {
    /// Makes a new one from `fill`, which must give unpredictable bytes.
    pub fn from_entropy(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new([0; BYTES]);
        fill(&mut bytes[..]);
        // Reserved at once: a string that grows leaves copies of itself behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * BYTES));
        for byte in *bytes {
            for digit in [byte >> 4, byte & 0xf] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Self(text)
    }

    /// `None` for what can't be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 2 * BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret, for the one place that hands it out.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl SecretHash {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_shows_nothing() {
        let secret = Secret::from_entropy(|bytes| bytes.fill(0xa7));
        assert_eq!(secret.expose(), "a7".repeat(32));
        assert_eq!(Secret::parse(secret.expose()).unwrap().hash(), secret.hash());
        assert!(!format!("{secret:?}{:?}", secret.hash()).contains("a7"));
        for text in ["", "a7", &"A7".repeat(32), &"g7".repeat(32), &"a7".repeat(33)] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
    }
}
