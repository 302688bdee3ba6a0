//! Generates ids: ordered by time, and strictly ascending within a process, so that lists that are sorted by id are in order
//! within a millisecond too.

use std::sync::{Mutex, PoisonError};

use super::clock::Clock;
use super::rng::Rng;
use keyhouse_domain::ids::{IdSeed, ProductId, RequestId};

/// Random bits of a ULID.
const BITS: u32 = 80;

#[derive(Debug)]
pub struct Ids {
    clock: Clock,
    rng: Rng,
    last: Mutex<IdSeed>,
}

impl Ids {
    pub(crate) fn new(clock: Clock, rng: Rng) -> Self {
        Self { clock, rng, last: Mutex::new(IdSeed { ms: 0, random: 0 }) }
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

    /// The id of a request.
    pub fn request(&self) -> RequestId {
        RequestId::new(self.seed())
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use keyhouse_domain::timestamp::Timestamp;

    #[test]
    fn ids_ascend_within_a_millisecond() {
        let ids = Ids::new(Clock::manual(Timestamp::from_ms(1_764_000_000_000)), Rng::seeded(1));
        let made: Vec<_> = (0..1000).map(|_| ids.product()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }
}
