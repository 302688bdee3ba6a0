//! The locks that keep changes in one order: the team first, then the change counter.

use super::{Result, Tx, on};
use crate::domain::ids::TeamId;
use crate::domain::team::{Actor, KeyAdmin, Role};
use crate::domain::timestamp::Timestamp;

impl Tx {
    /// Locks a team until the commit by writing first: the row on PostgreSQL, the file on SQLite. `false`: no such team.
    pub(super) async fn lock_team(&mut self, team: TeamId, now: Timestamp) -> Result<bool> {
        let rows = on!(&mut self.0, db => sqlx::query("UPDATE teams SET touched_at = $2 WHERE id = $1")
            .bind(team.to_string()).bind(now.ms()).execute(&mut **db).await?.rows_affected());
        Ok(rows == 1)
    }

    /// Locks the team and looks again, under that lock, whether the actor may still manage its keys.
    pub(super) async fn lock_for_keys(&mut self, admin: &KeyAdmin, now: Timestamp) -> Result<bool> {
        if !self.lock_team(admin.team(), now).await? {
            return Ok(false);
        }
        match admin.actor() {
            Actor::Shell { .. } => Ok(true),
            Actor::Member { person, .. } => {
                let role: Option<String> = on!(&mut self.0, db =>
                    sqlx::query_scalar("SELECT role FROM members WHERE team_id = $1 AND person_id = $2")
                        .bind(admin.team().to_string()).bind(person.to_string())
                        .fetch_optional(&mut **db).await?);
                Ok(role.as_deref().and_then(Role::parse).is_some_and(Role::manages_keys))
            }
        }
    }

    /// Advances the change counter and holds it to the commit, so that numbers come out in commit order.
    pub(super) async fn advance(&mut self) -> Result<i64> {
        Ok(on!(&mut self.0, db =>
            sqlx::query_scalar("UPDATE changes SET seq = seq + 1 WHERE id = 1 RETURNING seq").fetch_one(&mut **db).await?))
    }
}
