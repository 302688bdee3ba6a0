//! Browser sessions and how long they last.

use std::time::Duration;

use super::ids::{PersonId, SessionId};
use super::timestamp::Timestamp;

/// A session that nobody used for so long has ended.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(7 * DAY);
/// However much it is used, a session ends after this.
pub const ABSOLUTE_TIMEOUT: Duration = Duration::from_secs(30 * DAY);
/// How long after a sign-in or password whatever ends or opens something for good is still allowed.
pub const REAUTH_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Sessions of one person at a time; when a new one begins, the oldest ends.
pub const SESSIONS_MAX: u32 = 50;

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
    pub authenticated_at: Timestamp,
    /// The address it was signed in from.
    pub client_ip: String,
    /// What the browser says it is.
    pub browser: String,
}

impl Session {
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.seen_at.plus(IDLE_TIMEOUT) && now < self.created_at.plus(ABSOLUTE_TIMEOUT)
    }

    /// Whether its person has proved lately who they are.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.authenticated_at.plus(REAUTH_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSeed;

    #[test]
    fn sessions_end_by_rest_and_by_age() {
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
