//! API keys: their record, the rule that decides whether one may be used, and how they are listed.

use std::net::IpAddr;
use std::time::Duration;

use super::audit::AuditActor;
use super::auth::{AuthError, Grant, Tenant};
use super::ids::{KeyId, TeamId};
pub use super::name::KeyName;
use super::scope::{Access, Scope, ScopeInsufficient};
use super::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenPrefix};

/// How many active keys a team may have, live and test keys together.
pub const ACTIVE_KEYS_MAX: u32 = 10;

/// How long a revoked key stays in its team's list, to the millisecond: 90 days.
pub const REVOKED_SHOWN_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What a caller chooses when creating a key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The private name.
    pub name: KeyName,
    /// Live or test.
    pub mode: Mode,
    /// What the key may do.
    pub scope: Scope,
}

impl NewKey {
    /// A key with the properties that every key must have; the others keep their defaults.
    pub fn new(name: KeyName, mode: Mode, scope: Scope) -> Self {
        Self { name, mode, scope }
    }
}

/// The state of a key. A revoked key never becomes active again; a trigger in the database enforces this too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key counts toward [`ACTIVE_KEYS_MAX`].
    Active,
    /// The key was ended.
    Revoked {
        /// When.
        at: Timestamp,
        /// By whom.
        by: AuditActor,
    },
}

/// The record of a key that authentication works with. It leaves out the name, because no API response carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id, which is not secret.
    pub id: KeyId,
    /// The team that the key belongs to.
    pub team: TeamId,
    /// The part of the token that may be shown.
    pub prefix: TokenPrefix,
    /// Live or test.
    pub mode: Mode,
    /// What the key may do.
    pub scope: Scope,
    /// When the key was created.
    pub created_at: Timestamp,
    /// Active or revoked.
    pub state: KeyState,
}

impl ApiKey {
    /// Decides whether a call with this key's token, made at `at` from the client address `from`, is allowed.
    ///
    /// This is the only place that decides it: authentication, forward-auth and the last look before a write commits all
    /// call it, each with its own time. The result is never cached; only the record is. Today the state alone decides, so
    /// neither argument is read yet.
    ///
    /// # Errors
    ///
    /// [`AuthError::Revoked`] if the key was revoked.
    pub fn check(&self, _at: Timestamp, _from: IpAddr) -> Result<(), AuthError> {
        match self.state {
            KeyState::Active => Ok(()),
            KeyState::Revoked { .. } => Err(AuthError::Revoked),
        }
    }

    /// Whether the key counts toward [`ACTIVE_KEYS_MAX`] and is listed with the active keys. Whether a call is allowed is
    /// decided by [`ApiKey::check`], not by this.
    pub fn is_active(&self) -> bool {
        matches!(self.state, KeyState::Active)
    }

    /// The proof that the key's holder may do what `access` needs. [`ApiKey::check`] comes first.
    ///
    /// # Errors
    ///
    /// [`ScopeInsufficient`] if the key's scope does not permit `access`.
    pub fn grant(&self, access: Access, client: IpAddr) -> Result<Grant, ScopeInsufficient> {
        if !self.scope.permits(access) {
            return Err(ScopeInsufficient);
        }
        Ok(Grant::new(self.id, self.scope, Tenant::new(self.team, self.mode), client))
    }

    /// When a revoked key leaves its team's list; `None` for an active one.
    pub fn listed_until(&self) -> Option<Timestamp> {
        match &self.state {
            KeyState::Active => None,
            KeyState::Revoked { at, .. } => Some(at.plus(REVOKED_SHOWN_FOR)),
        }
    }
}

/// Where and when a key was last used. Nodes write it in batches, so it may be up to 60 seconds old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub from: String,
}

/// A key as its team's list shows it: the record with what only people see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The record.
    pub key: ApiKey,
    /// `None` once the daily job has cleared it, 90 days after the key was revoked.
    pub name: Option<KeyName>,
    /// Who created the key.
    pub creator: AuditActor,
    /// Whether the creator is a person who is no longer in the team.
    pub creator_has_left: bool,
    /// `None` if the key was never used.
    pub last_use: Option<LastUse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_times_access() {
        for (scope, access, permitted) in [
            (Scope::ReadWrite, Access::Read, true),
            (Scope::ReadWrite, Access::Write, true),
            (Scope::ReadOnly, Access::Read, true),
            (Scope::ReadOnly, Access::Write, false),
        ] {
            assert_eq!(scope.permits(access), permitted, "{scope:?} {access:?}");
        }
    }

    #[test]
    fn stored_words_read_back() {
        for mode in [Mode::Live, Mode::Test] {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
        for scope in [Scope::ReadWrite, Scope::ReadOnly] {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Mode::parse("LIVE"), None);
        assert_eq!(Scope::parse("read-only"), None);
    }
}
