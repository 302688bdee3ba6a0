//! What this node observes about the requests that reach it and that its settings contradict, for `keyhouse doctor`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::App;
use keyhouse_store::StoreError;

/// What is observed. The newest value of each is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observation {
    /// The address of a peer that sends `X-Forwarded-For` and is not in `trusted_proxies`.
    UnlistedProxy,
    /// The origin of a page of this server that is not `public_url`.
    OtherOrigin,
}

impl Observation {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnlistedProxy => "unlisted_proxy",
            Self::OtherOrigin => "other_origin",
        }
    }
}

/// Observations of this process, and whether each was stored.
#[derive(Debug, Default)]
pub(super) struct Observations(Mutex<BTreeMap<Observation, (String, bool)>>);

impl Observations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Observation, (String, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Notes an observation in memory. A background job stores it.
    pub(crate) fn observe(&self, what: Observation, value: &str) {
        let mut all = self.observations.lock();
        if all.get(&what).is_none_or(|(known, _)| known != value) {
            all.insert(what, (value.to_owned(), false));
        }
    }

    /// Stores the observations that are not stored yet.
    ///
    /// # Errors
    ///
    /// Any error of a write; what was not stored is stored by the next call.
    pub(crate) async fn store_observations(&self) -> Result<u64, StoreError> {
        let waiting: Vec<_> = {
            let all = self.observations.lock();
            all.iter().filter(|(_, (_, stored))| !stored).map(|(what, (value, _))| (*what, value.clone())).collect()
        };
        for (what, value) in waiting {
            self.store.set_observation(what.as_str(), &value).await?;
            if let Some((known, stored)) = self.observations.lock().get_mut(&what) {
                *stored = *known == value;
            }
        }
        Ok(0)
    }
}
