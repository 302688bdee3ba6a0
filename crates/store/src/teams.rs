//! Teams ⇄ rows.

use crate::members::NewMember;
use crate::{Result, Store, StoreError, Tx, corrupt, on, record};
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{PersonId, TeamId};
use keyhouse_domain::permission::{TeamAdmin, TeamOwner};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Slug, Team, TeamName, TeamRef};
use keyhouse_domain::timestamp::Timestamp;

record!(TeamRow { id: String, slug: String, name: String, created_at: i64 });

record!(TeamOfRow { id: String, slug: String, name: String, created_at: i64, role: String });

/// A team that somebody makes, with its owner.
#[derive(Debug)]
pub struct NewTeam<'a> {
    pub id: TeamId,
    pub name: &'a TeamName,
    pub owner: NewMember<'a>,
}

/// How often a slug that somebody else took in the same moment is chosen anew.
const SLUG_TRIES: u32 = 8;

impl Store {
    /// Makes a team and its owner, under the first free slug of its name. A team may have any other's name.
    pub async fn insert_team(&self, new: NewTeam<'_>, context: &AuditContext) -> Result<Team> {
        // Two that make a team of one name at once both want one slug: whoever comes second looks again.
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_insert_team(&new, context).await {
                Err(StoreError::Conflict(_)) if tries < SLUG_TRIES => {}
                answer => return answer,
            }
        }
    }

    async fn try_insert_team(&self, new: &NewTeam<'_>, context: &AuditContext) -> Result<Team> {
        let mut tx = self.begin().await?;
        let team = tx.add_team(new, context, 0).await?;
        tx.commit().await?;
        Ok(team)
    }

    /// `false`: the actor may not.
    pub async fn rename_team(&self, admin: &TeamAdmin, name: &TeamName, context: &AuditContext) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(admin, context.at).await? {
            return Ok(false);
        }
        let id = admin.team();
        let old: String = on!(&mut tx.0, db => sqlx::query_scalar("SELECT name FROM teams WHERE id = $1")
            .bind(id.to_string()).fetch_one(&mut **db).await?);
        if old != name.as_str() {
            on!(&mut tx.0, db => sqlx::query("UPDATE teams SET name = $2 WHERE id = $1")
                .bind(id.to_string()).bind(name.as_str()).execute(&mut **db).await?.rows_affected());
            let detail = format!("\"{old}\" to \"{}\"", name.as_str());
            tx.audit(&context.event(0, id, Action::TeamRenamed, id, detail)).await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    /// Ends a team with its members, invitations and keys, in one transaction. Its row, keys and audit log stay; its
    /// slug is free again. Its products go afterwards: [`Store::purge_products`]. `None`: the actor may not.
    pub async fn delete_team(&self, owner: &TeamOwner, context: &AuditContext) -> Result<Option<Vec<ListedKey>>> {
        let mut tx = self.begin().await?;
        if !tx.lock_and_authorize(owner, context.at).await? {
            return Ok(None);
        }
        let id = owner.team();
        // The last event first: it carries the smallest number, and says why the keys went.
        tx.audit(&context.event(0, id, Action::TeamDeleted, id, String::new())).await?;
        let revoked = tx.revoke_where(id, None, context, 1).await?;
        for statement in ["DELETE FROM links WHERE team_id = $1", "DELETE FROM members WHERE team_id = $1"] {
            on!(&mut tx.0, db => sqlx::query(statement).bind(id.to_string()).execute(&mut **db).await?.rows_affected());
        }
        on!(&mut tx.0, db => sqlx::query("UPDATE teams SET deleted_at = $2, slug = id WHERE id = $1")
            .bind(id.to_string()).bind(context.at.ms()).execute(&mut **db).await?.rows_affected());
        tx.commit().await?;
        Ok(Some(revoked))
    }

    pub async fn teams(&self) -> Result<Vec<Team>> {
        let rows: Vec<TeamRow> = on!(&self.reads, db =>
            sqlx::query_as("SELECT id, slug, name, created_at FROM teams WHERE deleted_at IS NULL ORDER BY slug").fetch_all(db).await?);
        rows.into_iter().map(Team::try_from).collect()
    }

    pub async fn team(&self, team: &TeamRef) -> Result<Option<Team>> {
        let row: Option<TeamRow> = match team {
            TeamRef::Id(id) => on!(&self.reads, db =>
                sqlx::query_as("SELECT id, slug, name, created_at FROM teams WHERE id = $1 AND deleted_at IS NULL")
                    .bind(id.to_string()).fetch_optional(db).await?),
            TeamRef::Slug(slug) => on!(&self.reads, db =>
                sqlx::query_as("SELECT id, slug, name, created_at FROM teams WHERE slug = $1 AND deleted_at IS NULL")
                    .bind(slug).fetch_optional(db).await?),
        };
        row.map(Team::try_from).transpose()
    }

    /// Deletes up to `batch` products of deleted teams; says how many.
    pub async fn purge_products(&self, batch: u32) -> Result<u64> {
        Ok(on!(&self.writes, db => sqlx::query(
            "DELETE FROM products WHERE id IN (SELECT products.id FROM products JOIN teams ON teams.id = team_id \
             WHERE deleted_at IS NOT NULL LIMIT $1)")
            .bind(i64::from(batch)).execute(db).await?.rows_affected()))
    }

    /// The teams that a person is in, by name, each with their role.
    pub async fn teams_of(&self, person: PersonId) -> Result<Vec<(Team, Role)>> {
        let rows: Vec<TeamOfRow> = on!(&self.reads, db => sqlx::query_as(
            "SELECT id, slug, name, created_at, role FROM teams JOIN members ON team_id = id \
             WHERE person_id = $1 AND deleted_at IS NULL ORDER BY name, id")
            .bind(person.to_string()).fetch_all(db).await?);
        let read = |row: TeamOfRow| {
            let role = Role::parse(&row.role).ok_or_else(|| corrupt("members", &row.id))?;
            let team = TeamRow { id: row.id, slug: row.slug, name: row.name, created_at: row.created_at };
            Ok((Team::try_from(team)?, role))
        };
        rows.into_iter().map(read).collect()
    }

    /// How many active keys each team has, or one; teams without any are left out.
    pub async fn active_key_counts(&self, one: Option<TeamId>) -> Result<Vec<(TeamId, u32)>> {
        let rows: Vec<(String, i64)> = on!(&self.reads, db => match one {
            Some(team) => sqlx::query_as(
                "SELECT team_id, count(*) FROM keys WHERE revoked_at IS NULL AND team_id = $1 GROUP BY team_id")
                .bind(team.to_string()).fetch_all(db).await?,
            None => sqlx::query_as("SELECT team_id, count(*) FROM keys WHERE revoked_at IS NULL GROUP BY team_id")
                .fetch_all(db).await?,
        });
        rows.into_iter()
            .map(|(id, n)| {
                let bad = || corrupt("keys", &id);
                Ok((id.parse().map_err(|_| bad())?, u32::try_from(n).map_err(|_| bad())?))
            })
            .collect()
    }
}

impl Tx {
    /// Makes a team and its owner; the events are numbered from `nth` on. A slug that somebody else takes in the same
    /// moment is a conflict.
    pub(crate) async fn add_team(&mut self, new: &NewTeam<'_>, context: &AuditContext, nth: u16) -> Result<Team> {
        let wanted = new.name.slug();
        let taken: Vec<String> = on!(&mut self.0, db =>
            sqlx::query_scalar("SELECT slug FROM teams WHERE slug = $1 OR slug LIKE $2")
                .bind(wanted.as_str()).bind(format!("{}-%", wanted.as_str())).fetch_all(&mut **db).await?);
        let mut n = 1;
        while taken.iter().any(|t| t == wanted.numbered(n).as_str()) {
            n += 1;
        }
        let slug = wanted.numbered(n);
        on!(&mut self.0, db => sqlx::query("INSERT INTO teams (id, slug, name, created_at, touched_at) VALUES ($1, $2, $3, $4, $4)")
            .bind(new.id.to_string()).bind(slug.as_str()).bind(new.name.as_str()).bind(context.at.ms())
            .execute(&mut **db).await?.rows_affected());
        let detail = format!("\"{}\"", new.name.as_str());
        self.audit(&context.event(nth, new.id, Action::TeamCreated, new.id, detail)).await?;
        self.add_member(new.id, &new.owner, context, nth + 1).await?;
        Ok(Team { id: new.id, slug, name: new.name.clone(), created_at: context.at })
    }
}

impl TryFrom<TeamRow> for Team {
    type Error = StoreError;

    fn try_from(row: TeamRow) -> Result<Self> {
        let bad = || corrupt("teams", &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            slug: Slug::from_stored(row.slug).ok_or_else(|| corrupt("teams", &row.id))?,
            name: TeamName::parse(&row.name).map_err(|_| bad())?,
            created_at: Timestamp::from_ms(row.created_at),
        })
    }
}
