//! Whose token is this? The one verdict that every door asks for.
//!
//! Asks the database each time: always right. A cache of records will change this file alone; the change counter and
//! the lock order that keep such a cache honest are in every transaction already (`store/changes.rs`).

use super::App;
use crate::domain::grant::Refused;
use crate::domain::key::ApiKey;
use crate::domain::token::RawToken;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The token is no good: 401.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The truth can't be had: 503, never 401.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Finds the active key of a token; the token itself ends here.
    pub async fn identify(&self, token: RawToken) -> Result<ApiKey, IdentifyError> {
        let hash = token.hash();
        drop(token);
        let key = self.store.key_by_hash(&hash).await?.ok_or(Refused::Unknown)?;
        if key.is_active() { Ok(key) } else { Err(Refused::Revoked.into()) }
    }
}
