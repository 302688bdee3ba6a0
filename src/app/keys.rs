//! API keys: create, rename, rotate, revoke, list and find them, and clear their names after 90 days
//!
//! Every write takes a [`KeyAdmin`]: a person's session or the command line. A key never manages keys.

use super::{App, in_batches};
use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState, KeyToken, ListedKey, NewKey, Overlap, RevocationReason};
use keyhouse_domain::ids::{KeyId, PersonId, TeamId};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::KeyUsage;
use keyhouse_store::{NewKeyRow, NewToken, StoreError};
use keyhouse_token::{Mode, RawToken};

pub use keyhouse_store::{
    CreateKeyError, EndFormerTokenError, ExpiryRefused, RenameKeyError, RevokeKeyError, Revoked, RotateKeyError,
};

/// A new key and its token. This and [`Rotated`] are the only values in the program that return a raw token.
#[derive(Debug)]
pub struct Created {
    pub key: ApiKey,
    pub token: RawToken,
}

/// A key with a new token.
#[derive(Debug)]
pub struct Rotated {
    /// The key, with the new token as its current one.
    pub key: ApiKey,
    pub token: RawToken,
    /// When the former token ends at the latest; the first use of the new one may bring it forward.
    pub former_ends_at: Timestamp,
}

/// The key of a token that was found somewhere.
#[derive(Debug)]
pub struct FoundKey {
    pub key: ListedKey,
    /// Its team. The slug of a deleted team means nothing: another team may have it by now.
    pub team: Team,
    /// When the team was deleted, if it was.
    pub team_deleted_at: Option<Timestamp>,
}

impl App {
    /// Creates a key of the admin's team. Its token is in the result and nowhere else.
    ///
    /// # Errors
    ///
    /// See [`CreateKeyError`].
    pub async fn create_key(&self, admin: &KeyAdmin, new: NewKey) -> Result<Created, CreateKeyError> {
        self.create_key_once(admin, self.new_key_id(), new).await
    }

    /// An id for a key to be created: a form that carries it creates one key, however often it is submitted.
    pub fn new_key_id(&self) -> KeyId {
        KeyId::new(self.ids.seed())
    }

    /// As [`App::create_key`], but creates nothing if there is a key with this id.
    ///
    /// # Errors
    ///
    /// See [`CreateKeyError`].
    pub async fn create_key_once(&self, admin: &KeyAdmin, id: KeyId, new: NewKey) -> Result<Created, CreateKeyError> {
        let token = RawToken::from_entropy(&self.brand, new.mode, |bytes| self.rng.fill_bytes(bytes));
        let context = self.audit_context(admin);
        let key = ApiKey {
            id,
            team: admin.team(),
            mode: new.mode,
            scope: new.scope,
            created_at: context.at,
            state: KeyState::Active,
            token: KeyToken {
                number: 1,
                prefix: token.prefix(),
                created_at: context.at,
                first_used_at: None,
                ends_at: None,
            },
            conditions: new.conditions.clone(),
            pause: None,
        };
        let row = NewKeyRow { key: &key, hash: token.hash(), new: &new };
        self.store.create_key(admin, row, &context).await?;
        Ok(Created { key, token })
    }

    /// Gives a key another name. With `was`, only if the key has that name.
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
    ) -> Result<(), RenameKeyError> {
        self.store.rename_key(admin, id, name, was, &self.audit_context(admin)).await
    }

    /// Gives a key a new token, which is in the result and nowhere else. The former one is accepted until `overlap` after
    /// the first use of the new one, and for seven days at most. A key
    /// whose former token is accepted can't be rotated, so that submitting a form twice rotates once.
    ///
    /// # Errors
    ///
    /// See [`RotateKeyError`].
    pub async fn rotate_key(&self, admin: &KeyAdmin, id: KeyId, overlap: Overlap) -> Result<Rotated, RotateKeyError> {
        let key = self.queries().key(id).await?.ok_or(RotateKeyError::NoSuchKey)?.key;
        let token = RawToken::from_entropy(&self.brand, key.mode, |bytes| self.rng.fill_bytes(bytes));
        let new = NewToken { hash: token.hash(), prefix: token.prefix() };
        let context = self.audit_context(admin);
        let (current, former_ends_at) = self.store.rotate_key(admin, id, new, overlap, &context).await?;
        Ok(Rotated { key: ApiKey { token: current, ..key }, token, former_ends_at })
    }

    /// Ends a key's former token at once.
    ///
    /// # Errors
    ///
    /// See [`EndFormerTokenError`].
    pub async fn end_former_token(&self, admin: &KeyAdmin, id: KeyId) -> Result<(), EndFormerTokenError> {
        self.store.end_former_token(admin, id, &self.audit_context(admin)).await
    }

    /// Revokes a key for good. Revoking it again, or revoking an expired key, changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        reason: Option<&RevocationReason>,
    ) -> Result<Revoked, RevokeKeyError> {
        self.store.revoke_key(admin, id, reason, &self.audit_context(admin)).await
    }

    /// Revokes all active keys of the admin's team at once; returns them.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_all_keys(&self, admin: &KeyAdmin) -> Result<Vec<ListedKey>, RevokeKeyError> {
        self.store.revoke_all_keys(admin, &self.audit_context(admin)).await
    }

    /// A team's keys, newest first: the active ones and those that ended less than 90 days ago.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn keys_of(&self, team: &Team) -> Result<Vec<ListedKey>, StoreError> {
        self.queries().keys_of_team(team.id, self.clock.now()).await
    }

    /// A team's active keys, newest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_keys_of(&self, team: TeamId) -> Result<Vec<ListedKey>, StoreError> {
        self.queries().active_keys_of_team(team, self.clock.now()).await
    }

    /// How many active keys a team has.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_key_count(&self, team: TeamId) -> Result<u32, StoreError> {
        self.queries().active_key_count(team, self.clock.now()).await
    }

    /// Revokes the active keys of the admin's team that one person created, one after the other.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_keys_created_by(
        &self,
        admin: &KeyAdmin,
        person: PersonId,
        reason: Option<&RevocationReason>,
    ) -> Result<(), RevokeKeyError> {
        for key in self.active_keys_of(admin.team()).await? {
            if key.creator.person == Some(person) {
                self.revoke_key(admin, key.key.id, reason).await?;
            }
        }
        Ok(())
    }

    /// A page of a team's revoked and expired keys that are still listed, the one that ended last first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn ended_keys_of(
        &self,
        team: &Team,
        mode: Option<Mode>,
        before: Option<(Timestamp, KeyId)>,
        limit: u32,
    ) -> Result<Vec<ListedKey>, StoreError> {
        self.queries().ended_keys_of_team(team.id, mode, before, self.clock.now(), limit).await
    }

    /// The key of a token that was found where it should not be, and its team; `None` if the team was deleted. Does not
    /// count as a use of the key.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn key_of_token(&self, token: &RawToken) -> Result<Option<(ListedKey, Option<Team>)>, StoreError> {
        let Some(found) = self.store.key_by_hash(&token.hash()).await?.key else { return Ok(None) };
        let team = self.queries().team(&TeamRef::Id(found.team)).await?;
        Ok(self.queries().key(found.id).await?.map(|key| (key, team)))
    }

    /// As [`App::key_of_token`], without the keys of deleted teams.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn find_key(&self, token: RawToken) -> Result<Option<FoundKey>, StoreError> {
        let Some(found) = self.store.key_by_hash(&token.hash()).await?.key else { return Ok(None) };
        let key = self.queries().key(found.id).await?;
        let team = self.queries().team_or_deleted(found.team).await?;
        Ok(key.zip(team).map(|(key, (team, team_deleted_at))| FoundKey { key, team, team_deleted_at }))
    }

    /// Clears the names of keys that ended 90 days ago; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn redact_ended_key_names(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.redact_ended_key_names(self.clock.now(), batch)).await
    }

    /// Stores the usage of a key that no API calls have made: for sample data.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn store_sample_usage(&self, usage: &KeyUsage) -> Result<(), StoreError> {
        self.store.store_usage(std::slice::from_ref(usage), self.clock.now()).await
    }
}
