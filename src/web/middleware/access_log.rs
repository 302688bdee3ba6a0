//! One log line per request.
//!
//! The line names the route's template, never the path, the query, a header or a person's address. Where lines are JSON it
//! is written directly into the log's queue, because formatting an event of `tracing` takes several times as long.

use std::io::{self, Write};
use std::time::Duration;

use axum::http::Method;
use axum::response::Response;
use tracing::Level;

use crate::app::infra::traces::{TraceContext, hex};
use crate::telemetry;
use crate::web::context::{CallerId, RequestContext};
use crate::web::error::ApiError;
use keyhouse_domain::timestamp::Timestamp;

/// What a line says of an answered request, beyond its context.
pub(in crate::web) struct Answered<'a> {
    pub(in crate::web) method: &'a Method,
    pub(in crate::web) response: &'a Response,
    pub(in crate::web) error: Option<&'a ApiError>,
    pub(in crate::web) took: Duration,
    /// `None`: traces are not exported.
    pub(in crate::web) trace: Option<&'a TraceContext>,
}

impl Answered<'_> {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }

    /// The error's code as the caller sees it.
    fn code(&self) -> Option<&'static str> {
        self.error.map(|error| error.code.code())
    }
}

/// Logs an answered request: at level `error` for a 5xx, else `info`. `now` returns the time of the line.
pub(in crate::web) fn log(context: &RequestContext, answered: &Answered<'_>, now: impl FnOnce() -> Timestamp) {
    const TARGET: &str = "keyhouse::request";
    let is_fault = answered.status() >= 500;
    let is_wanted = match is_fault {
        true => tracing::enabled!(target: TARGET, Level::ERROR),
        false => tracing::enabled!(target: TARGET, Level::INFO),
    };
    if !is_wanted {
        return;
    }
    if let Some(queue) = telemetry::json_lines() {
        let level = if is_fault { "ERROR" } else { "INFO" };
        // Writing into memory does not fail.
        return queue.append(|line| write_json(line, level, context, answered, now()).unwrap_or_default());
    }
    let (method, route, status, micros, code) =
        (answered.method, context.route(), answered.status(), answered.micros(), answered.code());
    let (key, person) = match context.caller() {
        Some(CallerId::Key(key)) => (Some(tracing::field::display(key)), None),
        Some(CallerId::Person(person)) => (None, Some(tracing::field::display(person))),
        None => (None, None),
    };
    let cause = answered.error.and_then(|error| error.cause.as_ref()).map(tracing::field::display);
    let trace_id = answered.trace.map(|trace| tracing::field::display(hex(&trace.trace_id)));
    let (request_id, client) = (context.id(), context.client_ip());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(target: TARGET, %method, route, status, micros, %request_id, %client, key, person, code, cause, trace_id)
        };
    }
    if is_fault { line!(error) } else { line!(info) }
}

/// Writes the line, with the fields that the formatter of events would write. Methods, templates, ids, addresses and codes
/// hold no character that JSON escapes: RFC 9110 allows neither a quotation mark nor a backslash in a method.
fn write_json(
    line: &mut Vec<u8>,
    level: &str,
    context: &RequestContext,
    answered: &Answered<'_>,
    at: Timestamp,
) -> io::Result<()> {
    let (method, status, micros) = (answered.method.as_str(), answered.status(), answered.micros());
    write!(line, r#"{{"timestamp":"{at}","level":"{level}","method":"{method}""#)?;
    if let Some(route) = context.route() {
        line.extend_from_slice(br#","route":""#);
        line.extend_from_slice(route.as_bytes());
        line.push(b'"');
    }
    write!(line, r#","status":{status},"micros":{micros},"request_id":""#)?;
    line.extend_from_slice(&context.id().to_ascii());
    write!(line, r#"","client":"{}""#, context.client_ip())?;
    match context.caller() {
        Some(CallerId::Key(key)) => {
            line.extend_from_slice(br#","key":""#);
            line.extend_from_slice(&key.to_ascii());
            line.push(b'"');
        }
        Some(CallerId::Person(person)) => write!(line, r#","person":"{person}""#)?,
        None => {}
    }
    if let Some(code) = answered.code() {
        write!(line, r#","code":"{code}""#)?;
    }
    if let Some(cause) = answered.error.and_then(|error| error.cause.as_ref()) {
        line.extend_from_slice(br#","cause":"#);
        serde_json::to_writer(&mut *line, &cause.to_string())?;
    }
    if let Some(trace) = answered.trace {
        write!(line, r#","trace_id":"{}""#, hex(&trace.trace_id))?;
    }
    line.extend_from_slice(b",\"target\":\"keyhouse::request\"}\n");
    Ok(())
}
