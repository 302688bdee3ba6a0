//! What a good token entitles to, and why a bad one does not.

use std::net::IpAddr;

use super::ids::{KeyId, TeamId};
use super::scope::Scope;
use keyhouse_token::{Mode, TokenError};

/// An entitled caller. Made by [`crate::api_key::ApiKey::grant`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    key: KeyId,
    scope: Scope,
    tenant: Tenant,
    client: IpAddr,
}

impl Grant {
    pub(crate) fn new(key: KeyId, scope: Scope, tenant: Tenant, client: IpAddr) -> Self {
        Self { key, scope, tenant, client }
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.client
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
    /// Made by an active key or by a member's permit, nowhere else.
    pub(crate) fn new(team: TeamId, mode: Mode) -> Self {
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
pub enum AuthError {
    #[error("no credential sent")]
    Missing,
    #[error("more than one Authorization header")]
    Replayed,
    #[error("not a Bearer credential")]
    Scheme,
    #[error("malformed token: {0}")]
    Malformed(#[from] TokenError),
    #[error("unknown token")]
    Unknown,
    #[error("revoked key")]
    Revoked,
}

impl AuthError {
    /// One word, for whoever counts.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Replayed => "repeated",
            Self::Scheme => "scheme",
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a credential was sent at all. What is none gets the bare challenge, and is never counted as a guess.
    pub fn is_failed_attempt(self) -> bool {
        match self {
            Self::Missing | Self::Replayed | Self::Scheme => false,
            Self::Malformed(_) | Self::Unknown | Self::Revoked => true,
        }
    }
}
