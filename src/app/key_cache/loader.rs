//! Loads key records for the cache: look-ups that wait at the same time become one query.
//!
//! A look-up that finds a loader free is sent at once, alone. While all loaders wait for the database, further look-ups
//! collect, and the next loader that is free takes them together. So a node that has just started reads many keys with few
//! queries, and a single look-up never waits for others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use keyhouse_store::{KeyLookup, STATEMENT_TIMEOUT, Store, StoreError};
use keyhouse_token::TokenHash;

/// Most look-ups in one query.
const BATCH_MAX: usize = Store::HASHES_MAX;

pub(super) type Loaded = Result<KeyLookup, Arc<StoreError>>;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    store: Store,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Loaders that run. Each ends under the lock, once nothing waits.
    running: usize,
}

#[derive(Debug)]
struct Waiting {
    hash: TokenHash,
    answer: oneshot::Sender<Loaded>,
}

impl Loader {
    pub(super) fn new(store: Store) -> Self {
        Self { store, state: Arc::default() }
    }

    /// Queries the record of a token's hash. The query begins after this call does, so its answer includes every change that
    /// was committed before.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read, and a time-out after [`STATEMENT_TIMEOUT`], the wait for a loader included.
    pub(super) async fn load(&self, hash: TokenHash) -> Loaded {
        let (answer, answered) = oneshot::channel();
        let is_needed = {
            let mut state = self.lock();
            state.waiting.push(Waiting { hash, answer });
            let is_needed = state.running < self.store.lookups_at_once();
            state.running += usize::from(is_needed);
            is_needed
        };
        if is_needed {
            // A task of its own: a caller that leaves must not end the look-ups of others.
            let running = Running(self.clone());
            tokio::spawn(async move { running.0.load_all().await });
        }
        match tokio::time::timeout(STATEMENT_TIMEOUT, answered).await {
            Ok(Ok(loaded)) => loaded,
            // Without an answer: too late, or the loader has panicked.
            Ok(Err(_)) | Err(_) => Err(Arc::new(StoreError::timed_out())),
        }
    }

    /// Loads batch after batch until nothing waits.
    async fn load_all(&self) {
        while let Some(batch) = self.next_batch() {
            let hashes: HashSet<TokenHash> = batch.iter().map(|waiting| waiting.hash).collect();
            let hashes: Vec<TokenHash> = hashes.into_iter().collect();
            let found = self.store.keys_by_hashes(&hashes).await.map_err(Arc::new);
            for Waiting { hash, answer } in batch {
                let loaded = match &found {
                    Ok(found) => found.lookup(&hash).map_err(Arc::new),
                    Err(error) => Err(Arc::clone(error)),
                };
                // A caller that has left needs no answer.
                let _left = answer.send(loaded);
            }
        }
    }

    /// The look-ups that have waited longest. `None`: nothing waits, and the loader ends.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !waiting.answer.is_closed());
        if state.waiting.is_empty() {
            state.running -= 1;
            return None;
        }
        let number = state.waiting.len().min(BATCH_MAX);
        Some(state.waiting.drain(..number).collect())
    }

    /// The state is changed in single steps, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loader's place.
struct Running(Loader);

impl Drop for Running {
    /// A loader that ends in order has given its place back under the lock.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().running -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use keyhouse_store::Location;
    use keyhouse_token::{Brand, Mode, RawToken};

    use super::*;

    fn hashes(number: u8) -> Vec<TokenHash> {
        let brand = Brand::parse("pk").unwrap();
        (0..number).map(|n| RawToken::from_entropy(&brand, Mode::Live, |bytes| bytes.fill(n)).hash()).collect()
    }

    #[tokio::test]
    async fn look_ups_that_wait_become_batches_and_callers_that_left_are_not_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        let (store, ..) = Store::migrate_and_open(&location, None).await.unwrap();
        let loader = Loader::new(store);
        // As if every loader waited for the database.
        let loaders = loader.store.lookups_at_once();
        loader.lock().running = loaders;
        let mut calls: Vec<_> = hashes(101).into_iter().map(|hash| Box::pin(loader.load(hash))).collect();
        for call in &mut calls {
            assert!(call.now_or_never().is_none());
        }
        drop(calls.pop());
        let sizes = [loader.next_batch(), loader.next_batch()].map(|batch| batch.unwrap().len());
        assert_eq!(sizes, [64, 36]);
        assert!(loader.next_batch().is_none());
        assert_eq!(loader.lock().running, loaders - 1, "a loader ends when nothing waits");
    }

    #[tokio::test]
    async fn each_look_up_of_a_batch_gets_its_own_answer_and_the_loaders_end() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        let (store, ..) = Store::migrate_and_open(&location, None).await.unwrap();
        let loader = Loader::new(store.clone());
        let answers = join_all(hashes(200).into_iter().map(|hash| loader.load(hash))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().key.is_none()));
        assert_eq!(loader.lock().running, 0);
        store.close().await;
        let answers = join_all(hashes(3).into_iter().map(|hash| loader.load(hash))).await;
        assert!(answers.into_iter().all(|answer| answer.is_err()), "a query that fails is an error of each");
    }
}
