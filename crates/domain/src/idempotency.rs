//! Idempotency keys: a request that may be repeated and must be executed once.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::ids::KeyId;

/// How long a response is stored.
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of an `Idempotency-Key` header: 1 to 255 visible ASCII characters, compared as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest value, in characters.
    pub const MAX: usize = 255;

    /// `None` if the header is empty, too long or not visible ASCII.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        fits.then(|| String::from_utf8(bytes.to_vec()).ok().map(Self)).flatten()
    }

    /// The value as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identifies a request. Two with the same key, method, path and value are the same request, and must have the same body.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    /// The API key, which also determines team and mode. No entry is shared between keys.
    pub key: KeyId,
    /// The HTTP method.
    pub method: String,
    /// The route with its parsed id, so that two spellings of an id are one path.
    pub path: String,
    /// The value of the `Idempotency-Key` header.
    pub value: IdempotencyKey,
    body_hash: [u8; 32],
}

impl IdempotentRequest {
    /// Hashes the body. `path` is the route with its parsed id.
    pub fn new(key: KeyId, method: &str, path: String, value: IdempotencyKey, body: &[u8]) -> Self {
        Self { key, method: method.to_owned(), path, value, body_hash: Sha256::digest(body).into() }
    }

    /// SHA-256 of the body as sent.
    pub fn body_hash(&self) -> &[u8] {
        &self.body_hash
    }
}

/// The response to a request of the product API, which never contains a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The HTTP status: 200 or 201, as only successful responses are stored.
    pub status: u16,
    /// The body as sent.
    pub body: Vec<u8>,
    /// The `Location` header.
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
