//! The scheme and host at which browsers reach this installation.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::AppState;
use keyhouse_domain::public_url::PublicUrl;

/// The configured public URL, or else what the request says: its `Origin`, which browsers send with every form and which
/// the CSRF check has compared; or its `Host`, which does not say whether a proxy terminates TLS.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl(String);

/// A form was sent over HTTPS although no public URL is configured.
static HTTPS_WITHOUT_PUBLIC_URL: AtomicBool = AtomicBool::new(false);

/// Whether the setting `public_url` is missing although people use HTTPS.
pub(super) fn lacks_public_url(state: &AppState) -> bool {
    state.public_url.is_none() && HTTPS_WITHOUT_PUBLIC_URL.load(Ordering::Relaxed)
}

impl BaseUrl {
    fn of(headers: &HeaderMap, public_url: Option<&PublicUrl>) -> Self {
        if let Some(url) = public_url {
            return Self(url.to_string());
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(origin) = text(header::ORIGIN).and_then(|origin| PublicUrl::parse(origin).ok()) {
            if origin.is_https() && !HTTPS_WITHOUT_PUBLIC_URL.swap(true, Ordering::Relaxed) {
                tracing::warn!(%origin, "pages are used over HTTPS but public_url is not set, so cookies are not Secure");
            }
            return Self(origin.to_string());
        }
        let host = text(header::HOST).and_then(|host| PublicUrl::parse(&format!("http://{host}")).ok());
        Self(host.map_or_else(|| "http://localhost".to_owned(), |host| host.to_string()))
    }
}

impl FromRequestParts<AppState> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, state.public_url.as_ref()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_form_counts_more_than_the_host() {
        let public = PublicUrl::parse("https://keys.example.com").unwrap();
        for (origin, host, public_url, base) in [
            ("", "10.0.0.1:8080", Some(&public), "https://keys.example.com"),
            ("", "localhost:8080", None, "http://localhost:8080"),
            ("https://keys.example.org", "keys.example.org", None, "https://keys.example.org"),
            ("https://keys.example.org", "127.0.0.1:8080", None, "https://keys.example.org"),
            ("null", "a", None, "http://a"),
            ("", "a'<b>", None, "http://localhost"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert("origin", origin.parse().unwrap());
            }
            assert_eq!(BaseUrl::of(&headers, public_url).to_string(), base, "{origin} {host}");
        }
    }
}
