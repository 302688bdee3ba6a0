//! What every answer outside the API tells the browser: run nothing and load nothing but our own, and show it in no frame.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::web::AppState;
use keyhouse_domain::public_url::PublicUrl;

/// Pages run no inline script and take no inline style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For every answer outside the API, errors that come before any route included.
pub(crate) fn set_security_headers(state: &AppState, headers: &mut HeaderMap) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
    // What a page holds depends on who asks, and an error on what they can read.
    headers.entry(header::VARY).or_insert(HeaderValue::from_static("Accept, Cookie"));
    if state.public_url.as_ref().is_some_and(PublicUrl::is_https) {
        // Two years, as preload lists ask; not for subdomains, which are not ours to speak for.
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}
