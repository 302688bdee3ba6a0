//! Leak reports: a reported token ends its key.
//!
//! Having the token is the proof. A report never shows whether a token belongs to a key, except to partners that proved who
//! they are and to the command line.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::App;
use super::rate_limit::network;
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::TeamId;
pub use keyhouse_domain::leak::{LeakAction, LeakChannel, LeakNotice, LeakPlace};
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_domain::rate_limit::RateLimit;
pub use keyhouse_store::LeakedKey;
use keyhouse_store::StoreError;
use keyhouse_token::{RawToken, TokenHash, find_tokens};

/// Reports that one network (/24, /64) may send in [`REPORTS_WINDOW`].
const REPORTS_MAX: u64 = 60;
const REPORTS_WINDOW: Duration = Duration::from_secs(60);
/// How long the digest of a signed delivery is kept, so that the delivery is not processed again.
const DELIVERIES_KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Tokens that were reported together.
#[derive(Debug, Default)]
pub struct LeakReport {
    found: Vec<(TokenHash, Option<LeakPlace>)>,
    seen: HashSet<TokenHash>,
}

impl LeakReport {
    /// Adds a token and where it was found; a token that is in the report already is left out. Returns its hash.
    pub fn add(&mut self, token: RawToken, place: Option<LeakPlace>) -> TokenHash {
        let hash = token.hash();
        if self.seen.insert(hash) {
            self.found.push((hash, place));
        }
        hash
    }

    /// How many different tokens the report has.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

impl App {
    /// The tokens in any text.
    pub fn leak_report_of(&self, text: &[u8]) -> LeakReport {
        let mut report = LeakReport::default();
        for token in find_tokens(text, &self.brand).flatten() {
            report.add(token, None);
        }
        report
    }

    /// Acts on the keys of the reported tokens. `from` is the caller's address, or the command line. Returns the keys
    /// that there are.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write; the report may be sent again.
    pub async fn report_leaks(
        &self,
        report: &LeakReport,
        action: LeakAction,
        channel: LeakChannel,
        from: &str,
    ) -> Result<HashMap<TokenHash, LeakedKey>, StoreError> {
        if report.is_empty() {
            return Ok(HashMap::new());
        }
        let by = AuditActor { person: None, name: format!("Leak report ({channel})") };
        let keys = self.store.report_leaks(&report.found, action, &self.context(by, from)).await?;
        let acted = keys.values().filter(|key| key.is_new).count();
        tracing::info!(%channel, tokens = report.len(), keys = keys.len(), acted, "leak report");
        Ok(keys)
    }

    /// Counts a report against its network; over the limit, the number of seconds to wait.
    pub fn count_leak_report(&self, from: IpAddr) -> Option<u64> {
        let limit = RateLimit::new(REPORTS_MAX, REPORTS_WINDOW)?;
        self.leak_reports.count(network(from), &limit, self.clock.now())
    }

    /// Whether a signed delivery with this digest was processed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn has_leak_delivery(&self, digest: &[u8]) -> Result<bool, StoreError> {
        self.queries().has_leak_delivery(digest).await
    }

    /// Remembers a signed delivery that was processed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn remember_leak_delivery(&self, digest: &[u8]) -> Result<(), StoreError> {
        self.store.remember_leak_delivery(digest, self.clock.now()).await
    }

    /// Deletes the digests of deliveries that were processed 90 days ago; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_leak_deliveries(&self) -> Result<u64, StoreError> {
        self.store.purge_leak_deliveries(self.clock.now().minus(DELIVERIES_KEPT_FOR)).await
    }

    /// The reports of leaked keys that the team's Owner and Admins have not dismissed, the latest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn leak_notices(&self, team: TeamId) -> Result<Vec<LeakNotice>, StoreError> {
        self.queries().leak_notices(team, self.clock.now()).await
    }

    /// Dismisses the notices of the admin's team.
    ///
    /// # Errors
    ///
    /// Inside [`Forbidden`] if the permission was lost; any [`StoreError`] of a write.
    pub async fn dismiss_leak_notices(&self, admin: &KeyAdmin) -> Result<Result<(), Forbidden>, StoreError> {
        self.store.dismiss_leak_notices(admin, &self.audit_context(admin)).await
    }
}
