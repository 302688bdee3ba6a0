//! When and from where keys were last used; written in batches, in the background

use crate::db::sql;
use crate::{Result, Store};
use keyhouse_domain::api_key::LastUse;
use keyhouse_domain::ids::KeyId;

impl Store {
    /// Stores the last use of each key, in one transaction. A later use that is stored already stays.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write; then none of them is stored.
    pub async fn store_last_uses(&self, uses: &[(KeyId, LastUse)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_unaudited().await?;
        for (key, used) in uses {
            let store = sql("INSERT INTO key_usage (key_id, last_used_at, last_used_from) VALUES ($1, $2, $3) \
                             ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, \
                                 last_used_from = excluded.last_used_from \
                             WHERE key_usage.last_used_at < excluded.last_used_at")
            .bind(*key)
            .bind(used.at)
            .bind(&used.from);
            tx.execute(store).await?;
        }
        tx.commit().await
    }
}
