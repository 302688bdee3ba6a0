//! Expiries: which are accepted, and the record of those that have passed

use crate::keys::key_detail;
use crate::statement::sql;
use crate::tx::Tx;
use crate::{Result, Store};
use keyhouse_domain::api_key::{AllowedNetworks, Conditions};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::timestamp::Timestamp;

/// Why an expiry is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpiryRefused {
    /// It is over already.
    #[error("the expiry is in the past")]
    Past,
    /// The team's keys live at most so many days, from their creation or the change of their expiry.
    #[error("this team's keys must expire within {days} days")]
    Lifetime {
        /// The team's maximum lifetime.
        days: u32,
    },
}

impl Store {
    /// The teams of up to `limit` keys that have expired by `now` and still occupy their slot, those that expired first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn teams_with_expired_keys(&self, now: Timestamp, limit: u32) -> Result<Vec<TeamId>> {
        let select = sql("SELECT DISTINCT team_id FROM (SELECT team_id FROM keys \
                          WHERE ended_at IS NULL AND expires_at <= $1 ORDER BY expires_at LIMIT $2) AS expired");
        let teams: Vec<(String,)> = self.queries.reads.fetch_all(select.bind(now).bind(limit)).await?;
        let read = |(id,): (String,)| id.parse().map_err(|_| crate::error::corrupt("keys", &id));
        teams.into_iter().map(read).collect()
    }

    /// Frees the slots of a team's keys that have expired by the context's time, with an audit event for each; returns how
    /// many. A second node that does it at the same time finds none.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn record_expiries(&self, team: TeamId, context: &AuditContext) -> Result<u64> {
        let mut tx = self.begin(context).await?;
        // A deleted team's keys are recorded too, so that the job does not find them again.
        tx.lock_team(team).await?;
        let recorded = tx.record_expiries(team).await?;
        tx.commit().await?;
        Ok(recorded)
    }
}

impl Tx {
    /// Whether a key of the team may have this expiry from now on. Two results, for `??`, as in
    /// [`Tx::lock_and_authorize`].
    pub(crate) async fn check_expiry(
        &mut self,
        team: TeamId,
        expires_at: Option<Timestamp>,
    ) -> Result<std::result::Result<(), ExpiryRefused>> {
        let now = self.context.at;
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Ok(Err(ExpiryRefused::Past));
        }
        Ok(match self.key_lifetime(team).await? {
            Some(longest) if !longest.permits(expires_at, now) => Err(ExpiryRefused::Lifetime { days: longest.days() }),
            _ => Ok(()),
        })
    }

    /// Records the expiries that have passed, under the team's lock: a key that has expired occupies no slot, whether or not
    /// the background job ran. Nodes need no new record, because the expiry itself does not change.
    pub(crate) async fn record_expiries(&mut self, team: TeamId) -> Result<u64> {
        let now = self.context.at;
        let expired = self.keys_to_expire(team, now).await?;
        for key in &expired {
            let update = sql("UPDATE keys SET ended_at = expires_at WHERE id = $1 AND ended_at IS NULL");
            self.execute(update.bind(key.key.id)).await?;
            let at = key.key.conditions.expires_at.map_or_else(String::new, |at| format!(", at {}", at.minute()));
            self.audit_server(team, Action::KeyExpired, key.key.id, key_detail(key, &at)).await?;
        }
        Ok(expired.len() as u64)
    }
}

/// The networks as the column has them: NULL if every address is allowed.
pub(crate) fn stored_networks(allowed: &AllowedNetworks) -> Option<String> {
    (!allowed.is_any()).then(|| allowed.to_string())
}

/// Conditions in the detail of an audit event; empty if there are none.
pub(crate) fn conditions_detail(conditions: &Conditions) -> String {
    let expires = conditions.expires_at.map_or_else(String::new, |at| format!(", expires {}", at.minute()));
    match stored_networks(&conditions.allowed) {
        Some(networks) => format!("{expires}, allowed from {networks}"),
        None => expires,
    }
}
