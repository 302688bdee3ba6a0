//! Sessions of signed-in browsers, and how long they last.

use std::time::Duration;

use super::ids::{PersonId, SessionId};
use super::timestamp::Timestamp;

/// A session ends when it was not used for 7 days.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(7 * DAY);
/// A session ends 30 days after the sign-in, however much it is used.
pub const ABSOLUTE_TIMEOUT: Duration = Duration::from_secs(30 * DAY);
/// How long after a sign-in or a confirmed password the session may do what needs re-authentication: 15 minutes.
pub const REAUTH_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Sessions of one person at a time; when a new one begins, the oldest ends.
pub const SESSIONS_MAX: u32 = 50;

const DAY: u64 = 24 * 60 * 60;

/// A browser that a person has signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session's id, which is not the secret in the cookie.
    pub id: SessionId,
    /// Who is signed in.
    pub person: PersonId,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When the session was last used. It is written at most once a minute.
    pub seen_at: Timestamp,
    /// When the person last signed in or confirmed their password in this session.
    pub authenticated_at: Timestamp,
    /// The client's address at the sign-in.
    pub client_ip: String,
    /// The browser and system, from the `User-Agent` header at the sign-in.
    pub browser: String,
}

impl Session {
    /// Whether the session has neither been idle nor lasted too long.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.seen_at.plus(IDLE_TIMEOUT) && now < self.created_at.plus(ABSOLUTE_TIMEOUT)
    }

    /// Whether the session may do what needs re-authentication.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.authenticated_at.plus(REAUTH_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSeed;

    #[test]
    fn sessions_end_when_idle_and_when_old() {
        let start = Timestamp::from_ms(1_795_512_600_000);
        let seed = IdSeed { ms: 1, random: 1 };
        let seen = |seen_at| Session {
            id: SessionId::new(seed),
            person: PersonId::new(seed),
            created_at: start,
            seen_at,
            authenticated_at: start,
            client_ip: String::new(),
            browser: String::new(),
        };
        let ms = Duration::from_millis(1);
        assert!(seen(start).is_valid(start.plus(IDLE_TIMEOUT).minus(ms)));
        assert!(!seen(start).is_valid(start.plus(IDLE_TIMEOUT)));
        let busy = start.plus(ABSOLUTE_TIMEOUT).minus(ms);
        assert!(seen(busy).is_valid(busy));
        assert!(!seen(busy).is_valid(start.plus(ABSOLUTE_TIMEOUT)));
        assert!(seen(start).is_fresh(start.plus(REAUTH_WINDOW).minus(ms)));
        assert!(!seen(start).is_fresh(start.plus(REAUTH_WINDOW)));
    }
}
