//! Browser sessions

use std::collections::HashMap;

use crate::error::{StoreError, corrupt};
use crate::people::person;
use crate::statement::{ListArgs, sql, sql_of, sql_text};
use crate::tx::{Transaction, Tx};
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, SessionId};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::person::Person;
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::session::{ABSOLUTE_TIMEOUT, SESSIONS_MAX, Session};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct SessionRow {
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
}

/// A session that begins.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: SessionId,
    /// The hash of the cookie's secret.
    pub secret: SecretHash,
    /// The browser's name.
    pub browser: &'a str,
}

/// Why something that a password allows was not done.
#[derive(Debug, thiserror::Error)]
pub enum PasswordCheckError {
    /// The password was changed after it was verified, or the session ended.
    #[error("the password was changed meanwhile")]
    PasswordChanged,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const SELECT: &str = "SELECT sessions.id AS session_id, sessions.created_at AS session_created_at, seen_at, \
     authenticated_at, client_ip, browser, people.id AS id, email, name, \
     CAST(CASE WHEN password IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password \
     FROM sessions JOIN people ON people.id = person_id WHERE ";

impl Queries {
    /// The session with this secret that was not ended, and its person. The caller checks whether it has expired.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn session_by_secret(&self, secret: &SecretHash) -> Result<Option<(Session, Person)>> {
        let select = sql_of(&[SELECT, "secret_hash = $1 AND ended_at IS NULL"]).bind(secret.as_bytes());
        self.reads.fetch_optional::<SessionRow>(select).await?.map(SessionRow::read).transpose()
    }

    /// A person's sessions that were not ended, the last used first, 100 at most.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn sessions_of(&self, person: PersonId) -> Result<Vec<Session>> {
        let condition = "person_id = $1 AND ended_at IS NULL ORDER BY seen_at DESC, sessions.id DESC LIMIT 100";
        let rows: Vec<SessionRow> = self.reads.fetch_all(sql_of(&[SELECT, condition]).bind(person)).await?;
        rows.into_iter().map(|row| Ok(row.read()?.0)).collect()
    }

    /// When each of some people last used a session, as far as their sessions are still stored.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn last_seen(&self, people: &[PersonId]) -> Result<HashMap<PersonId, Timestamp>> {
        let mut seen = HashMap::with_capacity(people.len());
        for people in people.chunks(64) {
            let list = ListArgs::after(0, people);
            let select = sql_text(format!(
                "SELECT person_id, max(seen_at) FROM sessions WHERE person_id IN ({}) GROUP BY person_id",
                list.placeholders()
            ));
            let rows: Vec<(String, i64)> = self.reads.fetch_all(list.bind_to(select, |person| *person)).await?;
            for (person, at) in rows {
                let id = person.parse().map_err(|_| corrupt("sessions", &person))?;
                seen.insert(id, Timestamp::from_ms(at));
            }
        }
        Ok(seen)
    }

    /// The addresses that a person has signed in from, in sessions used after `since`, 100 at most.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn client_ips_of(&self, person: PersonId, since: Timestamp) -> Result<Vec<String>> {
        let select = sql("SELECT DISTINCT client_ip FROM sessions WHERE person_id = $1 AND seen_at > $2 LIMIT 100");
        let rows: Vec<(String,)> = self.reads.fetch_all(select.bind(person).bind(since)).await?;
        Ok(rows.into_iter().map(|(ip,)| ip).collect())
    }
}

impl Store {
    /// Stores that a session was used.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        let update = sql("UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2 AND ended_at IS NULL");
        self.writes.execute(update.bind(id).bind(at)).await.map(drop)
    }

    /// Begins a session by a password that was verified.
    ///
    /// # Errors
    ///
    /// [`PasswordCheckError::PasswordChanged`] if it is no longer the person's password.
    pub async fn sign_in(
        &self,
        person: PersonId,
        password: &PasswordHash,
        session: &NewSession<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), PasswordCheckError> {
        let mut tx = self.begin(context).await?;
        tx.lock_password(person, password).await?;
        tx.add_session(person, session).await?;
        tx.audit_in_teams(person, Action::SignedIn, &format!("with {}", session.browser)).await?;
        Ok(tx.commit().await?)
    }

    /// Stores that a session's person entered their password again, and gives the session a new secret.
    ///
    /// # Errors
    ///
    /// [`PasswordCheckError::PasswordChanged`] if it is no longer the person's password, or the session has ended.
    pub async fn mark_reauthenticated(
        &self,
        person: PersonId,
        password: &PasswordHash,
        id: SessionId,
        secret: SecretHash,
        at: Timestamp,
    ) -> std::result::Result<(), PasswordCheckError> {
        let mut tx = self.begin_unaudited().await?;
        tx.lock_password(person, password).await?;
        let update = sql("UPDATE sessions SET authenticated_at = $2, seen_at = $2, secret_hash = $3 \
                          WHERE id = $1 AND person_id = $4 AND ended_at IS NULL")
        .bind(id)
        .bind(at)
        .bind(secret.as_bytes())
        .bind(person);
        if tx.execute(update).await? == 0 {
            return Err(PasswordCheckError::PasswordChanged);
        }
        Ok(tx.commit().await?)
    }

    /// Writes to the person's teams' logs that a wrong password was entered for them.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn audit_failed_sign_in(&self, person: PersonId, context: &AuditContext) -> Result<()> {
        let mut tx = self.begin(context).await?;
        tx.audit_in_teams(person, Action::SignInFailed, "wrong password").await?;
        tx.commit().await
    }

    /// Ends one of a person's sessions, or all; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn end_sessions(&self, person: PersonId, one: Option<SessionId>, context: &AuditContext) -> Result<u64> {
        let mut tx = self.begin(context).await?;
        let ended = tx.end_sessions(person, one).await?;
        if ended > 0 {
            let detail = if one.is_some() { "one browser" } else { "everywhere" };
            tx.audit_in_teams(person, Action::SignedOut, detail).await?;
            tx.commit().await?;
        }
        Ok(ended)
    }

    /// Deletes up to `batch` sessions that were last used [`ABSOLUTE_TIMEOUT`] ago; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_sessions(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let delete = sql("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE seen_at <= $1 LIMIT $2)");
        self.writes.execute(delete.bind(now.minus(ABSOLUTE_TIMEOUT)).bind(batch)).await
    }
}

impl Transaction {
    /// Locks the person's row, if the password is still the one that was verified.
    pub(crate) async fn lock_password(
        &mut self,
        person: PersonId,
        password: &PasswordHash,
    ) -> std::result::Result<(), PasswordCheckError> {
        let lock = sql("UPDATE people SET password = password WHERE id = $1 AND password = $2");
        match self.execute(lock.bind(person).bind(password.as_str())).await? {
            0 => Err(PasswordCheckError::PasswordChanged),
            _ => Ok(()),
        }
    }
}

impl Tx {
    /// Begins a session of the person, from the context's address; ends the person's oldest beyond [`SESSIONS_MAX`].
    pub(crate) async fn add_session(&mut self, person: PersonId, session: &NewSession<'_>) -> Result<()> {
        let (at, source) = (self.context.at, self.context.source.clone());
        let insert = sql("INSERT INTO sessions (id, secret_hash, person_id, created_at, seen_at, authenticated_at, \
                                                client_ip, browser) \
                          VALUES ($1, $2, $3, $4, $4, $4, $5, $6)")
        .bind(session.id)
        .bind(session.secret.as_bytes())
        .bind(person)
        .bind(at)
        .bind(source)
        .bind(session.browser);
        self.execute(insert).await?;
        let end_oldest =
            sql("UPDATE sessions SET ended_at = $2 WHERE person_id = $1 AND ended_at IS NULL AND id NOT IN \
                              (SELECT id FROM sessions WHERE person_id = $1 AND ended_at IS NULL \
                               ORDER BY created_at DESC, id DESC LIMIT $3)")
            .bind(person)
            .bind(at)
            .bind(i64::from(SESSIONS_MAX));
        self.execute(end_oldest).await.map(drop)
    }

    /// Ends one of a person's sessions, or all; returns how many.
    pub(crate) async fn end_sessions(&mut self, person: PersonId, one: Option<SessionId>) -> Result<u64> {
        let update = sql("UPDATE sessions SET ended_at = $2 \
                          WHERE person_id = $1 AND ended_at IS NULL AND ($3 IS NULL OR id = $3)")
        .bind(person)
        .bind(self.context.at)
        .bind(one);
        self.execute(update).await
    }
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
