//! One-time links. A link is used by deleting its row, in the transaction of what it allows

use crate::error::{StoreError, corrupt};
use crate::members::NewMember;
use crate::sessions::NewSession;
use crate::statement::{sql, sql_of};
use crate::teams::NewTeam;
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{LinkId, PersonId, TeamId};
use keyhouse_domain::link::{LINK_TTL, Link, Purpose};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
pub(crate) struct LinkRow {
    id: String,
    purpose: String,
    person_id: Option<String>,
    team_id: Option<String>,
    email: Option<String>,
    role: Option<String>,
    made_by_name: String,
    created_at: i64,
    expires_at: i64,
}

/// A new link. Its row holds the hash of the code and never the code.
#[derive(Debug)]
pub struct NewLink<'a> {
    /// Its id.
    pub id: LinkId,
    /// The hash of its code.
    pub code: SecretHash,
    /// What it allows.
    pub purpose: &'a Purpose,
}

/// A person who is created by a link.
#[derive(Debug)]
pub struct NewPerson<'a> {
    /// Their id.
    pub id: PersonId,
    /// Their address.
    pub email: &'a Email,
    /// Their name.
    pub name: &'a PersonName,
    /// The hash of the password they chose.
    pub password: &'a PasswordHash,
}

/// Why the set-up link was not created.
#[derive(Debug, thiserror::Error)]
pub enum SetUpLinkError {
    /// There is a person already, or another node created the link in the same moment.
    #[error("Keyhouse is set up already, or another node is setting it up")]
    AlreadySetUp,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a link was not used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It was used, withdrawn or has expired; it is for something else; or its team is deleted.
    #[error("the link was used or has expired")]
    Gone,
    /// A person with this address exists, or is already in the team.
    #[error("an account with this email address already exists")]
    AlreadyExists,
    /// The database did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::AlreadyExists,
            error => Self::Store(error),
        }
    }
}

pub(crate) type LinkResult<T> = std::result::Result<T, LinkError>;

pub(crate) const SELECT: &str = "SELECT id, purpose, person_id, team_id, email, role, made_by_name, created_at, expires_at \
                      FROM links WHERE ";

impl Queries {
    /// The link with this code, if it can still be used.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn link(&self, code: &SecretHash, now: Timestamp) -> Result<Option<Link>> {
        let select = sql_of(&[SELECT, "code_hash = $1 AND expires_at > $2"]).bind(code.as_bytes()).bind(now);
        self.reads.fetch_optional::<LinkRow>(select).await?.map(Link::try_from).transpose()
    }
}

impl Store {
    /// Creates the set-up link, in place of an unused one.
    ///
    /// # Errors
    ///
    /// See [`SetUpLinkError`].
    pub async fn create_set_up_link(
        &self,
        new: NewLink<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), SetUpLinkError> {
        let mut tx = self.begin(context).await?;
        tx.lock_set_up().await?;
        if tx.has_people().await? {
            return Err(SetUpLinkError::AlreadySetUp);
        }
        tx.delete_set_up_link().await?;
        match tx.add_link(&new).await {
            // Another node that starts in the same moment created one: that link stays.
            Err(StoreError::Conflict(_)) => return Err(SetUpLinkError::AlreadySetUp),
            outcome => outcome?,
        }
        Ok(tx.commit().await?)
    }

    /// Creates a sign-in or password-reset link of a person, in place of their unused ones. A password-reset link ends all
    /// sessions of the person, because it may be a thief's session that it is for.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn create_personal_link(&self, person: PersonId, new: NewLink<'_>, context: &AuditContext) -> Result<()> {
        let mut tx = self.begin(context).await?;
        tx.lock_person(person).await?;
        tx.execute(sql("DELETE FROM links WHERE person_id = $1").bind(person)).await?;
        tx.add_link(&new).await?;
        if matches!(new.purpose, Purpose::Reset { .. }) && tx.end_sessions(person, None).await? > 0 {
            tx.audit_in_teams(person, Action::SignedOut, "everywhere").await?;
        }
        let (email,): (String,) = tx.fetch_one(sql("SELECT email FROM people WHERE id = $1").bind(person)).await?;
        tx.audit_in_teams(person, Action::LinkMade, &format!("for {email}")).await?;
        tx.commit().await
    }

    /// Creates the first person, their team and their session.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub async fn set_up(
        &self,
        code: &SecretHash,
        person: NewPerson<'_>,
        team: (TeamId, &TeamName),
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> LinkResult<Team> {
        let mut tx = self.begin(context).await?;
        tx.lock_set_up().await?;
        // Asked again under the lock: `team create` may have created the first person since the link was opened.
        if tx.has_people().await? {
            return Err(LinkError::Gone);
        }
        tx.use_link(code).await?;
        tx.add_person(person.id, person.email, person.name, Some(person.password)).await?;
        let owner = NewMember { person: person.id, email: person.email, name: person.name.clone(), role: Role::Owner };
        let team = tx.add_team(&NewTeam { id: team.0, name: team.1, owner }).await.map_err(LinkError::Store)?;
        tx.add_session(person.id, session).await?;
        tx.audit_in_teams(person.id, Action::SignedIn, &format!("with {}", session.browser)).await?;
        tx.commit().await?;
        Ok(team)
    }

    /// Sets a password by a link, ends all sessions of its person and begins one. Returns the person.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub async fn reset_password(
        &self,
        code: &SecretHash,
        password: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> LinkResult<PersonId> {
        let link = self.queries.link(code, context.at).await?;
        let Some(Link { purpose: Purpose::Reset { person }, .. }) = link else { return Err(LinkError::Gone) };
        let mut tx = self.begin(context).await?;
        tx.lock_person(person).await?;
        tx.use_link(code).await?;
        tx.set_password(person, password, session).await?;
        tx.commit().await?;
        Ok(person)
    }

    /// Begins a session by a link. Returns its person.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub async fn sign_in_by_link(
        &self,
        code: &SecretHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> LinkResult<PersonId> {
        let link = self.queries.link(code, context.at).await?;
        let Some(Link { purpose: Purpose::SignIn { person }, .. }) = link else { return Err(LinkError::Gone) };
        let mut tx = self.begin(context).await?;
        tx.lock_person(person).await?;
        tx.use_link(code).await?;
        tx.add_session(person, session).await?;
        let detail = format!("by a link, with {}", session.browser);
        tx.audit_in_teams(person, Action::SignedIn, &detail).await?;
        tx.commit().await?;
        Ok(person)
    }

    /// Deletes up to `batch` links that have expired; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_links(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let delete = sql("DELETE FROM links WHERE id IN (SELECT id FROM links WHERE expires_at <= $1 LIMIT $2)");
        self.writes.execute(delete.bind(now).bind(batch)).await
    }
}

impl Tx {
    /// Locks set-up until the commit: taken by everything that creates the set-up link or a person.
    pub(crate) async fn lock_set_up(&mut self) -> Result<()> {
        self.execute(sql("UPDATE settings SET value = value WHERE name = 'token.brand'")).await.map(drop)
    }

    /// Locks a person until the commit: before their links and sessions, in every transaction that writes these.
    async fn lock_person(&mut self, person: PersonId) -> Result<()> {
        self.execute(sql("UPDATE people SET name = name WHERE id = $1").bind(person)).await.map(drop)
    }

    async fn has_people(&mut self) -> Result<bool> {
        Ok(self.fetch_scalar::<i64>(sql("SELECT created_at FROM people LIMIT 1")).await?.is_some())
    }

    /// Once there is a person, Keyhouse is set up.
    pub(crate) async fn delete_set_up_link(&mut self) -> Result<()> {
        self.execute(sql("DELETE FROM links WHERE purpose = 'set_up'")).await.map(drop)
    }

    pub(crate) async fn add_link(&mut self, new: &NewLink<'_>) -> Result<()> {
        let (person, team, email, role) = match new.purpose {
            Purpose::SetUp => (None, None, None, None),
            Purpose::Invite { team, email, role } => (None, Some(*team), Some(email), Some(role)),
            Purpose::Reset { person } | Purpose::SignIn { person } => (Some(*person), None, None, None),
            Purpose::ChangeEmail { person, email } => (Some(*person), None, Some(email), None),
        };
        let (at, by) = (self.context.at, self.context.by.clone());
        let insert =
            sql("INSERT INTO links (id, code_hash, purpose, person_id, team_id, email, email_canonical, role, \
                                             made_by, made_by_name, created_at, expires_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(new.id)
            .bind(new.code.as_bytes())
            .bind(new.purpose.as_str())
            .bind(person)
            .bind(team)
            .bind(email.map(ToString::to_string))
            .bind(email.map(Email::canonical))
            .bind(role.map(|role| role.as_str().to_owned()))
            .bind(by.person)
            .bind(by.name)
            .bind(at)
            .bind(at.plus(LINK_TTL));
        self.execute(insert).await.map(drop)
    }

    /// Deletes a link that can be used; of several concurrent uses one succeeds.
    pub(crate) async fn use_link(&mut self, code: &SecretHash) -> LinkResult<()> {
        let delete = sql("DELETE FROM links WHERE code_hash = $1 AND expires_at > $2");
        let delete = delete.bind(code.as_bytes()).bind(self.context.at);
        match self.execute(delete).await? {
            0 => Err(LinkError::Gone),
            _ => Ok(()),
        }
    }
}

impl TryFrom<LinkRow> for Link {
    type Error = StoreError;

    fn try_from(row: LinkRow) -> Result<Self> {
        let bad = || corrupt("links", &row.id);
        let person = || row.person_id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(bad);
        let purpose = match row.purpose.as_str() {
            "set_up" => Purpose::SetUp,
            "invite" => Purpose::Invite {
                team: row.team_id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(bad)?,
                email: row.email.as_deref().and_then(|email| Email::from_stored(email).ok()).ok_or_else(bad)?,
                role: row.role.as_deref().and_then(Role::parse_given).ok_or_else(bad)?,
            },
            "reset" => Purpose::Reset { person: person()? },
            "sign_in" => Purpose::SignIn { person: person()? },
            "change_email" => Purpose::ChangeEmail {
                person: person()?,
                email: row.email.as_deref().and_then(|email| Email::from_stored(email).ok()).ok_or_else(bad)?,
            },
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
