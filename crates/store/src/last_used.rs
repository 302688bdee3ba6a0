//! When and from where a key was last used ⇄ rows. Written in batches, in the background.

use crate::{Result, Store, on};
use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::KeyId;

impl Store {
    /// Notes uses, each once; a later one that is noted already stays. One transaction for all.
    pub async fn note_uses(&self, uses: &[(KeyId, LastUse)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for (key, used) in uses {
            on!(&mut tx.0, db => sqlx::query(
                "INSERT INTO key_usage (key_id, last_used_at, last_used_from) VALUES ($1, $2, $3) \
                 ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, \
                     last_used_from = excluded.last_used_from \
                 WHERE key_usage.last_used_at < excluded.last_used_at")
                .bind(key.to_string()).bind(used.at.ms()).bind(&used.from)
                .execute(&mut **db).await?.rows_affected());
        }
        tx.commit().await
    }
}
