//! Logging, to stderr: readable lines on a terminal, JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// As [`init`]; on a terminal requests are not logged, so that what was printed there stays in view.
pub(crate) fn init_without_requests(filter: &Targets) {
    if io::stderr().is_terminal() {
        init(&filter.clone().with_target("keyhouse::request", tracing_subscriber::filter::LevelFilter::WARN));
    } else {
        init(filter);
    }
}

/// Sets up logging and the panic hook. Call it once, before anything is logged.
///
/// A line that is logged while a request is handled carries the request's span: `request{request_id=…}` on a terminal, a
/// `span` object in JSON.
pub(crate) fn init(filter: &Targets) {
    let lines = if io::stderr().is_terminal() {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        fmt::layer().with_writer(io::stderr).with_ansi(colour).with_target(false).boxed()
    } else {
        let json = fmt::layer().with_writer(io::stderr).json().flatten_event(true);
        json.with_current_span(true).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter.clone())).init();
    // A panic is one log event, like everything else, rather than text on stderr.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!(location, message = "panic", panic = message);
    }));
}
