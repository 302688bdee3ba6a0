//! Leaked keys: what a report does to them, the notice to their team, and which deliveries were processed

use std::collections::{BTreeMap, HashMap};

use data_encoding::HEXLOWER;

use crate::error::corrupt;
use crate::statement::{sql, sql_text};
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::api_key::{KeyName, ListedKey};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{KeyId, TeamId};
use keyhouse_domain::leak::{LeakAction, LeakNotice, LeakPlace};
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::TokenHash;

use std::time::Duration;

/// Teams whose keys one transaction changes: each has at most ten active keys.
const TEAMS_PER_TRANSACTION: usize = 50;
/// Values bound in one statement. SQLite takes 32,766, PostgreSQL 65,535.
const BOUND_MAX: usize = 500;
/// How often at most a key that keeps working is reported in its team's audit log.
const REPORTED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a notice is shown.
const NOTICE_SHOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Notices read for one page.
const NOTICES_MAX: u32 = 20;
/// The beginning of the names of rows that stand for a delivery; its digest follows.
const DELIVERY: &str = "leaks.delivery.";

/// A key whose token was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakedKey {
    /// The key.
    pub id: KeyId,
    /// Its team.
    pub team: TeamId,
    /// Whether this report changed it or was recorded; not if it was ended before, or reported within the last day.
    pub is_new: bool,
}

/// A reported token whose key there is.
struct Reported<'a> {
    hash: TokenHash,
    id: KeyId,
    place: Option<&'a LeakPlace>,
}

impl Store {
    /// Acts on the keys of reported tokens, and records each in the audit log of its team. `found` has the token's hash and
    /// where it was found. Returns the keys there are, by the hash of their token.
    ///
    /// Many keys are changed in few transactions: one for 50 teams.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write; what earlier transactions have done stays.
    pub async fn report_leaks(
        &self,
        found: &[(TokenHash, Option<LeakPlace>)],
        action: LeakAction,
        context: &AuditContext,
    ) -> Result<HashMap<TokenHash, LeakedKey>> {
        let mut keys = HashMap::new();
        let mut teams: BTreeMap<String, (TeamId, Vec<Reported<'_>>)> = BTreeMap::new();
        for chunk in found.chunks(BOUND_MAX) {
            let rows = self.keys_of_hashes(chunk).await?;
            for (hash, place) in chunk {
                let Some((id, team, ends_at)) = rows.get(hash) else { continue };
                let is_first = keys.insert(*hash, LeakedKey { id: *id, team: *team, is_new: false }).is_none();
                // A former token that has ended opens nothing, so its report must not end the key that has another one.
                if is_first && ends_at.is_none_or(|end| context.at < end) {
                    // Locks are taken in the order of the teams' ids as text.
                    let (_, reported) = teams.entry(team.to_string()).or_insert_with(|| (*team, Vec::new()));
                    reported.push(Reported { hash: *hash, id: *id, place: place.as_ref() });
                }
            }
        }
        let teams: Vec<_> = teams.into_values().collect();
        for (nth, chunk) in teams.chunks(TEAMS_PER_TRANSACTION).enumerate() {
            let mut context = context.clone();
            // Each transaction numbers its events from its seed on: at most 1,000 of them.
            context.seed.random += (nth as u128) << 16;
            let mut tx = self.begin(&context).await?;
            // A deleted team's keys are revoked, so that there is nothing to do.
            let mut present = Vec::new();
            for (team, reported) in chunk {
                if tx.lock_team(*team).await? {
                    present.push((*team, reported));
                }
            }
            for (team, reported) in present {
                for Reported { hash, id, place } in reported {
                    let is_new = tx.report_leak(team, *id, *place, action).await?;
                    if let Some(key) = keys.get_mut(hash) {
                        key.is_new = is_new;
                    }
                }
            }
            tx.commit().await?;
        }
        Ok(keys)
    }

    async fn keys_of_hashes(
        &self,
        found: &[(TokenHash, Option<LeakPlace>)],
    ) -> Result<HashMap<TokenHash, (KeyId, TeamId, Option<Timestamp>)>> {
        let places: Vec<String> = (1..=found.len()).map(|n| format!("${n}")).collect();
        let text = format!(
            "SELECT hash, keys.id, team_id, ends_at FROM key_tokens JOIN keys ON keys.id = key_id WHERE hash IN ({})",
            places.join(", ")
        );
        let select = found.iter().fold(sql_text(text), |select, (hash, _)| select.bind(hash.as_bytes()));
        let rows: Vec<(Vec<u8>, String, String, Option<i64>)> = self.queries().reads.fetch_all(select).await?;
        let read = |(hash, id, team, ends_at): (Vec<u8>, String, String, Option<i64>)| {
            let bad = || corrupt("keys", &id);
            let hash = TokenHash::from_stored(&hash).ok_or_else(bad)?;
            let ends_at = ends_at.map(Timestamp::from_ms);
            Ok((hash, (id.parse().map_err(|_| bad())?, team.parse().map_err(|_| bad())?, ends_at)))
        };
        rows.into_iter().map(read).collect()
    }

    /// Dismisses the notices about leaked keys of the admin's team.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] inside if the actor may not manage this team's keys; any [`StoreError`](crate::StoreError) of a write.
    pub async fn dismiss_leak_notices(
        &self,
        admin: &KeyAdmin,
        context: &AuditContext,
    ) -> Result<std::result::Result<(), Forbidden>> {
        let mut tx = self.begin(context).await?;
        if let Err(forbidden) = tx.lock_and_authorize(admin).await? {
            return Ok(Err(forbidden));
        }
        let team = admin.team();
        tx.audit(team, Action::LeakNoticeDismissed, team, "Notice about leaked keys".to_owned()).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Remembers that the delivery with this digest was processed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn remember_leak_delivery(&self, digest: &[u8], now: Timestamp) -> Result<()> {
        let insert = sql("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
        let insert = insert.bind(DELIVERY.to_owned() + &HEXLOWER.encode(digest)).bind(now.ms().to_string());
        self.writes.execute(insert).await.map(drop)
    }

    /// Deletes what [`Store::remember_leak_delivery`] stored before `before`; returns how many rows.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn purge_leak_deliveries(&self, before: Timestamp) -> Result<u64> {
        let delete = sql("DELETE FROM settings WHERE name LIKE 'leaks.delivery.%' AND CAST(value AS BIGINT) < $1");
        self.writes.execute(delete.bind(before)).await
    }
}

impl Queries {
    /// Whether the delivery with this digest was processed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn has_leak_delivery(&self, digest: &[u8]) -> Result<bool> {
        let select = sql("SELECT value FROM settings WHERE name = $1");
        let select = select.bind(DELIVERY.to_owned() + &HEXLOWER.encode(digest));
        Ok(self.reads.fetch_optional::<(String,)>(select).await?.is_some())
    }

    /// Reports of a team's leaked keys, the latest first: of the last 30 days, and none that was dismissed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn leak_notices(&self, team: TeamId, now: Timestamp) -> Result<Vec<LeakNotice>> {
        let select =
            sql("SELECT target, at, detail, by_name FROM audit WHERE team_id = $1 AND action = $2 AND at > $3 \
                          AND id > COALESCE((SELECT max(id) FROM audit WHERE team_id = $1 AND action = $4), '') \
                          ORDER BY id DESC LIMIT $5")
            .bind(team)
            .bind(Action::KeyLeaked.as_str())
            .bind(now.minus(NOTICE_SHOWN_FOR))
            .bind(Action::LeakNoticeDismissed.as_str())
            .bind(NOTICES_MAX);
        let rows: Vec<(String, i64, String, String)> = self.reads.fetch_all(select).await?;
        let read = |(key, at, detail, by): (String, i64, String, String)| {
            let key = key.parse().map_err(|_| corrupt("audit", &key))?;
            Ok(LeakNotice { key, at: Timestamp::from_ms(at), detail, by })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Records the report of one key and acts on it, under the lock of its team; whether there was anything to do.
    async fn report_leak(
        &mut self,
        team: TeamId,
        id: KeyId,
        place: Option<&LeakPlace>,
        action: LeakAction,
    ) -> Result<bool> {
        let now = self.context.at;
        let Some(key) = self.key_of_team(team, id).await?.filter(|key| key.key.is_active(now)) else {
            // The key may have been revoked by another node, whose change this one has not polled yet.
            self.invalidate_local_cache();
            return Ok(false);
        };
        if action != LeakAction::Revoke && self.was_reported_recently(&key).await? {
            return Ok(false);
        }
        let name = key.name.as_ref().map_or("", KeyName::as_str);
        let found = place.map_or_else(String::new, |place| format!(", found at {}", place.as_str()));
        let detail = format!("{} “{name}”, {}{found}", key.key.prefix(), action.past());
        self.audit(team, Action::KeyLeaked, id, detail).await?;
        match action {
            LeakAction::Revoke => {
                let seq = self.bump_change_seq().await?;
                self.revoke(&key, None, seq).await?;
            }
            LeakAction::Pause => self.pause(&key, None).await?,
            LeakAction::Flag => {}
        }
        Ok(true)
    }

    /// Whether the audit log has a report of this key from the last day: a stranger could repeat it without end.
    async fn was_reported_recently(&mut self, key: &ListedKey) -> Result<bool> {
        let select = sql("SELECT max(at) FROM audit WHERE team_id = $1 AND target = $2 AND action = $3")
            .bind(key.key.team)
            .bind(key.key.id)
            .bind(Action::KeyLeaked.as_str());
        let last: Option<i64> = self.fetch_scalar(select).await?.flatten();
        Ok(last.is_some_and(|at| Timestamp::from_ms(at) > self.context.at.minus(REPORTED_EVERY)))
    }
}
