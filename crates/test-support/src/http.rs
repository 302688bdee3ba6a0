//! Requests to the test application, and its responses.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::TestApp;

/// A request builder; awaiting it sends the request.
pub struct Call<'a> {
    app: &'a TestApp,
    request: Builder,
    body: Body,
}

impl<'a> Call<'a> {
    pub(super) fn new(app: &'a TestApp, method: &str, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", "keyhouse.test");
        Self { app, request, body: Body::empty() }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body.to_owned())
    }

    /// With a session cookie.
    pub fn cookie(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    /// A form, as a browser sends it from a page of the same origin.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(body)
    }

    pub fn request(self) -> Request<Body> {
        self.request.body(self.body).expect("a request")
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            {
                let app = self.app;
                app.answer(self.request()).await
            }
        })
    }
}

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The session cookie that the response sets, as a browser sends it back.
    pub fn cookie(&self) -> Option<String> {
        let cookies = self.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let session = cookies.filter_map(|cookie| cookie.split(';').next()).find(|cookie| cookie.contains("_session="));
        session.map(str::to_owned)
    }

    /// The `Location` header, or an empty text.
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_default()
    }

    /// As text, with the request id replaced: two equal errors differ only there.
    pub fn without_request_id(&self) -> String {
        let id = self.header("x-request-id").expect("every response has a request id");
        format!("{self}").replace(id, "req_…")
    }
}

/// As on the wire: status, headers by name, body.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let mut lines: Vec<_> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect();
        lines.sort();
        for line in lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "\n{}", self.text())
    }
}
