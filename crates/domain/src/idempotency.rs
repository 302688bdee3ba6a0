//! A call that may be sent again and must be done once.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::ids::KeyId;

/// How long an answer is kept.
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of an `Idempotency-Key` header: 1 to 255 visible ASCII characters, as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub const MAX: usize = 255;

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        fits.then(|| String::from_utf8(bytes.to_vec()).ok().map(Self)).flatten()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which call it is. Two are the same if all but the body agree; then the bodies must agree too.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    /// Stands for its team and mode as well: nothing crosses from one key to another.
    pub key: KeyId,
    pub method: String,
    pub path: String,
    pub value: IdempotencyKey,
    body_hash: [u8; 32],
}

impl IdempotentRequest {
    pub fn new(key: KeyId, method: &str, path: String, value: IdempotencyKey, body: &[u8]) -> Self {
        Self { key, method: method.to_owned(), path, value, body_hash: Sha256::digest(body).into() }
    }

    /// SHA-256 of the body's bytes.
    pub fn body_hash(&self) -> &[u8] {
        &self.body_hash
    }
}

/// What a call was answered with. Answers of the product API only: none ever holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_visible_ascii() {
        for good in ["a", "\"quoted\"", "~!", &"x".repeat(255)] {
            assert!(IdempotencyKey::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", " ", "a b", "a\tb", "ä", "\u{7f}", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
