//! Accounts as the operator manages them: list, change an address, set a first password, remove

use std::collections::HashMap;

use crate::error::{StoreError, corrupt};
use crate::links::{LinkError, LinkResult, NewLink};
use crate::people::{BY_EMAIL, bind_forms, person};
use crate::statement::{sql, sql_of};
use crate::teams::TeamRow;
use crate::{Queries, Result, Store};
use keyhouse_domain::account::Account;
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::permission::{Forbidden, TeamAdmin};
use keyhouse_domain::person::{Email, EmailLookup};
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::SecretHash;
use keyhouse_domain::team::Team;
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: String,
    email: String,
    name: String,
    has_password: i64,
    created_at: i64,
    pending_email: Option<String>,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    person_id: String,
    role: String,
    id: String,
    slug: String,
    name: String,
    created_at: i64,
    key_lifetime_days: Option<i64>,
}

/// Why an account was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovePersonError {
    /// There is no such account, or it was removed before.
    #[error("there is no such account")]
    NoSuchPerson,
    /// The person is a member of a team.
    #[error("the person is in a team: remove them from it first, and transfer or delete a team that they own")]
    InTeam,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no link for a new address was created.
#[derive(Debug, thiserror::Error)]
pub enum EmailLinkError {
    /// There is no such account, or it is not in the admin's team.
    #[error("there is no such member")]
    NoSuchPerson,
    /// Another account has the address.
    #[error("another account has this address")]
    EmailTaken,
    /// The person has not asked for this address, or no longer.
    #[error("the person has not asked for this address")]
    NotPending,
    /// The actor may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const SELECT: &str = "SELECT id, email, name, CAST(CASE WHEN password IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password, created_at, \
                      pending_email FROM people WHERE removed_at IS NULL AND ";

const MEMBERSHIPS: &str = "SELECT person_id, role, teams.id, slug, teams.name, teams.created_at, key_lifetime_days \
                           FROM members JOIN teams ON teams.id = team_id WHERE deleted_at IS NULL AND ";

impl Queries {
    /// The account that an address names.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn account(&self, email: impl Into<EmailLookup>) -> Result<Option<Account>> {
        let select = bind_forms(sql_of(&[SELECT, BY_EMAIL]), &email.into());
        let Some(row) = self.reads.fetch_optional::<AccountRow>(select).await? else { return Ok(None) };
        let select = sql_of(&[MEMBERSHIPS, "person_id = $1 ORDER BY slug"]).bind(&row.id);
        let teams = self.reads.fetch_all::<MembershipRow>(select).await?;
        let teams = teams.into_iter().map(MembershipRow::read).collect::<Result<_>>()?;
        row.read(teams).map(Some)
    }

    /// All accounts by address.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let select = sql_of(&[MEMBERSHIPS, "1 = 1 ORDER BY slug"]);
        let mut teams: HashMap<String, Vec<(Team, Role)>> = HashMap::new();
        for row in self.reads.fetch_all::<MembershipRow>(select).await? {
            teams.entry(row.person_id.clone()).or_default().push(row.read()?);
        }
        let rows: Vec<AccountRow> = self.reads.fetch_all(sql_of(&[SELECT, "1 = 1 ORDER BY email_canonical"])).await?;
        rows.into_iter()
            .map(|row| {
                let teams = teams.remove(&row.id).unwrap_or_default();
                row.read(teams)
            })
            .collect()
    }
}

impl Store {
    /// Sets the password of a person who has none. Returns whether it was set.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn set_first_password(
        &self,
        person: PersonId,
        password: &PasswordHash,
        context: &AuditContext,
    ) -> Result<bool> {
        let mut tx = self.begin(context).await?;
        let update = sql("UPDATE people SET password = $2 WHERE id = $1 AND password IS NULL RETURNING email");
        let Some(email) = tx.fetch_scalar::<String>(update.bind(person).bind(password.as_str())).await? else {
            return Ok(false);
        };
        tx.audit_in_teams(person, Action::PasswordChanged, &format!("of {email}, their first one")).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes an account that is in no team: its sessions, links, password and address. The row stays with the name,
    /// because keys and audit events refer to it.
    ///
    /// # Errors
    ///
    /// See [`RemovePersonError`].
    pub async fn remove_person(&self, person: PersonId, at: Timestamp) -> std::result::Result<(), RemovePersonError> {
        let mut tx = self.begin_unaudited().await?;
        // The row is written first: a new membership, whose foreign key locks the row, waits or is seen below.
        let update =
            sql("UPDATE people SET email = id || '@removed.invalid', email_canonical = id || '@removed.invalid', \
                          pending_email = NULL, password = NULL, removed_at = $2 WHERE id = $1 AND removed_at IS NULL");
        if tx.execute(update.bind(person).bind(at)).await? == 0 {
            return Err(RemovePersonError::NoSuchPerson);
        }
        let member = sql("SELECT role FROM members WHERE person_id = $1 LIMIT 1").bind(person);
        if tx.fetch_scalar::<String>(member).await?.is_some() {
            return Err(RemovePersonError::InTeam);
        }
        for delete in ["DELETE FROM sessions WHERE person_id = $1", "DELETE FROM links WHERE person_id = $1"] {
            tx.execute(sql(delete).bind(person)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Creates a link that gives a person a new address, in place of their unused links. From then on the address is
    /// pending.
    ///
    /// An admin may do so for a member of their team and for the address that the member asked for; `None` is the command
    /// line, which may do so for any address.
    ///
    /// # Errors
    ///
    /// See [`EmailLinkError`]; [`EmailLinkError::NotPending`] also if the link is for something else.
    pub async fn create_email_link(
        &self,
        admin: Option<&TeamAdmin>,
        new: NewLink<'_>,
        context: &AuditContext,
    ) -> std::result::Result<(), EmailLinkError> {
        let Purpose::ChangeEmail { person, email } = new.purpose else { return Err(EmailLinkError::NotPending) };
        let mut tx = self.begin(context).await?;
        if let Some(admin) = admin {
            tx.lock_and_authorize(admin).await??;
            let member = sql("SELECT role FROM members WHERE team_id = $1 AND person_id = $2");
            if tx.fetch_scalar::<String>(member.bind(admin.team()).bind(*person)).await?.is_none() {
                return Err(EmailLinkError::NoSuchPerson);
            }
            let pending = sql("SELECT pending_email FROM people WHERE id = $1 AND pending_email = $2");
            if tx.fetch_scalar::<String>(pending.bind(*person).bind(email.as_str())).await?.is_none() {
                return Err(EmailLinkError::NotPending);
            }
        }
        let taken = bind_forms(sql_of(&["SELECT id FROM people WHERE ", BY_EMAIL]), &email.lookup());
        if tx.fetch_scalar::<String>(taken).await?.is_some_and(|id| id != person.to_string()) {
            return Err(EmailLinkError::EmailTaken);
        }
        let update = sql("UPDATE people SET pending_email = $2 WHERE id = $1 AND removed_at IS NULL");
        if tx.execute(update.bind(*person).bind(email.as_str())).await? == 0 {
            return Err(EmailLinkError::NoSuchPerson);
        }
        tx.execute(sql("DELETE FROM links WHERE person_id = $1").bind(*person)).await?;
        tx.add_link(&new).await?;
        tx.audit_in_teams(*person, Action::LinkMade, &format!("for the new address {email}")).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a person the address of a link. Returns the person.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub async fn confirm_email(&self, code: &SecretHash, context: &AuditContext) -> LinkResult<PersonId> {
        let link = self.queries.link(code, context.at).await?;
        let Some(Link { purpose: Purpose::ChangeEmail { person, email }, .. }) = link else {
            return Err(LinkError::Gone);
        };
        let mut tx = self.begin(context).await?;
        tx.use_link(code).await?;
        let old = sql("SELECT email FROM people WHERE id = $1 AND removed_at IS NULL").bind(person);
        let old: String = tx.fetch_scalar(old).await?.ok_or(LinkError::Gone)?;
        let update = sql("UPDATE people SET email = $2, email_canonical = $3, pending_email = NULL WHERE id = $1");
        tx.execute(update.bind(person).bind(email.as_str()).bind(email.canonical())).await?;
        // Links that were sent to the old address.
        tx.execute(sql("DELETE FROM links WHERE person_id = $1").bind(person)).await?;
        tx.audit_in_teams(person, Action::ProfileChanged, &format!("{old} to {email}")).await?;
        tx.commit().await?;
        Ok(person)
    }
}

impl AccountRow {
    fn read(self, teams: Vec<(Team, Role)>) -> Result<Account> {
        let pending = self.pending_email.as_deref().map(Email::from_stored).transpose();
        let pending_email = pending.map_err(|_| corrupt("people", &self.id))?;
        let person = person(self.id, &self.email, &self.name, self.has_password != 0)?;
        Ok(Account { person, created_at: Timestamp::from_ms(self.created_at), pending_email, teams })
    }
}

impl MembershipRow {
    fn read(self) -> Result<(Team, Role)> {
        let role = Role::parse(&self.role).ok_or_else(|| corrupt("members", &self.id))?;
        let row = TeamRow {
            id: self.id,
            slug: self.slug,
            name: self.name,
            created_at: self.created_at,
            key_lifetime_days: self.key_lifetime_days,
        };
        Ok((Team::try_from(row)?, role))
    }
}
