//! A hash map behind several locks, so that calls of different keys rarely wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;

/// One shard. The hasher is quicker than that of the standard library, and resists chosen keys less: nothing that a client
/// chooses is a key here.
pub(crate) type Shard<K, V> = HashMap<K, V, RandomState>;

/// Padded: cores that work on two shards do not take a cache line away from each other.
type Slot<K, V> = CachePadded<Mutex<Shard<K, V>>>;

/// As many as the key cache has.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct ShardedMap<K, V> {
    hasher: RandomState,
    shards: Box<[Slot<K, V>]>,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: (0..SHARDS).map(|_| CachePadded::default()).collect() }
    }
}

impl<K: Hash + Eq, V> ShardedMap<K, V> {
    /// The shard of a key, locked.
    pub(crate) fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    /// All shards, each locked while it is visited.
    pub(crate) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard<K, V>>> {
        self.shards.iter().map(|shard| lock(shard))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards().map(|shard| shard.len()).sum()
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
