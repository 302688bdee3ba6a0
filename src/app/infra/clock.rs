//! The injected clock. No other code reads the machine's clocks (`clippy.toml` forbids it).

use std::time::Duration;

use keyhouse_domain::timestamp::Timestamp;

/// Two clocks: the wall clock, which can be set, and a monotonic one, `CLOCK_BOOTTIME`, for the lease and for durations.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// The system's, but the wall clock runs this much behind: for sample data with a history.
    Behind(Duration),
    /// Stands still until a test advances it.
    #[cfg(feature = "testing")]
    Manual(std::sync::Arc<ManualClock>),
}

/// The state of a manual clock, in milliseconds.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct ManualClock {
    wall: std::sync::atomic::AtomicI64,
    monotonic: std::sync::atomic::AtomicU64,
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    pub monotonic: Duration,
    pub wall: Timestamp,
}

impl ClockReading {
    /// How far the wall clock has moved against the monotonic one since another reading, in either direction.
    pub fn drift_from(&self, other: &Self) -> Duration {
        let monotonic = |of: &Self| i64::try_from(of.monotonic.as_millis()).unwrap_or(i64::MAX);
        let apart = (self.wall.ms() - other.wall.ms()) - (monotonic(self) - monotonic(other));
        Duration::from_millis(apart.unsigned_abs())
    }
}

impl Clock {
    /// A manual clock that shows `start`.
    #[cfg(feature = "testing")]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(std::sync::Arc::new(ManualClock {
            wall: start.ms().into(),
            monotonic: start.ms().unsigned_abs().into(),
        }))
    }

    /// Advances both clocks of a manual clock. Does nothing to the system's.
    #[cfg(feature = "testing")]
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            let by = u64::try_from(by.as_millis()).expect("a test's duration fits into 64 bits of milliseconds");
            clock.monotonic.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
            self.set_wall(by.cast_signed());
        }
    }

    /// Sets only the wall clock of a manual clock, forward or back by that many milliseconds.
    #[cfg(feature = "testing")]
    pub fn set_wall(&self, by_ms: i64) {
        if let Self::Manual(clock) = self {
            clock.wall.fetch_add(by_ms, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Reads both clocks.
    pub fn reading(&self) -> ClockReading {
        ClockReading { monotonic: self.monotonic(), wall: self.now() }
    }

    /// The wall clock's time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Behind(by) => {
                let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_ms(Self::System.now().ms() - by)
            }
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            #[cfg(feature = "testing")]
            Self::Manual(clock) => Timestamp::from_ms(clock.wall.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Time since the machine was booted, suspended time included. It is never set back.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System | Self::Behind(_) => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            #[cfg(feature = "testing")]
            Self::Manual(clock) => Duration::from_millis(clock.monotonic.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }
}
