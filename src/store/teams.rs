//! Teams, people and members ⇄ rows.

use super::{Result, Store, StoreError, Tx, corrupt, on, record};
use crate::domain::audit::{Action, Stamp};
use crate::domain::ids::{PersonId, TeamId};
use crate::domain::team::{Email, Member, Role, Slug, Team, TeamName, TeamRef};
use crate::domain::timestamp::Timestamp;

record!(TeamRow { id: String, slug: String, name: String, created_at: i64 });

record!(MemberRow { team_id: String, person_id: String, email: String, name: String, role: String, joined_at: i64 });

/// A team that somebody makes, with its owner.
#[derive(Debug)]
pub struct NewTeam<'a> {
    pub id: TeamId,
    pub name: &'a TeamName,
    pub owner: NewMember<'a>,
}

/// Somebody who joins a team; known already if the e-mail address is.
#[derive(Debug)]
pub struct NewMember<'a> {
    /// The id to use if the address is new.
    pub person: PersonId,
    pub email: &'a Email,
    /// What to call them if the address is new.
    pub name: &'a str,
    pub role: Role,
}

/// How often a slug that somebody else took in the same moment is chosen anew.
const SLUG_TRIES: u32 = 8;

impl Store {
    /// Makes a team and its owner, under the first free slug of its name. A team may have any other's name.
    pub async fn insert_team(&self, new: NewTeam<'_>, stamp: &Stamp) -> Result<Team> {
        // Two that make a team of one name at once both want one slug: whoever comes second looks again.
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_insert_team(&new, stamp).await {
                Err(StoreError::Conflict(_)) if tries < SLUG_TRIES => {}
                answer => return answer,
            }
        }
    }

    async fn try_insert_team(&self, new: &NewTeam<'_>, stamp: &Stamp) -> Result<Team> {
        let mut tx = self.begin().await?;
        let wanted = new.name.slug();
        let taken: Vec<String> = on!(&mut tx.0, db =>
            sqlx::query_scalar("SELECT slug FROM teams WHERE slug = $1 OR slug LIKE $2")
                .bind(wanted.as_str()).bind(format!("{}-%", wanted.as_str())).fetch_all(&mut **db).await?);
        let mut n = 1;
        while taken.iter().any(|t| t == wanted.numbered(n).as_str()) {
            n += 1;
        }
        let slug = wanted.numbered(n);
        on!(&mut tx.0, db => sqlx::query("INSERT INTO teams (id, slug, name, created_at, touched_at) VALUES ($1, $2, $3, $4, $4)")
            .bind(new.id.to_string()).bind(slug.as_str()).bind(new.name.as_str()).bind(stamp.at.ms())
            .execute(&mut **db).await?.rows_affected());
        let detail = format!("\"{}\"", new.name.as_str());
        tx.audit(&stamp.event(0, new.id, Action::TeamCreated, new.id, detail)).await?;
        tx.add_member(new.id, &new.owner, stamp, 1).await?;
        tx.commit().await?;
        Ok(Team { id: new.id, slug, name: new.name.clone(), created_at: stamp.at })
    }

    /// Adds a member. `false`: there is no such team.
    pub async fn insert_member(&self, team: TeamId, new: NewMember<'_>, stamp: &Stamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.lock_team(team, stamp.at).await? {
            return Ok(false);
        }
        tx.add_member(team, &new, stamp, 0).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn teams(&self) -> Result<Vec<Team>> {
        let rows: Vec<TeamRow> = on!(&self.reads, db =>
            sqlx::query_as("SELECT id, slug, name, created_at FROM teams ORDER BY slug").fetch_all(db).await?);
        rows.into_iter().map(Team::try_from).collect()
    }

    pub async fn team(&self, team: &TeamRef) -> Result<Option<Team>> {
        let row: Option<TeamRow> = match team {
            TeamRef::Id(id) => on!(&self.reads, db =>
                sqlx::query_as("SELECT id, slug, name, created_at FROM teams WHERE id = $1")
                    .bind(id.to_string()).fetch_optional(db).await?),
            TeamRef::Slug(slug) => on!(&self.reads, db =>
                sqlx::query_as("SELECT id, slug, name, created_at FROM teams WHERE slug = $1")
                    .bind(slug).fetch_optional(db).await?),
        };
        row.map(Team::try_from).transpose()
    }

    /// A team's members: the owner first, then by address.
    pub async fn members(&self, team: TeamId) -> Result<Vec<Member>> {
        let rows: Vec<MemberRow> = on!(&self.reads, db => sqlx::query_as(
            "SELECT team_id, person_id, email, name, role, joined_at FROM members JOIN people ON people.id = person_id \
             WHERE team_id = $1 ORDER BY CASE role WHEN 'owner' THEN 0 ELSE 1 END, email_canonical")
            .bind(team.to_string()).fetch_all(db).await?);
        rows.into_iter().map(Member::try_from).collect()
    }

    pub async fn member_by_email(&self, team: TeamId, email: &Email) -> Result<Option<Member>> {
        let row: Option<MemberRow> = on!(&self.reads, db => sqlx::query_as(
            "SELECT team_id, person_id, email, name, role, joined_at FROM members JOIN people ON people.id = person_id \
             WHERE team_id = $1 AND email_canonical = $2")
            .bind(team.to_string()).bind(email.canonical()).fetch_optional(db).await?);
        row.map(Member::try_from).transpose()
    }

    /// How many active keys each team has.
    pub async fn active_key_counts(&self) -> Result<Vec<(TeamId, u32)>> {
        let rows: Vec<(String, i64)> = on!(&self.reads, db => sqlx::query_as(
            "SELECT team_id, count(*) FROM keys WHERE revoked_at IS NULL GROUP BY team_id").fetch_all(db).await?);
        rows.into_iter()
            .map(|(id, n)| {
                let bad = || corrupt("keys", &id);
                Ok((id.parse().map_err(|_| bad())?, u32::try_from(n).map_err(|_| bad())?))
            })
            .collect()
    }
}

impl Tx {
    async fn add_member(&mut self, team: TeamId, new: &NewMember<'_>, stamp: &Stamp, nth: u16) -> Result<()> {
        let known: Option<String> = on!(&mut self.0, db =>
            sqlx::query_scalar("SELECT id FROM people WHERE email_canonical = $1")
                .bind(new.email.canonical()).fetch_optional(&mut **db).await?);
        let person = match known {
            Some(id) => id.parse().map_err(|_| corrupt("people", &id))?,
            None => {
                on!(&mut self.0, db => sqlx::query(
                    "INSERT INTO people (id, email, email_canonical, name, created_at) VALUES ($1, $2, $3, $4, $5)")
                    .bind(new.person.to_string()).bind(new.email.as_str()).bind(new.email.canonical())
                    .bind(new.name).bind(stamp.at.ms()).execute(&mut **db).await?.rows_affected());
                new.person
            }
        };
        on!(&mut self.0, db => sqlx::query(
            "INSERT INTO members (team_id, person_id, role, joined_at) VALUES ($1, $2, $3, $4)")
            .bind(team.to_string()).bind(person.to_string()).bind(new.role.as_str()).bind(stamp.at.ms())
            .execute(&mut **db).await?.rows_affected());
        let detail = format!("{} as {}", new.email, new.role.as_str());
        self.audit(&stamp.event(nth, team, Action::MemberAdded, person, detail)).await
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

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self> {
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
