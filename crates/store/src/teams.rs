//! Teams

use crate::error::{StoreError, corrupt};
use crate::members::NewMember;
use crate::statement::{sql, sql_of};
use crate::tx::Tx;
use crate::{Queries, Result, Store};
use keyhouse_domain::api_key::{KeyLifetime, ListedKey};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::permission::{Forbidden, TeamAdmin, TeamOwner};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Slug, Team, TeamName, TeamRef};
use keyhouse_domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
pub(crate) struct TeamRow {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) key_lifetime_days: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    #[sqlx(flatten)]
    team: TeamRow,
    role: String,
}

#[derive(sqlx::FromRow)]
struct TeamOrDeletedRow {
    #[sqlx(flatten)]
    team: TeamRow,
    deleted_at: Option<i64>,
}

/// A new team with its owner.
#[derive(Debug)]
pub struct NewTeam<'a> {
    /// Its id.
    pub id: TeamId,
    /// Its name. Its slug is the first free one of this name.
    pub name: &'a TeamName,
    /// Its owner, who may be a new person.
    pub owner: NewMember<'a>,
}

/// Why a team was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeTeamError {
    /// Another admin gave the team this name after the form was opened.
    #[error("the team was renamed in the meantime")]
    Renamed(String),
    /// The actor may not, or the team is deleted.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the maximum lifetime of a team's new keys was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetKeyLifetimeError {
    /// Another admin set this one after the form was opened.
    #[error("the team's maximum key lifetime was changed in the meantime")]
    Changed(Option<KeyLifetime>),
    /// The actor may not, or the team is deleted.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often another free slug is chosen after a concurrent transaction took the one before.
const SLUG_TRIES: u32 = 8;

const SELECT: &str = "SELECT id, slug, name, created_at, key_lifetime_days FROM teams ";

impl Queries {
    /// All teams, by slug.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn teams(&self) -> Result<Vec<Team>> {
        let select = sql_of(&[SELECT, "WHERE deleted_at IS NULL ORDER BY slug"]);
        self.reads.fetch_all::<TeamRow>(select).await?.into_iter().map(Team::try_from).collect()
    }

    /// One team, by id or slug; `None` also if it is deleted.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn team(&self, team: &TeamRef) -> Result<Option<Team>> {
        let select = match team {
            TeamRef::Id(id) => sql_of(&[SELECT, "WHERE id = $1 AND deleted_at IS NULL"]).bind(*id),
            TeamRef::Slug(slug) => sql_of(&[SELECT, "WHERE slug = $1 AND deleted_at IS NULL"]).bind(slug),
        };
        self.reads.fetch_optional::<TeamRow>(select).await?.map(Team::try_from).transpose()
    }

    /// A team by id and when it was deleted, if it was. The slug of a deleted team is `deleted`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn team_or_deleted(&self, id: TeamId) -> Result<Option<(Team, Option<Timestamp>)>> {
        let select =
            sql("SELECT id, CASE WHEN deleted_at IS NULL THEN slug ELSE 'deleted' END AS slug, name, created_at, \
                          key_lifetime_days, deleted_at FROM teams WHERE id = $1");
        let row = self.reads.fetch_optional::<TeamOrDeletedRow>(select.bind(id)).await?;
        row.map(|row| Ok((Team::try_from(row.team)?, row.deleted_at.map(Timestamp::from_ms)))).transpose()
    }

    /// The teams that a person is in, by name, each with their role.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn teams_of(&self, person: PersonId) -> Result<Vec<(Team, Role)>> {
        let select =
            sql("SELECT id, slug, name, created_at, key_lifetime_days, role FROM teams JOIN members ON team_id = id \
                          WHERE person_id = $1 AND deleted_at IS NULL ORDER BY name, id");
        let rows: Vec<MembershipRow> = self.reads.fetch_all(select.bind(person)).await?;
        let read = |row: MembershipRow| {
            let role = Role::parse(&row.role).ok_or_else(|| corrupt("members", &row.team.id))?;
            Ok((Team::try_from(row.team)?, role))
        };
        rows.into_iter().map(read).collect()
    }
}

impl Store {
    /// Creates a team and its owner, under the first free slug of its name. Two teams may have the same name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if concurrent transactions took the chosen slug 8 times.
    pub async fn create_team(&self, new: NewTeam<'_>, context: &AuditContext) -> Result<Team> {
        // Transactions that create teams of one name at once all choose the same slug: those that come second choose again.
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_create_team(&new, context).await {
                Err(StoreError::Conflict(_)) if tries < SLUG_TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_create_team(&self, new: &NewTeam<'_>, context: &AuditContext) -> Result<Team> {
        let mut tx = self.begin(context).await?;
        let team = tx.add_team(new).await?;
        tx.commit().await?;
        Ok(team)
    }

    /// Gives a team another name. Its slug stays. With `was`, only if the team has that name.
    ///
    /// # Errors
    ///
    /// See [`ChangeTeamError`].
    pub async fn rename_team(
        &self,
        admin: &TeamAdmin,
        name: &TeamName,
        was: Option<&str>,
        context: &AuditContext,
    ) -> std::result::Result<(), ChangeTeamError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let id = admin.team();
        let (old,): (String,) = tx.fetch_one(sql("SELECT name FROM teams WHERE id = $1").bind(id)).await?;
        if was.is_some_and(|was| was != old) {
            return Err(ChangeTeamError::Renamed(old));
        }
        if old == name.as_str() {
            return Ok(());
        }
        tx.execute(sql("UPDATE teams SET name = $2 WHERE id = $1").bind(id).bind(name.as_str())).await?;
        tx.audit(id, Action::TeamRenamed, id, format!("“{old}” to “{}”", name.as_str())).await?;
        Ok(tx.commit().await?)
    }

    /// Sets the maximum lifetime of the team's new keys, or removes it with `None`, if it is `was`. Existing keys keep their
    /// expiry.
    ///
    /// # Errors
    ///
    /// See [`SetKeyLifetimeError`].
    pub async fn set_key_lifetime(
        &self,
        admin: &TeamAdmin,
        lifetime: Option<KeyLifetime>,
        was: Option<KeyLifetime>,
        context: &AuditContext,
    ) -> std::result::Result<(), SetKeyLifetimeError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let old = tx.key_lifetime(admin.team()).await?;
        if old == lifetime {
            return Ok(());
        }
        if old != was {
            return Err(SetKeyLifetimeError::Changed(old));
        }
        let days = lifetime.map(|lifetime| i64::from(lifetime.days()));
        let update = sql("UPDATE teams SET key_lifetime_days = $2 WHERE id = $1").bind(admin.team()).bind(days);
        tx.execute(update).await?;
        let words = |lifetime: Option<KeyLifetime>| {
            lifetime.map_or("none".to_owned(), |lifetime| format!("{} days", lifetime.days()))
        };
        let detail = format!("{} to {}", words(old), words(lifetime));
        tx.audit(admin.team(), Action::TeamKeyLifetimeChanged, admin.team(), detail).await?;
        Ok(tx.commit().await?)
    }

    /// Deletes a team with its memberships and invitations, and revokes its keys, in one transaction; returns the keys that
    /// were active. The team's row, keys and audit log stay; its slug is free again. Its products are deleted afterwards, by
    /// [`Store::purge_products`].
    ///
    /// # Errors
    ///
    /// See [`ChangeTeamError`].
    pub async fn delete_team(
        &self,
        owner: &TeamOwner,
        context: &AuditContext,
    ) -> std::result::Result<Vec<ListedKey>, ChangeTeamError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(owner).await??;
        let id = owner.team();
        // First, so that in the log the revocations stand above the reason for them.
        tx.audit(id, Action::TeamDeleted, id, String::new()).await?;
        let revoked = tx.revoke_where(id, None).await?;
        tx.execute(sql("DELETE FROM links WHERE purpose = 'invite' AND team_id = $1").bind(id)).await?;
        tx.execute(sql("DELETE FROM members WHERE team_id = $1").bind(id)).await?;
        tx.execute(sql("UPDATE teams SET deleted_at = $2, slug = id WHERE id = $1").bind(id).bind(context.at)).await?;
        tx.commit().await?;
        Ok(revoked)
    }
}

impl Tx {
    /// The maximum lifetime of a team's new keys.
    pub(crate) async fn key_lifetime(&mut self, team: TeamId) -> Result<Option<KeyLifetime>> {
        let select = sql("SELECT key_lifetime_days FROM teams WHERE id = $1").bind(team);
        let days: Option<i64> = self.fetch_scalar::<Option<i64>>(select).await?.flatten();
        days.map(|days| key_lifetime(days).ok_or_else(|| corrupt("teams", &team.to_string()))).transpose()
    }

    /// Creates a team and its owner. A slug that a concurrent transaction takes is a conflict.
    pub(crate) async fn add_team(&mut self, new: &NewTeam<'_>) -> Result<Team> {
        let at = self.context.at;
        let wanted = new.name.slug();
        let select = sql("SELECT slug FROM teams WHERE slug = $1 OR (slug >= $2 AND slug < $3)")
            .bind(wanted.as_str())
            // All that begin so: a dot follows a hyphen. Unlike LIKE, a range is searched in the index.
            .bind(format!("{}-", wanted.as_str()))
            .bind(format!("{}.", wanted.as_str()));
        let taken: Vec<String> = self.fetch_scalars(select).await?;
        let mut n = 1;
        while taken.iter().any(|t| t == wanted.numbered(n).as_str()) {
            n += 1;
        }
        let slug = wanted.numbered(n);
        let insert = sql("INSERT INTO teams (id, slug, name, created_at, touched_at) VALUES ($1, $2, $3, $4, $4)")
            .bind(new.id)
            .bind(slug.as_str())
            .bind(new.name.as_str())
            .bind(at);
        self.execute(insert).await?;
        self.audit(new.id, Action::TeamCreated, new.id, format!("“{}”", new.name.as_str())).await?;
        self.add_member(new.id, &new.owner).await?;
        Ok(Team { id: new.id, slug, name: new.name.clone(), created_at: at, key_lifetime: None })
    }
}

pub(crate) fn key_lifetime(days: i64) -> Option<KeyLifetime> {
    u32::try_from(days).ok().and_then(|days| KeyLifetime::from_days(days).ok())
}

impl TryFrom<TeamRow> for Team {
    type Error = StoreError;

    fn try_from(row: TeamRow) -> Result<Self> {
        let bad = || corrupt("teams", &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            slug: Slug::from_stored(row.slug).ok_or_else(|| corrupt("teams", &row.id))?,
            name: TeamName::from_stored(&row.name).map_err(|_| bad())?,
            created_at: Timestamp::from_ms(row.created_at),
            key_lifetime: row.key_lifetime_days.map(|days| key_lifetime(days).ok_or_else(bad)).transpose()?,
        })
    }
}
