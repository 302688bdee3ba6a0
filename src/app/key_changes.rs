//! Pause, conditions and expiry of keys

use super::App;
use keyhouse_domain::api_key::{Conditions, KeyLifetime};
use keyhouse_domain::audit::{AuditActor, SERVER};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::{KeyAdmin, TeamAdmin};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::StoreError;

pub use keyhouse_store::{ChangeConditionsError, PauseKeyError, SetKeyLifetimeError};

impl App {
    /// Pauses a key until `until`, or until it is resumed. It keeps its slot; its calls are refused.
    ///
    /// # Errors
    ///
    /// See [`PauseKeyError`].
    pub async fn pause_key(&self, admin: &KeyAdmin, id: KeyId, until: Option<Timestamp>) -> Result<(), PauseKeyError> {
        self.store.pause_key(admin, id, until, &self.audit_context(admin)).await
    }

    /// Ends a key's pause. Changes nothing if the key is not paused.
    ///
    /// # Errors
    ///
    /// See [`PauseKeyError`].
    pub async fn resume_key(&self, admin: &KeyAdmin, id: KeyId) -> Result<(), PauseKeyError> {
        self.store.resume_key(admin, id, &self.audit_context(admin)).await
    }

    /// Gives a key these conditions if it has the conditions `was`.
    ///
    /// # Errors
    ///
    /// See [`ChangeConditionsError`].
    pub async fn set_conditions(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        conditions: &Conditions,
        was: &Conditions,
    ) -> Result<(), ChangeConditionsError> {
        self.store.change_conditions(admin, id, conditions, was, &self.audit_context(admin)).await
    }

    /// Sets the maximum lifetime of a team's new keys, or removes it with `None`, if it is `was`.
    ///
    /// # Errors
    ///
    /// See [`SetKeyLifetimeError`].
    pub async fn set_key_lifetime(
        &self,
        admin: &TeamAdmin,
        lifetime: Option<KeyLifetime>,
        was: Option<KeyLifetime>,
    ) -> Result<(), SetKeyLifetimeError> {
        self.store.set_key_lifetime(admin, lifetime, was, &self.audit_context(admin)).await
    }

    /// Frees the slots of keys that have expired, with an audit event for each; returns how many. An expiry takes effect
    /// without it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn record_expiries(&self) -> Result<u64, StoreError> {
        let mut recorded = 0;
        for team in self.store.teams_with_expired_keys(self.clock.now(), super::BATCH).await? {
            recorded += self.store.record_expiries(team, &self.context(AuditActor::server(), SERVER)).await?;
        }
        Ok(recorded)
    }
}
