//! Generates ids: ordered by time, and strictly ascending within a process, so that lists that are sorted by id are in order
//! within a millisecond too.

use std::sync::{Mutex, PoisonError};

use super::clock::Clock;
use super::per_thread::PerThread;
use super::rng::Rng;
use keyhouse_domain::ids::{IdSeed, ProductId, RequestId};

/// Random bits of a ULID.
const BITS: u32 = 80;
/// The random bits of a request's id in a new millisecond. The top bit stays clear, so that adding 1 does not overflow.
const REQUEST_MASK: u128 = (1 << (BITS - 1)) - 1;
/// How far a new millisecond moves the random bits: odd, so that it takes 2^79 milliseconds until they come again.
const REQUEST_STEP: u128 = 0x61c8_8646_80b5_83eb_0001;

#[derive(Debug)]
pub struct Ids {
    clock: Clock,
    rng: Rng,
    last: Mutex<IdSeed>,
    /// The last seed of a request's id, by thread; `None` with seeded random numbers, so that a test's ids do not depend on
    /// which thread answers.
    requests: Option<PerThread<IdSeed>>,
}

impl Ids {
    pub(crate) fn new(clock: Clock, rng: Rng) -> Self {
        let requests = (!rng.is_seeded()).then(|| {
            PerThread::new(|_| {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                IdSeed { ms: 0, random: u128::from_be_bytes(bytes) & REQUEST_MASK }
            })
        });
        Self { clock, rng, last: Mutex::new(IdSeed { ms: 0, random: 0 }), requests }
    }

    /// The next seed, greater than all before it even if the clock was set back.
    pub fn seed(&self) -> IdSeed {
        let now = u64::try_from(self.clock.now().ms()).unwrap_or(0);
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let random = u128::from_be_bytes(bytes);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if now > last.ms {
            // The top bit stays clear, so that the steps below don't overflow within a millisecond.
            IdSeed { ms: now, random: random >> (128 - BITS + 1) }
        } else {
            // A random step of 2^16 to 2^48: unguessable, and wide enough for the events of one transaction and for the 6 bits
            // that a UUID drops.
            IdSeed { ms: last.ms, random: last.random + (((random >> 96) + 1) << 16) }
        };
        *last
    }

    /// The id of a new product.
    pub fn product(&self) -> ProductId {
        ProductId::new(self.seed())
    }

    /// The id of a request: unique, and ascending among the requests that one thread begins. It is no secret, so it takes
    /// neither a system call nor a lock that threads share.
    pub fn request(&self) -> RequestId {
        let Some(requests) = &self.requests else { return RequestId::new(self.seed()) };
        let now = u64::try_from(self.clock.now().ms()).unwrap_or(0);
        let mut last = requests.own();
        *last = next_request(*last, now);
        RequestId::new(*last)
    }
}

/// Adds one within a millisecond, and jumps ahead in a new one, so that the ids of two requests look different. Threads and
/// nodes begin at random places among 2^79: their ranges do not meet.
fn next_request(last: IdSeed, now: u64) -> IdSeed {
    if now > last.ms {
        IdSeed { ms: now, random: last.random.wrapping_add(REQUEST_STEP) & REQUEST_MASK }
    } else {
        IdSeed { ms: last.ms, random: last.random + 1 }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use keyhouse_domain::timestamp::Timestamp;

    #[test]
    fn request_ids_are_unique_over_threads_and_ascend_on_each() {
        let ids = Ids::new(Clock::System, Rng::System);
        let made: Vec<Vec<RequestId>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10_000).map(|_| ids.request()).collect::<Vec<_>>())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|ids| ids.is_sorted_by(|a, b| a < b)));
        assert_eq!(made.iter().flatten().collect::<BTreeSet<_>>().len(), 40_000);
    }

    #[test]
    fn request_ids_ascend_when_the_clock_is_set_back() {
        let mut last = IdSeed { ms: 0, random: REQUEST_MASK };
        for now in [5, 5, 4, 1, 5, 6] {
            let next = next_request(last, now);
            assert!(RequestId::new(next) > RequestId::new(last), "at {now}");
            last = next;
        }
        assert_eq!(last.ms, 6);
    }

    #[test]
    fn ids_ascend_within_a_millisecond() {
        let ids = Ids::new(Clock::manual(Timestamp::from_ms(1_764_000_000_000)), Rng::seeded(1));
        let made: Vec<_> = (0..1000).map(|_| ids.product()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }
}
