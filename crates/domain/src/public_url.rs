//! The address under which clients reach this installation.

use std::fmt;

/// A web origin as in an `Origin` header (RFC 6454): `http://` or `https://`, a host in lower case, and a port unless it is
/// the scheme's default. No path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is not a [`PublicUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be https:// or http:// and a host, with an optional port and no path, such as https://keys.example.com")]
pub struct PublicUrlError;

impl PublicUrl {
    /// Reads an origin; one `/` at its end is dropped.
    ///
    /// # Errors
    ///
    /// [`PublicUrlError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(PublicUrlError)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.starts_with(':') || !rest.chars().all(plain) {
            return Err(PublicUrlError);
        }
        // Browsers leave the scheme's default port out of an origin.
        let usual = if scheme == "https" { ":443" } else { ":80" };
        Ok(Self(format!("{scheme}://{}", rest.strip_suffix(usual).unwrap_or(rest))))
    }

    /// Whether the scheme is `https`, so that cookies are marked `Secure`.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The value that browsers send as `Origin` from pages of this installation.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        for (text, origin) in [
            ("https://keys.example.com", "https://keys.example.com"),
            ("https://Keys.Example.com/", "https://keys.example.com"),
            ("https://keys.example.com:443", "https://keys.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().as_str(), origin);
        }
        for text in
            ["", "keys.example.com", "ftp://x", "https://", "https://x/y", "https://a@b", "https://x?y", "https://:80"]
        {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }
}
