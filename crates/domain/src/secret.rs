//! The secrets in session cookies and one-time links: 256 random bits, stored as their SHA-256.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const BYTES: usize = 32;

/// A secret, as 64 lower-case hexadecimal digits. It is zeroed on drop and has no `Display`, `Serialize` or `Clone`.
pub struct Secret(Zeroizing<String>);

/// SHA-256 of a [`Secret`], as the database stores it. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; BYTES]);

impl Secret {
    /// Makes a new secret. `fill` must fill its buffer with unpredictable bytes.
    pub fn from_entropy(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new([0; BYTES]);
        fill(&mut bytes[..]);
        // The whole capacity is reserved, because a string that grows leaves copies of itself in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * BYTES));
        for byte in *bytes {
            for digit in [byte >> 4, byte & 0xf] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Self(text)
    }

    /// Reads a secret that a browser sent. `None` if it does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 2 * BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself, for the cookie or link that carries it. The name makes each use easy to find.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The form that is stored and looked up. A fast hash is enough for 256 random bits.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl SecretHash {
    /// The 32 bytes.
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
