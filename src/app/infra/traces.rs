//! Traces: one span for each request, joined to the caller's trace by W3C `traceparent`. `telemetry::otlp` exports them.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::rng::Rng;
use keyhouse_domain::timestamp::Timestamp;

/// Spans that wait for the exporter. More are dropped and counted: a slow collector never delays a request.
pub(crate) const QUEUE: usize = 4096;

/// The position of a request in a trace (W3C Trace Context, level 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// The caller's span; `None` for the first span of a trace.
    pub(crate) parent: Option<[u8; 8]>,
    /// Whether the caller records the trace. Without a caller it is recorded.
    pub(crate) is_sampled: bool,
}

impl TraceContext {
    /// Continues the trace of a `traceparent` header. Without one, or with a faulty one, a new trace begins, as the standard
    /// says.
    pub(crate) fn new(traceparent: Option<&str>, rng: &Rng) -> Self {
        let mut span_id = [0; 8];
        rng.fill_bytes(&mut span_id);
        if let Some((trace_id, parent, is_sampled)) = traceparent.and_then(parse) {
            return Self { trace_id, span_id, parent: Some(parent), is_sampled };
        }
        let mut trace_id = [0; 16];
        rng.fill_bytes(&mut trace_id);
        Self { trace_id, span_id, parent: None, is_sampled: true }
    }
}

/// Reads `00-{32 hex digits}-{16 hex digits}-{2 hex digits}`; a later version may have more behind that.
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let mut parts = text.split('-');
    let [version, trace, parent, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let has_more = parts.next().is_some();
    let ([version], [flags]) = (bytes::<1>(version)?, bytes::<1>(flags)?);
    let (trace_id, parent) = (bytes::<16>(trace)?, bytes::<8>(parent)?);
    let is_valid = version != 0xff && !(version == 0 && has_more) && trace_id != [0; 16] && parent != [0; 8];
    is_valid.then_some((trace_id, parent, flags & 1 == 1))
}

/// Lower-case hex digits alone, as the standard requires.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.len() != 2 * N || !hex.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A finished request.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    pub(crate) context: TraceContext,
    pub(crate) ended_at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) method: String,
    /// The route's template; `None` if no route matched.
    pub(crate) route: Option<String>,
    pub(crate) status: u16,
    pub(crate) client: String,
    pub(crate) request_id: String,
    /// The id of the key that made it.
    pub(crate) key: Option<String>,
    /// The code of an error's body.
    pub(crate) error: Option<&'static str>,
}

/// Takes the spans of finished requests.
#[derive(Debug, Clone)]
pub struct TraceSink {
    queue: mpsc::Sender<RequestSpan>,
    dropped: Counter,
}

/// Where the exporter takes them from.
pub(crate) type TraceSource = mpsc::Receiver<RequestSpan>;

impl TraceSink {
    pub(crate) fn new(dropped: Counter) -> (Self, TraceSource) {
        let (queue, source) = mpsc::channel(QUEUE);
        (Self { queue, dropped }, source)
    }

    /// Hands over a span, if its trace is recorded. Never waits.
    pub(crate) fn record(&self, span: RequestSpan) {
        if span.context.is_sampled && self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_traceparent_is_continued() {
        let context = TraceContext::new(Some(&format!("00-{TRACE}-00f067aa0ba902b7-01")), &Rng::System);
        assert_eq!(
            (hex(&context.trace_id), context.parent.map(|id| hex(&id))),
            (TRACE.into(), Some("00f067aa0ba902b7".into()))
        );
        assert!(context.is_sampled && hex(&context.span_id) != "00f067aa0ba902b7");
        assert!(!TraceContext::new(Some(&format!("00-{TRACE}-00f067aa0ba902b7-00")), &Rng::System).is_sampled);
        let later = format!("01-{TRACE}-00f067aa0ba902b7-01-more");
        assert_eq!(hex(&TraceContext::new(Some(&later), &Rng::System).trace_id), TRACE);
    }

    #[test]
    fn a_faulty_traceparent_begins_a_new_trace() {
        for faulty in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{}-00f067aa0ba902b7-01", "日".repeat(11)),
        ] {
            let context = TraceContext::new(Some(&faulty), &Rng::System);
            assert!(context.parent.is_none() && context.is_sampled && hex(&context.trace_id) != TRACE, "{faulty}");
        }
    }
}
