//! Protection against cross-site request forgery (CSRF): a request with an unsafe method must come from a page of this
//! server.
//!
//! By hand rather than by tower-http's `csrf`, which follows the same scheme (`Sec-Fetch-Site`, else `Origin`, as Go 1.25
//! does) but lets a request with neither header and one with `Sec-Fetch-Site: none` pass. Both are refused here: a browser
//! that submits our form sends one of the two headers, and programs have the API. The scheme of `public_url` counts too.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::observations::Observation;
use crate::web::AppState;
use crate::web::error::{ApiError, ErrorCode};
use keyhouse_domain::public_url::PublicUrl;

/// Refuses unsafe methods from other origins, before anything reads the request.
pub(crate) async fn same_origin(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !request.method().is_safe()
        && let Some(origin) = other_origin(request.headers(), state.public_url.as_ref())
    {
        state.app.observe(Observation::OtherOrigin, origin);
    }
    if request.method().is_safe() || is_same_origin(request.headers(), state.public_url.as_ref()) {
        return next.run(request).await;
    }
    let message = match state.public_url.as_ref().filter(|url| url.is_https() && is_plain_http(request.headers())) {
        Some(url) => format!("This form was sent over plain HTTP, so nothing was changed. Open Keyhouse at {url}"),
        None => "This request did not come from a page of this Keyhouse server, so nothing was changed".to_owned(),
    };
    ApiError::new(ErrorCode::BadRequest).with_message(message).with_source("cross-origin").into_response()
}

/// The origin of a page that this server served under another address than `public_url`: its host is the request's.
fn other_origin<'a>(headers: &'a HeaderMap, public_url: Option<&PublicUrl>) -> Option<&'a str> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    let (_, host) = origin.split_once("://")?;
    let is_ours = headers.get(header::HOST)?.to_str().ok()?.eq_ignore_ascii_case(host);
    (is_ours && public_url?.as_str() != origin).then_some(origin)
}

fn is_plain_http(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"http://"))
}

/// Whether the request comes from a page of this server: by `Sec-Fetch-Site`, or by `Origin` where the page is plain HTTP or
/// the browser is old. A request with neither header does not.
fn is_same_origin(headers: &HeaderMap, public_url: Option<&PublicUrl>) -> bool {
    let single = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    if headers.contains_key("sec-fetch-site") {
        return single("sec-fetch-site") == Some("same-origin");
    }
    let Some(origin) = single("origin") else { return false };
    if public_url.is_some_and(|url| url.as_str() == origin) {
        return true;
    }
    // With an https public URL, a page over http is another origin, whatever its host.
    let host = match public_url.is_some_and(PublicUrl::is_https) {
        true => origin.strip_prefix("https://"),
        false => origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")),
    };
    host.is_some_and(|host| single(header::HOST.as_str()).is_some_and(|asked| asked.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_may_send_unsafe_methods() {
        let public = PublicUrl::parse("https://keys.example.com").unwrap();
        for (site, origin, host, public_url, same) in [
            ("same-origin", "", "a", None, true),
            ("same-site", "http://a", "a", None, false),
            ("cross-site", "http://a", "a", None, false),
            ("none", "", "a", None, false),
            ("", "http://a:8080", "a:8080", None, true),
            ("", "http://A:8080", "a:8080", None, true),
            ("", "http://b:8080", "a:8080", None, false),
            ("", "http://a", "a:8080", None, false),
            ("", "null", "a", None, false),
            ("", "", "a", None, false),
            ("", "https://keys.example.com", "10.0.0.1:8080", Some(&public), true),
            ("", "http://keys.example.com", "keys.example.com", Some(&public), false),
            ("", "https://evil.example", "10.0.0.1:8080", Some(&public), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().unwrap());
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(is_same_origin(&headers, public_url), same, "{site} {origin} {host}");
        }
    }
}
