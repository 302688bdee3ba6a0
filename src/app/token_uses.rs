//! Uses of the tokens of rotated keys: noted in memory, written in the background.
//!
//! The first use of a new token starts the end of the former one. It is recorded soon, so that an overlap of zero ends the
//! former token on every node within a second, and never on the path of the call itself. The last use of each of the two
//! tokens shows when the former one is safe to end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::App;
use keyhouse_domain::api_key::{ApiKey, LastUse};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{FirstUse, StoreError, TokenUse};

/// How often [`App::record_first_uses`] is called.
pub const FIRST_USE_INTERVAL: Duration = Duration::from_millis(250);

/// A key and the number of its token.
type Token = (KeyId, u32);

/// What is not written yet. Sorted, so that two nodes that write the same tokens lock rows in the same order.
#[derive(Debug, Default)]
pub(crate) struct TokenUses {
    /// The earliest use of each token whose first use is not recorded.
    first: Mutex<BTreeMap<Token, Timestamp>>,
    /// The latest use of each token. Two entries at most for each key, and none for a key that was never rotated.
    last: Mutex<BTreeMap<Token, (Timestamp, IpAddr)>>,
}

fn lock<T>(uses: &Mutex<T>) -> MutexGuard<'_, T> {
    uses.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TokenUses {
    fn note(&self, key: &ApiKey, at: Timestamp, from: IpAddr) {
        let token = (key.id, key.token.number);
        if key.token.awaits_first_use() {
            self.note_first(token, at);
        }
        lock(&self.last).insert(token, (at, from));
    }

    fn note_first(&self, token: Token, at: Timestamp) {
        lock(&self.first).entry(token).and_modify(|earliest| *earliest = at.min(*earliest)).or_insert(at);
    }
}

impl App {
    /// Notes an accepted call with a key, if the key was rotated. Writes nothing to the database.
    pub fn note_token_use(&self, key: &ApiKey, from: IpAddr) {
        if key.token.number > 1 || key.token.ends_at.is_some() {
            self.token_uses.note(key, self.clock.now(), from);
        }
    }

    /// Records noted first uses in the database; returns how many.
    ///
    /// # Errors
    ///
    /// The database could not take them; they stay noted.
    pub async fn record_first_uses(&self) -> Result<u64, StoreError> {
        let taken = std::mem::take(&mut *lock(&self.token_uses.first));
        let uses: Vec<_> = taken.into_iter().map(|((key, token), at)| FirstUse { key, token, at }).collect();
        let recorded = self.store.record_first_uses(&uses).await;
        if recorded.is_err() {
            for first in &uses {
                self.token_uses.note_first((first.key, first.token), first.at);
            }
        }
        recorded.map(|()| uses.len() as u64)
    }

    /// Records noted first uses, and writes the last use of each token.
    ///
    /// # Errors
    ///
    /// The database could not take them; they stay noted.
    pub async fn record_token_uses(&self) -> Result<(), StoreError> {
        self.record_first_uses().await?;
        let taken = std::mem::take(&mut *lock(&self.token_uses.last));
        let used = |((key, token), (at, from)): (&Token, &(Timestamp, IpAddr))| TokenUse {
            key: *key,
            token: *token,
            used: LastUse { at: *at, from: from.to_string() },
        };
        let uses: Vec<_> = taken.iter().map(used).collect();
        let written = self.store.store_token_uses(&uses).await;
        if written.is_err() {
            let mut last = lock(&self.token_uses.last);
            for (token, used) in taken {
                last.entry(token).or_insert(used);
            }
        }
        written
    }
}
