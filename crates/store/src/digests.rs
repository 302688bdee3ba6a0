//! Keys by the digest of their tokens, in the order in which they changed, for gateways that verify keys themselves

use crate::error::corrupt;
use crate::key_rows::{KEY_COLUMNS, KeyRow};
use crate::statement::{sql, sql_of};
use crate::{Queries, Result};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::ids::TeamId;
use keyhouse_token::TokenHash;

/// How far a database is: its history, and its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Names one history of the database: another epoch means that a backup was restored.
    pub epoch: String,
    /// The change counter.
    pub seq: i64,
}

/// A token's digest, and its key as it is found by that token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedToken {
    /// The number of the key's last change.
    pub seq: i64,
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The key.
    pub key: ApiKey,
}

#[derive(sqlx::FromRow)]
struct ChangedRow {
    seq: i64,
    hash: Vec<u8>,
    #[sqlx(flatten)]
    key: KeyRow,
}

impl Queries {
    /// How far the database is.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn position(&self) -> Result<Position> {
        let (epoch, seq) = self.reads.fetch_one(sql("SELECT epoch, seq FROM changes")).await?;
        Ok(Position { epoch, seq })
    }

    /// The tokens of keys that changed after `since`, of one team or of all, in the order of the changes: about `limit` of
    /// them, and never a part of what one transaction changed. Keys that have ended are left out up to the change `skip_to`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn changed_tokens(
        &self,
        team: Option<TeamId>,
        since: i64,
        skip_to: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ChangedToken>> {
        let select = sql_of(&[
            "SELECT seq, hash, ",
            KEY_COLUMNS,
            "FROM keys JOIN key_tokens AS token ON key_id = keys.id \
             WHERE seq > $1 AND ($2 IS NULL OR team_id = $2) AND ($3 IS NULL OR seq > $3 OR ended_at IS NULL) \
             AND seq <= (SELECT max(seq) FROM (SELECT seq FROM keys WHERE seq > $1 AND ($2 IS NULL OR team_id = $2) \
                                               AND ($3 IS NULL OR seq > $3 OR ended_at IS NULL) \
                                               ORDER BY seq LIMIT $4) AS page) \
             ORDER BY seq, keys.id, number",
        ])
        .bind(since)
        .bind(team)
        .bind(skip_to)
        .bind(limit);
        let rows: Vec<ChangedRow> = self.reads.fetch_all(select).await?;
        let read = |row: ChangedRow| {
            let hash = TokenHash::from_stored(&row.hash).ok_or_else(|| corrupt("key_tokens", "hash"))?;
            Ok(ChangedToken { seq: row.seq, hash, key: row.key.try_into()? })
        };
        rows.into_iter().map(read).collect()
    }
}
