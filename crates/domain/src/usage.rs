//! How keys are used: calls counted by day and outcome, the addresses they came from, and the recent ones one by one.

use std::time::Duration;

use super::api_key::LastUse;
use super::auth::AuthError;
use super::ids::{KeyId, RequestId};
use super::timestamp::Timestamp;

/// How long the counts of a day are kept.
pub const DAYS_KEPT: Duration = Duration::from_secs(400 * DAY_SECONDS);
/// How long a recent call is kept.
pub const CALLS_KEPT: Duration = Duration::from_secs(7 * DAY_SECONDS);
/// How many recent calls of a key are kept.
pub const CALLS_PER_KEY: u32 = 500;
/// How many recent calls of a key a node writes at a time: once a minute at most.
pub const CALLS_PER_WRITE: usize = 20;
/// How many addresses of a key are kept, the latest used ones.
pub const ADDRESSES_PER_KEY: u32 = 20;
/// The longest stored `User-Agent`, in bytes; a longer one is cut.
pub const AGENT_MAX: usize = 200;

const DAY_SECONDS: u64 = 24 * 60 * 60;

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)?) => {
        /// What became of a call with a key's token.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Outcome {
            $($(#[$doc])* $variant),*
        }

        impl Outcome {
            /// All outcomes, in the order of [`Outcome::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }
    };
}

outcomes! {
    /// The key was accepted and the response was no error.
    Admitted = "admitted",
    /// 403: the key's scope does not permit the call.
    Scope = "scope",
    /// 429: the key was over its rate limit.
    RateLimit = "rate_limit",
    /// The key was accepted; the response was another 4xx.
    ClientError = "client_error",
    /// The key was accepted; the response was a 5xx.
    ServerError = "server_error",
    /// 401: the key, or the token of it that was sent, had expired.
    Expired = "expired",
    /// 401: the key was paused.
    Paused = "paused",
    /// 401: the call came from an address that the key does not allow.
    Address = "address",
    /// 401: the key was revoked.
    Revoked = "revoked",
}

impl Outcome {
    /// The number of outcomes.
    pub const COUNT: usize = Self::ALL.len();

    /// The position in [`Outcome::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The outcome of a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|outcome| outcome.as_str() == text)
    }

    /// The outcome of a call whose key was accepted, from the status of its response.
    pub const fn of_status(status: u16) -> Self {
        match status {
            400..=499 => Self::ClientError,
            500.. => Self::ServerError,
            _ => Self::Admitted,
        }
    }

    /// The outcome of a call whose token was refused; `None` if the token is no key's.
    pub const fn of_refusal(why: AuthError) -> Option<Self> {
        match why {
            AuthError::Revoked => Some(Self::Revoked),
            AuthError::FormerToken | AuthError::Expired => Some(Self::Expired),
            AuthError::Paused => Some(Self::Paused),
            AuthError::Address => Some(Self::Address),
            AuthError::Missing
            | AuthError::Replayed
            | AuthError::Scheme
            | AuthError::Malformed(_)
            | AuthError::Unknown => None,
        }
    }

    /// Whether the token was refused with 401. Such a call does not count as a use of the key.
    pub const fn is_refused_token(self) -> bool {
        matches!(self, Self::Expired | Self::Paused | Self::Address | Self::Revoked)
    }

    /// Whether Keyhouse refused the call because of its key: the token, the scope or the rate limit.
    pub const fn is_refused(self) -> bool {
        self.is_refused_token() || matches!(self, Self::Scope | Self::RateLimit)
    }
}

/// A UTC day, as the number of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcDay(i64);

impl UtcDay {
    const MS: i64 = (DAY_SECONDS * 1000) as i64;

    /// The day of a time.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.ms().div_euclid(Self::MS))
    }

    /// The day with this number.
    pub const fn from_number(days: i64) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The first millisecond of the day.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_ms(self.0.saturating_mul(Self::MS))
    }
}

/// The number of calls of a key on one day with one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyCalls {
    /// The key.
    pub key: KeyId,
    /// The day.
    pub day: UtcDay,
    /// What became of the calls.
    pub outcome: Outcome,
    /// How many calls.
    pub calls: u64,
}

/// An address from which a key's token was sent, with the `User-Agent` that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAddress {
    /// The client's address.
    pub address: String,
    /// The `User-Agent`, cut to [`AGENT_MAX`] bytes; empty if there was none.
    pub agent: String,
    /// The first call that is counted here.
    pub first_at: Timestamp,
    /// The latest call.
    pub last_at: Timestamp,
    /// The number of calls, refused ones included.
    pub calls: u64,
    /// The number of calls whose token was refused; see [`Outcome::is_refused_token`].
    pub refused: u64,
    /// The latest call whose token was refused.
    pub refused_at: Option<Timestamp>,
    /// The latest call whose token was accepted.
    pub accepted_at: Option<Timestamp>,
}

/// A call as the list of recent calls shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The request's id, which the response carried. Ids are in the order of the requests.
    pub request: RequestId,
    /// When the call was answered.
    pub at: Timestamp,
    /// The method, `other` if HTTP does not define it.
    pub method: String,
    /// The template of the route, `-` if no route matched.
    pub route: String,
    /// The status of the response.
    pub status: u16,
    /// What became of the call.
    pub outcome: Outcome,
    /// The client's address.
    pub address: String,
    /// The `User-Agent`, cut to [`AGENT_MAX`] bytes.
    pub agent: String,
}

/// What a node has noted about a key since its last write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key: KeyId,
    /// The latest call whose token was accepted.
    pub last_use: Option<LastUse>,
    /// Calls to add to the counts, by day and outcome; each pair once.
    pub days: Vec<(UtcDay, Outcome, u64)>,
    /// Addresses to add; each pair of address and agent once.
    pub addresses: Vec<SeenAddress>,
    /// Recent calls.
    pub calls: Vec<RecordedCall>,
}

/// Which recent calls to list. `None` in a field means any value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// The key.
    pub key: Option<KeyId>,
    /// What became of the call.
    pub outcome: Option<Outcome>,
    /// The method, empty for any, and the template of the route.
    pub route: Option<(String, String)>,
    /// The first digit of the status.
    pub status_class: Option<u8>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// The request's id.
    pub request: Option<RequestId>,
    /// The client's address.
    pub address: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_back_and_have_their_own_index() {
        for (index, &outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(outcome.index(), index);
        }
        assert_eq!(Outcome::parse("ADMITTED"), None);
    }

    #[test]
    fn the_outcome_of_an_accepted_call_is_that_of_its_status() {
        for (status, outcome) in [(200, "admitted"), (304, "admitted"), (404, "client_error"), (503, "server_error")] {
            assert_eq!(Outcome::of_status(status).as_str(), outcome);
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let day = UtcDay::of(Timestamp::from_ms(1_764_028_799_999));
        assert_eq!(day.begins().to_string(), "2025-11-24T00:00:00.000Z");
        assert_eq!(UtcDay::of(Timestamp::from_ms(1_764_028_800_000)).number(), day.number() + 1);
        assert_eq!(UtcDay::of(Timestamp::from_ms(-1)).number(), -1);
    }
}
