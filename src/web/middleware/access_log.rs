//! One log line per request, and the span that carries the request's id to every line logged while it is handled.
//!
//! The line names the route's template, never the path, the query, a header or a person's address.

use std::time::Duration;

use axum::http::Method;
use axum::response::Response;
use tracing::Span;

use crate::web::context::{CallerId, RequestContext};
use crate::web::error::ApiError;

/// The span of a request. Its level is `error`, so that it is there for every line that the log filter lets through.
pub(in crate::web) fn span(context: &RequestContext) -> Span {
    tracing::error_span!("request", request_id = %context.id())
}

/// Logs an answered request: at level `error` for a 5xx, else `info`.
///
/// `code` is the error's code as the caller sees it, `cause` the reason that only the log gets.
pub(in crate::web) fn log(
    context: &RequestContext,
    method: &Method,
    response: &Response,
    error: Option<&ApiError>,
    took: Duration,
) {
    let status = response.status().as_u16();
    let route = context.route();
    let (key, person) = match context.caller() {
        Some(CallerId::Key(key)) => (Some(tracing::field::display(key)), None),
        Some(CallerId::Person(person)) => (None, Some(tracing::field::display(person))),
        None => (None, None),
    };
    let code = error.map(|error| error.code.code());
    let cause = error.and_then(|error| error.cause.as_ref()).map(tracing::field::display);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (request_id, client) = (context.id(), context.client_ip());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(target: "keyhouse::request", %method, route, status, micros, %request_id, %client, key, person, code, cause)
        };
    }
    if status >= 500 { line!(error) } else { line!(info) }
}
