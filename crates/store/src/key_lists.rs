//! Keys as lists and pages show them

use crate::error::{StoreError, corrupt};
use crate::key_rows::{KEY_COLUMNS, KeyRow, token_number};
use crate::statement::{sql, sql_of};
use crate::tx::Transaction;
use crate::{Queries, Result};
use keyhouse_domain::api_key::{ApiKey, ENDED_SHOWN_FOR, FormerToken, KeyName, KeyToken, LastUse, ListedKey};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{KeyId, PersonId, TeamId};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenPrefix};

#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    key: KeyRow,
    name: Option<String>,
    created_by: Option<String>,
    created_by_name: String,
    last_used_at: Option<i64>,
    last_used_from: Option<String>,
    current_used_at: Option<i64>,
    current_used_from: Option<String>,
    #[sqlx(flatten)]
    former: FormerRow,
    successor_id: Option<String>,
    revocation_complete_at: Option<i64>,
    creator_is_member: i64,
}

/// All columns are NULL for a key that was never rotated.
#[derive(sqlx::FromRow)]
struct FormerRow {
    former_number: Option<i64>,
    former_prefix: Option<String>,
    former_created_at: Option<i64>,
    former_first_used_at: Option<i64>,
    former_ends_at: Option<i64>,
    former_used_at: Option<i64>,
    former_used_from: Option<String>,
}

const LISTED_COLUMNS: &str = ", name, created_by, created_by_name, successor_id, revocation_complete_at, key_usage.last_used_at, \
     key_usage.last_used_from, current_use.last_used_at AS current_used_at, \
     current_use.last_used_from AS current_used_from, former.number AS former_number, former.prefix AS former_prefix, \
     former.created_at AS former_created_at, former.first_used_at AS former_first_used_at, \
     former.ends_at AS former_ends_at, former_use.last_used_at AS former_used_at, \
     former_use.last_used_from AS former_used_from, (SELECT count(*) FROM members \
     WHERE members.team_id = keys.team_id AND person_id = created_by) AS creator_is_member \
     FROM keys JOIN key_tokens AS token ON token.key_id = keys.id AND token.ends_at IS NULL \
     LEFT JOIN key_tokens AS former ON former.key_id = keys.id AND former.number = token.number - 1 \
     LEFT JOIN key_usage ON key_usage.key_id = keys.id \
     LEFT JOIN token_usage AS current_use ON current_use.key_id = keys.id AND current_use.number = token.number \
     LEFT JOIN token_usage AS former_use ON former_use.key_id = keys.id AND former_use.number = former.number ";

/// Active at $2: neither revoked nor expired, whether or not the expiry was recorded.
const IS_ACTIVE: &str = "ended_at IS NULL AND (expires_at IS NULL OR expires_at > $2) ";
const ENDED_AT: &str = "COALESCE(ended_at, expires_at)";

fn select_listed(condition: &[&'static str]) -> crate::statement::Statement {
    sql_of(&[&["SELECT ", KEY_COLUMNS, LISTED_COLUMNS], condition].concat())
}

impl Queries {
    /// One key, whatever its team and state.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn key(&self, id: KeyId) -> Result<Option<ListedKey>> {
        let select = select_listed(&["WHERE keys.id = $1"]).bind(id);
        self.reads.fetch_optional::<ListedRow>(select).await?.map(ListedKey::try_from).transpose()
    }

    /// A team's keys, newest first: the active ones, and those that ended less than [`ENDED_SHOWN_FOR`] before `now`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn keys_of_team(&self, team: TeamId, now: Timestamp) -> Result<Vec<ListedKey>> {
        let select = select_listed(&[
            "WHERE team_id = $1 AND (",
            ENDED_AT,
            " IS NULL OR ",
            ENDED_AT,
            " > $2) ORDER BY keys.created_at DESC, keys.id DESC",
        ]);
        listed(self.reads.fetch_all(select.bind(team).bind(now.minus(ENDED_SHOWN_FOR))).await?)
    }

    /// A team's keys that are active at `now`, newest first: at most ten.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_keys_of_team(&self, team: TeamId, now: Timestamp) -> Result<Vec<ListedKey>> {
        let select =
            select_listed(&["WHERE team_id = $1 AND ", IS_ACTIVE, "ORDER BY keys.created_at DESC, keys.id DESC"]);
        listed(self.reads.fetch_all(select.bind(team).bind(now)).await?)
    }

    /// Up to `limit` keys of a team that were revoked or expired less than [`ENDED_SHOWN_FOR`] before `now`, the one that
    /// ended last first; below `before`, which is another key's end and id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn ended_keys_of_team(
        &self,
        team: TeamId,
        mode: Option<Mode>,
        before: Option<(Timestamp, KeyId)>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ListedKey>> {
        let (at, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at.ms(), id.to_string()));
        let select = select_listed(&[
            "WHERE team_id = $1 AND ",
            ENDED_AT,
            " > $2 AND ",
            ENDED_AT,
            " <= $7 AND ($3 IS NULL OR mode = $3) AND (",
            ENDED_AT,
            " < $4 OR (",
            ENDED_AT,
            " = $4 AND keys.id < $5)) ORDER BY ",
            ENDED_AT,
            " DESC, keys.id DESC LIMIT $6",
        ])
        .bind(team)
        .bind(now.minus(ENDED_SHOWN_FOR))
        .bind(mode.map(|mode| mode.as_str().to_owned()))
        .bind(at)
        .bind(id)
        .bind(limit)
        .bind(now);
        listed(self.reads.fetch_all(select).await?)
    }

    /// How many keys that are active at `now` each team has; teams without any are left out.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_key_counts(&self, now: Timestamp) -> Result<Vec<(TeamId, u32)>> {
        let select = sql("SELECT team_id, count(*) FROM keys \
                          WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > $1) GROUP BY team_id");
        let rows: Vec<(String, i64)> = self.reads.fetch_all(select.bind(now)).await?;
        let read = |(id, count): (String, i64)| {
            let bad = || corrupt("keys", &id);
            Ok((id.parse().map_err(|_| bad())?, u32::try_from(count).map_err(|_| bad())?))
        };
        rows.into_iter().map(read).collect()
    }

    /// How many keys of a team are active at `now`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_key_count(&self, team: TeamId, now: Timestamp) -> Result<u32> {
        let select = sql_of(&["SELECT count(*) FROM keys WHERE team_id = $1 AND ", IS_ACTIVE]).bind(team).bind(now);
        let count: i64 = self.reads.fetch_scalar(select).await?;
        u32::try_from(count).map_err(|_| corrupt("keys", &team.to_string()))
    }
}

impl Transaction {
    pub(crate) async fn key_of_team(&mut self, team: TeamId, id: KeyId) -> Result<Option<ListedKey>> {
        let select = select_listed(&["WHERE keys.id = $1 AND team_id = $2"]).bind(id).bind(team);
        self.fetch_optional::<ListedRow>(select).await?.map(ListedKey::try_from).transpose()
    }

    /// A key, whatever its team and state.
    pub(crate) async fn listed_key(&mut self, id: KeyId) -> Result<Option<ListedKey>> {
        let select = select_listed(&["WHERE keys.id = $1"]).bind(id);
        self.fetch_optional::<ListedRow>(select).await?.map(ListedKey::try_from).transpose()
    }

    /// A team's keys that are active at `now`, or those of them that one person created.
    pub(crate) async fn active_keys(
        &mut self,
        team: TeamId,
        creator: Option<PersonId>,
        now: Timestamp,
    ) -> Result<Vec<ListedKey>> {
        let condition =
            ["WHERE team_id = $1 AND ", IS_ACTIVE, "AND ($3 IS NULL OR created_by = $3) ORDER BY keys.id DESC"];
        listed(self.fetch_all(select_listed(&condition).bind(team).bind(now).bind(creator)).await?)
    }

    /// A team's keys that have expired by `now` and whose expiry was not recorded yet.
    pub(crate) async fn keys_to_expire(&mut self, team: TeamId, now: Timestamp) -> Result<Vec<ListedKey>> {
        let condition = ["WHERE team_id = $1 AND ended_at IS NULL AND expires_at <= $2 ORDER BY keys.id"];
        listed(self.fetch_all(select_listed(&condition).bind(team).bind(now)).await?)
    }
}

fn listed(rows: Vec<ListedRow>) -> Result<Vec<ListedKey>> {
    rows.into_iter().map(ListedKey::try_from).collect()
}

fn last_use(at: Option<i64>, from: Option<String>) -> Option<LastUse> {
    at.map(Timestamp::from_ms).zip(from).map(|(at, from)| LastUse { at, from })
}

impl FormerRow {
    fn token(self) -> Option<FormerToken> {
        Some(FormerToken {
            token: KeyToken {
                number: token_number(self.former_number?)?,
                prefix: TokenPrefix::from_stored(&self.former_prefix?)?,
                created_at: Timestamp::from_ms(self.former_created_at?),
                first_used_at: self.former_first_used_at.map(Timestamp::from_ms),
                ends_at: Some(Timestamp::from_ms(self.former_ends_at?)),
            },
            last_use: last_use(self.former_used_at, self.former_used_from),
        })
    }
}

impl TryFrom<ListedRow> for ListedKey {
    type Error = StoreError;

    fn try_from(row: ListedRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.key.id);
        let successor = row.successor_id.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
        let name = row.name.as_deref().map(KeyName::from_stored).transpose().map_err(|_| bad())?;
        let person = row.created_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
        let former = match row.former.former_number {
            None => None,
            Some(_) => Some(row.former.token().ok_or_else(bad)?),
        };
        Ok(Self {
            key: ApiKey::try_from(row.key)?,
            name,
            creator_has_left: person.is_some() && row.creator_is_member == 0,
            creator: AuditActor { person, name: row.created_by_name },
            last_use: last_use(row.last_used_at, row.last_used_from),
            current_use: last_use(row.current_used_at, row.current_used_from),
            former,
            successor,
            revocation_complete_at: row.revocation_complete_at.map(Timestamp::from_ms),
        })
    }
}
