//! Security headers of every response outside the API: a strict Content-Security-Policy, no framing, no referrer to others.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::web::AppState;
use keyhouse_domain::public_url::PublicUrl;

/// Nothing inline, nothing from other origins, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Sets them on a response; a handler's own Content-Security-Policy and Vary stay.
pub(crate) fn set_security_headers(state: &AppState, headers: &mut HeaderMap) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
    // A page depends on the session, and the format of an error on Accept.
    headers.entry(header::VARY).or_insert(HeaderValue::from_static("Accept, Cookie"));
    if state.public_url.as_ref().is_some_and(PublicUrl::is_https) {
        // Two years, as browsers' preload lists require. Not for subdomains, which may belong to other services.
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}
