//! Authentication of API calls: whose key is this token, and may it act now?
//!
//! Under a valid lease the key's record comes from the [key cache](super::key_cache). Without one every call queries the
//! database; if that fails, the answer is 503. Whether a key may act is decided on each call, by [`ApiKey::check`].

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::App;
use super::infra::metrics::LookupSource;
use super::rate_limit::network;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::AuthError;
use keyhouse_store::StoreError;
use keyhouse_token::{RawToken, TokenHash};

/// Why a call is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// No key has this credential: 401.
    #[error(transparent)]
    AuthError(#[from] AuthError),
    /// The key of this token may not act now: the same 401.
    #[error("{error}")]
    KeyRefused {
        /// The key, by the token that was sent.
        key: Arc<ApiKey>,
        /// Why.
        error: AuthError,
    },
    /// The key's record can't be read: 503, never 401.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

impl App {
    /// Finds the key of a token and checks that a client at `from` may use it now. The token is hashed and dropped.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`] if no key has this token, [`AuthenticateError::KeyRefused`] with what [`ApiKey::check`] returns
    /// if the key may not be used, and [`AuthenticateError::Store`] if the key's record can't be read.
    pub async fn authenticate(&self, token: RawToken, from: IpAddr) -> Result<Arc<ApiKey>, AuthenticateError> {
        let hash = token.hash();
        drop(token);
        self.authenticate_hash(&hash, from).await
    }

    /// As [`App::authenticate`], by the hash of the token.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn authenticate_hash(&self, hash: &TokenHash, from: IpAddr) -> Result<Arc<ApiKey>, AuthenticateError> {
        let (found, now) = match self.key_cache.cached(hash) {
            Some(found) => {
                self.metrics.record_lookup(LookupSource::Cache);
                found
            }
            None => {
                let _turn = self.cold_lookup_turn(from).await;
                let (found, source) = self.key_cache.find(hash).await;
                self.metrics.record_lookup(source);
                (found?, self.clock.now())
            }
        };
        let key = found.ok_or(AuthError::Unknown)?;
        match key.check(now, from) {
            Ok(()) => Ok(key),
            Err(error) => Err(AuthenticateError::KeyRefused { key, error }),
        }
    }

    /// Makes look-ups from networks that are over the limit of refused credentials wait for each other.
    ///
    /// The limit refuses answers, not work: a well-formed token must be looked up before it is known to be bad. One place
    /// for all such networks keeps a flood of made-up tokens from taking the database's connections from everybody else,
    /// and still refuses no good key for its address.
    async fn cold_lookup_turn(&self, from: IpAddr) -> Option<SemaphorePermit<'_>> {
        let limit = self.limits.bad_tokens.as_ref()?;
        let is_over = self.bad_tokens.is_exhausted(network(from), limit, self.clock.now());
        if is_over { self.cold_lookups.acquire().await.ok() } else { None }
    }
}
