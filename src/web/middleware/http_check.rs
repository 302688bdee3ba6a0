//! What RFC 9112 requires of a request and hyper does not check: the length of the target, exactly one valid Host, and one
//! way to tell the length of the body.

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{Request, Version, header};

use crate::web::error::{ApiError, ErrorCode};
use crate::web::server::AmbiguousLength;

/// Longest request target, in bytes; a longer one is 414.
pub(in crate::web) const TARGET_MAX: usize = 8 * 1024;

/// # Errors
///
/// 414 for a target that is too long; 400 without a Host, with several, with one that is no host, and with both
/// Transfer-Encoding and Content-Length.
pub(in crate::web) fn check(request: &Request<Body>) -> Result<(), ApiError> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    if target > TARGET_MAX {
        return Err(ApiError::new(ErrorCode::UriTooLong));
    }
    if request.extensions().get::<AmbiguousLength>().is_some() {
        return Err(ApiError::new(ErrorCode::BadRequest)
            .with_message("The request has both Transfer-Encoding and Content-Length")
            .with_header(header::CONNECTION, "close"));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let fault = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => "The request has more than one Host header",
        (None, None) if request.version() == Version::HTTP_11 => "The request has no Host header",
        (Some(host), None) if !is_host(host.as_bytes()) => "The Host header is not a valid host",
        _ => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::BadRequest).with_message(fault))
}

/// A host with an optional port. Empty is allowed (RFC 9112, 3.2); user information is not.
fn is_host(bytes: &[u8]) -> bool {
    if is_plain_host(bytes) {
        return true;
    }
    let Ok(authority) = Authority::try_from(bytes) else { return bytes.is_empty() };
    let text = authority.as_str();
    let rest = &text[text.rfind(authority.host()).map_or(0, |at| at + authority.host().len())..];
    let port_fits = rest.is_empty() || rest == ":" || authority.port_u16().is_some();
    port_fits && !bytes.contains(&b'@') && !bytes.contains(&b',')
}

/// Whether this is a name or an IPv4 address with an optional port of up to four digits, as almost every Host is: then it needs
/// no parser, which copies it.
fn is_plain_host(bytes: &[u8]) -> bool {
    let (name, port) = match bytes.iter().position(|&byte| byte == b':') {
        Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
        None => (bytes, &b"0"[..]),
    };
    let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte));
    let is_port = port.iter().all(u8::is_ascii_digit) && matches!(port.len(), 1..=4);
    is_name && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_host_is_one_for_the_parser_too() {
        for host in ["a", "a.example", "10.0.0.1", "localhost:8080", "a-b.example:1", "A:0"] {
            assert!(is_plain_host(host.as_bytes()), "{host}");
            assert!(Authority::try_from(host).is_ok(), "{host}");
        }
        for host in ["", ":1", "a:", "a:65536", "a:1x", "[::1]", "a,b", "u@a", "a b", "a:1:2"] {
            assert!(!is_plain_host(host.as_bytes()), "{host}");
        }
    }
}
