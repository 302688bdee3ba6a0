//! Conditions of a key: until when and from where it may be used

use std::str::FromStr;
use std::time::Duration;

use super::networks::AllowedNetworks;
use super::time_span::parse_time_span;
use super::timestamp::Timestamp;

/// How long before its expiry a key's expiry is announced: in its responses, on its page, and by `keyhouse doctor`. 14 days.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What limits the use of a key besides its state. All of it is optional and can be changed while the key is active.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// The time from which the key is refused for good; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// From where the key may be used.
    pub allowed: AllowedNetworks,
}

/// When a key is to expire, as people say it. `90d`: so long from now. `2027-01-31`: with the end of that day in UTC. `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Not at all.
    Never,
    /// So long from now.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

/// Why a text is not an expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an expiry is a time span of at most 100 years such as 90d, a date such as 2027-01-31, or never")]
pub struct ExpiryError;

impl Expiry {
    /// Longest time span: 100 years, so that each expiry is a date that RFC 3339 can write.
    const SPAN_MAX: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

    /// The time from which the key is refused, if it is set at `now`.
    pub fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::In(span) => Some(now.plus(span)),
            Self::At(at) => Some(at),
        }
    }
}

impl FromStr for Expiry {
    type Err = ExpiryError;

    fn from_str(text: &str) -> Result<Self, ExpiryError> {
        let text = text.trim();
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(span) = parse_time_span(text) {
            return if span <= Self::SPAN_MAX { Ok(Self::In(span)) } else { Err(ExpiryError) };
        }
        // Only the ten characters of a date: jiff also takes 20270131, and times behind a date, which it drops.
        let date = Some(text).filter(|text| text.len() == "2027-01-31".len());
        let date: jiff::civil::Date = date.and_then(|date| date.parse().ok()).ok_or(ExpiryError)?;
        let last = jiff::tz::TimeZone::UTC.to_timestamp(date.at(23, 59, 59, 999_000_000)).map_err(|_| ExpiryError)?;
        Ok(Self::At(Timestamp::from_ms(last.as_millisecond())))
    }
}

/// The longest time for which a team's new keys may be valid, in whole days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLifetime(u32);

/// Why a number is not a maximum lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a maximum lifetime is from 1 to {} days", KeyLifetime::MAX_DAYS)]
pub struct KeyLifetimeError;

impl KeyLifetime {
    /// The greatest number of days: ten years.
    pub const MAX_DAYS: u32 = 3650;

    /// A lifetime of so many days.
    ///
    /// # Errors
    ///
    /// [`KeyLifetimeError`] outside 1 to [`KeyLifetime::MAX_DAYS`].
    pub fn from_days(days: u32) -> Result<Self, KeyLifetimeError> {
        if (1..=Self::MAX_DAYS).contains(&days) { Ok(Self(days)) } else { Err(KeyLifetimeError) }
    }

    /// The number of days.
    pub fn days(self) -> u32 {
        self.0
    }

    /// Whether a key that gets this expiry at `at` lives no longer than this. A minute is tolerated, so that an expiry of
    /// exactly this length still counts when the request takes a while.
    pub fn permits(self, expires_at: Option<Timestamp>, at: Timestamp) -> bool {
        let longest = Duration::from_secs(u64::from(self.0) * 24 * 60 * 60 + 60);
        // A date ends with its day, so the last day is permitted as a whole.
        let whole_day = |end: Timestamp| Timestamp::from_ms(end.ms() / DAY_MS * DAY_MS + DAY_MS - 1);
        expires_at.is_some_and(|expires_at| expires_at <= whole_day(at.plus(longest)))
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_512_600_000);

    #[test]
    fn an_expiry_is_a_span_a_date_or_never() {
        let parse = |text: &str| text.parse::<Expiry>().map(|expiry| expiry.at(NOW).map(|at| at.to_string()));
        assert_eq!(parse("never"), Ok(None));
        assert_eq!(parse("90d").unwrap().unwrap(), "2027-02-22T09:30:00.000Z");
        assert_eq!(parse("2027-01-31").unwrap().unwrap(), "2027-01-31T23:59:59.999Z", "the whole day counts");
        for text in ["", "Never", "2027-02-30", "20270131", "2027-1-31", "31.01.2027", "2027-01-31T10:00", "36526d"] {
            assert_eq!(parse(text), Err(ExpiryError), "{text}");
        }
    }

    #[test]
    fn a_longest_lifetime_permits_its_last_day_and_no_more() {
        let longest = KeyLifetime::from_days(30).unwrap();
        let permits = |text: &str| longest.permits(text.parse::<Expiry>().unwrap().at(NOW), NOW);
        assert!(permits("30d"));
        assert!(permits("2026-12-24"), "30 days after November 24");
        assert!(!permits("2026-12-25"));
        assert!(!permits("never"));
        assert!(KeyLifetime::from_days(0).is_err() && KeyLifetime::from_days(3651).is_err());
    }
}
