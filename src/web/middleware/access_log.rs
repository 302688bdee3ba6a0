//! One log line per request.
//!
//! The line names the route's template, never the path, the query, a header or a person's address. Where lines are JSON it
//! is written directly into the log's queue, because formatting an event of `tracing` takes several times as long.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
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

/// Logs a request that was answered `at` that time: at level `error` for a 5xx, else `info`.
pub(in crate::web) fn log(context: &RequestContext, answered: &Answered<'_>, at: Timestamp) {
    let is_fault = answered.status() >= 500;
    let level = if is_fault { Level::ERROR } else { Level::INFO };
    if !telemetry::logs_requests(level) {
        return;
    }
    if let Some(queue) = telemetry::json_lines() {
        let level = level.as_str();
        // Writing into memory does not fail.
        return queue.append(|line| write_json(line, level, context, answered, at).unwrap_or_default());
    }
    let is_wanted = match is_fault {
        true => tracing::enabled!(target: telemetry::REQUESTS, Level::ERROR),
        false => tracing::enabled!(target: telemetry::REQUESTS, Level::INFO),
    };
    if !is_wanted {
        return;
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
            tracing::$level!(target: telemetry::REQUESTS, %method, route, status, micros, %request_id, %client, key, person, code, cause, trace_id)
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
    let mut number = itoa::Buffer::new();
    line.extend_from_slice(br#"{"timestamp":""#);
    push_timestamp(line, at);
    for part in [r#"","level":""#, level, r#"","method":""#, answered.method.as_str(), "\""] {
        line.extend_from_slice(part.as_bytes());
    }
    if let Some(route) = context.route() {
        line.extend_from_slice(br#","route":""#);
        line.extend_from_slice(route.as_bytes());
        line.push(b'"');
    }
    line.extend_from_slice(br#","status":"#);
    line.extend_from_slice(number.format(answered.status()).as_bytes());
    line.extend_from_slice(br#","micros":"#);
    line.extend_from_slice(number.format(answered.micros()).as_bytes());
    line.extend_from_slice(br#","request_id":""#);
    line.extend_from_slice(&context.id().to_ascii());
    line.extend_from_slice(br#"","client":""#);
    match context.client_ip() {
        IpAddr::V4(client) => push_ipv4(line, client),
        IpAddr::V6(client) => write!(line, "{client}")?,
    }
    line.push(b'"');
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

/// Pushes a time as its `Display` writes it. The text of the second is the same for many lines.
fn push_timestamp(line: &mut Vec<u8>, at: Timestamp) {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let (second, ms) = (at.ms().div_euclid(1000), at.ms().rem_euclid(1000));
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            *text = Timestamp::from_ms(second * 1000).to_string();
            *known = second;
        }
        let digits = [ms / 100, ms / 10 % 10, ms % 10].map(|digit| b'0' + digit as u8);
        match text.strip_suffix("000Z") {
            Some(start) => [start.as_bytes(), &digits, b"Z"].iter().for_each(|part| line.extend_from_slice(part)),
            // After the year 9999.
            None => line.extend_from_slice(at.to_string().as_bytes()),
        }
    });
}

fn push_ipv4(line: &mut Vec<u8>, address: Ipv4Addr) {
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            line.push(b'.');
        }
        line.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_addresses_are_written_as_they_are_displayed() {
        let mut line = Vec::new();
        for ms in [0, 7, 1_764_000_000_120, 1_764_000_000_999, 1_764_000_001_000, -1, 253_402_300_800_000, 12] {
            line.clear();
            push_timestamp(&mut line, Timestamp::from_ms(ms));
            assert_eq!(String::from_utf8_lossy(&line), Timestamp::from_ms(ms).to_string());
        }
        for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 0, 2, 10)] {
            line.clear();
            push_ipv4(&mut line, address);
            assert_eq!(String::from_utf8_lossy(&line), address.to_string());
        }
    }
}
