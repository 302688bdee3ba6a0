//! A moment: milliseconds since 1970, UTC. Only `app::clock` makes new ones.

use std::fmt;
use std::time::Duration;

/// Whole milliseconds since 1970-01-01T00:00:00Z. The same number is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Stays at the ends of the range instead of wrapping.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Stays at the ends of the range instead of wrapping.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long before `now` it was, in its largest unit: `3 minutes ago`.
    pub fn ago(self, now: Self) -> String {
        match span(now.0.saturating_sub(self.0) / 1000) {
            None => "just now".to_owned(),
            Some(span) => format!("{span} ago"),
        }
    }

    /// How long after `now` it will be, rounded: 7 days are still 7 days a moment later. `in 3 minutes`.
    pub fn ahead(self, now: Self) -> String {
        let seconds = self.0.saturating_sub(now.0) / 1000;
        let unit = match seconds {
            ..3600 => 60,
            3600..86_400 => 3600,
            _ => 86_400,
        };
        match span(seconds + unit / 2) {
            None => "in less than a minute".to_owned(),
            Some(span) => format!("in {span}"),
        }
    }

    /// To be read next to other times: `2026-11-24 09:30:00 UTC`.
    pub fn exact(self) -> String {
        let text = self.to_string();
        match text.split_once('T').and_then(|(day, rest)| Some((day, rest.split_once('.')?.0))) {
            Some((day, time)) => format!("{day} {time} UTC"),
            None => text,
        }
    }
}

/// A span of seconds in its largest unit; `None` below a minute.
fn span(seconds: i64) -> Option<String> {
    let (count, unit) = match seconds {
        ..60 => return None,
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    Some(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
}

/// RFC 3339 with milliseconds and `Z`, the form of the public API.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            // Beyond the year 9999 there is no RFC 3339 form; a clock that says so is shown as it is.
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_milliseconds_and_z() {
        assert_eq!(Timestamp::from_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_ms(1_764_000_000_120).to_string(), "2025-11-24T16:00:00.120Z");
    }

    #[test]
    fn spans_are_told_in_their_largest_unit() {
        let now = Timestamp::from_ms(1_795_512_600_000);
        for (seconds, says) in
            [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")]
        {
            assert_eq!(Timestamp::from_ms(now.ms() - seconds * 1000).ago(now), says);
        }
        assert_eq!(now.plus(Duration::from_secs(7 * 86_400)).ahead(now), "in 7 days");
        assert_eq!(now.plus(Duration::from_secs(7 * 86_400 - 5)).ahead(now), "in 7 days");
        assert_eq!(now.plus(Duration::from_secs(3540)).ahead(now), "in 59 minutes");
        assert_eq!(now.ahead(now), "in less than a minute");
        assert_eq!(now.exact(), "2026-11-24 09:30:00 UTC");
    }

    #[test]
    fn stays_within_its_range() {
        assert_eq!(Timestamp::from_ms(i64::MAX).plus(Duration::from_secs(1)).ms(), i64::MAX);
        assert_eq!(Timestamp::from_ms(5).minus(Duration::from_millis(2)).ms(), 3);
    }
}
