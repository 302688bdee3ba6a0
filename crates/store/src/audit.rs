//! Audit events, written inside the transaction of what they tell of.

use crate::{Result, Store, Tx, corrupt, on, record};
use keyhouse_domain::audit::{Action, AuditActor, AuditEvent, AuditFilter};
use keyhouse_domain::ids::{AuditId, TeamId};
use keyhouse_domain::timestamp::Timestamp;

record!(Row {
    id: String,
    at: i64,
    by_person: Option<String>,
    by_name: String,
    action: String,
    target: String,
    detail: String,
    source: String,
});

/// Greater than every id of an event as text.
const ABOVE_ALL_IDS: &str = "aud_~";

impl Tx {
    pub(crate) async fn audit(&mut self, event: &AuditEvent) -> Result<()> {
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO audit (id, team_id, at, by_person, by_name, action, target, detail, source) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(event.id.to_string()).bind(event.team.to_string()).bind(event.at.ms())
            .bind(event.by.person.map(|p| p.to_string())).bind(&event.by.name)
            .bind(event.action.as_str()).bind(&event.target).bind(&event.detail).bind(&event.source)
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }
}

impl Store {
    /// Up to `limit` of a team's events that pass the filter, newest first, below `before` if it is given.
    ///
    /// Each condition has an index of its own, so a rare one is found as quickly as a common one.
    pub async fn audit_events(
        &self,
        team: TeamId,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        let person = filter.person.map(|person| person.to_string());
        let action = filter.action.map(Action::as_str);
        let below = before.map_or(ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let rows: Vec<Row> = on!(&self.reads, db => {
            let mut query = sqlx::QueryBuilder::new(
                "SELECT id, at, by_person, by_name, action, target, detail, source FROM audit WHERE team_id = ");
            query.push_bind(team.to_string()).push(" AND id < ").push_bind(&below);
            for (column, value) in
                [(" AND by_person = ", person.as_deref()), (" AND target = ", filter.target.as_deref()), (" AND action = ", action)]
            {
                if let Some(value) = value {
                    query.push(column).push_bind(value);
                }
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(db).await?
        });
        rows.into_iter().map(|row| row.event(team)).collect()
    }
}

impl Row {
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
            action: Action::parse(&self.action).ok_or_else(bad)?,
            target: self.target.clone(),
            detail: self.detail.clone(),
            source: self.source.clone(),
        })
    }
}
