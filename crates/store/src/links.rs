//! One-time links ⇄ rows. A link is used by deleting it, in the transaction of what it lets its holder do.

use crate::members::NewMember;
use crate::people::NewSession;
use crate::teams::NewTeam;
use crate::{Result, Store, StoreError, Tx, corrupt, on, record};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{LINK_TTL, Link, Purpose};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::team::Team;
use keyhouse_domain::timestamp::Timestamp;

record!(Row {
    id: String,
    purpose: String,
    person_id: Option<String>,
    team_id: Option<String>,
    email: Option<String>,
    role: Option<String>,
    made_by_name: String,
    created_at: i64,
    expires_at: i64,
});

/// A link that is made; its code is not among it.
#[derive(Debug)]
pub struct NewLink<'a> {
    pub id: LinkId,
    pub code: SecretHash,
    pub purpose: &'a Purpose,
}

/// A person who is made by a link.
#[derive(Debug)]
pub struct NewPerson<'a> {
    pub id: PersonId,
    pub email: &'a Email,
    pub name: &'a PersonName,
    pub password: &'a PasswordHash,
}

/// Who accepts an invitation.
#[derive(Debug)]
pub enum Joining<'a> {
    New(NewPerson<'a>),
    /// Somebody with the invited address who has proved who they are.
    Known(PersonId),
}

/// What became of an invitation that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    Done,
    /// Somebody with this address is in the team already.
    IsMember,
    Forbidden,
}

/// What became of a link that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkUsed<T> {
    Done(T),
    /// Used, withdrawn or run out; or its team is gone.
    Gone,
    /// A person with this address, or already in this team, is there.
    Taken,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, purpose, person_id, team_id, email, role, made_by_name, created_at, expires_at FROM links WHERE ",
            $rest
        )
    };
}

impl Store {
    /// Makes the set-up link, in place of an unused one. `false`: somebody has an account, so it is too late for one.
    pub async fn insert_set_up_link(&self, new: NewLink<'_>, context: &AuditContext) -> Result<bool> {
        let mut tx = self.begin().await?;
        let one: Option<i64> = on!(&mut tx.0, db =>
            sqlx::query_scalar("SELECT created_at FROM people LIMIT 1").fetch_optional(&mut **db).await?);
        if one.is_some() {
            return Ok(false);
        }
        tx.end_set_up().await?;
        match tx.add_link(&new, context).await {
            // Another node that starts in the same moment: its link stands.
            Err(StoreError::Conflict(_)) => return Ok(false),
            other => other?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Makes a link by which a person gets in, in place of those that they have not used.
    pub async fn insert_personal_link(&self, person: PersonId, new: NewLink<'_>, context: &AuditContext) -> Result<()> {
        let mut tx = self.begin().await?;
        on!(&mut tx.0, db => sqlx::query("DELETE FROM links WHERE person_id = $1")
            .bind(person.to_string()).execute(&mut **db).await?.rows_affected());
        tx.add_link(&new, context).await?;
        let email: String = on!(&mut tx.0, db => sqlx::query_scalar("SELECT email FROM people WHERE id = $1")
            .bind(person.to_string()).fetch_one(&mut **db).await?);
        tx.audit_in_teams(person, Action::LinkMade, &format!("for {email}"), context, 0).await?;
        tx.commit().await
    }

    /// Makes an invitation, in place of one to the same address.
    pub async fn insert_invitation(
        &self,
        admin: &TeamAdmin,
        new: NewLink<'_>,
        context: &AuditContext,
    ) -> Result<Invited> {
        let Purpose::Invite { team, email, role } = new.purpose else { return Ok(Invited::Forbidden) };
        let mut tx = self.begin().await?;
        if *team != admin.team() || !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(Invited::Forbidden);
        }
        let member: Option<String> = on!(&mut tx.0, db => sqlx::query_scalar(
            "SELECT role FROM members JOIN people ON id = person_id WHERE team_id = $1 AND email_canonical = $2")
            .bind(team.to_string()).bind(email.canonical()).fetch_optional(&mut **db).await?);
        if member.is_some() {
            return Ok(Invited::IsMember);
        }
        on!(&mut tx.0, db => sqlx::query("DELETE FROM links WHERE team_id = $1 AND email_canonical = $2")
            .bind(team.to_string()).bind(email.canonical()).execute(&mut **db).await?.rows_affected());
        tx.add_link(&new, context).await?;
        let detail = format!("{email} as {}", role.as_str());
        tx.audit(&context.event(0, *team, Action::MemberInvited, new.id, detail)).await?;
        tx.commit().await?;
        Ok(Invited::Done)
    }

    /// Takes an invitation back. `None`: the actor may not; `false`: there is none of this id any more.
    pub async fn withdraw_invitation(
        &self,
        admin: &TeamAdmin,
        id: LinkId,
        context: &AuditContext,
    ) -> Result<Option<bool>> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(None);
        }
        let email: Option<String> = on!(&mut tx.0, db => sqlx::query_scalar(
            "DELETE FROM links WHERE id = $1 AND team_id = $2 RETURNING email")
            .bind(id.to_string()).bind(admin.team().to_string()).fetch_optional(&mut **db).await?);
        let Some(email) = email else { return Ok(Some(false)) };
        tx.audit(&context.event(0, admin.team(), Action::InvitationWithdrawn, id, email)).await?;
        tx.commit().await?;
        Ok(Some(true))
    }

    /// A team's open invitations, newest first.
    pub async fn invitations(&self, team: TeamId, now: Timestamp) -> Result<Vec<Link>> {
        let rows: Vec<Row> = on!(&self.reads, db => sqlx::query_as(
            select!("team_id = $1 AND expires_at > $2 ORDER BY id DESC LIMIT 200"))
            .bind(team.to_string()).bind(now.ms()).fetch_all(db).await?);
        rows.into_iter().map(Link::try_from).collect()
    }

    /// The link with this code, if it can still be used.
    pub async fn link(&self, code: &SecretHash, now: Timestamp) -> Result<Option<Link>> {
        let row: Option<Row> = on!(&self.reads, db => sqlx::query_as(select!("code_hash = $1 AND expires_at > $2"))
            .bind(code.as_bytes()).bind(now.ms()).fetch_optional(db).await?);
        row.map(Link::try_from).transpose()
    }

    /// The first person, their team and their session, at once.
    pub async fn set_up(
        &self,
        code: &SecretHash,
        person: NewPerson<'_>,
        team: (TeamId, &keyhouse_domain::team::TeamName),
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<LinkUsed<Team>> {
        let mut tx = self.begin().await?;
        if !tx.use_link(code, context.at).await? {
            return Ok(LinkUsed::Gone);
        }
        match tx.add_person(person.id, person.email, person.name, Some(person.password), context).await {
            Err(StoreError::Conflict(_)) => return Ok(LinkUsed::Taken),
            other => other?,
        }
        let owner = NewMember { person: person.id, email: person.email, name: person.name.clone(), role: Role::Owner };
        let team = tx.add_team(&NewTeam { id: team.0, name: team.1, owner }, context, 0).await?;
        tx.add_session(person.id, session, context).await?;
        tx.audit_in_teams(person.id, Action::CurrentUser, &format!("with {}", session.browser), context, 2).await?;
        tx.commit().await?;
        Ok(LinkUsed::Done(team))
    }

    /// Joins the invitation's team; with a session where one is to begin.
    pub async fn accept_invitation(
        &self,
        code: &SecretHash,
        who: Joining<'_>,
        session: Option<&NewSession<'_>>,
        context: &AuditContext,
    ) -> Result<LinkUsed<TeamId>> {
        let Some(Link { purpose: Purpose::Invite { team, email, role }, .. }) = self.link(code, context.at).await?
        else {
            return Ok(LinkUsed::Gone);
        };
        let mut tx = self.begin().await?;
        if !tx.lock_team(team, context.at).await? || !tx.use_link(code, context.at).await? {
            return Ok(LinkUsed::Gone);
        }
        let (person, name) = match &who {
            Joining::New(new) => {
                match tx.add_person(new.id, &email, new.name, Some(new.password), context).await {
                    Err(StoreError::Conflict(_)) => return Ok(LinkUsed::Taken),
                    other => other?,
                }
                (new.id, new.name.clone())
            }
            // Their name is known, so this one is not used.
            Joining::Known(person) => (*person, email.as_name()),
        };
        let new = NewMember { person, email: &email, name, role };
        let joined = match tx.add_member(team, &new, context, 0).await {
            Err(StoreError::Conflict(_)) => return Ok(LinkUsed::Taken),
            other => other?,
        };
        // The address may have become somebody else's between the proof and now.
        if joined != person {
            return Ok(LinkUsed::Gone);
        }
        if let Some(session) = session {
            tx.add_session(person, session, context).await?;
            tx.audit_in_teams(person, Action::CurrentUser, &format!("with {}", session.browser), context, 1).await?;
        }
        tx.commit().await?;
        Ok(LinkUsed::Done(team))
    }

    /// Sets a password by a link, ends all sessions of its person and begins one.
    pub async fn reset_password(
        &self,
        code: &SecretHash,
        password: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<LinkUsed<PersonId>> {
        let Some(Link { purpose: Purpose::Reset { person }, .. }) = self.link(code, context.at).await? else {
            return Ok(LinkUsed::Gone);
        };
        let mut tx = self.begin().await?;
        if !tx.use_link(code, context.at).await? {
            return Ok(LinkUsed::Gone);
        }
        tx.set_password(person, password, session, context).await?;
        tx.commit().await?;
        Ok(LinkUsed::Done(person))
    }

    pub async fn sign_in_by_link(
        &self,
        code: &SecretHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<LinkUsed<PersonId>> {
        let Some(Link { purpose: Purpose::SignIn { person }, .. }) = self.link(code, context.at).await? else {
            return Ok(LinkUsed::Gone);
        };
        let mut tx = self.begin().await?;
        if !tx.use_link(code, context.at).await? {
            return Ok(LinkUsed::Gone);
        }
        tx.add_session(person, session, context).await?;
        tx.audit_in_teams(person, Action::CurrentUser, &format!("by a link, with {}", session.browser), context, 0)
            .await?;
        tx.commit().await?;
        Ok(LinkUsed::Done(person))
    }

    /// Deletes up to `batch` links that have run out; says how many.
    pub async fn purge_links(&self, now: Timestamp, batch: u32) -> Result<u64> {
        Ok(on!(&self.writes, db => sqlx::query(
            "DELETE FROM links WHERE id IN (SELECT id FROM links WHERE expires_at <= $1 LIMIT $2)")
            .bind(now.ms()).bind(i64::from(batch)).execute(db).await?.rows_affected()))
    }
}

impl Tx {
    /// Once there is somebody, nobody sets up any more.
    pub(crate) async fn end_set_up(&mut self) -> Result<()> {
        on!(&mut self.0, db => sqlx::query("DELETE FROM links WHERE purpose = 'set_up'")
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    /// Withdraws what a person has invited who may not invite any more: they have seen the links. The events are numbered
    /// from `nth` on.
    pub(crate) async fn withdraw_invitations_of(
        &mut self,
        team: TeamId,
        person: PersonId,
        context: &AuditContext,
        nth: u16,
    ) -> Result<()> {
        let gone: Vec<(String, String)> = on!(&mut self.0, db => sqlx::query_as(
            "DELETE FROM links WHERE team_id = $1 AND made_by = $2 RETURNING id, email")
            .bind(team.to_string()).bind(person.to_string()).fetch_all(&mut **db).await?);
        for (nth, (id, email)) in (nth..).zip(gone) {
            self.audit(&context.event(nth, team, Action::InvitationWithdrawn, id, email)).await?;
        }
        Ok(())
    }

    async fn add_link(&mut self, new: &NewLink<'_>, context: &AuditContext) -> Result<()> {
        let (person, team, email, role) = match new.purpose {
            Purpose::SetUp => (None, None, None, None),
            Purpose::Invite { team, email, role } => (None, Some(team), Some(email), Some(role)),
            Purpose::Reset { person } | Purpose::SignIn { person } => (Some(person), None, None, None),
        };
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO links (id, code_hash, purpose, person_id, team_id, email, email_canonical, role, made_by, \
                                made_by_name, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(new.id.to_string()).bind(new.code.as_bytes()).bind(new.purpose.as_str())
            .bind(person.map(ToString::to_string)).bind(team.map(ToString::to_string))
            .bind(email.map(Email::as_str)).bind(email.map(Email::canonical)).bind(role.map(|role| role.as_str()))
            .bind(context.by.person.map(|person| person.to_string())).bind(&context.by.name)
            .bind(context.at.ms()).bind(context.at.plus(LINK_TTL).ms())
            .execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    /// Deletes a link that can be used; of several who try at once, one succeeds.
    async fn use_link(&mut self, code: &SecretHash, now: Timestamp) -> Result<bool> {
        let rows = on!(&mut self.0, db => sqlx::query("DELETE FROM links WHERE code_hash = $1 AND expires_at > $2")
            .bind(code.as_bytes()).bind(now.ms()).execute(&mut **db).await?.rows_affected());
        Ok(rows == 1)
    }
}

impl TryFrom<Row> for Link {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let bad = || corrupt("links", &row.id);
        let person = || row.person_id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(bad);
        let purpose = match row.purpose.as_str() {
            "set_up" => Purpose::SetUp,
            "invite" => Purpose::Invite {
                team: row.team_id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(bad)?,
                email: row.email.as_deref().and_then(|email| Email::parse(email).ok()).ok_or_else(bad)?,
                role: row.role.as_deref().and_then(Role::parse_given).ok_or_else(bad)?,
            },
            "reset" => Purpose::Reset { person: person()? },
            "sign_in" => Purpose::SignIn { person: person()? },
            _ => return Err(bad()),
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            purpose,
            made_by: row.made_by_name,
            created_at: Timestamp::from_ms(row.created_at),
            expires_at: Timestamp::from_ms(row.expires_at),
        })
    }
}
