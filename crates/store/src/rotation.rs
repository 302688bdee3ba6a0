//! Rotation: a key gets a new token, and its former one ends some time after the first use of the new one

use std::time::Duration;

use crate::error::StoreError;
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use crate::{Result, Store};
use keyhouse_domain::api_key::{KeyToken, LastUse, Overlap};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::key_token::FORMER_TOKEN_MAX;
use keyhouse_domain::permission::{Forbidden, KeyAdmin};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::{TokenHash, TokenPrefix};

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateKeyError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// A key that was revoked or has expired gets no new token.
    #[error("the key has ended: create a new one")]
    Ended,
    /// The last rotation's former token is still accepted.
    #[error("the former token is accepted until {ends_at} at the latest: end it first, or wait")]
    FormerTokenLives {
        /// When it ends at the latest.
        ends_at: Timestamp,
    },
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a former token was not ended.
#[derive(Debug, thiserror::Error)]
pub enum EndFormerTokenError {
    /// The team has no key with this id.
    #[error("no such key")]
    NoSuchKey,
    /// The key has one token only.
    #[error("the key has no former token that is still accepted")]
    NoFormerToken,
    /// The actor may not manage this team's keys.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The new token of a rotation: its hash and its beginning.
#[derive(Debug)]
pub struct NewToken {
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The part that may be shown.
    pub prefix: TokenPrefix,
}

/// The first use of a token that replaced another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstUse {
    /// The key.
    pub key: KeyId,
    /// The token's number.
    pub token: u32,
    /// When.
    pub at: Timestamp,
}

/// The last use of a token of a rotated key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// The key.
    pub key: KeyId,
    /// The token's number.
    pub token: u32,
    /// When and from where.
    pub used: LastUse,
}

impl Store {
    /// Gives a key a new token. The former one is accepted until `overlap` after the first use of the new one, and for
    /// [`FORMER_TOKEN_MAX`] at most. Returns the new token and that latest end. The key keeps its slot.
    ///
    /// # Errors
    ///
    /// See [`RotateKeyError`].
    pub async fn rotate_key(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        new: NewToken,
        overlap: Overlap,
        context: &AuditContext,
    ) -> std::result::Result<(KeyToken, Timestamp), RotateKeyError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let old = tx.key_of_team(admin.team(), id).await?.ok_or(RotateKeyError::NoSuchKey)?;
        if !old.key.is_active(context.at) {
            return Err(RotateKeyError::Ended);
        }
        if let Some(ends_at) = old.living_former(context.at).and_then(|former| former.token.ends_at) {
            return Err(RotateKeyError::FormerTokenLives { ends_at });
        }
        let ends_at = context.at.plus(FORMER_TOKEN_MAX);
        let token = KeyToken {
            number: old.key.token.number + 1,
            prefix: new.prefix,
            created_at: context.at,
            first_used_at: None,
            ends_at: None,
        };
        let seq = tx.bump_change_seq().await?;
        tx.end_current_token(id, ends_at, overlap.length()).await?;
        tx.insert_token(id, &token, &new.hash).await?;
        tx.keep_first_tokens_use(id, old.key.token.number).await?;
        tx.touch_key(id, seq).await?;
        let rest = format!(
            ", new token {}, the former one ends {} after its first use, {} at the latest",
            token.prefix,
            span(overlap.length()),
            ends_at.minute()
        );
        tx.audit_key(Action::KeyRotated, &old, &rest).await?;
        tx.commit().await?;
        Ok((token, ends_at))
    }

    /// Ends the former token of a key at once.
    ///
    /// # Errors
    ///
    /// See [`EndFormerTokenError`].
    pub async fn end_former_token(
        &self,
        admin: &KeyAdmin,
        id: KeyId,
        context: &AuditContext,
    ) -> std::result::Result<(), EndFormerTokenError> {
        let mut tx = self.begin(context).await?;
        tx.lock_and_authorize(admin).await??;
        let key = tx.key_of_team(admin.team(), id).await?.ok_or(EndFormerTokenError::NoSuchKey)?;
        let former = key.living_former(context.at).ok_or(EndFormerTokenError::NoFormerToken)?;
        let seq = tx.bump_change_seq().await?;
        let update = sql("UPDATE key_tokens SET ends_at = $3 WHERE key_id = $1 AND number = $2 AND ends_at > $3");
        tx.execute(update.bind(id).bind(former.token.number).bind(context.at)).await?;
        tx.touch_key(id, seq).await?;
        tx.audit_key(Action::KeyFormerTokenEnded, &key, &format!(", former token {}", former.token.prefix)).await?;
        Ok(tx.commit().await?)
    }

    /// Records first uses of tokens that replaced another, and with each the end of the former token: `overlap` after the
    /// use. Of several nodes that saw a first use, the earliest one counts. Advances the change counter, so that each node
    /// reads the end with the former token's record.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write; then none of them is recorded.
    pub async fn record_first_uses(&self, uses: &[FirstUse]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_unaudited().await?;
        let seq = tx.bump_change_seq().await?;
        for first in uses {
            tx.record_first_use(first, seq).await?;
        }
        tx.commit().await
    }
}

impl Store {
    /// Stores the last use of tokens of rotated keys, in one transaction. A later use that is stored already stays.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write; then none of them is stored.
    pub async fn store_token_uses(&self, uses: &[TokenUse]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_unaudited().await?;
        for TokenUse { key, token, used } in uses {
            let store = sql("INSERT INTO token_usage (key_id, number, last_used_at, last_used_from) \
                             VALUES ($1, $2, $3, $4) ON CONFLICT (key_id, number) DO UPDATE \
                             SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from \
                             WHERE token_usage.last_used_at < excluded.last_used_at")
            .bind(*key)
            .bind(*token)
            .bind(used.at)
            .bind(&used.from);
            tx.execute(store).await?;
        }
        tx.commit().await
    }
}

impl Transaction {
    async fn record_first_use(&mut self, first: &FirstUse, seq: i64) -> Result<()> {
        let record = sql("UPDATE key_tokens SET first_used_at = $3 WHERE key_id = $1 AND number = $2 \
                          AND (first_used_at IS NULL OR first_used_at > $3)")
        .bind(first.key)
        .bind(first.token)
        .bind(first.at);
        if self.execute(record).await? == 0 {
            return Ok(());
        }
        let end = sql("UPDATE key_tokens SET ends_at = $3 + overlap_ms \
                       WHERE key_id = $1 AND number = $2 AND ends_at > $3 + overlap_ms")
        .bind(first.key)
        .bind(first.token - 1)
        .bind(first.at);
        self.execute(end).await?;
        self.touch_key(first.key, seq).await
    }

    /// Gives an active key's record the number of this change, so that every node reads it again.
    pub(crate) async fn touch_key(&mut self, id: KeyId, seq: i64) -> Result<()> {
        let touch = sql("UPDATE keys SET seq = $2 WHERE id = $1 AND ended_at IS NULL").bind(id).bind(seq);
        self.execute(touch).await.map(drop)
    }
}

impl Tx {
    pub(crate) async fn insert_token(&mut self, key: KeyId, token: &KeyToken, hash: &TokenHash) -> Result<()> {
        let insert =
            sql("INSERT INTO key_tokens (hash, key_id, number, prefix, created_at) VALUES ($1, $2, $3, $4, $5)")
                .bind(hash.as_bytes())
                .bind(key)
                .bind(token.number)
                .bind(token.prefix.as_str())
                .bind(token.created_at);
        self.execute(insert).await.map(drop)
    }

    async fn end_current_token(&mut self, key: KeyId, ends_at: Timestamp, overlap: Duration) -> Result<()> {
        let update = sql("UPDATE key_tokens SET ends_at = $2, overlap_ms = $3 WHERE key_id = $1 AND ends_at IS NULL")
            .bind(key)
            .bind(ends_at)
            .bind(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX));
        self.execute(update).await.map(drop)
    }

    /// A key that was never rotated has its last use with the key alone: from now on it is its first token's.
    async fn keep_first_tokens_use(&mut self, key: KeyId, number: u32) -> Result<()> {
        if number != 1 {
            return Ok(());
        }
        let copy = sql("INSERT INTO token_usage (key_id, number, last_used_at, last_used_from) \
                        SELECT key_id, 1, last_used_at, last_used_from FROM key_usage WHERE key_id = $1 \
                        ON CONFLICT (key_id, number) DO NOTHING");
        self.execute(copy.bind(key)).await.map(drop)
    }
}

/// A length of time in its largest whole unit: `24 h`, `90 min`.
fn span(length: Duration) -> String {
    match length.as_secs() {
        0 => "at once".to_owned(),
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
