//! Logging, to stderr: readable lines on a terminal, JSON elsewhere.

pub(crate) mod otlp;
pub(crate) mod tls_roots;

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, Layer as Lines};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::app::infra::log_queue::{self, LineWriter, LogQueue};
use crate::web;

/// Whether lines are JSON: then the access log writes its own, see [`json_lines`].
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// The target of the access log.
pub(crate) const REQUESTS: &str = "keyhouse::request";

/// The levels of the access log that the filter lets pass, as bits: 1 for `info`, 2 for `error`. Before [`init`] both.
static REQUEST_LEVELS: AtomicU8 = AtomicU8::new(3);

/// As [`init`]; on a terminal requests are not logged, so that what was printed there stays in view.
pub(crate) fn init_without_requests(filter: &Targets) {
    if io::stderr().is_terminal() {
        init(&filter.clone().with_target(REQUESTS, tracing_subscriber::filter::LevelFilter::WARN));
    } else {
        init(filter);
    }
}

/// Sets up logging and the panic hook. Call it once, before anything is logged, and [`flush`] before the process ends.
///
/// A line that is logged while a request is handled carries the request's id: `request_id=…` at its end on a terminal, a
/// `span` object in JSON.
pub(crate) fn init(filter: &Targets) {
    let passes = |level: Level| u8::from(filter.would_enable(REQUESTS, &level));
    REQUEST_LEVELS.store(passes(Level::INFO) | passes(Level::ERROR) << 1, Ordering::Relaxed);
    let queue = log_queue::start(io::stderr());
    let writer = move || LineWriter(queue);
    let lines = if io::stderr().is_terminal() {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let readable = tracing_subscriber::fmt::format().with_target(false).with_ansi(colour);
        Lines::default()
            .with_ansi(colour)
            .with_writer(writer)
            .event_format(WithRequest { format: readable, is_json: false })
            .boxed()
    } else {
        IS_JSON.store(true, Ordering::Relaxed);
        let json =
            tracing_subscriber::fmt::format().json().flatten_event(true).with_current_span(true).with_span_list(false);
        Lines::default()
            .fmt_fields(JsonFields::new())
            .with_writer(writer)
            .event_format(WithRequest { format: json, is_json: true })
            .boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter.clone())).init();
    // A panic is one log event, like everything else, rather than text on stderr. It may end the process.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!(location, message = "panic", panic = message);
        flush();
    }));
}

/// Whether the filter of [`init`] lets lines of the access log pass at this level, `info` or `error`. It does not change, so no
/// request has to ask the subscriber.
pub(crate) fn logs_requests(level: Level) -> bool {
    let bit = if level == Level::ERROR { 2 } else { 1 };
    REQUEST_LEVELS.load(Ordering::Relaxed) & bit != 0
}

/// Writes the lines that are still in memory.
pub(crate) fn flush() {
    if let Some(queue) = log_queue::current() {
        queue.flush();
    }
}

/// The queue, if lines are JSON. The access log appends its line directly: it is most of the log, and formatting it as an
/// event costs several times as much.
pub(crate) fn json_lines() -> Option<&'static LogQueue> {
    if IS_JSON.load(Ordering::Relaxed) { log_queue::current() } else { None }
}

/// Formats an event and adds the id of the request that is being handled.
struct WithRequest<F> {
    format: F,
    is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        if let Some(id) = web::current_request() {
            let (end, added) = match self.is_json {
                true => ("}\n", format!("{}\n", format_args!(r#","span":{{"request_id":"{id}","name":"request"}}}}"#))),
                false => ("\n", format!(" request_id={id}\n")),
            };
            if let Some(start) = line.strip_suffix(end).map(str::len) {
                line.truncate(start);
                line.push_str(&added);
            }
        }
        out.write_str(&line)
    }
}
