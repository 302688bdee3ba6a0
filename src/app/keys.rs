//! API keys: create, rename, revoke, list and find them, and clear their names after 90 days
//!
//! Every write takes a [`KeyAdmin`]: a person's session or the command line. A key never manages keys.

use std::net::IpAddr;

use super::{App, in_batches};
use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState, LastUse, ListedKey, NewKey};
use keyhouse_domain::ids::{KeyId, PersonId};
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::KeyUsage;
use keyhouse_store::{NewKeyRow, StoreError};
use keyhouse_token::{Mode, RawToken};

pub use keyhouse_store::{CreateKeyError, RenameKeyError, Revocation, RevokeKeyError};

/// A new key and its token: the only value in the program that returns a raw token.
#[derive(Debug)]
pub struct Created {
    pub key: ApiKey,
    pub token: RawToken,
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
            prefix: token.prefix(),
            mode: new.mode,
            scope: new.scope,
            created_at: context.at,
            state: KeyState::Active,
        };
        let row = NewKeyRow { key: &key, hash: token.hash(), new: &new };
        self.store.create_key(admin, row, &context).await?;
        Ok(Created { key, token })
    }

    /// Gives a key another name.
    ///
    /// # Errors
    ///
    /// See [`RenameKeyError`].
    pub async fn rename_key(&self, admin: &KeyAdmin, id: KeyId, name: &KeyName) -> Result<(), RenameKeyError> {
        self.store.rename_key(admin, id, name, &self.audit_context(admin)).await
    }

    /// Revokes a key for good. Revoking it again changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_key(&self, admin: &KeyAdmin, id: KeyId) -> Result<Revocation, RevokeKeyError> {
        self.store.revoke_key(admin, id, &self.audit_context(admin)).await
    }

    /// Revokes all active keys of the admin's team at once; returns them.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_all_keys(&self, admin: &KeyAdmin) -> Result<Vec<ListedKey>, RevokeKeyError> {
        self.store.revoke_all_keys(admin, &self.audit_context(admin)).await
    }

    /// A team's keys, newest first: the active ones and those revoked less than 90 days ago.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn keys_of(&self, team: &Team) -> Result<Vec<ListedKey>, StoreError> {
        self.queries().keys_of_team(team.id, self.clock.now()).await
    }

    /// Revokes the active keys of the admin's team that one person created, one after the other.
    ///
    /// # Errors
    ///
    /// See [`RevokeKeyError`].
    pub async fn revoke_keys_created_by(&self, admin: &KeyAdmin, person: PersonId) -> Result<(), RevokeKeyError> {
        for key in self.queries().active_keys_of_team(admin.team()).await? {
            if key.creator.person == Some(person) {
                self.revoke_key(admin, key.key.id).await?;
            }
        }
        Ok(())
    }

    /// A page of a team's revoked keys that are still listed, the latest revocation first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn revoked_keys_of(
        &self,
        team: &Team,
        mode: Option<Mode>,
        before: Option<(Timestamp, KeyId)>,
        limit: u32,
    ) -> Result<Vec<ListedKey>, StoreError> {
        self.queries().revoked_keys_of_team(team.id, mode, before, self.clock.now(), limit).await
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

    /// Clears the names of keys that were revoked 90 days ago; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn redact_revoked_key_names(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.redact_revoked_key_names(self.clock.now(), batch)).await
    }

    /// Stores a use of a key without an API call: for sample data.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn store_last_use(&self, key: KeyId, from: IpAddr) -> Result<(), StoreError> {
        let at = self.clock.now();
        let last_use = Some(LastUse { at, from: from.to_string() });
        let (days, addresses, calls) = Default::default();
        self.store.store_usage(&[KeyUsage { key, last_use, days, addresses, calls }], at).await
    }
}
