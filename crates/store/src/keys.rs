//! API keys. Every method that changes a key's record holds the team's lock and advances the change counter

use crate::error::StoreError;
use crate::expiry::{ExpiryRefused, conditions_detail, stored_networks};
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use crate::{Result, Store};
use keyhouse_domain::api_key::{
    ACTIVE_KEYS_MAX, ApiKey, ENDED_SHOWN_FOR, KeyName, KeyStatus, ListedKey, NewKey, RevocationReason,
};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{KeyId, PersonId, TeamId};
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::TokenHash;

/// A new key's row. It holds the hash and never the token.
#[derive(Debug)]
pub struct NewKeyRow<'a> {
    /// The record.
    pub key: &'a ApiKey,
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// What the person chose, the name included.
    pub new: &'a NewKey,
}

/// Why a key was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// There is a key with this id: the same form was sent before.
    #[error("this key exists, and its token can't be shown again: revoke it and create a new one")]
    Exists,
    /// The team has [`ACTIVE_KEYS_MAX`] active keys.
    #[error("the team already has {ACTIVE_KEYS_MAX} active keys (the maximum); revoke one first")]
    LimitReached,
    /// The conditions are not possible.
    #[error(transparent)]
    Expiry(#[from] ExpiryRefused),
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key was not renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameKeyError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// A revoked key keeps its name.
    #[error("the key is revoked, and a revoked key can't be renamed")]
    Revoked,
    /// An expired key keeps its name.
    #[error("the key has expired, and an expired key can't be renamed")]
    Expired,
    /// Another admin gave the key this name after the form was opened.
    #[error("the key was renamed in the meantime")]
    Renamed(String),
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeKeyError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a revocation changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The key was active until now.
    Now,
    /// The key was revoked or had expired before; nothing changed.
    Before,
}

impl Store {
    /// Writes a new key if the team has fewer than [`ACTIVE_KEYS_MAX`] active ones: exact, however many run at once.
    ///
    /// # Errors
    ///
    /// See [`CreateKeyError`].
    pub async fn create_key(
        &self,
        admin: &KeyAdmin,
        new: NewKeyRow<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), CreateKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let key = new.key;
        let known: Option<i64> = tx.fetch_scalar(sql("SELECT slot FROM keys WHERE id = $1").bind(key.id)).await?;
        if known.is_some() {
            return Err(CreateKeyError::Exists);
        }
        tx.check_expiry(admin.team(), key.conditions.expires_at).await??;
        tx.record_expiries(admin.team()).await?;
        let slot = tx.free_slot(admin.team()).await?.ok_or(CreateKeyError::LimitReached)?;
        tx.insert_key(&new, slot).await?;
        let replaces = match new.new.replaces {
            Some(old) => tx.set_successor(admin.team(), old, key.id).await?,
            None => String::new(),
        };
        let conditions = conditions_detail(&key.conditions);
        let detail = format!("{} “{}”, {}{conditions}{replaces}", key.prefix(), new.new.name, key.scope.label());
        tx.audit(key.team, Action::KeyCreated, key.id, detail).await?;
        Ok(tx.commit().await?)
    }

    /// Gives an active key another name. With `was`, only if the key has that name.
    ///
    /// # Errors
    ///
    /// See [`RenameKeyError`].
    pub async fn rename_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        name: &KeyName,
        was: Option<&str>,
        context: &AuditContext,
    ) -> std::result::Result<(), RenameKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let old = tx.key_of_team(admin.team(), id).await?.ok_or(RenameKeyError::NoSuchKey)?;
        match old.key.status(context.at) {
            KeyStatus::Active | KeyStatus::Paused(_) => {}
            KeyStatus::Expired(_) => return Err(RenameKeyError::Expired),
            KeyStatus::Revoked(_) => return Err(RenameKeyError::Revoked),
        }
        let old_name = old.name.as_ref().map_or("", KeyName::as_str);
        if was.is_some_and(|was| was != old_name) {
            return Err(RenameKeyError::Renamed(old_name.to_owned()));
        }
        let seq = tx.bump_change_seq().await?;
        let update = sql("UPDATE keys SET name = $2, seq = $3 WHERE id = $1 AND ended_at IS NULL")
            .bind(id)
            .bind(name.as_str())
            .bind(seq);
        tx.execute(update).await?;
        let detail = format!("{} “{old_name}” to “{name}”", old.key.prefix());
        tx.audit(admin.team(), Action::KeyRenamed, id, detail).await?;
        Ok(tx.commit().await?)
    }

    /// Revokes a key for good. Revoking it again changes nothing, and so does revoking an expired key.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        reason: Option<&RevocationReason>,
        context: &AuditContext,
    ) -> std::result::Result<Revoked, RevokeKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let old = tx.key_of_team(admin.team(), id).await?.ok_or(RevokeKeyError::NoSuchKey)?;
        if !old.key.is_active(context.at) {
            tx.invalidate_local_cache();
            return Ok(Revoked::Before);
        }
        let seq = tx.bump_change_seq().await?;
        tx.revoke(&old, reason, seq).await?;
        tx.commit().await?;
        Ok(Revoked::Now)
    }

    /// Revokes all active keys of the team in one transaction; returns them.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`]; never [`RevokeKeyError::NoSuchKey`].
    pub async fn revoke_all_keys(
        &self,
        admin: &KeyAdmin,
        context: &AuditContext,
    ) -> std::result::Result<Vec<ListedKey>, RevokeKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let revoked = tx.revoke_where(admin.team(), None).await?;
        tx.commit().await?;
        Ok(revoked)
    }

    /// Clears the names of up to `batch` keys that ended [`ENDED_SHOWN_FOR`] before `now`; returns how many. The id, the
    /// hashes and the audit log stay: the tokens are refused for good. Several nodes may do it at once.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn redact_ended_key_names(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let update = sql("UPDATE keys SET name = NULL WHERE id IN (SELECT id FROM keys \
                          WHERE ended_at IS NOT NULL AND name IS NOT NULL AND ended_at <= $1 LIMIT $2)")
        .bind(now.minus(ENDED_SHOWN_FOR))
        .bind(batch);
        self.writes.execute(update).await
    }
}

impl Transaction {
    /// The smallest slot that no active key of the team has; `None` if all are taken.
    async fn free_slot(&mut self, team: TeamId) -> Result<Option<i64>> {
        let select = sql("SELECT slot FROM keys WHERE team_id = $1 AND ended_at IS NULL").bind(team);
        let taken: Vec<i64> = self.fetch_scalars(select).await?;
        Ok((1..=i64::from(ACTIVE_KEYS_MAX)).find(|slot| !taken.contains(slot)))
    }
}

impl Tx {
    async fn insert_key(&mut self, new: &NewKeyRow<'_>, slot: i64) -> Result<()> {
        let (key, by) = (new.key, self.context.by.clone());
        let seq = self.bump_change_seq().await?;
        let insert =
            sql("INSERT INTO keys (id, team_id, name, mode, scope, slot, created_at, created_by, created_by_name, \
                                            seq, expires_at, allowed_networks) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(key.id)
            .bind(key.team)
            .bind(new.new.name.as_str())
            .bind(key.mode.as_str())
            .bind(key.scope.as_str())
            .bind(slot)
            .bind(key.created_at)
            .bind(by.person)
            .bind(by.name)
            .bind(seq)
            .bind(key.conditions.expires_at.map(Timestamp::ms))
            .bind(stored_networks(&key.conditions.allowed));
        self.execute(insert).await?;
        self.insert_token(key.id, &key.token, &new.hash).await
    }

    /// Names a key's successor. Returns the addition to the audit event of the new key; empty if the team has no such key.
    /// Nodes need no new record: the successor decides nothing.
    async fn set_successor(&mut self, team: TeamId, old: KeyId, successor: KeyId) -> Result<String> {
        let Some(listed) = self.key_of_team(team, old).await? else { return Ok(String::new()) };
        self.execute(sql("UPDATE keys SET successor_id = $2 WHERE id = $1").bind(old).bind(successor)).await?;
        Ok(format!(", in place of {}", listed.key.prefix()))
    }

    /// Revokes a team's active keys, or those that one person created; under the team's lock.
    pub(crate) async fn revoke_where(&mut self, team: TeamId, creator: Option<PersonId>) -> Result<Vec<ListedKey>> {
        self.record_expiries(team).await?;
        let now = self.context.at;
        let active = self.active_keys(team, creator, now).await?;
        self.invalidate_local_cache();
        if !active.is_empty() {
            let seq = self.bump_change_seq().await?;
            for key in &active {
                self.revoke(key, None, seq).await?;
            }
        }
        Ok(active)
    }

    /// Writes the columns of the revocation alone, and only if the key has not ended yet.
    pub(crate) async fn revoke(&mut self, key: &ListedKey, reason: Option<&RevocationReason>, seq: i64) -> Result<()> {
        let (at, by) = (self.context.at, self.context.by.clone());
        let update =
            sql("UPDATE keys SET revoked_at = $2, ended_at = $2, revoked_by = $3, revoked_by_name = $4, seq = $5, \
                          revoked_reason = $6 WHERE id = $1 AND ended_at IS NULL")
            .bind(key.key.id)
            .bind(at)
            .bind(by.person)
            .bind(by.name)
            .bind(seq)
            .bind(reason.map(|reason| reason.as_str().to_owned()));
        self.execute(update).await?;
        let because = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        self.audit_key(Action::KeyRevoked, key, &because).await
    }

    /// Writes an audit event about a key: its prefix, its name and `rest`.
    pub(crate) async fn audit_key(&mut self, action: Action, key: &ListedKey, rest: &str) -> Result<()> {
        let detail = key_detail(key, rest);
        self.audit(key.key.team, action, key.key.id, detail).await
    }
}

/// A key in the detail of an audit event.
pub(crate) fn key_detail(key: &ListedKey, rest: &str) -> String {
    format!("{} “{}”{rest}", key.key.prefix(), key.name.as_ref().map_or("", KeyName::as_str))
}
