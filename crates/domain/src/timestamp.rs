//! Points in time, in milliseconds. The application's injected clock is the only source of the current time.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Whole milliseconds since 1970-01-01T00:00:00Z, without leap seconds. The database stores the same number.
///
/// `Display` writes RFC 3339 with milliseconds and `Z`, as in the public API: `2025-11-24T16:00:00.120Z`.
///
/// It is kept as the distance from `i64::MIN`, which itself is no time. So an `Option` of a time takes as little memory as a
/// time, and each cached key has four of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The time that lies `ms` milliseconds after the epoch. `i64::MIN` becomes the millisecond after it.
    pub const fn from_ms(ms: i64) -> Self {
        match NonZeroU64::new(ms.wrapping_sub(i64::MIN).cast_unsigned()) {
            Some(distance) => Self(distance),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0.get().cast_signed().wrapping_add(i64::MIN)
    }

    /// The time `span` later; the greatest time if that is out of range.
    pub fn plus(self, span: Duration) -> Self {
        Self::from_ms(self.ms().saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time `span` earlier; the least time if that is out of range.
    pub fn minus(self, span: Duration) -> Self {
        Self::from_ms(self.ms().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// For people, to the second: `2026-11-24 09:30:00 UTC`.
    pub fn exact(self) -> String {
        self.for_people("%Y-%m-%d %H:%M:%S UTC")
    }

    /// For people, to the minute: `2026-11-24 09:30 UTC`.
    pub fn minute(self) -> String {
        self.for_people("%Y-%m-%d %H:%M UTC")
    }

    fn for_people(self, pattern: &str) -> String {
        match jiff::Timestamp::from_millisecond(self.ms()) {
            Ok(time) => time.strftime(pattern).to_string(),
            Err(_) => self.to_string(),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.ms()).finish()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.ms()) {
            Ok(time) => write!(f, "{time:.3}"),
            // RFC 3339 ends with the year 9999; a later time is written as its number.
            Err(_) => write!(f, "{} ms", self.ms()),
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
    fn people_see_seconds_or_minutes() {
        let time = Timestamp::from_ms(1_764_000_059_999);
        assert_eq!((time.exact(), time.minute()), ("2025-11-24 16:00:59 UTC".into(), "2025-11-24 16:00 UTC".into()));
        assert_eq!(Timestamp::from_ms(i64::MAX).exact(), format!("{} ms", i64::MAX));
    }

    #[test]
    fn stays_within_its_range() {
        assert_eq!(Timestamp::from_ms(i64::MAX).plus(Duration::from_secs(1)).ms(), i64::MAX);
        assert_eq!(Timestamp::from_ms(5).minus(Duration::from_millis(2)).ms(), 3);
        assert_eq!(Timestamp::from_ms(i64::MIN + 1).minus(Duration::from_secs(1)).ms(), i64::MIN + 1);
        for ms in [i64::MIN + 1, -1, 0, 1, i64::MAX] {
            assert_eq!(Timestamp::from_ms(ms).ms(), ms);
        }
        assert!([i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_ms).is_sorted());
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<Timestamp>());
    }
}
