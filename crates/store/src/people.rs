//! People, their passwords and their browsers' sessions ⇄ rows. What they do is noted in the log of each of their teams.

use crate::{Result, Store, StoreError, Tx, corrupt, on, record};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, SessionId, TeamId};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::person::Person;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::session::{ABSOLUTE_TIMEOUT, Session};
use keyhouse_domain::timestamp::Timestamp;

record!(PersonRow { id: String, email: String, name: String, password: Option<String> });

record!(SessionRow {
    session_id: String,
    session_created_at: i64,
    seen_at: i64,
    authenticated_at: i64,
    client_ip: String,
    browser: String,
    id: String,
    email: String,
    name: String,
    has_password: i64,
});

/// A person with what their password is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub person: Person,
    pub password: Option<PasswordHash>,
}

/// A session that begins.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub id: SessionId,
    pub secret: SecretHash,
    pub browser: &'a str,
}

/// Another person has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmailTaken;

macro_rules! select_session {
    ($rest:literal) => {
        concat!(
            "SELECT sessions.id AS session_id, sessions.created_at AS session_created_at, seen_at, authenticated_at, client_ip, \
             browser, people.id AS id, email, name, \
             CAST(CASE WHEN password IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password FROM sessions JOIN people ON people.id = person_id WHERE ",
            $rest
        )
    };
}

impl Store {
    pub async fn person_by_email(&self, email: &Email) -> Result<Option<Credentials>> {
        let row: Option<PersonRow> = on!(&self.reads, db => sqlx::query_as(
            "SELECT id, email, name, password FROM people WHERE email_canonical = $1")
            .bind(email.canonical()).fetch_optional(db).await?);
        row.map(Credentials::try_from).transpose()
    }

    /// Whether anybody has an account.
    pub async fn has_people(&self) -> Result<bool> {
        let found: Option<i64> = on!(&self.reads, db => sqlx::query_scalar("SELECT created_at FROM people LIMIT 1").fetch_optional(db).await?);
        Ok(found.is_some())
    }

    pub async fn person(&self, id: PersonId) -> Result<Option<Credentials>> {
        let row: Option<PersonRow> = on!(&self.reads, db => sqlx::query_as(
            "SELECT id, email, name, password FROM people WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?);
        row.map(Credentials::try_from).transpose()
    }

    /// The session with this secret that has not been ended, and whose it is. Whether it has run out, its reader judges.
    pub async fn session_by_secret(&self, secret: &SecretHash) -> Result<Option<(Session, Person)>> {
        let row: Option<SessionRow> = on!(&self.reads, db => sqlx::query_as(
            select_session!("secret_hash = $1 AND ended_at IS NULL"))
            .bind(secret.as_bytes()).fetch_optional(db).await?);
        row.map(SessionRow::read).transpose()
    }

    /// A person's sessions that have not been ended, the last used first.
    pub async fn sessions_of(&self, person: PersonId) -> Result<Vec<Session>> {
        let rows: Vec<SessionRow> = on!(&self.reads, db => sqlx::query_as(
            select_session!("person_id = $1 AND ended_at IS NULL ORDER BY seen_at DESC, sessions.id DESC LIMIT 100"))
            .bind(person.to_string()).fetch_all(db).await?);
        rows.into_iter().map(|row| Ok(row.read()?.0)).collect()
    }

    /// The addresses that a person has signed in from, in sessions used after `since`.
    pub async fn client_ips_of(&self, person: PersonId, since: Timestamp) -> Result<Vec<String>> {
        Ok(on!(&self.reads, db => sqlx::query_scalar(
            "SELECT DISTINCT client_ip FROM sessions WHERE person_id = $1 AND seen_at > $2 LIMIT 100")
            .bind(person.to_string()).bind(since.ms()).fetch_all(db).await?))
    }

    /// Notes that a session was used.
    pub async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        on!(&self.writes, db => sqlx::query(
            "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2 AND ended_at IS NULL")
            .bind(id.to_string()).bind(at.ms()).execute(db).await?.rows_affected());
        Ok(())
    }

    /// Begins a session by a password that is still the person's. `false`: it was changed meanwhile.
    pub async fn sign_in(
        &self,
        person: PersonId,
        password: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_password(person, password).await? {
            return Ok(false);
        }
        tx.add_session(person, session, context).await?;
        tx.audit_in_teams(person, Action::CurrentUser, &format!("with {}", session.browser), context, 0).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that a session's person proved who they are, and gives it a new secret. `false`: it has ended, or the
    /// password was changed meanwhile.
    pub async fn mark_reauthenticated(
        &self,
        person: PersonId,
        password: &PasswordHash,
        id: SessionId,
        secret: SecretHash,
        at: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_password(person, password).await? {
            return Ok(false);
        }
        let rows = on!(&mut tx.0, db => sqlx::query(
            "UPDATE sessions SET authenticated_at = $2, seen_at = $2, secret_hash = $3 \
             WHERE id = $1 AND person_id = $4 AND ended_at IS NULL")
            .bind(id.to_string()).bind(at.ms()).bind(secret.as_bytes()).bind(person.to_string())
            .execute(&mut **db).await?.rows_affected());
        tx.commit().await?;
        Ok(rows == 1)
    }

    /// Writes down that somebody tried to sign in as a person and could not.
    pub async fn note_failed_sign_in(&self, person: PersonId, context: &AuditContext) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.audit_in_teams(person, Action::SignInFailed, "wrong password", context, 0).await?;
        tx.commit().await
    }

    /// Ends one of a person's sessions, or all; says how many.
    pub async fn end_sessions(&self, person: PersonId, one: Option<SessionId>, context: &AuditContext) -> Result<u64> {
        let mut tx = self.begin().await?;
        let ended = tx.end_sessions(person, one, context).await?;
        if ended > 0 {
            let detail = if one.is_some() { "one browser" } else { "everywhere" };
            tx.audit_in_teams(person, Action::SignedOut, detail, context, 0).await?;
            tx.commit().await?;
        }
        Ok(ended)
    }

    /// Sets a new password in place of `old`, ends all sessions, and begins one. `false`: `old` is not it any more.
    pub async fn change_password(
        &self,
        person: PersonId,
        old: &PasswordHash,
        new: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_password(person, old).await? {
            return Ok(false);
        }
        tx.set_password(person, new, session, context).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn change_profile(
        &self,
        person: PersonId,
        name: &PersonName,
        email: &Email,
        context: &AuditContext,
    ) -> Result<std::result::Result<(), EmailTaken>> {
        let mut tx = self.begin().await?;
        let written = on!(&mut tx.0, db => sqlx::query(
            "UPDATE people SET name = $2, email = $3, email_canonical = $4 WHERE id = $1 AND (name <> $2 OR email <> $3)")
            .bind(person.to_string()).bind(name.as_str()).bind(email.as_str()).bind(email.canonical())
            .execute(&mut **db).await.map(|done| done.rows_affected()));
        match written.map_err(StoreError::from) {
            Err(StoreError::Conflict(_)) => return Ok(Err(EmailTaken)),
            // As it was.
            Ok(0) => return Ok(Ok(())),
            other => other?,
        };
        tx.audit_in_teams(person, Action::ProfileChanged, &format!("\"{name}\", {email}"), context, 0).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Deletes up to `batch` sessions that nobody has used for 30 days; says how many.
    pub async fn purge_sessions(&self, now: Timestamp, batch: u32) -> Result<u64> {
        Ok(on!(&self.writes, db => sqlx::query(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE seen_at <= $1 LIMIT $2)")
            .bind(now.minus(ABSOLUTE_TIMEOUT).ms()).bind(i64::from(batch)).execute(db).await?.rows_affected()))
    }
}

impl Tx {
    /// Locks the person's row, if the password is still the one that was compared.
    async fn lock_password(&mut self, person: PersonId, password: &PasswordHash) -> Result<bool> {
        let rows = on!(&mut self.0, db => sqlx::query("UPDATE people SET password = password WHERE id = $1 AND password = $2")
            .bind(person.to_string()).bind(password.as_str()).execute(&mut **db).await?.rows_affected());
        Ok(rows == 1)
    }

    pub(crate) async fn add_person(
        &mut self,
        id: PersonId,
        email: &Email,
        name: &PersonName,
        password: Option<&PasswordHash>,
        context: &AuditContext,
    ) -> Result<()> {
        self.end_set_up().await?;
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO people (id, email, email_canonical, name, password, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(id.to_string()).bind(email.as_str()).bind(email.canonical()).bind(name.as_str())
            .bind(password.map(PasswordHash::as_str)).bind(context.at.ms()).execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    pub(crate) async fn add_session(
        &mut self,
        person: PersonId,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<()> {
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO sessions (id, secret_hash, person_id, created_at, seen_at, authenticated_at, client_ip, browser) \
             VALUES ($1, $2, $3, $4, $4, $4, $5, $6)")
            .bind(session.id.to_string()).bind(session.secret.as_bytes()).bind(person.to_string()).bind(context.at.ms())
            .bind(&context.source).bind(session.browser).execute(&mut **db).await?.rows_affected());
        Ok(())
    }

    async fn end_sessions(&mut self, person: PersonId, one: Option<SessionId>, context: &AuditContext) -> Result<u64> {
        Ok(on!(&mut self.0, db => sqlx::query(
            "UPDATE sessions SET ended_at = $2 WHERE person_id = $1 AND ended_at IS NULL AND ($3 IS NULL OR id = $3)")
            .bind(person.to_string()).bind(context.at.ms()).bind(one.map(|id| id.to_string()))
            .execute(&mut **db).await?.rows_affected()))
    }

    pub(crate) async fn set_password(
        &mut self,
        person: PersonId,
        password: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> Result<()> {
        on!(&mut self.0, db => sqlx::query("UPDATE people SET password = $2 WHERE id = $1")
            .bind(person.to_string()).bind(password.as_str()).execute(&mut **db).await?.rows_affected());
        // Whatever else would let somebody in as this person ends too.
        on!(&mut self.0, db => sqlx::query("DELETE FROM links WHERE person_id = $1")
            .bind(person.to_string()).execute(&mut **db).await?.rows_affected());
        self.end_sessions(person, None, context).await?;
        self.add_session(person, session, context).await?;
        self.audit_in_teams(person, Action::PasswordChanged, "all browsers signed out", context, 0).await
    }

    /// One event in the log of each team that the person is in, numbered from `nth` on.
    pub(crate) async fn audit_in_teams(
        &mut self,
        person: PersonId,
        action: Action,
        detail: &str,
        context: &AuditContext,
        nth: u16,
    ) -> Result<()> {
        let teams: Vec<String> = on!(&mut self.0, db => sqlx::query_scalar("SELECT team_id FROM members WHERE person_id = $1")
            .bind(person.to_string()).fetch_all(&mut **db).await?);
        for (nth, team) in (nth..).zip(teams) {
            let team: TeamId = team.parse().map_err(|_| corrupt("members", &team))?;
            self.audit(&context.event(nth, team, action, person, detail.to_owned())).await?;
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

fn person(id: String, email: &str, name: &str, has_password: bool) -> Result<Person> {
    let bad = || corrupt("people", &id);
    Ok(Person {
        email: Email::parse(email).map_err(|_| bad())?,
        name: PersonName::parse(name).map_err(|_| bad())?,
        id: id.parse().map_err(|_| bad())?,
        has_password,
    })
}

impl SessionRow {
    fn read(self) -> Result<(Session, Person)> {
        let id = self.session_id.parse().map_err(|_| corrupt("sessions", &self.session_id))?;
        let person = person(self.id, &self.email, &self.name, self.has_password != 0)?;
        let session = Session {
            id,
            person: person.id,
            created_at: Timestamp::from_ms(self.session_created_at),
            seen_at: Timestamp::from_ms(self.seen_at),
            authenticated_at: Timestamp::from_ms(self.authenticated_at),
            client_ip: self.client_ip,
            browser: self.browser,
        };
        Ok((session, person))
    }
}
