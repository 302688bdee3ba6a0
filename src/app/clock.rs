//! The time, by the front door: nothing else in Keyhouse asks the machine for it (`clippy.toml`).

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// Two clocks in one: the wall's, which people set, and ticks, which only go forward.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// Stands still until told to move. Both of its clocks move together.
    #[cfg(feature = "testing")]
    Manual(std::sync::Arc<std::sync::atomic::AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start`.
    #[cfg(feature = "testing")]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(std::sync::Arc::new(start.ms().into()))
    }

    /// Moves a manual clock forward; the system's can't be moved.
    #[cfg(feature = "testing")]
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(ms) = self {
            let by = i64::try_from(by.as_millis()).expect("a test's span fits");
            ms.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
        }
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
            Self::Manual(ms) => Timestamp::from_ms(ms.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Time since some fixed moment. Goes on while the machine sleeps, and is never set back.
    pub fn ticks(&self) -> Duration {
        match self {
            Self::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            #[cfg(feature = "testing")]
            Self::Manual(_) => Duration::from_millis(self.now().ms().unsigned_abs()),
        }
    }
}
