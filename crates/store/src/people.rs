//! People and their passwords. What a person does to their account is audited in each of their teams

use crate::error::{StoreError, corrupt};
use crate::sessions::{NewSession, PasswordCheckError};
use crate::statement::{Statement, sql, sql_of, sql_text};
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::person::{Email, EmailLookup, Person, PersonName};

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: String,
    email: String,
    name: String,
    password: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Profile {
    name: String,
    email: String,
    pending_email: Option<String>,
}

/// A person and the hash of their password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The person.
    pub person: Person,
    /// `None` until they choose a password.
    pub password: Option<PasswordHash>,
}

/// Why a profile was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeProfileError {
    /// Another person has the address.
    #[error("another person has this address")]
    EmailTaken,
    /// The database did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ChangeProfileError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::EmailTaken,
            error => Self::Store(error),
        }
    }
}

const SELECT: &str = "SELECT id, email, name, password FROM people WHERE ";

/// The row that the forms of an address name, the best form first. [`bind_forms`] binds them.
pub(crate) const BY_EMAIL: &str = "email_canonical IN ($1, $2, $3) \
                                   ORDER BY CASE email_canonical WHEN $1 THEN 1 WHEN $2 THEN 2 ELSE 3 END LIMIT 1";

pub(crate) fn bind_forms(statement: Statement, email: &EmailLookup) -> Statement {
    email.forms().iter().fold(statement, |statement, form| statement.bind(form))
}

impl Queries {
    /// A person by address, in any form of it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn person_by_email(&self, email: impl Into<EmailLookup>) -> Result<Option<Credentials>> {
        let select = bind_forms(sql_of(&[SELECT, BY_EMAIL]), &email.into());
        self.reads.fetch_optional::<PersonRow>(select).await?.map(Credentials::try_from).transpose()
    }

    /// Whether there is a person: until then Keyhouse is not set up.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn has_people(&self) -> Result<bool> {
        let select = sql("SELECT created_at FROM people LIMIT 1");
        Ok(self.reads.fetch_optional::<(i64,)>(select).await?.is_some())
    }

    /// A person by id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn person(&self, id: PersonId) -> Result<Option<Credentials>> {
        let select = sql_of(&[SELECT, "id = $1"]).bind(id);
        self.reads.fetch_optional::<PersonRow>(select).await?.map(Credentials::try_from).transpose()
    }

    /// The addresses that some people have now, without those whose accounts were removed.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn emails_of(&self, people: &[PersonId]) -> Result<Vec<(PersonId, Email)>> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (1..=people.len()).map(|n| format!("${n}")).collect();
        let text = format!("SELECT id, email FROM people WHERE removed_at IS NULL AND id IN ({})", places.join(", "));
        let select = people.iter().fold(sql_text(text), |select, person| select.bind(*person));
        let rows: Vec<(String, String)> = self.reads.fetch_all(select).await?;
        let read = |(id, email): (String, String)| {
            let email = Email::from_stored(&email).map_err(|_| corrupt("people", &id))?;
            Ok((id.parse().map_err(|_| corrupt("people", &id))?, email))
        };
        rows.into_iter().map(read).collect()
    }
}

impl Store {
    /// Sets a new password in place of `old`, ends all sessions of the person and begins one.
    ///
    /// # Errors
    ///
    /// [`PasswordCheckError::PasswordChanged`] if `old` is no longer the person's password.
    pub async fn change_password(
        &self,
        person: PersonId,
        old: &PasswordHash,
        new: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), PasswordCheckError> {
        let mut tx = self.begin(context).await?;
        tx.lock_password(person, old).await?;
        tx.set_password(person, new, session).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a person another name, and stores the address that they ask for. Returns whether the address is pending: it
    /// is, unless it is another spelling of the person's own. Asking for the own address ends a pending one.
    ///
    /// Whether the address is free is checked when its link is used: an answer here would tell who has an account.
    ///
    /// # Errors
    ///
    /// See [`ChangeProfileError`].
    pub async fn change_profile(
        &self,
        person: PersonId,
        name: &PersonName,
        email: &Email,
        context: &AuditContext,
    ) -> std::result::Result<bool, ChangeProfileError> {
        let mut tx = self.begin(context).await?;
        let lock = sql("UPDATE people SET name = name WHERE id = $1 RETURNING name, email, pending_email").bind(person);
        let old: Profile = tx.fetch_one(lock).await?;
        let is_own = Email::from_stored(&old.email).is_ok_and(|own| own.canonical() == email.canonical());
        let (shown, canonical) = if is_own { (email.as_str(), Some(email.canonical())) } else { (&*old.email, None) };
        let pending = (!is_own).then(|| email.to_string());
        if old.name == name.as_str() && old.email == shown && old.pending_email == pending {
            return Ok(!is_own);
        }
        let mut detail = format!("“{name}”, {shown}");
        if pending.is_some() && pending != old.pending_email {
            detail.push_str(&format!("; asked for the address {email}"));
        }
        let update = sql("UPDATE people SET name = $2, email = $3, email_canonical = COALESCE($4, email_canonical), \
                          pending_email = $5 WHERE id = $1")
        .bind(person)
        .bind(name.as_str())
        .bind(shown)
        .bind(canonical.map(str::to_owned))
        .bind(pending);
        tx.execute(update).await?;
        tx.audit_in_teams(person, Action::ProfileChanged, &detail).await?;
        tx.commit().await?;
        Ok(!is_own)
    }
}

impl Tx {
    /// Adds a person, and deletes the set-up link: setting up is for an empty database.
    pub(crate) async fn add_person(
        &mut self,
        id: PersonId,
        email: &Email,
        name: &PersonName,
        password: Option<&PasswordHash>,
    ) -> Result<()> {
        let at = self.context.at;
        self.lock_set_up().await?;
        self.delete_set_up_link().await?;
        let insert = sql("INSERT INTO people (id, email, email_canonical, name, password, created_at) \
                          VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id)
        .bind(email.as_str())
        .bind(email.canonical())
        .bind(name.as_str())
        .bind(password.map(|password| password.as_str().to_owned()))
        .bind(at);
        self.execute(insert).await?;
        Ok(())
    }

    /// Sets a password, ends all sessions of the person, deletes their links and begins a session.
    pub(crate) async fn set_password(
        &mut self,
        person: PersonId,
        password: &PasswordHash,
        session: &NewSession<'_>,
    ) -> Result<()> {
        let update = sql("UPDATE people SET password = $2 WHERE id = $1").bind(person).bind(password.as_str());
        self.execute(update).await?;
        self.execute(sql("DELETE FROM links WHERE person_id = $1").bind(person)).await?;
        self.end_sessions(person, None).await?;
        self.add_session(person, session).await?;
        self.audit_in_teams(person, Action::PasswordChanged, "all browsers signed out").await
    }

    /// Writes one event to the log of each team that the person is in.
    pub(crate) async fn audit_in_teams(&mut self, person: PersonId, action: Action, detail: &str) -> Result<()> {
        let select = sql("SELECT team_id FROM members WHERE person_id = $1").bind(person);
        for team in self.fetch_scalars::<String>(select).await? {
            let team: TeamId = team.parse().map_err(|_| corrupt("members", &team))?;
            self.audit(team, action, person, detail.to_owned()).await?;
        }
        Ok(())
    }
}

impl TryFrom<PersonRow> for Credentials {
    type Error = StoreError;

    fn try_from(row: PersonRow) -> Result<Self> {
        let person = person(row.id, &row.email, &row.name, row.password.is_some())?;
        Ok(Self { person, password: row.password.map(PasswordHash::new) })
    }
}

/// A person from the columns of their row.
pub(crate) fn person(id: String, email: &str, name: &str, has_password: bool) -> Result<Person> {
    let bad = || corrupt("people", &id);
    Ok(Person {
        email: Email::from_stored(email).map_err(|_| bad())?,
        name: PersonName::from_stored(name).map_err(|_| bad())?,
        id: id.parse().map_err(|_| bad())?,
        has_password,
    })
}
