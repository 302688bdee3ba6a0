//! The keys that sign the identity of forwarded calls, as rows of the table of settings: there are a handful, they are read
//! together, and each is written once

use data_encoding::HEXLOWER;

use crate::error::corrupt;
use crate::statement::sql;
use crate::tx::Transaction;
use crate::{Queries, Result, Store};
use keyhouse_domain::timestamp::Timestamp;

/// The beginning of the rows' names; the key's number follows.
const PREFIX: &str = "identity.key.";

/// A signing key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityKeyRow {
    /// Numbers rise: a key with a greater number replaces the others once it signs.
    pub number: i64,
    /// When the key begins to sign. It is published before that.
    pub signs_from: Timestamp,
    /// The public key: 32 bytes.
    pub public: Vec<u8>,
    /// The encrypted private key.
    pub sealed: Vec<u8>,
}

impl Queries {
    /// All keys, by number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`](crate::StoreError::Corrupt) for a row that can't be read; any other
    /// [`StoreError`](crate::StoreError) of a read.
    pub async fn identity_keys(&self) -> Result<Vec<IdentityKeyRow>> {
        let select = sql("SELECT name, value FROM settings WHERE name LIKE 'identity.key.%'");
        read(self.reads.fetch_all(select).await?)
    }
}

impl Store {
    /// Adds a key with the number after the greatest one, deletes the keys with the numbers that `drop` selects among those
    /// there are, and returns the new key. `make` gets the number, and the keys that there are; if it returns `None`,
    /// nothing changes. Of two nodes that do this at once the second sees the key of the first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`](crate::StoreError::Conflict) if another node did it at the same time on PostgreSQL; any
    /// other [`StoreError`](crate::StoreError) of a write.
    pub async fn add_identity_key(
        &self,
        make: impl FnOnce(i64, &[IdentityKeyRow]) -> Option<IdentityKeyRow>,
        drop: impl Fn(&IdentityKeyRow) -> bool,
    ) -> Result<Option<IdentityKeyRow>> {
        let mut tx = self.begin_unaudited().await?;
        let select = sql("SELECT name, value FROM settings WHERE name LIKE 'identity.key.%'");
        let known = read(tx.fetch_all(select).await?)?;
        let number = known.last().map_or(1, |last| last.number + 1);
        let Some(new) = make(number, &known) else { return Ok(None) };
        let insert = sql("INSERT INTO settings (name, value) VALUES ($1, $2)");
        tx.execute(insert.bind(name(new.number)).bind(value(&new))).await?;
        for former in known.iter().filter(|row| drop(row)) {
            tx.delete_identity_key(former.number).await?;
        }
        tx.commit().await?;
        Ok(Some(new))
    }
}

impl Transaction {
    async fn delete_identity_key(&mut self, number: i64) -> Result<u64> {
        self.execute(sql("DELETE FROM settings WHERE name = $1").bind(name(number))).await
    }
}

fn name(number: i64) -> String {
    format!("{PREFIX}{number}")
}

fn value(row: &IdentityKeyRow) -> String {
    format!("{} {} {}", row.signs_from.ms(), HEXLOWER.encode(&row.public), HEXLOWER.encode(&row.sealed))
}

fn read(rows: Vec<(String, String)>) -> Result<Vec<IdentityKeyRow>> {
    let parse = |(name, value): (String, String)| {
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        let mut parts = value.split(' ');
        let signs_from = Timestamp::from_ms(parts.next()?.parse().ok()?);
        let mut bytes = || HEXLOWER.decode(parts.next()?.as_bytes()).ok();
        Some(IdentityKeyRow { number, signs_from, public: bytes()?, sealed: bytes()? })
    };
    let bad = || corrupt("settings", PREFIX);
    let mut rows = rows.into_iter().map(|row| parse(row).ok_or_else(bad)).collect::<Result<Vec<_>>>()?;
    rows.sort_by_key(|row| row.number);
    Ok(rows)
}
