//! What a good token entitles to, and why a bad one does not.

use super::ids::{KeyId, TeamId};
use super::key::{ApiKey, Mode, Scope};
use super::token::TokenError;

/// What a route does with a team's data. Every route declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// The key is good, but its scope does not permit the deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key's scope does not permit this")]
pub struct ScopeInsufficient;

/// An entitled caller. Made by [`ApiKey::grant`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    key: KeyId,
    scope: Scope,
    tenant: Tenant,
}

impl Grant {
    pub(super) fn of(key: &ApiKey) -> Self {
        Self { key: key.id, scope: key.scope, tenant: Tenant { team: key.team, mode: key.mode } }
    }

    pub fn key(&self) -> KeyId {
        self.key
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// A team *and* a mode: whose data a query may touch. No query of products can be asked without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant {
    team: TeamId,
    mode: Mode,
}

impl Tenant {
    /// Of a member, who needs no key. Made by [`super::role::Permit::tenant`] alone.
    pub(super) fn of_member(team: TeamId, mode: Mode) -> Self {
        Self { team, mode }
    }

    pub fn team(&self) -> TeamId {
        self.team
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Why a request has no good key. Its caller hears the same 401 for each; only the log knows which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no credential sent")]
    Missing,
    #[error("more than one Authorization header")]
    Repeated,
    #[error("not a Bearer credential")]
    Scheme,
    #[error("malformed token: {0}")]
    Malformed(#[from] TokenError),
    #[error("unknown token")]
    Unknown,
    #[error("revoked key")]
    Revoked,
}

impl Refused {
    /// One word, for whoever counts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Scheme => "scheme",
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a credential was sent at all. What is none gets the bare challenge, and is never counted as a guess.
    pub fn is_guess(self) -> bool {
        match self {
            Self::Missing | Self::Repeated | Self::Scheme => false,
            Self::Malformed(_) | Self::Unknown | Self::Revoked => true,
        }
    }
}
