//! Writing the usage of keys, in batches, in the background; and deleting what is too old

use crate::statement::{Arg, ListArgs, Placeholder, Statement, sql, sql_text};
use crate::tx::Transaction;
use crate::{Result, Store};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{ADDRESSES_PER_KEY, CALLS_KEPT, CALLS_PER_KEY, DAYS_KEPT, KeyUsage, UtcDay};

/// Rows in one statement, the largest first. Few sizes, because each makes a statement that connections prepare and keep.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// A table with the columns that are written, and what happens to a row that is there already.
struct Upsert {
    table: &'static str,
    columns: &'static str,
    on_conflict: &'static str,
}

const ACTIVITY: Upsert = Upsert {
    table: "key_activity",
    columns: "key_id, written_at",
    on_conflict: "(key_id) DO UPDATE SET written_at = excluded.written_at",
};

const LAST_USE: Upsert = Upsert {
    table: "key_usage",
    columns: "key_id, last_used_at, last_used_from",
    on_conflict: "(key_id) DO UPDATE SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from \
                  WHERE key_usage.last_used_at < excluded.last_used_at",
};

const DAYS: Upsert = Upsert {
    table: "key_calls_by_day",
    columns: "key_id, day, outcome, calls",
    on_conflict: "(key_id, day, outcome) DO UPDATE SET calls = key_calls_by_day.calls + excluded.calls",
};

const ADDRESSES: Upsert = Upsert {
    table: "key_addresses",
    columns: "key_id, address, agent, first_at, last_at, calls, refused, refused_at, accepted_at",
    on_conflict: "(key_id, address, agent) DO UPDATE SET \
                  first_at = CASE WHEN key_addresses.first_at < excluded.first_at THEN key_addresses.first_at \
                      ELSE excluded.first_at END, \
                  last_at = CASE WHEN key_addresses.last_at > excluded.last_at THEN key_addresses.last_at \
                      ELSE excluded.last_at END, \
                  calls = key_addresses.calls + excluded.calls, refused = key_addresses.refused + excluded.refused, \
                  refused_at = coalesce(excluded.refused_at, key_addresses.refused_at), \
                  accepted_at = coalesce(excluded.accepted_at, key_addresses.accepted_at)",
};

const CALLS: Upsert = Upsert {
    table: "key_calls",
    columns: "key_id, request_id, at, method, route, status, outcome, address, agent",
    on_conflict: "(key_id, request_id) DO NOTHING",
};

impl Store {
    /// Adds what was noted about some keys, in one transaction. A later use that is stored already stays the last one; of
    /// each key the [`ADDRESSES_PER_KEY`] latest addresses and the [`CALLS_PER_KEY`] newest calls are kept.
    ///
    /// `usage` is in the order of its keys, so that two nodes that write the same keys lock rows in the same order.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write; then nothing is stored, unless the answer to the commit was lost.
    pub async fn store_usage(&self, usage: &[KeyUsage], now: Timestamp) -> Result<()> {
        if usage.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_unaudited().await?;
        tx.upsert(&ACTIVITY, usage.iter().map(|noted| vec![noted.key.into(), now.into()])).await?;
        let last_uses = usage.iter().filter_map(|noted| noted.last_use.as_ref().map(|used| (noted.key, used)));
        tx.upsert(&LAST_USE, last_uses.map(|(key, used)| vec![key.into(), used.at.into(), (&used.from).into()]))
            .await?;
        tx.upsert(&DAYS, usage.iter().flat_map(day_rows)).await?;
        tx.upsert(&ADDRESSES, usage.iter().flat_map(address_rows)).await?;
        tx.upsert(&CALLS, usage.iter().flat_map(call_rows)).await?;
        let with_addresses: Vec<_> = usage.iter().filter(|noted| !noted.addresses.is_empty()).map(key_of).collect();
        for key in tx.keys_with_more_rows("key_addresses", ADDRESSES_PER_KEY, &with_addresses).await? {
            tx.delete_surplus_addresses(&key).await?;
        }
        let with_calls: Vec<_> = usage.iter().filter(|noted| !noted.calls.is_empty()).map(key_of).collect();
        for key in tx.keys_with_more_rows("key_calls", CALLS_PER_KEY, &with_calls).await? {
            tx.delete_surplus_calls(&key).await?;
        }
        tx.commit().await
    }

    /// Deletes up to `batch` rows of each kind that are past their time: recent calls after [`CALLS_KEPT`], counts and
    /// addresses after [`DAYS_KEPT`]. Returns the number of rows.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn purge_usage(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let calls = sql("DELETE FROM key_calls WHERE (key_id, request_id) IN \
                         (SELECT key_id, request_id FROM key_calls WHERE at <= $1 ORDER BY at LIMIT $2)")
        .bind(now.minus(CALLS_KEPT));
        let days = sql("DELETE FROM key_calls_by_day WHERE (key_id, day, outcome) IN \
                        (SELECT key_id, day, outcome FROM key_calls_by_day WHERE day < $1 ORDER BY day LIMIT $2)")
        .bind(UtcDay::of(now.minus(DAYS_KEPT)).number());
        let addresses = sql("DELETE FROM key_addresses WHERE (key_id, address, agent) IN \
                             (SELECT key_id, address, agent FROM key_addresses WHERE last_at <= $1 \
                              ORDER BY last_at LIMIT $2)")
        .bind(now.minus(DAYS_KEPT));
        let mut deleted = 0;
        for delete in [calls, days, addresses] {
            deleted += self.writes.execute(delete.bind(batch)).await?;
        }
        Ok(deleted)
    }
}

fn key_of(noted: &KeyUsage) -> KeyId {
    noted.key
}

fn day_rows(noted: &KeyUsage) -> impl Iterator<Item = Vec<Arg>> {
    let key = noted.key;
    noted
        .days
        .iter()
        .map(move |&(day, outcome, calls)| vec![key.into(), day.number().into(), outcome.as_str().into(), count(calls)])
}

fn address_rows(noted: &KeyUsage) -> impl Iterator<Item = Vec<Arg>> {
    let key = noted.key;
    noted.addresses.iter().map(move |seen| {
        vec![
            key.into(),
            (&seen.address).into(),
            (&seen.agent).into(),
            seen.first_at.into(),
            seen.last_at.into(),
            count(seen.calls),
            count(seen.refused),
            seen.refused_at.map(Timestamp::ms).into(),
            seen.accepted_at.map(Timestamp::ms).into(),
        ]
    })
}

fn call_rows(noted: &KeyUsage) -> impl Iterator<Item = Vec<Arg>> {
    let key = noted.key;
    noted.calls.iter().map(move |call| {
        vec![
            key.into(),
            call.request.into(),
            call.at.into(),
            (&call.method).into(),
            (&call.route).into(),
            i64::from(call.status).into(),
            call.outcome.as_str().into(),
            (&call.address).into(),
            (&call.agent).into(),
        ]
    })
}

fn count(calls: u64) -> Arg {
    i64::try_from(calls).unwrap_or(i64::MAX).into()
}

impl Transaction {
    /// Writes rows in statements of up to 64.
    async fn upsert(&mut self, into: &Upsert, rows: impl Iterator<Item = Vec<Arg>> + Send) -> Result<()> {
        let rows: Vec<_> = rows.collect();
        let (mut left, mut rows) = (rows.len(), rows.into_iter());
        while left > 0 {
            let size = ROWS.into_iter().find(|&size| size <= left).unwrap_or(1);
            let statement = into.statement(rows.by_ref().take(size).collect(), self.placeholder());
            self.execute(statement).await?;
            left -= size;
        }
        Ok(())
    }

    /// Those of the keys that have more rows in a table than are kept. Asked for many keys in one statement, because nearly
    /// all keys have fewer: a `DELETE` for each would be a round trip for each.
    async fn keys_with_more_rows(&mut self, table: &str, kept: u32, keys: &[KeyId]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for keys in keys.chunks(ROWS[0]) {
            let list = ListArgs::after(1, keys);
            let select = sql_text(format!(
                "SELECT key_id FROM {table} WHERE key_id IN ({}) GROUP BY key_id HAVING count(*) > $1",
                list.placeholders()
            ));
            found.extend(self.fetch_scalars::<String>(list.bind_to(select.bind(kept), |key| *key)).await?);
        }
        Ok(found)
    }

    async fn delete_surplus_addresses(&mut self, key: &str) -> Result<()> {
        let delete = sql("DELETE FROM key_addresses WHERE key_id = $1 AND (address, agent) NOT IN \
                          (SELECT address, agent FROM key_addresses WHERE key_id = $1 \
                           ORDER BY last_at DESC, address, agent LIMIT $2)");
        self.execute(delete.bind(key).bind(ADDRESSES_PER_KEY)).await?;
        Ok(())
    }

    async fn delete_surplus_calls(&mut self, key: &str) -> Result<()> {
        let delete = sql("DELETE FROM key_calls WHERE key_id = $1 AND request_id <= \
                          (SELECT request_id FROM key_calls WHERE key_id = $1 ORDER BY request_id DESC LIMIT 1 OFFSET $2)");
        self.execute(delete.bind(key).bind(CALLS_PER_KEY)).await?;
        Ok(())
    }
}

impl Upsert {
    fn statement(&self, rows: Vec<Vec<Arg>>, placeholder: Placeholder) -> Statement {
        let mut text = format!("INSERT INTO {} ({}) VALUES ", self.table, self.columns);
        let mut before = 0;
        for row in &rows {
            text += if before == 0 { "(" } else { ", (" };
            text += &placeholder.list(before, row.len());
            text.push(')');
            before += row.len();
        }
        text += &format!(" ON CONFLICT {}", self.on_conflict);
        rows.into_iter().flatten().fold(sql_text(text), Statement::bind)
    }
}
