//! The time, by the front door: nothing else in Keyhouse asks the machine for it (`clippy.toml`).

use std::time::Duration;

use keyhouse_domain::timestamp::Timestamp;

/// Two clocks in one: the wall's, which people set, and monotonic, which only go forward.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// Stands still until told to move.
    #[cfg(feature = "testing")]
    Manual(std::sync::Arc<ManualClock>),
}

/// Both clocks of a manual one, in milliseconds.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct ManualClock {
    wall: std::sync::atomic::AtomicI64,
    monotonic: std::sync::atomic::AtomicU64,
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    pub monotonic: Duration,
    pub wall: Timestamp,
}

impl ClockReading {
    /// How far the wall's clock has moved against the monotonic since another moment, either way.
    pub fn drift_from(&self, other: &Self) -> Duration {
        let monotonic = |of: &Self| i64::try_from(of.monotonic.as_millis()).unwrap_or(i64::MAX);
        let apart = (self.wall.ms() - other.wall.ms()) - (monotonic(self) - monotonic(other));
        Duration::from_millis(apart.unsigned_abs())
    }
}

impl Clock {
    /// A clock that stands at `start`.
    #[cfg(feature = "testing")]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(std::sync::Arc::new(ManualClock {
            wall: start.ms().into(),
            monotonic: start.ms().unsigned_abs().into(),
        }))
    }

    /// Moves a manual clock forward, both of its hands; the system's can't be moved.
    #[cfg(feature = "testing")]
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(hands) = self {
            let by = u64::try_from(by.as_millis()).expect("a test's span fits");
            hands.monotonic.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
            self.set_wall(by.cast_signed());
        }
    }

    /// Sets a manual clock's wall, and only that, forward or back by so many milliseconds.
    #[cfg(feature = "testing")]
    pub fn set_wall(&self, by_ms: i64) {
        if let Self::Manual(hands) = self {
            hands.wall.fetch_add(by_ms, std::sync::atomic::Ordering::SeqCst);
        }
    }

    pub fn reading(&self) -> ClockReading {
        ClockReading { monotonic: self.monotonic(), wall: self.now() }
    }

    /// The wall's time.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            #[cfg(feature = "testing")]
            Self::Manual(hands) => Timestamp::from_ms(hands.wall.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Time since some fixed moment. Goes on while the machine sleeps, and is never set back.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            #[cfg(feature = "testing")]
            Self::Manual(hands) => Duration::from_millis(hands.monotonic.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }
}
