//! Logs go to stderr: lines for people on a terminal, JSON for machines elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// To be called once, before anything is logged.
pub(crate) fn init(levels: &Targets) {
    let lines = if io::stderr().is_terminal() {
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        fmt::layer().with_writer(io::stderr).with_ansi(colour).with_target(false).boxed()
    } else {
        fmt::layer().with_writer(io::stderr).json().flatten_event(true).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(levels.clone())).init();
    // A panic is told where everything is told, as one event.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let what = panic.payload_as_str().unwrap_or("a panic");
        tracing::error!(place, what, "panic");
    }));
}
