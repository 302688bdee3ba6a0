//! The table that the system tests print.

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const HEADER: &str =
    "| scenario | promise | p50 | p99 | max | n | counts | |\n|---|---|---|---|---|---|---|---|";

/// The times that a promise is about.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Times {
    /// Zero for no times.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        // The nearest rank at or below the percentile.
        let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What a scenario measured, and whether the promise was kept.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `None`: the promise is about counts only.
    pub(crate) times: Option<Times>,
    /// How many calls, rounds or histories were tried.
    pub(crate) n: usize,
    /// Other figures, in words.
    pub(crate) counts: String,
    pub(crate) passed: bool,
}

impl Outcome {
    pub(crate) fn row(&self, name: &str, promise: &str) -> String {
        let column = |of: fn(&Times) -> Duration| self.times.as_ref().map(of).map_or_else(|| "–".to_owned(), seconds);
        format!(
            "| {name} | {promise} | {} | {} | {} | {} | {} | {} |",
            column(|times| times.p50),
            column(|times| times.p99),
            column(|times| times.max),
            self.n,
            self.counts,
            if self.passed { "passed" } else { "FAILED" }
        )
    }
}

/// With a precision that suits its size.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// Counts of HTTP statuses as text, such as `1970 × 200, 30 × 503`. Status 0 is a connection without a response.
pub(crate) fn status_counts(counts: &BTreeMap<u16, usize>) -> String {
    let texts: Vec<_> = counts.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    texts.join(", ")
}
