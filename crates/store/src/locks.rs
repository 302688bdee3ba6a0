//! The locks that keep changes in one order: the team first, then the change counter

use crate::Result;
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::permission::{Actor, Forbidden, Permission, Permit};
use keyhouse_domain::role::Role;

impl Tx {
    /// Locks a team until the commit by writing to it: PostgreSQL locks the row, SQLite the file. Returns whether the team
    /// exists.
    pub(crate) async fn lock_team(&mut self, team: TeamId) -> Result<bool> {
        let at = self.context.at;
        let locked = self
            .execute(sql("UPDATE teams SET touched_at = $2 WHERE id = $1 AND deleted_at IS NULL").bind(team).bind(at))
            .await?;
        Ok(locked == 1)
    }

    /// Locks the permit's team and checks the permit again under that lock: the role may have been taken away and the
    /// session ended since the permit was made.
    ///
    /// Two results, for `??`: the outer one is the database's, the inner one is [`Forbidden`] if the team is deleted, the
    /// session has ended or the role no longer allows it.
    pub(crate) async fn lock_and_authorize<R: Permission>(
        &mut self,
        permit: &Permit<R>,
    ) -> Result<std::result::Result<(), Forbidden>> {
        let allowed = self.lock_team(permit.team()).await? && self.is_allowed(permit).await?;
        Ok(if allowed { Ok(()) } else { Err(Forbidden) })
    }

    async fn is_allowed<R: Permission>(&mut self, permit: &Permit<R>) -> Result<bool> {
        let Actor::Member { person, session, .. } = permit.actor() else { return Ok(true) };
        if let Some(session) = session {
            let ended = sql("SELECT ended_at FROM sessions WHERE id = $1").bind(*session);
            if self.fetch_scalar::<Option<i64>>(ended).await? != Some(None) {
                return Ok(false);
            }
        }
        let role =
            sql("SELECT role FROM members WHERE team_id = $1 AND person_id = $2").bind(permit.team()).bind(*person);
        let role: Option<String> = self.fetch_scalar(role).await?;
        Ok(role.as_deref().and_then(Role::parse).is_some_and(R::allowed_for))
    }
}

impl Transaction {
    /// Advances the change counter and keeps its row locked until the commit, so that numbers come out in commit order.
    /// PostgreSQL notifies the other nodes when the transaction commits; `change_watch.rs` listens.
    pub(crate) async fn bump_change_seq(&mut self) -> Result<i64> {
        self.invalidate_local_cache();
        let bump = self.statement(
            "UPDATE changes SET seq = seq + 1 WHERE id = 1 RETURNING seq",
            "UPDATE changes SET seq = seq + 1 WHERE id = 1 RETURNING seq, pg_notify('keyhouse_changes', '')::text",
        );
        Ok(self.fetch_one::<(i64,)>(bump).await?.0)
    }

    /// Makes this process query its cached keys again although nothing was written: the caller is about to get an error that a key
    /// is revoked already, possibly by another node whose change has not been polled yet.
    pub(crate) fn invalidate_local_cache(&mut self) {
        self.changes.mark();
    }
}
