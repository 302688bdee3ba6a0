//! The locks that keep changes in one order: the team first, then the change counter.

use crate::{Result, Tx, on};
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::permission::{Actor, Permission, Permit};
use keyhouse_domain::role::Role;
use keyhouse_domain::timestamp::Timestamp;

impl Tx {
    /// Locks a team until the commit by writing first: the row on PostgreSQL, the file on SQLite. `false`: no such team.
    pub(crate) async fn lock_team(&mut self, team: TeamId, now: Timestamp) -> Result<bool> {
        let rows = on!(&mut self.0, db => sqlx::query("UPDATE teams SET touched_at = $2 WHERE id = $1 AND deleted_at IS NULL")
            .bind(team.to_string()).bind(now.ms()).execute(&mut **db).await?.rows_affected());
        Ok(rows == 1)
    }

    /// Locks the team and looks again, under that lock, whether the actor still holds the right: the role may be lost by
    /// now, and the browser's session ended.
    pub(crate) async fn lock_and_authorize<R: Permission>(
        &mut self,
        permit: &Permit<R>,
        now: Timestamp,
    ) -> Result<bool> {
        if !self.lock_team(permit.team(), now).await? {
            return Ok(false);
        }
        let Actor::Member { person, session, .. } = permit.actor() else { return Ok(true) };
        if let Some(session) = session {
            let ended: Option<Option<i64>> = on!(&mut self.0, db =>
                sqlx::query_scalar("SELECT ended_at FROM sessions WHERE id = $1")
                    .bind(session.to_string()).fetch_optional(&mut **db).await?);
            if ended != Some(None) {
                return Ok(false);
            }
        }
        let role: Option<String> = on!(&mut self.0, db =>
            sqlx::query_scalar("SELECT role FROM members WHERE team_id = $1 AND person_id = $2")
                .bind(permit.team().to_string()).bind(person.to_string())
                .fetch_optional(&mut **db).await?);
        Ok(role.as_deref().and_then(Role::parse).is_some_and(R::allowed_for))
    }

    /// Advances the change counter and holds it to the commit, so that numbers come out in commit order.
    pub(crate) async fn bump_change_seq(&mut self) -> Result<i64> {
        self.invalidate_local_cache();
        Ok(on!(&mut self.0, db =>
            sqlx::query_scalar("UPDATE changes SET seq = seq + 1 WHERE id = 1 RETURNING seq").fetch_one(&mut **db).await?))
    }

    /// Lets this process ask again for what it remembers: somebody is about to hear that something *is* so, which may have
    /// come about without its knowledge.
    pub(crate) fn invalidate_local_cache(&mut self) {
        self.1.yes = true;
    }
}
