//! Browser sessions and one-time links: how people get in, and for how long.

use std::time::Duration;

use super::ids::{LinkId, PersonId, SessionId, TeamId};
use super::person::{Email, PersonName};
use super::role::Role;
use super::timestamp::Timestamp;

/// A session that nobody used for so long has ended.
pub const IDLE_MAX: Duration = Duration::from_secs(7 * DAY);
/// However much it is used, a session ends after this.
pub const AGE_MAX: Duration = Duration::from_secs(30 * DAY);
/// How long after a sign-in or password whatever ends or opens something for good is still allowed.
pub const PROOF_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a one-time link can be used.
pub const LINK_MAX: Duration = Duration::from_secs(7 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// A browser that a person signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub person: PersonId,
    pub created_at: Timestamp,
    /// Behind by up to a minute.
    pub seen_at: Timestamp,
    /// When its person last proved who they are.
    pub proved_at: Timestamp,
    /// The address it was signed in from.
    pub origin: String,
    /// What the browser says it is.
    pub browser: String,
}

impl Session {
    pub fn is_good(&self, now: Timestamp) -> bool {
        now < self.seen_at.plus(IDLE_MAX) && now < self.created_at.plus(AGE_MAX)
    }

    /// Whether its person has proved lately who they are.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.proved_at.plus(PROOF_MAX)
    }
}

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
    pub const fn word(&self) -> &'static str {
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

/// Somebody with an account, or who will have one once they choose a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub email: Email,
    pub name: PersonName,
    pub has_password: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IdSeed;

    #[test]
    fn sessions_end_by_rest_and_by_age() {
        let start = Timestamp::from_ms(1_795_512_600_000);
        let seed = IdSeed { ms: 1, random: 1 };
        let seen = |seen_at| Session {
            id: SessionId::new(seed),
            person: PersonId::new(seed),
            created_at: start,
            seen_at,
            proved_at: start,
            origin: String::new(),
            browser: String::new(),
        };
        let ms = Duration::from_millis(1);
        assert!(seen(start).is_good(start.plus(IDLE_MAX).minus(ms)));
        assert!(!seen(start).is_good(start.plus(IDLE_MAX)));
        let busy = start.plus(AGE_MAX).minus(ms);
        assert!(seen(busy).is_good(busy));
        assert!(!seen(busy).is_good(start.plus(AGE_MAX)));
        assert!(seen(start).is_fresh(start.plus(PROOF_MAX).minus(ms)));
        assert!(!seen(start).is_fresh(start.plus(PROOF_MAX)));
    }
}
