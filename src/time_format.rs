//! Times as people read them, on pages and in the terminal.

use keyhouse_domain::timestamp::Timestamp;

/// Formats a [`Timestamp`] for people. Programs get its `Display`, which is RFC 3339.
pub(crate) trait TimeFormat {
    /// How long before `now` the time was, in the largest unit that fits: `3 minutes ago`. `just now` below a minute and
    /// for a time in the future.
    fn ago(self, now: Timestamp) -> String;

    /// How long after `now` the time is, rounded to the unit, so that 7 days are still 7 days a few seconds later:
    /// `in 3 minutes`.
    fn ahead(self, now: Timestamp) -> String;
}

impl TimeFormat for Timestamp {
    fn ago(self, now: Timestamp) -> String {
        match span(now.ms().saturating_sub(self.ms()) / 1000) {
            None => "just now".to_owned(),
            Some(span) => format!("{span} ago"),
        }
    }

    fn ahead(self, now: Timestamp) -> String {
        let seconds = self.ms().saturating_sub(now.ms()) / 1000;
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
}

/// A number of seconds in the largest unit that fits; `None` below a minute.
fn span(seconds: i64) -> Option<String> {
    let (count, unit) = match seconds {
        ..60 => return None,
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    Some(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spans_are_given_in_their_largest_unit() {
        let now = Timestamp::from_ms(1_795_512_600_000);
        for (seconds, text) in
            [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")]
        {
            assert_eq!(Timestamp::from_ms(now.ms() - seconds * 1000).ago(now), text);
        }
        assert_eq!(now.plus(Duration::from_secs(7 * 86_400)).ahead(now), "in 7 days");
        assert_eq!(now.plus(Duration::from_secs(7 * 86_400 - 5)).ahead(now), "in 7 days");
        assert_eq!(now.plus(Duration::from_secs(3540)).ahead(now), "in 59 minutes");
        assert_eq!(now.ahead(now), "in less than a minute");
        assert_eq!(now.exact(), "2026-11-24 09:30:00 UTC");
    }
}
