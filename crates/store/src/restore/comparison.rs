//! What a restored backup would bring back, compared with the database that it replaces

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use super::keys;
use crate::db::{AnyRow, Engine};
use crate::statement::{Statement, sql, sql_text};
use keyhouse_domain::timestamp::Timestamp;

pub(crate) type Database = Engine<Box<SqliteConnection>, Box<PgConnection>>;

/// Access that was taken away since the backup, and that the backup gives again.
#[derive(Debug)]
pub struct Returning {
    /// What kind of access.
    pub kind: ReturningKind,
    /// The key, person or team, as an operator recognizes it. Never a secret.
    pub subject: String,
    /// The team's slug, where it concerns one team.
    pub team: Option<String>,
    /// When it was taken away, where the database has that.
    pub ended_at: Option<Timestamp>,
    /// Takes it away in the backup too.
    pub(super) carry_over: Vec<Statement>,
}

/// What kind of access a backup brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturningKind {
    /// A key that was revoked.
    Key,
    /// A member who was removed.
    Member,
    /// A role that was changed.
    Role,
    /// A team that was deleted.
    Team,
    /// An account that was removed.
    Account,
    /// An address that was changed: it signs in again.
    Address,
    /// A password that was changed: the former one is valid again.
    Password,
    /// A key that is paused.
    Pause,
    /// A key's expiry or allowed addresses.
    Conditions,
    /// A token that was replaced by a rotation.
    Token,
}

impl ReturningKind {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Member => "member",
            Self::Role => "role",
            Self::Team => "team",
            Self::Account => "account",
            Self::Address => "address",
            Self::Password => "password",
            Self::Pause => "pause",
            Self::Conditions => "conditions",
            Self::Token => "token",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Team {
    id: String,
    slug: String,
    deleted_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Member {
    team_id: String,
    person_id: String,
    role: String,
}

#[derive(sqlx::FromRow, Clone)]
struct Person {
    id: String,
    email: String,
    email_canonical: String,
    password: Option<String>,
    removed_at: Option<i64>,
}

/// Compares a backup with the database that is there: in the order of teams, members, people, keys.
///
/// `None` if the two have no team in common: then one is not a later state of the other.
pub(super) async fn compare(backup: &mut Database, current: &mut Database) -> sqlx::Result<Option<Vec<Returning>>> {
    let teams = sql("SELECT id, slug, deleted_at FROM teams");
    let in_backup: Vec<Team> = backup.all(teams).await?;
    let now: HashMap<String, Team> =
        by_id(current.all(sql("SELECT id, slug, deleted_at FROM teams")).await?, |t: &Team| &t.id);
    if !in_backup.is_empty() && !in_backup.iter().any(|team| now.contains_key(&team.id)) {
        return Ok(None);
    }
    let slugs: HashMap<&str, &str> = in_backup.iter().map(|team| (&*team.id, &*team.slug)).collect();
    let slug = |team: &str| slugs.get(team).map(|slug| (*slug).to_owned());

    let mut returning: Vec<Returning> =
        in_backup.iter().filter_map(|team| deleted_team(team, now.get(&team.id)?)).collect();
    returning.extend(people_and_members(backup, current, slug).await?);
    returning.extend(keys::keys(backup, current, slug).await?);
    Ok(Some(returning))
}

fn by_id<T>(rows: Vec<T>, id: impl Fn(&T) -> &String) -> HashMap<String, T> {
    rows.into_iter().map(|row| (id(&row).clone(), row)).collect()
}

fn deleted_team(team: &Team, now: &Team) -> Option<Returning> {
    let deleted_at = now.deleted_at.filter(|_| team.deleted_at.is_none())?;
    let update = sql("UPDATE teams SET deleted_at = $2, slug = $3 WHERE id = $1");
    Some(Returning {
        kind: ReturningKind::Team,
        subject: team.slug.clone(),
        team: Some(team.slug.clone()),
        ended_at: Some(Timestamp::from_ms(deleted_at)),
        carry_over: vec![update.bind(&team.id).bind(deleted_at).bind(&now.slug)],
    })
}

async fn people_and_members(
    backup: &mut Database,
    current: &mut Database,
    slug: impl Fn(&str) -> Option<String>,
) -> sqlx::Result<Vec<Returning>> {
    let mut returning = Vec::new();
    let people: HashMap<String, Person> = by_id(people(backup).await?, |person| &person.id);
    let people_now: HashMap<String, Person> = by_id(self::people(current).await?, |person| &person.id);
    let members = || sql("SELECT team_id, person_id, role FROM members ORDER BY team_id, person_id");
    let roles: Vec<Member> = current.all(members()).await?;
    let roles: HashMap<(&str, &str), &str> =
        roles.iter().map(|member| ((&*member.team_id, &*member.person_id), &*member.role)).collect();
    for member in backup.all::<Member>(members()).await? {
        let address = people.get(&member.person_id).map_or("?", |person| &person.email);
        let (kind, subject, statement) = match roles.get(&(&*member.team_id, &*member.person_id)) {
            Some(role) if *role == member.role => continue,
            Some(role) => (
                ReturningKind::Role,
                format!("{address}: {} (now {role})", member.role),
                sql("UPDATE members SET role = $3 WHERE team_id = $1 AND person_id = $2")
                    .bind(&member.team_id)
                    .bind(&member.person_id)
                    .bind(*role),
            ),
            None => (
                ReturningKind::Member,
                format!("{address}: {}", member.role),
                sql("DELETE FROM members WHERE team_id = $1 AND person_id = $2")
                    .bind(&member.team_id)
                    .bind(&member.person_id),
            ),
        };
        let team = slug(&member.team_id);
        returning.push(Returning { kind, subject, team, ended_at: None, carry_over: vec![statement] });
    }
    // The former owner's role is changed before another member becomes the owner: a unique index allows one owner.
    returning.sort_by_key(|one| one.kind == ReturningKind::Role && one.subject.contains("(now owner)"));
    let mut changed: Vec<&Person> = people.values().collect();
    changed.sort_by(|a, b| a.id.cmp(&b.id));
    for person in changed {
        if let Some(now) = people_now.get(&person.id) {
            returning.extend(changed_account(person, now));
        }
    }
    Ok(returning)
}

/// `removed_at` is younger than the first release's schema.
async fn people(database: &mut Database) -> sqlx::Result<Vec<Person>> {
    let removed_at = if has_column(database, "people", "removed_at").await? { "removed_at" } else { "NULL" };
    // The cast gives NULL a type that both engines read.
    let select =
        format!("SELECT id, email, email_canonical, password, CAST({removed_at} AS BIGINT) AS removed_at FROM people");
    database.all(sql_text(select)).await
}

pub(super) async fn has_column(database: &mut Database, table: &str, column: &str) -> sqlx::Result<bool> {
    let select = match database {
        Engine::Sqlite(_) => sql("SELECT count(*) FROM pragma_table_info($1) WHERE name = $2"),
        Engine::Postgres(_) => sql("SELECT count(*) FROM information_schema.columns \
                                    WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2"),
    };
    let (count,): (i64,) = one(database, select.bind(table).bind(column)).await?;
    Ok(count > 0)
}

async fn one<T: AnyRow>(database: &mut Database, select: Statement) -> sqlx::Result<T> {
    database.first(select).await?.ok_or(sqlx::Error::RowNotFound)
}

fn changed_account(person: &Person, now: &Person) -> Option<Returning> {
    let (kind, subject, ended_at) = if let (None, Some(removed_at)) = (person.removed_at, now.removed_at) {
        (ReturningKind::Account, person.email.clone(), Some(Timestamp::from_ms(removed_at)))
    } else if person.email_canonical != now.email_canonical {
        (ReturningKind::Address, format!("{} (now {})", person.email, now.email), None)
    } else if person.password.is_some() && person.password != now.password {
        (ReturningKind::Password, person.email.clone(), None)
    } else {
        return None;
    };
    let mut carry_over = vec![
        sql("UPDATE people SET email = $2, email_canonical = $3, password = $4 WHERE id = $1")
            .bind(&person.id)
            .bind(&now.email)
            .bind(&now.email_canonical)
            .bind(now.password.clone()),
    ];
    if let Some(removed_at) = now.removed_at {
        carry_over.push(sql("UPDATE people SET removed_at = $2 WHERE id = $1").bind(&person.id).bind(removed_at));
    }
    Some(Returning { kind, subject, team: None, ended_at, carry_over })
}
