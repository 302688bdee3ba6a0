//! The URL under which the server was last reached, for links that other processes print

use crate::statement::sql;
use crate::{Queries, Result, Store};

/// The row's name in the table of settings.
const NAME: &str = "served.url";

impl Queries {
    /// The URL that a server stored when it last started; `None` before the first start.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn served_url(&self) -> Result<Option<String>> {
        let select = sql("SELECT value FROM settings WHERE name = $1").bind(NAME);
        Ok(self.reads.fetch_optional::<(String,)>(select).await?.map(|(url,)| url))
    }
}

impl Store {
    /// Stores the URL under which this server is reached.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn set_served_url(&self, url: &str) -> Result<()> {
        let upsert = sql("INSERT INTO settings (name, value) VALUES ($1, $2) \
                          ON CONFLICT (name) DO UPDATE SET value = excluded.value");
        self.writes.execute(upsert.bind(NAME).bind(url)).await.map(drop)
    }
}
