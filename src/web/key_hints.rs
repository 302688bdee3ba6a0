//! Headers that announce the end of a key or of its token, so that a client's log says it before a 401 does

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::conditions::EXPIRY_NOTICE;
use keyhouse_domain::timestamp::Timestamp;

const KEY_EXPIRES: HeaderName = HeaderName::from_static("keyhouse-key-expires");
const TOKEN_ENDS: HeaderName = HeaderName::from_static("keyhouse-token-ends");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// Announces an expiry in the last 14 days, and on a former token its end.
pub(super) fn insert_key_hints(headers: &mut HeaderMap, key: &ApiKey, now: Timestamp) {
    let mut insert = |name: HeaderName, value: String| {
        headers.insert(name, HeaderValue::try_from(value).expect("a time is ASCII"));
    };
    if let Some(at) = key.conditions.expires_at.filter(|at| *at <= now.plus(EXPIRY_NOTICE)) {
        insert(KEY_EXPIRES, at.to_string());
    }
    if let Some(at) = key.token.ends_at {
        insert(TOKEN_ENDS, at.to_string());
        // RFC 9745: a date in Unix seconds, in the future while the token is still accepted.
        insert(DEPRECATION, format!("@{}", at.ms() / 1000));
    }
}
