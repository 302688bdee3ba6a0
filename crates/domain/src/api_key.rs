//! An API key: what it is called, what it may do, how it ends.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::audit::AuditActor;
use super::auth::{AuthError, Grant, Tenant};
use super::ids::{KeyId, TeamId};
use super::scope::{Access, Scope, ScopeInsufficient};
use super::text::{self, NameError};
use super::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenPrefix};

/// Active keys a team may have, live and test together.
pub const ACTIVE_KEYS_MAX: u32 = 10;

/// How long a revoked key stays in its team's list, to the millisecond.
pub const REVOKED_SHOWN_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A key's private name: 1 to 100 characters after trimming, no control characters. Need not be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    pub const MAX: usize = 100;

    pub fn parse(text: &str) -> Result<Self, NameError> {
        text::name(text, Self::MAX).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: KeyName,
    pub mode: Mode,
    pub scope: Scope,
}

impl NewKey {
    /// A key with the properties that every key must have; the others keep their defaults.
    pub fn new(name: KeyName, mode: Mode, scope: Scope) -> Self {
        Self { name, mode, scope }
    }
}

/// Active until revoked; there is no way back, and the database refuses one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    Active,
    Revoked { at: Timestamp, by: AuditActor },
}

/// What authentication and the list need of a key. Its name is not here: no API answer carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub team: TeamId,
    pub prefix: TokenPrefix,
    pub mode: Mode,
    pub scope: Scope,
    pub created_at: Timestamp,
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

    /// What an active key entitles its holder to, if its scope permits `access`.
    ///
    /// # Errors
    ///
    /// [`ScopeInsufficient`] if it does not.
    pub fn grant(&self, access: Access, client: IpAddr) -> Result<Grant, ScopeInsufficient> {
        if !self.scope.permits(access) {
            return Err(ScopeInsufficient);
        }
        Ok(Grant::new(self.id, self.scope, Tenant::new(self.team, self.mode), client))
    }

    /// When a revoked key leaves its team's list.
    pub fn listed_until(&self) -> Option<Timestamp> {
        match &self.state {
            KeyState::Active => None,
            KeyState::Revoked { at, .. } => Some(at.plus(REVOKED_SHOWN_FOR)),
        }
    }
}

/// Where and when a key was last used; behind by up to 60 seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    pub at: Timestamp,
    /// The client's address.
    pub from: String,
}

/// A key as its team's list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    pub key: ApiKey,
    /// `None` once the daily job has cleared it, 90 days after the key was revoked.
    pub name: Option<KeyName>,
    pub creator: AuditActor,
    /// The creator is a person who is no longer in the team.
    pub creator_has_left: bool,
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
    fn words_read_back() {
        for mode in [Mode::Live, Mode::Test] {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
        for scope in [Scope::ReadWrite, Scope::ReadOnly] {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Mode::parse("LIVE"), None);
        assert_eq!(Scope::parse("read-only"), None);
    }

    #[test]
    fn a_key_name_is_trimmed_and_short() {
        assert_eq!(KeyName::parse("  Backend \n").unwrap().as_str(), "Backend");
        assert_eq!(KeyName::parse(" \t "), Err(NameError::Empty));
        assert_eq!(KeyName::parse("a\u{7}b"), Err(NameError::Control));
        assert_eq!(KeyName::parse(&"ä".repeat(101)), Err(NameError::TooLong(100)));
        assert!(KeyName::parse(&"ä".repeat(100)).is_ok());
    }
}
