//! Audit events, written inside the transaction of what they tell of.

use super::{Result, Store, Tx, corrupt, on, record};
use crate::domain::audit::{Action, AuditEvent, By};
use crate::domain::ids::TeamId;
use crate::domain::timestamp::Timestamp;

record!(Row {
    id: String,
    at: i64,
    by_person: Option<String>,
    by_name: String,
    action: String,
    target: String,
    detail: String,
    origin: String,
});

impl Tx {
    pub(super) async fn audit(&mut self, event: &AuditEvent) -> Result<()> {
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO audit (id, team_id, at, by_person, by_name, action, target, detail, origin) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(event.id.to_string()).bind(event.team.to_string()).bind(event.at.ms())
            .bind(event.by.person.map(|p| p.to_string())).bind(&event.by.name)
            .bind(event.action.as_str()).bind(&event.target).bind(&event.detail).bind(&event.origin)
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }
}

impl Store {
    /// A team's newest events, newest first.
    pub async fn audit_events(&self, team: TeamId, limit: u32) -> Result<Vec<AuditEvent>> {
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(
            "SELECT id, at, by_person, by_name, action, target, detail, origin \
             FROM audit WHERE team_id = $1 ORDER BY id DESC LIMIT $2")
            .bind(team.to_string()).bind(i64::from(limit)).fetch_all(db).await?);
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
            by: By {
                person: self.by_person.as_deref().map(str::parse).transpose().map_err(|_| bad())?,
                name: self.by_name.clone(),
            },
            action: Action::ALL.iter().copied().find(|a| a.as_str() == self.action).ok_or_else(bad)?,
            target: self.target.clone(),
            detail: self.detail.clone(),
            origin: self.origin.clone(),
        })
    }
}
