//! Gives an error response its body: JSON for programs, a page for browsers. The one place that does content negotiation.
//!
//! Handlers and layers return an [`ApiError`]; it travels as an extension of a response without a body, because the body
//! holds the request's id and depends on its Accept header.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;

use crate::web::context::RequestContext;
use crate::web::dashboard;
use crate::web::error::ApiError;
use crate::web::small_bytes;

/// How a request wants errors to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum ErrorFormat {
    Json,
    Page,
}

impl ErrorFormat {
    /// The API answers in JSON whatever Accept says; elsewhere a request that accepts HTML gets a page.
    pub(in crate::web) fn of(is_api: bool, headers: &HeaderMap) -> Self {
        let accept = || headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        if !is_api && accept().is_some_and(|accept| accept.contains("text/html")) { Self::Page } else { Self::Json }
    }
}

/// Writes the body of an error, whether it is one of a layer or travels in a response, and returns it for the access log.
pub(in crate::web) fn render_error(
    answer: Result<Response, ApiError>,
    context: &RequestContext,
    method: &Method,
    format: ErrorFormat,
) -> (Response, Option<Arc<ApiError>>) {
    let (mut response, error) = match answer {
        Ok(response) => match response.extensions().get::<Arc<ApiError>>().cloned() {
            Some(error) => (response, error),
            None => return (response, None),
        },
        Err(error) => (error.head(), Arc::new(error)),
    };
    let (body, media_type) = match format {
        ErrorFormat::Json => (error.to_body(context.id()), "application/json"),
        ErrorFormat::Page => {
            (dashboard::error_page(&error, context.id(), response.extensions()), "text/html; charset=utf-8")
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CONTENT_LENGTH, small_bytes::number(body.len()));
    *response.body_mut() = if method == Method::HEAD { Body::empty() } else { Body::from(body) };
    (response, Some(error))
}
