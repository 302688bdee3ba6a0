//! One-time links: set-up, invitations, password resets, sign-in.

use std::time::Duration;

use super::ids::{LinkId, PersonId, TeamId};
use super::person::Email;
use super::role::Role;
use super::timestamp::Timestamp;

/// How long a one-time link can be used.
pub const LINK_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a one-time link lets its holder do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Become the first person, with the first team.
    SetUp,
    /// Join a team.
    Invite { team: TeamId, email: Email, role: Role },
    /// Choose a new password.
    Reset { person: PersonId },
    /// Sign in without one.
    SignIn { person: PersonId },
}

impl Purpose {
    /// The word in the database.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SetUp => "set_up",
            Self::Invite { .. } => "invite",
            Self::Reset { .. } => "reset",
            Self::SignIn { .. } => "sign_in",
        }
    }
}

/// A link that has been neither used nor withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub id: LinkId,
    pub purpose: Purpose,
    pub made_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}
