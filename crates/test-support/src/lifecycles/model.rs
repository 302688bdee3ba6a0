//! The model: what a key's record was, version after version.

use std::net::IpAddr;
use std::time::Duration;

use keyhouse_domain::api_key::Conditions;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::RawToken;

use super::{INSIDE, allowed};

/// One version of a key's record.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// The number of the change that made it.
    pub(super) change: u64,
    pub(super) revoked: bool,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) inside_only: bool,
    /// Until when the key is paused; `Some(None)`: until it is resumed.
    pub(super) paused_until: Option<Option<Timestamp>>,
    /// The end of each token, the first one first; `None` for the current one.
    pub(super) ends: Vec<Option<Timestamp>>,
}

impl Version {
    pub(super) fn has_expired(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= at)
    }

    pub(super) fn is_active(&self, at: Timestamp) -> bool {
        !self.revoked && !self.has_expired(at)
    }

    pub(super) fn is_paused(&self, at: Timestamp) -> bool {
        self.paused_until.is_some_and(|until| until.is_none_or(|until| at < until))
    }

    pub(super) fn conditions(&self) -> Conditions {
        Conditions { expires_at: self.expires_at, allowed: allowed(self.inside_only) }
    }

    /// Whether the former token is still accepted.
    pub(super) fn living_former(&self, at: Timestamp) -> bool {
        self.ends.len() > 1 && self.ends[self.ends.len() - 2].is_none_or(|end| at < end)
    }

    /// The result of a call, as the metrics name it. `None`: this version does not have the token yet.
    pub(super) fn result(&self, token: usize, at: Timestamp, from: IpAddr) -> Option<&'static str> {
        let end = self.ends.get(token)?;
        Some(if self.revoked {
            "revoked"
        } else if end.is_some_and(|end| end <= at) {
            "former_token"
        } else if self.has_expired(at) {
            "expired"
        } else if self.is_paused(at) {
            "paused"
        } else if self.inside_only && from != INSIDE {
            "address"
        } else {
            "admitted"
        })
    }
}

pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) tokens: Vec<RawToken>,
    pub(super) versions: Vec<Version>,
    /// The overlap of the last rotation, and the first use of the current token that the database has.
    pub(super) overlap: Duration,
    pub(super) first_used: Option<Timestamp>,
    pub(super) is_complete: bool,
}

impl Key {
    pub(super) fn last(&self) -> &Version {
        self.versions.last().expect("a key has a version")
    }
}
