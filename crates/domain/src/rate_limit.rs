//! The sliding window counter that limits the requests of a key, as the API documents it.
//!
//! Windows of length `W` are aligned to Unix time. `used = current + ⌊previous × (W − elapsed) / W⌋`, in milliseconds. A
//! request is admitted if `used < limit`, and only admitted requests are counted.

use std::time::Duration;

use super::timestamp::Timestamp;

/// A number of requests per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    requests: u64,
    window_ms: i64,
}

impl RateLimit {
    /// `None` for zero requests, which means no limit. A window shorter than a second becomes one second.
    pub fn new(requests: u64, window: Duration) -> Option<Self> {
        let window_ms = i64::try_from(window.as_millis()).ok()?;
        (requests > 0 && window_ms >= 1000).then_some(Self { requests, window_ms })
    }

    /// Requests per window.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Length of a window.
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms.unsigned_abs())
    }

    /// The share of one node among `nodes`, rounded up.
    pub fn share(&self, of: u64) -> Self {
        Self { requests: self.requests.div_ceil(of.max(1)), ..*self }
    }
}

/// The counts of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Number of the current window since 1970.
    number: i64,
    current: u64,
    previous: u64,
}

/// The quota that a response shows, whether the request was admitted or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests per window.
    pub limit: u64,
    /// Requests left after this one.
    pub remaining: u64,
    /// End of the current window, in Unix seconds.
    pub reset: i64,
    /// `None` if the request was admitted; otherwise the whole seconds, at least 1, after which one request is admitted.
    pub retry_after: Option<u64>,
}

impl Window {
    /// Counts that Redis keeps: the number of the current window since 1970, the requests in it and in the previous one.
    pub fn of_counts(number: i64, current: u64, previous: u64) -> Self {
        Self { number, current, previous }
    }

    /// Decides about one request at `now`, and counts it if it is admitted.
    pub fn decide(&mut self, limit: &RateLimit, now: Timestamp) -> Quota {
        self.roll(limit, now);
        let admitted = self.used(limit, now) < limit.requests;
        self.current += u64::from(admitted);
        self.quota(limit, now, admitted)
    }

    /// Counts one request that was admitted elsewhere.
    pub fn count(&mut self, limit: &RateLimit, now: Timestamp) {
        self.roll(limit, now);
        self.current += 1;
    }

    /// The quota after a request, which was counted if it was admitted.
    pub fn quota(&self, limit: &RateLimit, now: Timestamp, admitted: bool) -> Quota {
        let remaining = limit.requests.saturating_sub(self.used(limit, now));
        let reset = (self.number + 1).saturating_mul(limit.window_ms) / 1000;
        let retry_after = (!admitted).then(|| self.retry_after(limit, now));
        Quota { limit: limit.requests, remaining, reset, retry_after }
    }

    /// Removes one counted request.
    pub fn refund(&mut self) {
        self.current = self.current.saturating_sub(1);
    }

    /// Whether the counts still affect requests at `now`.
    pub fn is_spent(&self, limit: &RateLimit, now: Timestamp) -> bool {
        now.ms().div_euclid(limit.window_ms) > self.number + 1
    }

    /// Advances to the window of `now`. If the clock was set back, the counts move back with it: the key gets no new budget
    /// and does not have to wait until the old time comes again.
    fn roll(&mut self, limit: &RateLimit, now: Timestamp) {
        let number = now.ms().div_euclid(limit.window_ms);
        if number > self.number {
            self.previous = if number == self.number + 1 { self.current } else { 0 };
            (self.number, self.current) = (number, 0);
        } else if number + 1 < self.number {
            // The clock was set back by more than a window: keep the counts, but in the window of `now`.
            self.number = number;
        }
    }

    fn used(&self, limit: &RateLimit, now: Timestamp) -> u64 {
        let elapsed = (now.ms() - self.number.saturating_mul(limit.window_ms)).clamp(0, limit.window_ms);
        let left = (limit.window_ms - elapsed).unsigned_abs();
        let carried = u128::from(self.previous) * u128::from(left) / u128::from(limit.window_ms.unsigned_abs());
        self.current + u64::try_from(carried).unwrap_or(u64::MAX)
    }

    /// Without further requests the use only falls, so a binary search finds the shortest wait. After two windows it is 0.
    fn retry_after(&self, limit: &RateLimit, now: Timestamp) -> u64 {
        let passes = |seconds: u64| {
            let (mut window, then) = (*self, now.plus(Duration::from_secs(seconds)));
            window.roll(limit, then);
            window.used(limit, then) < limit.requests
        };
        let (mut low, mut high) = (1, limit.window().as_secs() * 2 + 2);
        while low < high {
            let middle = low.midpoint(high);
            if passes(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn per_minute(requests: u64) -> RateLimit {
        RateLimit::new(requests, Duration::from_secs(60)).unwrap()
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_ms(60_000_000 + (seconds * 1000.0) as i64)
    }

    #[test]
    fn the_definition_across_a_window_edge() {
        let limit = per_minute(10);
        let mut window = Window::default();
        for n in 0..10 {
            let quota = window.decide(&limit, at(30.0));
            assert_eq!((quota.remaining, quota.reset, quota.retry_after), (9 - n, 60_060, None));
        }
        // The limit is reached until the carried part is below it, which is one millisecond into the next window.
        let refused = window.decide(&limit, at(30.0));
        assert_eq!((refused.remaining, refused.retry_after), (0, Some(31)));
        assert_eq!(window.decide(&limit, at(60.0)).retry_after, Some(1), "⌊10 × 60 / 60⌋ = 10");
        assert_eq!(window.decide(&limit, at(60.001)).retry_after, None, "⌊10 × 59.999 / 60⌋ = 9");
        assert_eq!(window.decide(&limit, at(66.0)).retry_after, Some(1), "1 + 9; at 67 s it is 1 + 8");
        assert_eq!(window.decide(&limit, at(66.001)).remaining, 0, "1 + 8, and this one");
        assert_eq!(window.decide(&limit, at(180.0)).remaining, 9, "two windows on, nothing is left of it");
    }

    #[test]
    fn a_clock_set_back_gives_no_fresh_budget() {
        let limit = per_minute(2);
        let mut window = Window::default();
        assert!(window.decide(&limit, at(61.0)).retry_after.is_none());
        assert!(window.decide(&limit, at(61.0)).retry_after.is_none());
        assert!(window.decide(&limit, at(10.0)).retry_after.is_some());

        // Set back by an hour: the counts stay.
        let refused = window.decide(&limit, at(-3600.0));
        assert!(refused.reset <= 60_000 - 3600 + 60 && refused.retry_after.is_some_and(|wait| wait <= 120));
        let wait = refused.retry_after.unwrap() as f64;
        assert!(window.decide(&limit, at(wait - 3600.0)).retry_after.is_none());
    }

    #[test]
    fn zero_requests_are_no_limit() {
        assert_eq!(RateLimit::new(0, Duration::from_secs(60)), None);
        assert_eq!(RateLimit::new(1, Duration::from_millis(999)), None);
    }

    /// The definition, computed from the times of all admitted requests.
    fn by_definition(admitted: &[i64], now: i64, window: i64) -> u64 {
        let number = now.div_euclid(window);
        let count = |n: i64| admitted.iter().filter(|t| t.div_euclid(window) == n).count() as u64;
        count(number) + count(number - 1) * (window - now.rem_euclid(window)) as u64 / window as u64
    }

    #[test]
    fn exact_at_half_one_two_and_ten_times_the_limit() {
        let limit = per_minute(60);
        for calls_per_minute in [30, 60, 120, 600] {
            let (mut window, mut admitted) = (Window::default(), Vec::new());
            for n in 0..calls_per_minute * 5 {
                let now = Timestamp::from_ms(60_000_000 + 17 + n * 60_000 / calls_per_minute);
                let used = by_definition(&admitted, now.ms(), 60_000);
                let quota = window.decide(&limit, now);
                assert_eq!(quota.retry_after.is_none(), used < 60, "{calls_per_minute} a minute, call {n}");
                if quota.retry_after.is_none() {
                    admitted.push(now.ms());
                    assert_eq!(quota.remaining, 60 - used - 1);
                }
            }
            if calls_per_minute <= 60 {
                assert_eq!(admitted.len() as i64, calls_per_minute * 5, "no call within the limit is refused");
            }
        }
    }

    proptest! {
        #[test]
        fn any_schedule_is_decided_by_the_definition(
            requests in 1u64..20, seconds in 1i64..90, gaps in proptest::collection::vec(0i64..20_000, 1..200)
        ) {
            let limit = RateLimit::new(requests, Duration::from_secs(seconds.unsigned_abs())).unwrap();
            let (mut window, mut admitted, mut now) = (Window::default(), Vec::new(), 1_795_512_600_123);
            for gap in gaps {
                now += gap;
                let used = by_definition(&admitted, now, seconds * 1000);
                let quota = window.decide(&limit, Timestamp::from_ms(now));
                prop_assert_eq!(quota.retry_after.is_none(), used < requests);
                match quota.retry_after {
                    None => admitted.push(now),
                    Some(wait) => {
                        let used_at = |wait: u64| by_definition(&admitted, now + wait as i64 * 1000, seconds * 1000);
                        prop_assert!(used_at(wait) < requests, "one call passes then");
                        prop_assert!(wait == 1 || used_at(wait - 1) >= requests, "and not a second before");
                    }
                }
            }
        }
    }
}
