//! API keys: their record, the rule that decides whether one may be used, and how they are listed.

use std::net::IpAddr;
use std::time::Duration;

use super::audit::AuditActor;
use super::auth::{AuthError, Grant, Tenant};
pub use super::conditions::{Conditions, Expiry, KeyLifetime};
use super::ids::{KeyId, TeamId};
pub use super::key_token::{KeyToken, Overlap};
pub use super::name::KeyName;
pub use super::networks::AllowedNetworks;
pub use super::reason::RevocationReason;
use super::scope::{Access, Scope, ScopeInsufficient};
use super::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenPrefix};

/// How many active keys a team may have, live and test keys together.
pub const ACTIVE_KEYS_MAX: u32 = 10;

/// How long a revoked or expired key stays in its team's list, to the millisecond: 90 days.
pub const ENDED_SHOWN_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What a caller chooses when creating a key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The private name.
    pub name: KeyName,
    /// Live or test.
    pub mode: Mode,
    /// What the key may do.
    pub scope: Scope,
    /// Until when and from where it may be used.
    pub conditions: Conditions,
    /// The key that it takes the place of, which is revoked once the new token is in use.
    pub replaces: Option<KeyId>,
}

impl NewKey {
    /// A key with the properties that every key must have; the others keep their defaults.
    pub fn new(name: KeyName, mode: Mode, scope: Scope) -> Self {
        Self { name, mode, scope, conditions: Conditions::default(), replaces: None }
    }

    /// The same key with conditions.
    pub fn with_conditions(self, conditions: Conditions) -> Self {
        Self { conditions, ..self }
    }

    /// The same key, as the successor of another one.
    pub fn in_place_of(self, old: KeyId) -> Self {
        Self { replaces: Some(old), ..self }
    }
}

/// What is stored of a key's state. A revoked key never becomes active again; a trigger in the database enforces this too.
/// An expiry is not part of it: it takes effect by the time alone. [`ApiKey::status`] has both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key was not revoked.
    Active,
    /// The key was revoked. In a box, so that the many active keys that a node caches take no memory for it.
    Revoked(Box<Revocation>),
}

/// When, by whom and why a key was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: AuditActor,
    /// Why, if a reason was given.
    pub reason: Option<RevocationReason>,
}

/// A pause: the key keeps its slot and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub at: Timestamp,
    /// The time from which the key works again by itself; `None`: not before it is resumed.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// Whether the pause is in force at `at`.
    pub fn lasts(&self, at: Timestamp) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// What a key is at one point in time, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus<'a> {
    /// The key works, under its [`Conditions`].
    Active,
    /// The key is refused until the pause ends.
    Paused(Pause),
    /// The key has expired, at this time.
    Expired(Timestamp),
    /// The key was revoked.
    Revoked(&'a Revocation),
}

/// The record of a key that authentication works with, as it was found by one of the key's tokens. It leaves out the name,
/// because no API response carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id, which is not secret.
    pub id: KeyId,
    /// The team that the key belongs to.
    pub team: TeamId,
    /// Live or test.
    pub mode: Mode,
    /// What the key may do.
    pub scope: Scope,
    /// When the key was created.
    pub created_at: Timestamp,
    /// Active or revoked.
    pub state: KeyState,
    /// The token by which the record was found; in lists the current one.
    pub token: KeyToken,
    /// Until when and from where the key may be used.
    pub conditions: Conditions,
    /// The last pause that was not ended by a person; it may be over.
    pub pause: Option<Pause>,
}

impl ApiKey {
    /// Decides whether a call with this key's token, made at `at` from the client address `from`, is allowed.
    ///
    /// This is the only place that decides it: authentication, forward-auth and the last look before a write commits all
    /// call it, each with its own time. The result is never cached; only the record is. What ends or is reversed by time
    /// alone (an expiry, a pause, a former token) therefore takes effect at its time on every node.
    ///
    /// # Errors
    ///
    /// The first that applies of [`AuthError::Revoked`], [`AuthError::FormerToken`], [`AuthError::Expired`],
    /// [`AuthError::Paused`] and [`AuthError::Address`].
    pub fn check(&self, at: Timestamp, from: IpAddr) -> Result<(), AuthError> {
        match self.state {
            KeyState::Active => {}
            KeyState::Revoked(_) => return Err(AuthError::Revoked),
        }
        if self.token.has_ended(at) {
            return Err(AuthError::FormerToken);
        }
        if self.expired_at(at).is_some() {
            return Err(AuthError::Expired);
        }
        if self.pause.is_some_and(|pause| pause.lasts(at)) {
            return Err(AuthError::Paused);
        }
        if !self.conditions.allowed.contains(from) {
            return Err(AuthError::Address);
        }
        Ok(())
    }

    /// The beginning of the token by which the record was found; in lists that of the current token.
    pub fn prefix(&self) -> &TokenPrefix {
        &self.token.prefix
    }

    /// What the key is at `at`.
    pub fn status(&self, at: Timestamp) -> KeyStatus<'_> {
        match (&self.state, self.expired_at(at), self.pause) {
            (KeyState::Revoked(revocation), ..) => KeyStatus::Revoked(revocation),
            (KeyState::Active, Some(end), _) => KeyStatus::Expired(end),
            (KeyState::Active, None, Some(pause)) if pause.lasts(at) => KeyStatus::Paused(pause),
            (KeyState::Active, None, _) => KeyStatus::Active,
        }
    }

    fn expired_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.conditions.expires_at.filter(|end| *end <= at)
    }

    /// When the key was revoked or expired, if that was not after `at`.
    pub fn ended_at(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.state {
            KeyState::Revoked(revocation) => Some(revocation.at),
            KeyState::Active => self.expired_at(at),
        }
    }

    /// Whether the key counts toward [`ACTIVE_KEYS_MAX`] at `at` and is listed with the active keys, paused ones included.
    /// Whether a call is allowed is decided by [`ApiKey::check`], not by this.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.ended_at(at).is_none()
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
        Ok(Grant::new(self.id, self.token.number, self.scope, Tenant::new(self.team, self.mode), client))
    }

    /// When a key that has ended leaves its team's list; `None` for one that is active at `at`.
    pub fn listed_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.ended_at(at).map(|end| end.plus(ENDED_SHOWN_FOR))
    }
}

/// Where and when a key or one of its tokens was last used. Nodes write it in batches, so it may be up to 60 seconds old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub from: String,
}

/// A token that was replaced by a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerToken {
    /// The token. Its `ends_at` may be over.
    pub token: KeyToken,
    /// `None` if it was never used.
    pub last_use: Option<LastUse>,
}

/// A key as its team's list shows it: the record with what only people see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The record, with the current token.
    pub key: ApiKey,
    /// `None` once the daily job has cleared it, 90 days after the key ended.
    pub name: Option<KeyName>,
    /// Who created the key.
    pub creator: AuditActor,
    /// Whether the creator is a person who is no longer in the team.
    pub creator_has_left: bool,
    /// By any of its tokens; `None` if the key was never used.
    pub last_use: Option<LastUse>,
    /// By the current token; not recorded for a key that was never rotated.
    pub current_use: Option<LastUse>,
    /// The token that the last rotation replaced, if there was one.
    pub former: Option<FormerToken>,
    /// The key that was created in place of this one.
    pub successor: Option<KeyId>,
    /// When every node had dropped the revoked key; `None` while that is not certain.
    pub revocation_complete_at: Option<Timestamp>,
}

impl ListedKey {
    /// The former token while it is accepted.
    pub fn living_former(&self, at: Timestamp) -> Option<&FormerToken> {
        self.former.as_ref().filter(|former| !former.token.has_ended(at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::IdSeed;
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

    fn key() -> ApiKey {
        let seed = IdSeed { ms: 1, random: 1 };
        ApiKey {
            id: KeyId::new(seed),
            team: TeamId::new(seed),
            mode: Mode::Live,
            scope: Scope::ReadOnly,
            created_at: Timestamp::from_ms(0),
            state: KeyState::Active,
            token: KeyToken {
                number: 1,
                prefix: TokenPrefix::from_stored("pk_live_AbC").unwrap(),
                created_at: Timestamp::from_ms(0),
                first_used_at: None,
                ends_at: None,
            },
            conditions: Conditions::default(),
            pause: None,
        }
    }

    #[test]
    fn what_time_ends_is_refused_from_that_millisecond_on() {
        let (at, from) = (Timestamp::from_ms, IpAddr::from([192, 0, 2, 1]));
        let end = at(1000);
        let former = ApiKey { token: KeyToken { ends_at: Some(end), ..key().token }, ..key() };
        let expiring = ApiKey { conditions: Conditions { expires_at: Some(end), ..Conditions::default() }, ..key() };
        for (key, refused) in [(former, AuthError::FormerToken), (expiring.clone(), AuthError::Expired)] {
            assert_eq!(key.check(at(999), from), Ok(()));
            assert_eq!(key.check(end, from), Err(refused));
        }
        assert!(expiring.is_active(at(999)) && !expiring.is_active(end));
        assert_eq!(expiring.status(end), KeyStatus::Expired(end));
        assert_eq!(expiring.listed_until(end), Some(end.plus(ENDED_SHOWN_FOR)));
    }

    #[test]
    fn a_paused_key_works_again_by_itself_and_stays_active() {
        let (at, from) = (Timestamp::from_ms, IpAddr::from([192, 0, 2, 1]));
        let pause = Pause { at: at(500), until: Some(at(1000)) };
        let paused = ApiKey { pause: Some(pause), ..key() };
        assert_eq!(paused.check(at(999), from), Err(AuthError::Paused));
        assert_eq!(paused.check(at(1000), from), Ok(()));
        assert_eq!((paused.status(at(999)), paused.status(at(1000))), (KeyStatus::Paused(pause), KeyStatus::Active));
        assert!(paused.is_active(at(999)));
        let open = ApiKey { pause: Some(Pause { until: None, ..pause }), ..key() };
        assert_eq!(open.check(at(i64::MAX), from), Err(AuthError::Paused));
    }

    #[test]
    fn a_client_outside_the_allowed_networks_is_refused() {
        let allowed = AllowedNetworks::parse("192.0.2.0/24").unwrap();
        let key = ApiKey { conditions: Conditions { allowed, ..Conditions::default() }, ..key() };
        assert_eq!(key.check(Timestamp::from_ms(0), IpAddr::from([192, 0, 2, 1])), Ok(()));
        assert_eq!(key.check(Timestamp::from_ms(0), IpAddr::from([198, 51, 100, 1])), Err(AuthError::Address));
    }

    #[test]
    fn a_revoked_key_is_refused_whatever_else_is_true_of_it() {
        let by = AuditActor { person: None, name: "tester".to_owned() };
        let revoked = ApiKey {
            state: KeyState::Revoked(Box::new(Revocation { at: Timestamp::from_ms(5), by, reason: None })),
            conditions: Conditions { expires_at: Some(Timestamp::from_ms(1)), ..Conditions::default() },
            pause: Some(Pause { at: Timestamp::from_ms(1), until: None }),
            ..key()
        };
        let now = Timestamp::from_ms(9);
        assert_eq!(revoked.check(now, IpAddr::from([192, 0, 2, 1])), Err(AuthError::Revoked));
        assert_eq!(revoked.ended_at(now), Some(Timestamp::from_ms(5)));
    }
}
