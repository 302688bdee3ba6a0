//! Waiting for a condition, with a limit.

use std::time::Duration;

use keyhouse::app::infra::clock::Clock;

/// Long enough for a machine with two cores and several test runs.
const LIMIT: Duration = Duration::from_secs(20);

/// Repeats `check` until it returns a value.
///
/// # Panics
///
/// After 20 s without one; the message names `what` was awaited.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Clock::System.monotonic();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Clock::System.monotonic() - began < LIMIT, "waited in vain for {what}");
        tokio::task::yield_now().await;
    }
}

/// As [`eventually`], in a test without a runtime.
///
/// # Panics
///
/// As [`eventually`].
pub fn eventually_blocking<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Clock::System.monotonic();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Clock::System.monotonic() - began < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
