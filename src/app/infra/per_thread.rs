//! One value for each thread that works on requests, so that threads do not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

/// Number of values. Threads beyond it share them; a runtime has one worker thread for each core.
const SLOTS: usize = 64;

/// A value per thread behind a lock that other threads take only to read all values. Padded: a write to one value does not
/// take the cache line of its neighbour away from another core.
#[derive(Debug)]
pub(crate) struct PerThread<T>(Box<[CachePadded<Mutex<T>>]>);

impl<T> PerThread<T> {
    /// Makes the values: `make` gets the number of each.
    pub(crate) fn new(make: impl FnMut(usize) -> T) -> Self {
        Self((0..SLOTS).map(make).map(|value| CachePadded::new(Mutex::new(value))).collect())
    }

    /// The calling thread's value, locked.
    pub(crate) fn own(&self) -> MutexGuard<'_, T> {
        lock(&self.0[number()])
    }

    /// All values, each locked while it is visited.
    pub(crate) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(|slot| lock(slot))
    }
}

/// The calling thread's number, from 0 to `SLOTS - 1`: threads are numbered in the order in which they first ask.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS;
            own.set(Some(number));
            number
        })
    })
}

/// No value is left half-written by a panic: each is changed in single steps.
fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
