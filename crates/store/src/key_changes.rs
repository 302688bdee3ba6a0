//! What can be changed of an active key besides its name and its token: pause and conditions

use crate::error::StoreError;
use crate::expiry::{ExpiryRefused, conditions_detail, stored_networks};
use crate::statement::sql;
use crate::tx::Tx;
use crate::{Result, Store};
use keyhouse_domain::api_key::{Conditions, KeyStatus, ListedKey};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_domain::timestamp::Timestamp;

/// Why a key was neither paused nor resumed.
#[derive(Debug, thiserror::Error)]
pub enum PauseKeyError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// A key that was revoked or has expired is refused for good.
    #[error("the key has ended: it can be neither paused nor resumed")]
    Ended,
    /// The pause would be over already.
    #[error("the end of the pause is in the past")]
    Past,
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key's conditions were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeConditionsError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// A key that was revoked or has expired is refused for good.
    #[error("the key has ended: its conditions can't be changed")]
    Ended,
    /// Another admin changed the conditions after the form was opened.
    #[error("the conditions were changed meanwhile; look at them and try again")]
    Changed,
    /// The new expiry is not possible.
    #[error(transparent)]
    Expiry(#[from] ExpiryRefused),
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Pauses a key: it keeps its slot and is refused until `until`, or until it is resumed. A paused key gets the new end.
    ///
    /// # Errors
    ///
    /// See [`PauseKeyError`].
    pub async fn pause_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        until: Option<Timestamp>,
        context: &AuditContext,
    ) -> std::result::Result<(), PauseKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let key = tx.key_of_team(admin.team(), id).await?.ok_or(PauseKeyError::NoSuchKey)?;
        if !key.key.is_active(context.at) {
            return Err(PauseKeyError::Ended);
        }
        if until.is_some_and(|until| until <= context.at) {
            return Err(PauseKeyError::Past);
        }
        tx.pause(&key, until).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a key's pause. Changes nothing if the key is not paused.
    ///
    /// # Errors
    ///
    /// See [`PauseKeyError`].
    pub async fn resume_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        context: &AuditContext,
    ) -> std::result::Result<(), PauseKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let key = tx.key_of_team(admin.team(), id).await?.ok_or(PauseKeyError::NoSuchKey)?;
        match key.key.status(context.at) {
            KeyStatus::Revoked(_) | KeyStatus::Expired(_) => return Err(PauseKeyError::Ended),
            KeyStatus::Active => return Ok(()),
            KeyStatus::Paused(_) => {}
        }
        let seq = tx.bump_change_seq().await?;
        let update =
            sql("UPDATE keys SET paused_at = NULL, paused_until = NULL, seq = $2 WHERE id = $1 AND ended_at IS NULL")
                .bind(id)
                .bind(seq);
        tx.execute(update).await?;
        tx.audit_key(Action::KeyResumed, &key, "").await?;
        Ok(tx.commit().await?)
    }

    /// Gives a key these conditions if it has the conditions `was`. The same conditions change nothing; an expiry that stays
    /// as it is, is not checked again.
    ///
    /// # Errors
    ///
    /// See [`ChangeConditionsError`].
    pub async fn change_conditions(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        conditions: &Conditions,
        was: &Conditions,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeConditionsError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let key = tx.key_of_team(admin.team(), id).await?.ok_or(ChangeConditionsError::NoSuchKey)?;
        if !key.key.is_active(context.at) {
            return Err(ChangeConditionsError::Ended);
        }
        if key.key.conditions == *conditions {
            return Ok(());
        }
        if key.key.conditions != *was {
            return Err(ChangeConditionsError::Changed);
        }
        if key.key.conditions.expires_at != conditions.expires_at {
            tx.check_expiry(admin.team(), conditions.expires_at).await??;
        }
        let seq = tx.bump_change_seq().await?;
        let update = sql("UPDATE keys SET expires_at = $2, allowed_networks = $3, seq = $4 \
                          WHERE id = $1 AND ended_at IS NULL")
        .bind(id)
        .bind(conditions.expires_at.map(Timestamp::ms))
        .bind(stored_networks(&conditions.allowed))
        .bind(seq);
        tx.execute(update).await?;
        let rest = match conditions_detail(conditions) {
            none if none.is_empty() => ", no conditions".to_owned(),
            given => given,
        };
        tx.audit_key(Action::KeyConditionsChanged, &key, &rest).await?;
        Ok(tx.commit().await?)
    }
}

impl Tx {
    /// Pauses an active key, under the lock of its team. A pause that lasts keeps its beginning.
    pub(crate) async fn pause(&mut self, key: &ListedKey, until: Option<Timestamp>) -> Result<()> {
        let began = match key.key.status(self.context.at) {
            KeyStatus::Paused(pause) => pause.at,
            _ => self.context.at,
        };
        let seq = self.bump_change_seq().await?;
        let update =
            sql("UPDATE keys SET paused_at = $2, paused_until = $3, seq = $4 WHERE id = $1 AND ended_at IS NULL")
                .bind(key.key.id)
                .bind(began)
                .bind(until.map(Timestamp::ms))
                .bind(seq);
        self.execute(update).await?;
        let rest = until.map_or_else(String::new, |until| format!(", until {}", until.minute()));
        self.audit_key(Action::KeyPaused, key, &rest).await
    }
}
