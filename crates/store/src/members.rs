//! Members. Every change of who is in a team, or with which role, holds the team's lock, so a team has exactly one owner

use crate::error::{StoreError, corrupt};
use crate::people::{BY_EMAIL, bind_forms};
use crate::statement::{Statement, sql, sql_of};
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::permission::{Actor, Forbidden, TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::{Email, EmailLookup, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Member;
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
pub(crate) struct MemberRow {
    team_id: String,
    person_id: String,
    pub(crate) email: String,
    pub(crate) email_canonical: String,
    pub(crate) name: String,
    role: String,
    joined_at: i64,
    pending_email: Option<String>,
}

/// A person who joins a team: an existing one if the e-mail address is known.
#[derive(Debug)]
pub struct NewMember<'a> {
    /// The id of the person if the address is new.
    pub person: PersonId,
    /// The address.
    pub email: &'a Email,
    /// The name of the person if the address is new.
    pub name: PersonName,
    /// The role in the team.
    pub role: Role,
}

/// Why a member was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddMemberError {
    /// There is no such team, or it is deleted.
    #[error("no such team")]
    NoSuchTeam,
    /// The person is a member already, or an owner was to be added.
    #[error("this person is already in the team, or the team already has an owner")]
    AlreadyMember,
    /// The database did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AddMemberError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::AlreadyMember,
            error => Self::Store(error),
        }
    }
}

/// Why a membership was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeMemberError {
    /// The team has no such member.
    #[error("there is no such member")]
    NoSuchMember,
    /// The owner can be neither changed nor removed, and can't leave: the team is transferred or deleted instead.
    #[error(
        "the owner can be neither changed nor removed, and can't leave: transfer ownership first, or delete the team"
    )]
    IsOwner,
    /// Another admin gave the member this role after the form was opened.
    #[error("the member's role was changed in the meantime")]
    Changed(Role),
    /// The actor may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const SELECT: &str = "SELECT team_id, person_id, email, email_canonical, name, role, joined_at, pending_email \
                      FROM members JOIN people ON people.id = person_id WHERE ";

/// Members by canonical address, below `after`.
pub(crate) fn page_after(team: TeamId, after: &str, limit: u32) -> Statement {
    let condition = "team_id = $1 AND email_canonical > $2 ORDER BY email_canonical LIMIT $3";
    sql_of(&[SELECT, condition]).bind(team).bind(crate::without_nul(after)).bind(limit)
}

impl Queries {
    /// A team's members: the owner first, then by address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn members(&self, team: TeamId) -> Result<Vec<Member>> {
        let condition = "team_id = $1 ORDER BY CASE role WHEN 'owner' THEN 0 ELSE 1 END, email_canonical";
        read(self.reads.fetch_all(sql_of(&[SELECT, condition]).bind(team)).await?)
    }

    /// Up to `limit` members by canonical address, below `after`; empty for the first page.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn members_page(&self, team: TeamId, after: &str, limit: u32) -> Result<Vec<Member>> {
        read(self.reads.fetch_all(page_after(team, after, limit)).await?)
    }

    /// The members who have asked for another address, which counts once its link was used.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn members_changing_email(&self, team: TeamId) -> Result<Vec<Member>> {
        let condition = "team_id = $1 AND pending_email IS NOT NULL ORDER BY email_canonical";
        read(self.reads.fetch_all(sql_of(&[SELECT, condition]).bind(team)).await?)
    }

    /// The members who can grant access: the owner first, then admins, five at most.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn admins(&self, team: TeamId) -> Result<Vec<Member>> {
        let condition = "team_id = $1 AND role IN ('owner', 'admin') ORDER BY role DESC, email_canonical LIMIT 5";
        read(self.reads.fetch_all(sql_of(&[SELECT, condition]).bind(team)).await?)
    }

    /// One member, by id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn member(&self, team: TeamId, person: PersonId) -> Result<Option<Member>> {
        let select = sql_of(&[SELECT, "team_id = $1 AND person_id = $2"]).bind(team).bind(person);
        self.reads.fetch_optional::<MemberRow>(select).await?.map(Member::try_from).transpose()
    }

    /// One member, by address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn member_by_email(&self, team: TeamId, email: impl Into<EmailLookup>) -> Result<Option<Member>> {
        let by_email = "team_id = $4 AND ";
        let select = bind_forms(sql_of(&[SELECT, by_email, BY_EMAIL]), &email.into()).bind(team);
        self.reads.fetch_optional::<MemberRow>(select).await?.map(Member::try_from).transpose()
    }

    /// How many members a team has.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn member_count(&self, team: TeamId) -> Result<u64> {
        let count: i64 =
            self.reads.fetch_scalar(sql("SELECT count(*) FROM members WHERE team_id = $1").bind(team)).await?;
        Ok(count.unsigned_abs())
    }
}

impl Store {
    /// Adds a member without an invitation, for the command line.
    ///
    /// # Errors
    ///
    /// See [`AddMemberError`].
    pub async fn add_member(
        &self,
        team: TeamId,
        new: NewMember<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), AddMemberError> {
        let mut tx = self.begin(context).await?;
        if !tx.lock_team(team).await? {
            return Err(AddMemberError::NoSuchTeam);
        }
        tx.add_member(team, &new).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a member another role, never the owner's. With `was`, only if the member has that role.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`]; [`ChangeMemberError::IsOwner`] also if the new role is the owner's.
    pub async fn change_role(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        role: Role,
        was: Option<Role>,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeMemberError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let member = tx.member_to_change(admin.team(), person).await?;
        if role == Role::Owner {
            return Err(ChangeMemberError::IsOwner);
        }
        if was.is_some_and(|was| was != member.role) {
            return Err(ChangeMemberError::Changed(member.role));
        }
        if member.role == role {
            return Ok(());
        }
        tx.set_role(&member, role).await?;
        let detail = format!("{} from {} to {}", member.email, member.role.as_str(), role.as_str());
        tx.audit(admin.team(), Action::MemberRoleChanged, person, detail).await?;
        if !role.administers() {
            tx.withdraw_invitations_of(admin.team(), person).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Removes a member from the team; with `revoke_keys` the active keys they created are revoked in the same transaction.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`].
    pub async fn remove_member(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        revoke_keys: bool,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeMemberError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let member = tx.member_to_change(admin.team(), person).await?;
        let detail = format!("{} ({})", member.email, member.role.as_str());
        tx.audit(admin.team(), Action::MemberRemoved, person, detail).await?;
        if revoke_keys {
            tx.revoke_where(admin.team(), Some(person)).await?;
        }
        tx.withdraw_invitations_of(admin.team(), person).await?;
        tx.delete_member(&member).await?;
        Ok(tx.commit().await?)
    }

    /// Removes the permit's own member from the team. Keys they created belong to the team and stay.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`]; [`ChangeMemberError::NoSuchMember`] also if the actor is the command line.
    pub async fn leave_team(
        &self,
        member: &TeamMember,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeMemberError> {
        let Actor::Member { person, .. } = member.actor() else { return Err(ChangeMemberError::NoSuchMember) };
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(member).await??;
        let found = tx.member_to_change(member.team(), *person).await?;
        let detail = format!("{} ({})", found.email, found.role.as_str());
        tx.audit(member.team(), Action::MemberLeft, *person, detail).await?;
        tx.withdraw_invitations_of(member.team(), *person).await?;
        tx.delete_member(&found).await?;
        Ok(tx.commit().await?)
    }

    /// Makes another member the owner; the owner becomes an admin.
    ///
    /// # Errors
    ///
    /// See [`ChangeMemberError`]; [`ChangeMemberError::IsOwner`] if `to` is the owner already.
    pub async fn transfer_ownership(
        &self,
        owner: &TeamOwner,
        to: PersonId,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeMemberError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(owner).await??;
        let successor = tx.member_to_change(owner.team(), to).await?;
        let step_down = sql("UPDATE members SET role = 'admin' WHERE team_id = $1 AND role = 'owner'");
        tx.execute(step_down.bind(owner.team())).await?;
        tx.set_role(&successor, Role::Owner).await?;
        tx.audit(owner.team(), Action::TeamHandedOver, to, format!("to {}", successor.email)).await?;
        Ok(tx.commit().await?)
    }
}

impl Tx {
    /// The member, who must not be the owner.
    async fn member_to_change(
        &mut self,
        team: TeamId,
        person: PersonId,
    ) -> std::result::Result<Member, ChangeMemberError> {
        let select = sql_of(&[SELECT, "team_id = $1 AND person_id = $2"]).bind(team).bind(person);
        let row: MemberRow = self.fetch_optional(select).await?.ok_or(ChangeMemberError::NoSuchMember)?;
        let member = Member::try_from(row)?;
        if member.role == Role::Owner { Err(ChangeMemberError::IsOwner) } else { Ok(member) }
    }

    async fn set_role(&mut self, member: &Member, role: Role) -> Result<()> {
        let update = sql("UPDATE members SET role = $3 WHERE team_id = $1 AND person_id = $2");
        self.execute(update.bind(member.team).bind(member.person).bind(role.as_str())).await?;
        Ok(())
    }

    async fn delete_member(&mut self, member: &Member) -> Result<()> {
        let delete = sql("DELETE FROM members WHERE team_id = $1 AND person_id = $2");
        self.execute(delete.bind(member.team).bind(member.person)).await?;
        Ok(())
    }

    /// Adds a member, an existing or a new person, under the team's lock. A conflict if they are a member already.
    pub(crate) async fn add_member(&mut self, team: TeamId, new: &NewMember<'_>) -> Result<PersonId> {
        let at = self.context.at;
        let known = bind_forms(sql_of(&["SELECT id FROM people WHERE ", BY_EMAIL]), &new.email.lookup());
        let person = match self.fetch_scalar::<String>(known).await? {
            Some(id) => id.parse().map_err(|_| corrupt("people", &id))?,
            None => {
                self.add_person(new.person, new.email, &new.name, None).await?;
                new.person
            }
        };
        let insert = sql("INSERT INTO members (team_id, person_id, role, joined_at) VALUES ($1, $2, $3, $4)")
            .bind(team)
            .bind(person)
            .bind(new.role.as_str())
            .bind(at);
        self.execute(insert).await?;
        // A member needs no invitation.
        let delete = sql("DELETE FROM links WHERE team_id = $1 AND email_canonical = $2 AND purpose = 'invite'");
        self.execute(delete.bind(team).bind(new.email.canonical())).await?;
        let detail = format!("{} as {}", new.email, new.role.as_str());
        self.audit(team, Action::MemberAdded, person, detail).await?;
        Ok(person)
    }
}

fn read(rows: Vec<MemberRow>) -> Result<Vec<Member>> {
    rows.into_iter().map(Member::try_from).collect()
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self> {
        let bad = || corrupt("members", &row.person_id);
        Ok(Self {
            team: row.team_id.parse().map_err(|_| bad())?,
            person: row.person_id.parse().map_err(|_| bad())?,
            email: Email::from_stored(&row.email).map_err(|_| bad())?,
            role: Role::parse(&row.role).ok_or_else(bad)?,
            joined_at: Timestamp::from_ms(row.joined_at),
            pending_email: row.pending_email.as_deref().map(Email::from_stored).transpose().map_err(|_| bad())?,
            name: row.name,
        })
    }
}
