//! "Safe to revoke?": the answer for a key, and its reasons, from how it was used.

use crate::time_format::TimeFormat;
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::SeenAddress;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// After so many days without a call a key is taken for unused: a monthly job would have called.
const UNUSED_DAYS: i64 = 32;
/// A key that was used within so many days is in use.
const IN_USE_DAYS: i64 = 7;

/// Whether revoking a key interrupts something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Safety {
    /// `good`, `warn` or `bad`: the color of the answer.
    pub level: &'static str,
    /// `Yes`, `Probably`, `Unclear` or `No`.
    pub answer: &'static str,
    /// One sentence or two.
    pub reasons: String,
}

impl Safety {
    /// Whether the key is in use, as the answer to another question.
    pub(super) fn in_use(&self) -> &'static str {
        match self.answer {
            "Yes" => "No.",
            "Probably" => "Probably not.",
            "No" => "Yes.",
            _ => "Unclear.",
        }
    }

    /// For an active key.
    pub(super) fn of(listed: &ListedKey, addresses: &[SeenAddress], now: Timestamp) -> Self {
        let created = listed.key.created_at.ago(now);
        let Some(used) = &listed.last_use else {
            return if now.ms() - listed.key.created_at.ms() < DAY_MS {
                let reasons = format!("Not used yet. It was created {created}, so a program may be about to use it.");
                Self { level: "warn", answer: "Unclear", reasons }
            } else {
                Self { level: "good", answer: "Yes", reasons: format!("Never used since it was created {created}.") }
            };
        };
        let days = (now.ms() - used.at.ms()) / DAY_MS;
        if days >= UNUSED_DAYS {
            return Self { level: "good", answer: "Yes", reasons: format!("Not used for {days} days.") };
        }
        if days >= IN_USE_DAYS {
            let reasons = format!("Not used for {days} days. A job that runs once a month may still need it.");
            return Self { level: "warn", answer: "Probably", reasons };
        }
        if let Some(former) = listed.living_former(now) {
            let rotated = listed.key.token.created_at;
            let last_use = former.last_use.as_ref().filter(|used| used.at >= rotated);
            if let (Some(used), None) = (last_use, &listed.current_use) {
                let reasons = format!("Only the former token is used, {} from {}.", used.at.ago(now), used.from);
                return Self { level: "bad", answer: "No", reasons };
            }
        }
        let since = now.ms() - IN_USE_DAYS * DAY_MS;
        let is_recent = |seen: &&SeenAddress| seen.accepted_at.is_some_and(|at| at.ms() >= since);
        let mut recent: Vec<_> = addresses.iter().filter(is_recent).map(|seen| seen.address.as_str()).collect();
        recent.sort_unstable();
        recent.dedup();
        let from = match recent.len() {
            0 | 1 => format!("from {}", used.from),
            n => format!("and from {n} addresses in the last {IN_USE_DAYS} days"),
        };
        Self { level: "bad", answer: "No", reasons: format!("Used {} {from}.", used.at.ago(now)) }
    }
}
