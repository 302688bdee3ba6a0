//! Key rows and what only reads them

use std::collections::HashMap;

use crate::db::{sql, sql_of, sql_text};
use crate::error::{StoreError, corrupt};
use crate::tx::Transaction;
use crate::{Queries, Result, Store};
use keyhouse_domain::api_key::{ApiKey, KeyName, KeyState, LastUse, ListedKey, REVOKED_SHOWN_FOR};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::{KeyId, PersonId, TeamId};
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenHash, TokenPrefix};

/// The key of a token, and how far the answering database was: read in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLookup {
    /// The key, active or revoked; `None` if no key has this token.
    pub key: Option<ApiKey>,
    /// The change counter.
    pub seq: i64,
    /// The database's epoch; see [`ChangeSet::epoch`](crate::ChangeSet::epoch).
    pub epoch: String,
}

/// The keys of several tokens, read in one statement.
#[derive(Debug)]
pub struct KeyBatch {
    seq: i64,
    epoch: String,
    /// The keys that were found; the id of one whose row can't be read.
    keys: HashMap<TokenHash, std::result::Result<ApiKey, String>>,
}

impl KeyBatch {
    /// The key of one of the tokens.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if its row can't be read.
    pub fn lookup(&self, hash: &TokenHash) -> Result<KeyLookup> {
        let key = match self.keys.get(hash) {
            Some(Ok(key)) => Some(key.clone()),
            Some(Err(id)) => return Err(corrupt("keys", id)),
            None => None,
        };
        Ok(KeyLookup { key, seq: self.seq, epoch: self.epoch.clone() })
    }
}

#[derive(sqlx::FromRow)]
struct LookupRow {
    seq: i64,
    epoch: String,
    token_hash: Option<Vec<u8>>,
    id: Option<String>,
    team_id: Option<String>,
    prefix: Option<String>,
    mode: Option<String>,
    scope: Option<String>,
    created_at: Option<i64>,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
}

/// The columns of a [`KeyRow`].
pub(crate) const KEY_COLUMNS: &str =
    "id, team_id, prefix, mode, scope, created_at, revoked_at, revoked_by, revoked_by_name ";

#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    id: String,
    team_id: String,
    prefix: String,
    mode: String,
    scope: String,
    created_at: i64,
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    key: KeyRow,
    name: Option<String>,
    created_by: Option<String>,
    created_by_name: String,
    last_used_at: Option<i64>,
    last_used_from: Option<String>,
    creator_is_member: i64,
}

const SELECT_LISTED: &str = "SELECT id, team_id, prefix, name, mode, scope, created_at, created_by, created_by_name, \
     revoked_at, revoked_by, revoked_by_name, last_used_at, last_used_from, (SELECT count(*) FROM members \
     WHERE members.team_id = keys.team_id AND person_id = created_by) AS creator_is_member \
     FROM keys LEFT JOIN key_usage ON key_id = id ";

impl Queries {
    /// One key, whatever its team and state.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn key(&self, id: KeyId) -> Result<Option<ListedKey>> {
        let row: Option<ListedRow> =
            self.reads.fetch_optional(sql_of(&[SELECT_LISTED, "WHERE id = $1"]).bind(id)).await?;
        row.map(ListedKey::try_from).transpose()
    }

    /// A team's keys, newest first: the active ones, and those revoked less than [`REVOKED_SHOWN_FOR`] before `now`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn keys_of_team(&self, team: TeamId, now: Timestamp) -> Result<Vec<ListedKey>> {
        let condition = "WHERE team_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) \
                         ORDER BY created_at DESC, id DESC";
        let select = sql_of(&[SELECT_LISTED, condition]).bind(team).bind(now.minus(REVOKED_SHOWN_FOR));
        listed(self.reads.fetch_all(select).await?)
    }

    /// A team's active keys, newest first: at most ten.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn active_keys_of_team(&self, team: TeamId) -> Result<Vec<ListedKey>> {
        let condition = "WHERE team_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC, id DESC";
        listed(self.reads.fetch_all(sql_of(&[SELECT_LISTED, condition]).bind(team)).await?)
    }

    /// Up to `limit` keys of a team that were revoked less than [`REVOKED_SHOWN_FOR`] before `now`, the latest revocation
    /// first; below `before`, which is another key's revocation and id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn revoked_keys_of_team(
        &self,
        team: TeamId,
        mode: Option<Mode>,
        before: Option<(Timestamp, KeyId)>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ListedKey>> {
        let (at, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at.ms(), id.to_string()));
        let condition = "WHERE team_id = $1 AND revoked_at > $2 AND ($3 IS NULL OR mode = $3) \
                         AND (revoked_at < $4 OR (revoked_at = $4 AND id < $5)) \
                         ORDER BY revoked_at DESC, id DESC LIMIT $6";
        let select = sql_of(&[SELECT_LISTED, condition])
            .bind(team)
            .bind(now.minus(REVOKED_SHOWN_FOR))
            .bind(mode.map(|mode| mode.as_str().to_owned()))
            .bind(at)
            .bind(id)
            .bind(limit);
        listed(self.reads.fetch_all(select).await?)
    }
}

impl Store {
    /// Most hashes of [`Store::keys_by_hashes`].
    pub const HASHES_MAX: usize = 64;

    /// The key with this token: one look-up on a unique index.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if the row can't be read; any other [`StoreError`] of a read.
    pub async fn key_by_hash(&self, hash: &TokenHash) -> Result<KeyLookup> {
        self.keys_by_hashes(std::slice::from_ref(hash)).await?.lookup(hash)
    }

    /// The keys with these tokens, at least one and at most [`Store::HASHES_MAX`], in one statement.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read. A row that can't be read is an error of its own look-up alone.
    pub async fn keys_by_hashes(&self, hashes: &[TokenHash]) -> Result<KeyBatch> {
        self.check_file()?;
        self.auth.count_wait(&self.waits.auth);
        // Filled up to a power of two with the last hash, so that there are seven statements to prepare and not 64.
        let number = hashes.len().next_power_of_two();
        let numbers: Vec<String> = (1..=number).map(|n| format!("${n}")).collect();
        let mut select = sql_text(format!(
            "SELECT changes.seq, epoch, token_hash, keys.id, team_id, prefix, mode, scope, created_at, revoked_at, \
             revoked_by, revoked_by_name FROM changes LEFT JOIN keys ON token_hash IN ({})",
            numbers.join(", ")
        ));
        for n in 0..number {
            select = select.bind(hashes[n.min(hashes.len() - 1)].as_bytes());
        }
        let rows: Vec<LookupRow> = self.auth.fetch_all(select).await?;
        let first = rows.first().ok_or_else(|| corrupt("changes", "1"))?;
        let (seq, epoch) = (first.seq, first.epoch.clone());
        let mut keys = HashMap::with_capacity(rows.len());
        for row in rows {
            let (Some(id), Some(hash)) = (row.id.clone(), row.token_hash.as_deref()) else { continue };
            let hash = TokenHash::from_stored(hash).ok_or_else(|| corrupt("keys", &id))?;
            let key = row.key().and_then(|row| row.map(ApiKey::try_from).transpose());
            match key {
                Ok(Some(key)) => keys.insert(hash, Ok(key)),
                Ok(None) | Err(_) => keys.insert(hash, Err(id)),
            };
        }
        Ok(KeyBatch { seq, epoch, keys })
    }
}

impl Transaction {
    /// A key's record as this transaction sees it.
    pub(crate) async fn key_record(&mut self, id: KeyId) -> Result<Option<ApiKey>> {
        let select =
            sql("SELECT id, team_id, prefix, mode, scope, created_at, revoked_at, revoked_by, revoked_by_name \
                          FROM keys WHERE id = $1")
            .bind(id);
        let row: Option<KeyRow> = self.fetch_optional(select).await?;
        row.map(ApiKey::try_from).transpose()
    }

    pub(crate) async fn key_of_team(&mut self, team: TeamId, id: KeyId) -> Result<Option<ListedKey>> {
        let select = sql_of(&[SELECT_LISTED, "WHERE id = $1 AND team_id = $2"]).bind(id).bind(team);
        let row: Option<ListedRow> = self.fetch_optional(select).await?;
        row.map(ListedKey::try_from).transpose()
    }

    /// A team's active keys, or those of them that one person created.
    pub(crate) async fn active_keys(&mut self, team: TeamId, creator: Option<PersonId>) -> Result<Vec<ListedKey>> {
        let condition = "WHERE team_id = $1 AND revoked_at IS NULL AND ($2 IS NULL OR created_by = $2) \
                         ORDER BY id DESC";
        listed(self.fetch_all(sql_of(&[SELECT_LISTED, condition]).bind(team).bind(creator)).await?)
    }
}

fn listed(rows: Vec<ListedRow>) -> Result<Vec<ListedKey>> {
    rows.into_iter().map(ListedKey::try_from).collect()
}

impl LookupRow {
    /// The key's columns; `None` if the join found no key.
    fn key(self) -> Result<Option<KeyRow>> {
        let Some(id) = self.id else { return Ok(None) };
        let bad = || corrupt("keys", &id);
        Ok(Some(KeyRow {
            team_id: self.team_id.ok_or_else(bad)?,
            prefix: self.prefix.ok_or_else(bad)?,
            mode: self.mode.ok_or_else(bad)?,
            scope: self.scope.ok_or_else(bad)?,
            created_at: self.created_at.ok_or_else(bad)?,
            revoked_at: self.revoked_at,
            revoked_by: self.revoked_by,
            revoked_by_name: self.revoked_by_name,
            id,
        }))
    }
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.id);
        let state = match (row.revoked_at, &row.revoked_by_name) {
            (None, None) => KeyState::Active,
            (Some(at), Some(name)) => {
                let person = row.revoked_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
                KeyState::Revoked { at: Timestamp::from_ms(at), by: AuditActor { person, name: name.clone() } }
            }
            _ => return Err(bad()),
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            team: row.team_id.parse().map_err(|_| bad())?,
            prefix: TokenPrefix::from_stored(&row.prefix).ok_or_else(bad)?,
            mode: Mode::parse(&row.mode).ok_or_else(bad)?,
            scope: Scope::parse(&row.scope).ok_or_else(bad)?,
            created_at: Timestamp::from_ms(row.created_at),
            state,
        })
    }
}

impl TryFrom<ListedRow> for ListedKey {
    type Error = StoreError;

    fn try_from(row: ListedRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.key.id);
        let name = row.name.as_deref().map(KeyName::from_stored).transpose().map_err(|_| bad())?;
        let person = row.created_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
        let last_use = row.last_used_at.map(Timestamp::from_ms).zip(row.last_used_from);
        Ok(Self {
            key: row.key.try_into()?,
            name,
            creator_has_left: person.is_some() && row.creator_is_member == 0,
            creator: AuditActor { person, name: row.created_by_name },
            last_use: last_use.map(|(at, from)| LastUse { at, from }),
        })
    }
}
