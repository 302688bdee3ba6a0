//! One-time links: set-up, invitations, password resets, sign-in.

use std::time::Duration;

use super::email::Email;
use super::ids::{LinkId, PersonId, TeamId};
use super::role::Role;
use super::timestamp::Timestamp;

/// How long a one-time link can be used after it was made: 7 days.
pub const LINK_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Open invitations of a team at most; a new one takes the place of the oldest.
pub const OPEN_INVITATIONS_MAX: u32 = 100;

/// What the holder of a one-time link may do, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Create the first account and the first team.
    SetUp,
    /// Join a team.
    Invite {
        /// The team to join.
        team: TeamId,
        /// The address of the account that joins.
        email: Email,
        /// The role that the person gets.
        role: Role,
    },
    /// Choose a new password.
    Reset {
        /// The account.
        person: PersonId,
    },
    /// Sign in without a password.
    SignIn {
        /// The account.
        person: PersonId,
    },
    /// Give an account a new address.
    ChangeEmail {
        /// The account.
        person: PersonId,
        /// The address.
        email: Email,
    },
}

impl Purpose {
    /// The word in the database; it never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SetUp => "set_up",
            Self::Invite { .. } => "invite",
            Self::Reset { .. } => "reset",
            Self::SignIn { .. } => "sign_in",
            Self::ChangeEmail { .. } => "change_email",
        }
    }
}

/// A link that has been neither used nor withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The link's id, which is not the secret code.
    pub id: LinkId,
    /// What it is for.
    pub purpose: Purpose,
    /// The name of its maker at the time.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, [`LINK_TTL`] later.
    pub expires_at: Timestamp,
}
