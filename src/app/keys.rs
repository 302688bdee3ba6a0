//! A key's life: create, rename, revoke, list, find, and forget its name after 90 days.
//!
//! Whoever calls these holds a [`KeyAdmin`], so it is a person's session or the machine's shell: keys never manage keys.

use super::{App, in_batches};
use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState, ListedKey, NewKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_store::{Inserted, NewRow, Renamed, Revoked, StoreError};
use keyhouse_token::RawToken;

/// A new key and its token: the one value in the program that carries a raw token out.
#[derive(Debug)]
pub struct Created {
    pub key: ApiKey,
    pub token: RawToken,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    #[error("this key exists, and its token can't be shown again: revoke it and make a new one")]
    Exists,
    #[error("the team has 10 active keys, the most there can be: revoke one that is not needed first")]
    LimitReached,
    #[error("only an owner or admin of the team manages its keys")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RenameKeyError {
    #[error("no such key")]
    NoSuchKey,
    #[error("the key is revoked, and a revoked key can't be renamed")]
    Revoked,
    #[error("only an owner or admin of the team manages its keys")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RevokeKeyError {
    #[error("no such key")]
    NoSuchKey,
    #[error("only an owner or admin of the team manages its keys")]
    Forbidden,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a revocation changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    Now,
    /// The key was revoked before; that stands as it was.
    Before,
}

impl App {
    /// Makes a key for the admin's team. Its token is in the answer and nowhere else.
    pub async fn create_key(&self, admin: &KeyAdmin, new: NewKey) -> Result<Created, CreateKeyError> {
        self.create_key_once(admin, self.new_key_id(), new).await
    }

    /// The id of a key that may be made: a form that carries it makes one key, however often it is sent.
    pub fn new_key_id(&self) -> KeyId {
        KeyId::new(self.ids.seed())
    }

    /// As [`App::create_key`], but makes nothing if there is a key of this id.
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
        let row = NewRow { key: &key, hash: token.hash(), name: &new.name };
        match self.store.insert_key_within_cap(admin, row, &context).await? {
            Inserted::Done => Ok(Created { key, token }),
            Inserted::Exists => Err(CreateKeyError::Exists),
            Inserted::LimitReached => Err(CreateKeyError::LimitReached),
            Inserted::Forbidden => Err(CreateKeyError::Forbidden),
        }
    }

    pub async fn rename_key(&self, admin: &KeyAdmin, id: KeyId, name: &KeyName) -> Result<(), RenameKeyError> {
        match self.store.rename_key(admin, id, name, &self.audit_context(admin)).await? {
            Renamed::Done => Ok(()),
            Renamed::NoSuchKey => Err(RenameKeyError::NoSuchKey),
            Renamed::Revoked => Err(RenameKeyError::Revoked),
            Renamed::Forbidden => Err(RenameKeyError::Forbidden),
        }
    }

    /// Ends a key for good. Ending it again changes nothing and is no error.
    pub async fn revoke_key(&self, admin: &KeyAdmin, id: KeyId) -> Result<Revocation, RevokeKeyError> {
        match self.store.revoke_key(admin, id, &self.audit_context(admin)).await? {
            Revoked::Done => Ok(Revocation::Now),
            Revoked::Already => Ok(Revocation::Before),
            Revoked::NoSuchKey => Err(RevokeKeyError::NoSuchKey),
            Revoked::Forbidden => Err(RevokeKeyError::Forbidden),
        }
    }

    /// Ends all active keys of the admin's team at once; says which.
    pub async fn revoke_all_keys(&self, admin: &KeyAdmin) -> Result<Vec<ListedKey>, RevokeKeyError> {
        self.store.revoke_all_keys(admin, &self.audit_context(admin)).await?.ok_or(RevokeKeyError::Forbidden)
    }

    /// A team's keys, newest first: the active ones and those revoked less than 90 days ago.
    pub async fn keys_of(&self, team: &Team) -> Result<Vec<ListedKey>, StoreError> {
        self.store.keys_of_team(team.id, self.clock.now()).await
    }

    /// How many active keys a team has.
    pub async fn active_keys(&self, team: &Team) -> Result<u32, StoreError> {
        let counts = self.store.active_key_counts(Some(team.id)).await?;
        Ok(counts.first().map_or(0, |(_, count)| *count))
    }

    /// One key, whatever its team and state.
    pub async fn key(&self, id: KeyId) -> Result<Option<ListedKey>, StoreError> {
        self.store.key(id).await
    }

    /// Which key a token belongs to, and whose: for a token found where it should not be. Counts as no use.
    pub async fn find_key(&self, token: RawToken) -> Result<Option<(ListedKey, Team)>, StoreError> {
        let Some(found) = self.store.key_by_hash(&token.hash()).await?.key else { return Ok(None) };
        let key = self.store.key(found.id).await?;
        let team = self.store.team(&TeamRef::Id(found.team)).await?;
        Ok(key.zip(team))
    }

    /// Clears the names of keys that were revoked 90 days ago. To be called daily; says how many it cleared.
    pub async fn redact_revoked_key_names(&self) -> Result<u64, StoreError> {
        in_batches(|batch| self.store.redact_revoked_key_names(self.clock.now(), batch)).await
    }
}
