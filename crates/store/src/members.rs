//! Members ⇄ rows. Whatever changes who is in a team, or as what, holds the team's lock: exactly one owner, whatever races.

use crate::{Result, Store, StoreError, Tx, corrupt, on, record};
use keyhouse_domain::api_key::ACTIVE_KEYS_MAX;
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::permission::{Permission, Permit, TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Member;
use keyhouse_domain::timestamp::Timestamp;

record!(Row { team_id: String, person_id: String, email: String, name: String, role: String, joined_at: i64 });

/// Somebody who joins a team; known already if the e-mail address is.
#[derive(Debug)]
pub struct NewMember<'a> {
    /// The id to use if the address is new.
    pub person: PersonId,
    pub email: &'a Email,
    /// What to call them if the address is new.
    pub name: PersonName,
    pub role: Role,
}

/// What became of a change of who is in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChanged {
    Done,
    NoSuchMember,
    /// The owner can be neither changed nor removed, and can't leave: the team is handed over or deleted instead.
    IsOwner,
    Forbidden,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT team_id, person_id, email, name, role, joined_at FROM members JOIN people ON people.id = person_id WHERE ",
            $rest
        )
    };
}

impl Store {
    /// Adds a member. `false`: there is no such team.
    pub async fn insert_member(&self, team: TeamId, new: NewMember<'_>, context: &AuditContext) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_team(team, context.at).await? {
            return Ok(false);
        }
        tx.add_member(team, &new, context, 0).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A team's members: the owner first, then by address.
    pub async fn members(&self, team: TeamId) -> Result<Vec<Member>> {
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(
            select!("team_id = $1 ORDER BY CASE role WHEN 'owner' THEN 0 ELSE 1 END, email_canonical"))
            .bind(team.to_string()).fetch_all(db).await?);
        rows.into_iter().map(Member::try_from).collect()
    }

    /// Up to `limit` members by address, below `after` if it is given, whose name or address holds `search`.
    pub async fn members_page(
        &self,
        team: TeamId,
        search: &str,
        after: Option<&Email>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let pattern = crate::like(search);
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(
            select!("team_id = $1 AND email_canonical > $2 AND (email_canonical LIKE $3 ESCAPE '!' \
                     OR lower(name) LIKE $3 ESCAPE '!' OR name LIKE $4 ESCAPE '!') ORDER BY email_canonical LIMIT $5"))
            .bind(team.to_string()).bind(after.map_or(String::new(), Email::canonical))
            .bind(pattern.to_lowercase()).bind(pattern).bind(i64::from(limit)).fetch_all(db).await?);
        rows.into_iter().map(Member::try_from).collect()
    }

    /// Those who may be asked for access: the owner first, then admins, five at most.
    pub async fn admins(&self, team: TeamId) -> Result<Vec<Member>> {
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(
            select!("team_id = $1 AND role IN ('owner', 'admin') ORDER BY role DESC, email_canonical LIMIT 5"))
            .bind(team.to_string()).fetch_all(db).await?);
        rows.into_iter().map(Member::try_from).collect()
    }

    pub async fn member(&self, team: TeamId, person: PersonId) -> Result<Option<Member>> {
        let row: Option<Row> = on!(&self.reads, db => sqlx::query_as(select!("team_id = $1 AND person_id = $2"))
            .bind(team.to_string()).bind(person.to_string()).fetch_optional(db).await?);
        row.map(Member::try_from).transpose()
    }

    pub async fn member_by_email(&self, team: TeamId, email: &Email) -> Result<Option<Member>> {
        let row: Option<Row> = on!(&self.reads, db => sqlx::query_as(select!("team_id = $1 AND email_canonical = $2"))
            .bind(team.to_string()).bind(email.canonical()).fetch_optional(db).await?);
        row.map(Member::try_from).transpose()
    }

    pub async fn member_count(&self, team: TeamId) -> Result<u64> {
        let count: i64 = on!(&self.reads, db => sqlx::query_scalar("SELECT count(*) FROM members WHERE team_id = $1")
            .bind(team.to_string()).fetch_one(db).await?);
        Ok(count.unsigned_abs())
    }

    /// Gives a member another role, never the owner's.
    pub async fn change_role(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        role: Role,
        context: &AuditContext,
    ) -> Result<MemberChanged> {
        let mut tx = self.begin().await?;
        let member = match tx.lock_and_find(admin, person, context).await? {
            Ok(member) => member,
            Err(changed) => return Ok(changed),
        };
        if role == Role::Owner {
            return Ok(MemberChanged::IsOwner);
        }
        if member.role != role {
            tx.set_role(&member, role).await?;
            let detail = format!("{} from {} to {}", member.email, member.role.as_str(), role.as_str());
            tx.audit(&context.event(0, admin.team(), Action::MemberRoleChanged, person, detail)).await?;
            if !role.administers() {
                tx.withdraw_invitations_of(admin.team(), person, context, 1).await?;
            }
            tx.commit().await?;
        }
        Ok(MemberChanged::Done)
    }

    /// Takes a member out of the team; with `revoke_keys` the active keys they made end in the same transaction.
    pub async fn remove_member(
        &self,
        admin: &TeamAdmin,
        person: PersonId,
        revoke_keys: bool,
        context: &AuditContext,
    ) -> Result<MemberChanged> {
        let mut tx = self.begin().await?;
        let member = match tx.lock_and_find(admin, person, context).await? {
            Ok(member) => member,
            Err(changed) => return Ok(changed),
        };
        let detail = format!("{} ({})", member.email, member.role.as_str());
        tx.audit(&context.event(0, admin.team(), Action::MemberRemoved, person, detail)).await?;
        tx.withdraw_invitations_of(admin.team(), person, context, 1 + ACTIVE_KEYS_MAX as u16).await?;
        if revoke_keys {
            tx.revoke_where(admin.team(), Some(person), context, 1).await?;
        }
        tx.delete_member(&member).await?;
        tx.commit().await?;
        Ok(MemberChanged::Done)
    }

    /// A member goes by themselves. Their keys belong to the team and stay.
    pub async fn leave_team(
        &self,
        member: &TeamMember,
        person: PersonId,
        context: &AuditContext,
    ) -> Result<MemberChanged> {
        let mut tx = self.begin().await?;
        let found = match tx.lock_and_find(member, person, context).await? {
            Ok(found) => found,
            Err(changed) => return Ok(changed),
        };
        let detail = format!("{} ({})", found.email, found.role.as_str());
        tx.audit(&context.event(0, member.team(), Action::MemberLeft, person, detail)).await?;
        tx.withdraw_invitations_of(member.team(), person, context, 1).await?;
        tx.delete_member(&found).await?;
        tx.commit().await?;
        Ok(MemberChanged::Done)
    }

    /// Makes another member the owner; the owner becomes an admin.
    pub async fn transfer_ownership(
        &self,
        owner: &TeamOwner,
        to: PersonId,
        context: &AuditContext,
    ) -> Result<MemberChanged> {
        let mut tx = self.begin().await?;
        let heir = match tx.lock_and_find(owner, to, context).await? {
            Ok(heir) => heir,
            Err(changed) => return Ok(changed),
        };
        on!(&mut tx.0, db => sqlx::query("UPDATE members SET role = 'admin' WHERE team_id = $1 AND role = 'owner'")
            .bind(owner.team().to_string()).execute(&mut **db).await?.rows_affected());
        tx.set_role(&heir, Role::Owner).await?;
        let detail = format!("to {}", heir.email);
        tx.audit(&context.event(0, owner.team(), Action::TeamHandedOver, to, detail)).await?;
        tx.commit().await?;
        Ok(MemberChanged::Done)
    }
}

impl Tx {
    /// Locks the team, looks again at the actor's right, and finds the member, who must not be the owner.
    async fn lock_and_find<R: Permission>(
        &mut self,
        permit: &Permit<R>,
        person: PersonId,
        context: &AuditContext,
    ) -> Result<std::result::Result<Member, MemberChanged>> {
        if !self.lock_and_authorize(permit, context.at).await? {
            return Ok(Err(MemberChanged::Forbidden));
        }
        let row: Option<Row> = on!(&mut self.0, db => sqlx::query_as(select!("team_id = $1 AND person_id = $2"))
            .bind(permit.team().to_string()).bind(person.to_string()).fetch_optional(&mut **db).await?);
        let Some(member) = row.map(Member::try_from).transpose()? else {
            return Ok(Err(MemberChanged::NoSuchMember));
        };
        Ok(if member.role == Role::Owner { Err(MemberChanged::IsOwner) } else { Ok(member) })
    }

    async fn set_role(&mut self, member: &Member, role: Role) -> Result<()> {
        on!(&mut self.0, db => sqlx::query("UPDATE members SET role = $3 WHERE team_id = $1 AND person_id = $2")
            .bind(member.team.to_string()).bind(member.person.to_string()).bind(role.as_str())
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    async fn delete_member(&mut self, member: &Member) -> Result<()> {
        on!(&mut self.0, db => sqlx::query("DELETE FROM members WHERE team_id = $1 AND person_id = $2")
            .bind(member.team.to_string()).bind(member.person.to_string()).execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    /// Adds a member, known or new, under the team's lock. A conflict if they are in it already.
    pub(crate) async fn add_member(
        &mut self,
        team: TeamId,
        new: &NewMember<'_>,
        context: &AuditContext,
        nth: u16,
    ) -> Result<PersonId> {
        let known: Option<String> = on!(&mut self.0, db =>
            sqlx::query_scalar("SELECT id FROM people WHERE email_canonical = $1")
                .bind(new.email.canonical()).fetch_optional(&mut **db).await?);
        let person = match known {
            Some(id) => id.parse().map_err(|_| corrupt("people", &id))?,
            None => {
                self.add_person(new.person, new.email, &new.name, None, context).await?;
                new.person
            }
        };
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO members (team_id, person_id, role, joined_at) VALUES ($1, $2, $3, $4)")
            .bind(team.to_string()).bind(person.to_string()).bind(new.role.as_str()).bind(context.at.ms())
            .execute(&mut **db).await?.rows_affected());
        // Whoever is in needs no invitation.
        on!(&mut self.0, db => sqlx::query(
            "DELETE FROM links WHERE team_id = $1 AND email_canonical = $2 AND purpose = 'invite'")
            .bind(team.to_string()).bind(new.email.canonical()).execute(&mut **db).await?.rows_affected());
        let detail = format!("{} as {}", new.email, new.role.as_str());
        self.audit(&context.event(nth, team, Action::MemberAdded, person, detail)).await?;
        Ok(person)
    }
}

impl TryFrom<Row> for Member {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let bad = || corrupt("members", &row.person_id);
        Ok(Self {
            team: row.team_id.parse().map_err(|_| bad())?,
            person: row.person_id.parse().map_err(|_| bad())?,
            email: Email::parse(&row.email).map_err(|_| bad())?,
            role: Role::parse(&row.role).ok_or_else(bad)?,
            joined_at: Timestamp::from_ms(row.joined_at),
            name: row.name,
        })
    }
}
