//! Key rows and the look-up of a key by its token

use std::collections::HashMap;

use crate::error::{StoreError, corrupt};
use crate::statement::{ListArgs, sql_of, sql_text};
use crate::tx::Transaction;
use crate::{Result, Store};
use keyhouse_domain::api_key::{
    AllowedNetworks, ApiKey, Conditions, KeyState, KeyToken, Pause, Revocation, RevocationReason,
};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::{Mode, TokenHash, TokenPrefix};

/// The key of a token, and how far the answering database was: read in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLookup {
    /// The key, whatever its state, with this token; `None` if no key has it.
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

/// The columns of an [`ApiKey`]: those of its row, and those of one of its tokens, which the query calls `token`.
pub(crate) const KEY_COLUMNS: &str = "keys.id, team_id, mode, scope, keys.created_at, revoked_at, revoked_by, \
     revoked_by_name, revoked_reason, expires_at, allowed_networks, paused_at, paused_until, token.number, token.prefix, \
     token.created_at AS token_created_at, token.first_used_at, token.ends_at ";

/// [`KEY_COLUMNS`] of an outer join: all are NULL if there is no key.
#[derive(sqlx::FromRow)]
struct LookupRow {
    seq: i64,
    epoch: String,
    hash: Option<Vec<u8>>,
    id: Option<String>,
    team_id: Option<String>,
    mode: Option<String>,
    scope: Option<String>,
    created_at: Option<i64>,
    #[sqlx(flatten)]
    changing: ChangingColumns,
    number: Option<i64>,
    prefix: Option<String>,
    token_created_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    team_id: String,
    mode: String,
    scope: String,
    created_at: i64,
    #[sqlx(flatten)]
    changing: ChangingColumns,
    pub(crate) number: i64,
    prefix: String,
    token_created_at: i64,
}

/// What may be NULL in a key's row too.
#[derive(sqlx::FromRow)]
struct ChangingColumns {
    revoked_at: Option<i64>,
    revoked_by: Option<String>,
    revoked_by_name: Option<String>,
    revoked_reason: Option<String>,
    expires_at: Option<i64>,
    allowed_networks: Option<String>,
    paused_at: Option<i64>,
    paused_until: Option<i64>,
    first_used_at: Option<i64>,
    ends_at: Option<i64>,
}

impl Store {
    /// Most hashes of [`Store::keys_by_hashes`].
    pub const HASHES_MAX: usize = 64;

    /// The key with this token: one look-up on a unique index, with its key's row.
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
        self.check_file_recently().await?;
        self.auth.count_wait(&self.waits.auth);
        let list = ListArgs::after(0, hashes);
        let select = sql_text(format!(
            "SELECT changes.seq, epoch, hash, {KEY_COLUMNS} FROM changes \
             LEFT JOIN key_tokens AS token ON hash IN ({}) LEFT JOIN keys ON keys.id = key_id",
            list.placeholders()
        ));
        let select = list.bind_to(select, TokenHash::as_bytes);
        let rows: Vec<LookupRow> = self.auth.fetch_all(select).await?;
        let first = rows.first().ok_or_else(|| corrupt("changes", "1"))?;
        let (seq, epoch) = (first.seq, first.epoch.clone());
        let mut keys = HashMap::with_capacity(rows.len());
        for row in rows {
            let (Some(id), Some(hash)) = (row.id.clone(), row.hash.as_deref()) else { continue };
            let hash = TokenHash::from_stored(hash).ok_or_else(|| corrupt("key_tokens", &id))?;
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
    /// A key's record with one of its tokens, as this transaction sees it.
    pub(crate) async fn key_record(&mut self, id: KeyId, token: u32) -> Result<Option<ApiKey>> {
        let select = sql_of(&[
            "SELECT ",
            KEY_COLUMNS,
            "FROM keys JOIN key_tokens AS token ON key_id = keys.id WHERE keys.id = $1 AND number = $2",
        ])
        .bind(id)
        .bind(token);
        let row: Option<KeyRow> = self.fetch_optional(select).await?;
        row.map(ApiKey::try_from).transpose()
    }
}

impl LookupRow {
    /// The key's columns; `None` if the join found no key.
    fn key(self) -> Result<Option<KeyRow>> {
        let Some(id) = self.id else { return Ok(None) };
        let bad = || corrupt("keys", &id);
        Ok(Some(KeyRow {
            team_id: self.team_id.ok_or_else(bad)?,
            mode: self.mode.ok_or_else(bad)?,
            scope: self.scope.ok_or_else(bad)?,
            created_at: self.created_at.ok_or_else(bad)?,
            changing: self.changing,
            number: self.number.ok_or_else(bad)?,
            prefix: self.prefix.ok_or_else(bad)?,
            token_created_at: self.token_created_at.ok_or_else(bad)?,
            id,
        }))
    }
}

/// The tokens' numbers begin at 1 and grow by 1 with each rotation.
pub(crate) fn token_number(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number > 0)
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self> {
        let bad = || corrupt("keys", &row.id);
        let stored = row.changing;
        let state = match (stored.revoked_at, stored.revoked_by_name) {
            (None, None) => KeyState::Active,
            (Some(at), Some(name)) => {
                let person = stored.revoked_by.as_deref().map(str::parse).transpose().map_err(|_| bad())?;
                let reason = stored.revoked_reason.map(|text| RevocationReason::from_stored(text).ok_or_else(bad));
                let by = AuditActor { person, name };
                let revocation = Revocation { at: Timestamp::from_ms(at), by, reason: reason.transpose()? };
                KeyState::Revoked(Box::new(revocation))
            }
            _ => return Err(bad()),
        };
        let allowed = stored.allowed_networks.as_deref().map(AllowedNetworks::parse).transpose().map_err(|_| bad())?;
        Ok(Self {
            id: row.id.parse().map_err(|_| bad())?,
            team: row.team_id.parse().map_err(|_| bad())?,
            mode: Mode::parse(&row.mode).ok_or_else(bad)?,
            scope: Scope::parse(&row.scope).ok_or_else(bad)?,
            created_at: Timestamp::from_ms(row.created_at),
            state,
            token: KeyToken {
                number: token_number(row.number).ok_or_else(bad)?,
                prefix: TokenPrefix::from_stored(&row.prefix).ok_or_else(bad)?,
                created_at: Timestamp::from_ms(row.token_created_at),
                first_used_at: stored.first_used_at.map(Timestamp::from_ms),
                ends_at: stored.ends_at.map(Timestamp::from_ms),
            },
            conditions: Conditions {
                expires_at: stored.expires_at.map(Timestamp::from_ms),
                // An empty list is stored as NULL: a text that lists nothing was changed by hand, and must not mean "any".
                allowed: match allowed {
                    Some(allowed) if allowed.is_any() => return Err(bad()),
                    allowed => allowed.unwrap_or_default(),
                },
            },
            pause: stored
                .paused_at
                .map(|at| Pause { at: Timestamp::from_ms(at), until: stored.paused_until.map(Timestamp::from_ms) }),
        })
    }
}
