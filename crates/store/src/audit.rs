//! Audit events, written in the transaction of the change they record

use std::time::Duration;

use crate::error::corrupt;
use crate::statement::{sql, sql_text};
use crate::tx::Tx;
use crate::{Queries, Result};
use keyhouse_domain::audit::{Action, AuditActor, AuditEvent, AuditFilter, SERVER};
use keyhouse_domain::ids::{AuditId, IdSeed, TeamId};
use keyhouse_domain::person::Email;
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: String,
    at: i64,
    by_person: Option<String>,
    by_name: String,
    by_email: Option<String>,
    action: String,
    target: String,
    detail: String,
    source: String,
}

/// Longer than an event's id can be older than its `at`.
const ID_LEAD: Duration = Duration::from_secs(60);
/// Sorts after every event's id as text.
const ABOVE_ALL_IDS: &str = "aud_~";

impl Tx {
    /// Writes the transaction's next audit event.
    pub(crate) async fn audit(
        &mut self,
        team: TeamId,
        action: Action,
        target: impl ToString,
        detail: String,
    ) -> Result<()> {
        let event = self.context.event(self.next_event, team, action, target, detail);
        self.write_event(event).await
    }

    /// Writes the transaction's next audit event for what the server does by itself in a transaction of another actor.
    pub(crate) async fn audit_server(
        &mut self,
        team: TeamId,
        action: Action,
        target: impl ToString,
        detail: String,
    ) -> Result<()> {
        let event = self.context.event(self.next_event, team, action, target, detail);
        self.write_event(AuditEvent { by: AuditActor::server(), source: SERVER.to_owned(), ..event }).await
    }

    async fn write_event(&mut self, event: AuditEvent) -> Result<()> {
        self.next_event += 1;
        let insert = sql("INSERT INTO audit (id, team_id, at, by_person, by_name, action, target, detail, source) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(event.id)
        .bind(event.team)
        .bind(event.at)
        .bind(event.by.person)
        .bind(event.by.name)
        .bind(event.action.as_str())
        .bind(event.target)
        .bind(event.detail)
        .bind(event.source);
        self.execute(insert).await?;
        Ok(())
    }
}

impl Queries {
    /// Up to `limit` of a team's events that pass the filter, newest first, below `before` if it is given.
    ///
    /// Each condition has an index of its own, and absent conditions are left out of the text, so that a rare event is found
    /// as quickly as a common one. An event's id contains its time, so a period also bounds the ids that are read.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn audit_events(
        &self,
        team: TeamId,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        let mut text =
            "SELECT audit.id, at, by_person, by_name, CASE WHEN removed_at IS NULL THEN email END AS by_email, \
                        action, target, detail, source FROM audit LEFT JOIN people ON people.id = by_person \
                        WHERE team_id = $1 AND audit.id < $2"
                .to_owned();
        let conditions = [
            ("by_person", filter.person.map(|person| person.to_string())),
            ("target", filter.target.clone()),
            ("action", filter.action.map(|action| action.as_str().to_owned())),
        ];
        let mut given = Vec::new();
        for (column, value) in conditions.into_iter().filter_map(|(column, value)| Some((column, value?))) {
            given.push(value);
            text += &format!(" AND {column} = ${}", 3 + given.len());
        }
        if filter.since.is_some() {
            text += &format!(" AND audit.id >= ${} AND at >= ${}", 4 + given.len(), 5 + given.len());
        }
        text += " ORDER BY audit.id DESC LIMIT $3";
        let below = before.map_or(ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let select = sql_text(text).bind(team).bind(below).bind(limit);
        let mut select = given.into_iter().fold(select, |select, value| select.bind(value));
        if let Some(since) = filter.since {
            // The clock is read for the id a moment before it is read for `at`.
            let ms = u64::try_from(since.minus(ID_LEAD).ms()).unwrap_or_default();
            select = select.bind(AuditId::new(IdSeed { ms, random: 0 })).bind(since);
        }
        let rows: Vec<AuditRow> = self.reads.fetch_all(select).await?;
        rows.into_iter().map(|row| row.event(team)).collect()
    }
}

impl AuditRow {
    fn event(self, team: TeamId) -> Result<AuditEvent> {
        let bad = || corrupt("audit", &self.id);
        Ok(AuditEvent {
            id: self.id.parse().map_err(|_| bad())?,
            team,
            at: Timestamp::from_ms(self.at),
            by: AuditActor {
                person: self.by_person.as_deref().map(str::parse).transpose().map_err(|_| bad())?,
                name: self.by_name.clone(),
            },
            by_email: self.by_email.as_deref().map(Email::from_stored).transpose().map_err(|_| bad())?,
            action: Action::parse(&self.action).ok_or_else(bad)?,
            target: self.target.clone(),
            detail: self.detail.clone(),
            source: self.source.clone(),
        })
    }
}
