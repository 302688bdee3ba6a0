//! Conditional requests: `If-Match` and `If-None-Match`, RFC 9110 section 13.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use sha2::{Digest, Sha256};

/// A strong validator: the first 16 bytes of the SHA-256 of a response's body. Two bodies with one tag are equal, also if
/// a product was changed twice within a millisecond of `updatedAt`.
pub(in crate::web) fn entity_tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// The entity tags of a request's conditions; `None` for a header that is absent.
#[derive(Debug, Default)]
pub struct Preconditions {
    if_match: Option<Vec<String>>,
    if_none_match: Option<Vec<String>>,
}

impl<S: Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            if_match: tags(&parts.headers, &header::IF_MATCH),
            if_none_match: tags(&parts.headers, &header::IF_NONE_MATCH),
        })
    }
}

impl Preconditions {
    /// Whether `If-Match` is absent or names the resource's tag, by strong comparison. A malformed tag names nothing.
    pub fn matches(&self, entity_tag: &str) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.iter().any(|tag| tag == "*" || tag == entity_tag))
    }

    /// Whether `If-None-Match` names the resource's tag, by weak comparison: the client has the resource as it is.
    pub fn is_known(&self, entity_tag: &str) -> bool {
        let is_same = |tag: &String| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == entity_tag;
        self.if_none_match.as_ref().is_some_and(|tags| tags.iter().any(is_same))
    }

    /// Whether a write may go ahead: for other methods than GET and HEAD, both conditions must hold.
    pub fn allow_write(&self, entity_tag: &str) -> bool {
        self.matches(entity_tag) && !self.is_known(entity_tag)
    }
}

/// The members of a list of entity tags. A comma inside a foreign tag splits it into parts, none of which equals one of
/// our tags, which are quoted hexadecimal digits.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts = values.filter_map(|value| value.to_str().ok());
    Some(texts.flat_map(|text| text.split(',')).map(|tag| tag.trim_matches([' ', '\t']).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn preconditions(name: HeaderName, values: &[&'static str]) -> Preconditions {
        let headers = values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect();
        Preconditions {
            if_match: tags(&headers, &header::IF_MATCH),
            if_none_match: tags(&headers, &header::IF_NONE_MATCH),
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        for (values, expected) in [
            (&[][..], true),
            (&["*"], true),
            (&["\"a\""], true),
            (&["\"x\", \"a\""], true),
            (&["\"x\"", "\"y\" ,\t\"a\""], true),
            (&["W/\"a\""], false),
            (&["a"], false),
            (&["\"A\""], false),
            (&[""], false),
            (&["\"x\""], false),
        ] {
            assert_eq!(preconditions(header::IF_MATCH, values).allow_write("\"a\""), expected, "{values:?}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (values, expected) in
            [(&[][..], false), (&["*"], true), (&["W/\"a\""], true), (&["\"x\",\"a\""], true), (&["\"x\""], false)]
        {
            assert_eq!(preconditions(header::IF_NONE_MATCH, values).is_known("\"a\""), expected, "{values:?}");
        }
    }
}
