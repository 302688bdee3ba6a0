//! The plain HTTP port beside a port with TLS: it redirects to `https://` and serves nothing.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::server::HttpService;
use keyhouse_domain::public_url::PublicUrl;

#[derive(Debug, Clone)]
pub struct RedirectService {
    /// Where to; `None`: the host of the request, on the port of `https`.
    pub public_url: Option<PublicUrl>,
}

impl HttpService for RedirectService {
    async fn handle(&self, _peer: SocketAddr, request: Request<Body>) -> Response {
        if !request.method().is_safe() {
            // Whatever it carries has crossed the network readable already: it is not carried out.
            return (StatusCode::FORBIDDEN, "this port only redirects to https\n").into_response();
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let location = self.origin(&request).and_then(|origin| HeaderValue::from_str(&format!("{origin}{path}")).ok());
        match location {
            Some(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
            None => (StatusCode::BAD_REQUEST, "a Host header is missing\n").into_response(),
        }
    }
}

impl RedirectService {
    fn origin(&self, request: &Request<Body>) -> Option<String> {
        if let Some(url) = self.public_url.as_ref().filter(|url| url.is_https()) {
            return Some(url.to_string());
        }
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        PublicUrl::parse(&format!("https://{name}")).ok().map(|url| url.to_string())
    }
}
