//! Invitations: links by which a person joins a team

use crate::error::StoreError;
use crate::links::{LinkError, LinkResult, LinkRow, NewLink, NewPerson, SELECT};
use crate::members::NewMember;
use crate::people::{BY_EMAIL, bind_forms};
use crate::sessions::NewSession;
use crate::statement::{sql, sql_of};
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{LINK_TTL, Link, OPEN_INVITATIONS_MAX, Purpose};
use keyhouse_domain::permission::{Forbidden, TeamAdmin};
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::timestamp::Timestamp;

/// Who accepts an invitation.
#[derive(Debug)]
pub enum Joining<'a> {
    /// A new person.
    New(NewPerson<'a>),
    /// The person with the invited address, who has authenticated.
    Known(PersonId),
}

/// Why an invitation was not created.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// A person with this address is already in the team.
    #[error("this person is already in the team")]
    IsMember,
    /// The actor may not invite.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an invitation was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawInvitationError {
    /// The team has no open invitation with this id: it was used, withdrawn or replaced.
    #[error("there is no such invitation anymore")]
    Gone,
    /// The actor may not withdraw invitations.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Queries {
    /// A team's open invitations, newest first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn invitations(&self, team: TeamId, now: Timestamp) -> Result<Vec<Link>> {
        let select = sql_of(&[SELECT, "purpose = 'invite' AND team_id = $1 AND expires_at > $2 ORDER BY id DESC"]);
        let rows: Vec<LinkRow> = self.reads.fetch_all(select.bind(team).bind(now)).await?;
        rows.into_iter().map(Link::try_from).collect()
    }
}

impl Store {
    /// Creates an invitation, in place of one to the same address, and of the oldest one if the team has as many as it may.
    ///
    /// # Errors
    ///
    /// See [`InviteError`]; [`InviteError::Forbidden`] also if the link is no invitation to the permit's team.
    pub async fn create_invitation(
        &self,
        admin: &TeamAdmin,
        new: NewLink<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), InviteError> {
        let Purpose::Invite { team, email, role } = new.purpose else { return Err(Forbidden.into()) };
        if *team != admin.team() {
            return Err(Forbidden.into());
        }
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let member =
            sql_of(&["SELECT role FROM members JOIN people ON id = person_id WHERE team_id = $4 AND ", BY_EMAIL]);
        let member = bind_forms(member, &email.lookup()).bind(*team);
        if tx.fetch_scalar::<String>(member).await?.is_some() {
            return Err(InviteError::IsMember);
        }
        let replace = sql("DELETE FROM links WHERE purpose = 'invite' AND team_id = $1 AND email_canonical = $2");
        tx.execute(replace.bind(*team).bind(email.canonical())).await?;
        tx.withdraw_oldest_invitations(*team).await?;
        tx.add_link(&new).await?;
        tx.audit(*team, Action::MemberInvited, new.id, format!("{email} as {}", role.as_str())).await?;
        Ok(tx.commit().await?)
    }

    /// Withdraws an invitation: it expires. Until a job deletes the row, [`Store::restore_invitation`] takes that back.
    ///
    /// # Errors
    ///
    /// See [`WithdrawInvitationError`].
    pub async fn withdraw_invitation(
        &self,
        admin: &TeamAdmin,
        id: LinkId,
        context: &AuditContext,
    ) -> std::result::Result<(), WithdrawInvitationError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let end =
            sql("UPDATE links SET expires_at = $3 WHERE id = $1 AND team_id = $2 AND expires_at > $3 RETURNING email");
        let email: Option<String> = tx.fetch_scalar(end.bind(id).bind(admin.team()).bind(context.at)).await?;
        let email = email.ok_or(WithdrawInvitationError::Gone)?;
        tx.audit(admin.team(), Action::InvitationWithdrawn, id, email).await?;
        Ok(tx.commit().await?)
    }

    /// Makes a withdrawn invitation usable again, for as long as it would have been.
    ///
    /// # Errors
    ///
    /// See [`WithdrawInvitationError`]; [`WithdrawInvitationError::Gone`] also if the invitation is still open or has expired
    /// by itself.
    pub async fn restore_invitation(
        &self,
        admin: &TeamAdmin,
        id: LinkId,
        context: &AuditContext,
    ) -> std::result::Result<(), WithdrawInvitationError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        tx.withdraw_oldest_invitations(admin.team()).await?;
        // A newer invitation to the same address deletes this row, and so does a membership.
        let ttl = i64::try_from(LINK_TTL.as_millis()).unwrap_or(i64::MAX);
        let restore = sql("UPDATE links SET expires_at = created_at + $4 WHERE id = $1 AND team_id = $2 \
                           AND expires_at <= $3 AND created_at + $4 > $3 RETURNING email, role")
        .bind(id)
        .bind(admin.team())
        .bind(context.at)
        .bind(ttl);
        let restored: Option<(String, String)> = tx.fetch_optional(restore).await?;
        let (email, role) = restored.ok_or(WithdrawInvitationError::Gone)?;
        tx.audit(admin.team(), Action::MemberInvited, id, format!("{email} as {role}, again")).await?;
        Ok(tx.commit().await?)
    }

    /// Joins the invitation's team; with a session if one is to begin. Returns the team.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub async fn accept_invitation(
        &self,
        code: &SecretHash,
        who: Joining<'_>,
        session: Option<&NewSession<'_>>,
        context: &AuditContext,
    ) -> LinkResult<TeamId> {
        let link = self.queries.link(code, context.at).await?;
        let Some(Link { purpose: Purpose::Invite { team, email, role }, .. }) = link else {
            return Err(LinkError::Gone);
        };
        let mut tx = self.begin(context).await?;
        if !tx.lock_team(team).await? {
            return Err(LinkError::Gone);
        }
        tx.use_link(code).await?;
        let (person, name) = match &who {
            Joining::New(new) => {
                tx.add_person(new.id, &email, new.name, Some(new.password)).await?;
                (new.id, new.name.clone())
            }
            // An existing person keeps their name: this one is not used.
            Joining::Known(person) => (*person, email.as_name()),
        };
        let joined = tx.add_member(team, &NewMember { person, email: &email, name, role }).await?;
        // The address may have become another person's since this one authenticated.
        if joined != person {
            return Err(LinkError::Gone);
        }
        if let Some(session) = session {
            tx.add_session(person, session).await?;
            tx.audit_in_teams(person, Action::SignedIn, &format!("with {}", session.browser)).await?;
        }
        tx.commit().await?;
        Ok(team)
    }
}

impl Tx {
    /// Makes room for one more invitation.
    async fn withdraw_oldest_invitations(&mut self, team: TeamId) -> Result<()> {
        // Expired ones don't count: a job deletes them. Ids are in the order of their creation.
        let select = sql("SELECT id, email FROM links WHERE purpose = 'invite' AND team_id = $1 AND expires_at > $2 \
                          ORDER BY id DESC LIMIT 1000 OFFSET $3")
        .bind(team)
        .bind(self.context.at)
        .bind(OPEN_INVITATIONS_MAX - 1);
        let oldest: Vec<(String, String)> = self.fetch_all(select).await?;
        for (id, email) in oldest {
            self.execute(sql("DELETE FROM links WHERE id = $1").bind(&id)).await?;
            self.audit(team, Action::InvitationWithdrawn, id, format!("{email}, for a newer invitation")).await?;
        }
        Ok(())
    }

    /// Withdraws the invitations created by a person who may no longer invite: that person has seen the links.
    pub(crate) async fn withdraw_invitations_of(&mut self, team: TeamId, person: PersonId) -> Result<()> {
        let delete = sql("DELETE FROM links WHERE purpose = 'invite' AND team_id = $1 AND made_by = $2 \
                          RETURNING id, email, expires_at");
        let withdrawn: Vec<(String, String, i64)> = self.fetch_all(delete.bind(team).bind(person)).await?;
        // Those that were withdrawn before are in the log already.
        let open = withdrawn.into_iter().filter(|(.., expires_at)| *expires_at > self.context.at.ms());
        for (id, email, _) in open.collect::<Vec<_>>() {
            self.audit(team, Action::InvitationWithdrawn, id, email).await?;
        }
        Ok(())
    }
}
