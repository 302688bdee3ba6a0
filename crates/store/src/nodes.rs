//! Nodes, and the receipts of revocations: when each node could no longer use a revoked key
//!
//! A node has a row before it caches its first key. It can use a revoked key until it has followed the change counter up to
//! the revocation, or until its lease is over. A node that registers later has no earlier record in its cache.

use crate::error::corrupt;
use crate::keys::key_detail;
use crate::statement::sql;
use crate::tx::{Transaction, Tx};
use crate::{Queries, Result, Store};
use keyhouse_domain::audit::{Action, AuditContext};
use keyhouse_domain::ids::{KeyId, NodeId};
use keyhouse_domain::node::{Node, NodeReceipt, Receipt};
use keyhouse_domain::timestamp::Timestamp;
use std::time::Duration;

/// A node that has not written for this long no longer counts as registered. It may live, if it can read the database and not
/// write to it, or if a clock is wrong: its next poll then finds no row and renews no lease.
const UNREGISTERED_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long after that the row is deleted: longer than any lease, so that a node without a row has none.
const DELETED_AFTER: Duration = Duration::from_secs(60);

#[derive(sqlx::FromRow)]
struct NodeRow {
    id: String,
    name: String,
    started_at: i64,
    seen_at: i64,
    followed_seq: i64,
    followed_at: i64,
    behind: i64,
}

#[derive(sqlx::FromRow)]
struct ReceiptRow {
    node_name: String,
    at: i64,
    by_lease: i64,
}

/// Which nodes a completion must not take for done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// The nodes that have not followed the revocation may still hold a lease.
    MayHold,
    /// Every poll that was sent before the revocation is longer ago than a lease lasts.
    AreOver,
}

impl Store {
    /// Registers a node that has followed the change counter up to `followed`. `None`: it has nothing in its cache, so it has
    /// followed all changes until now. If the counter is lower, it has gone back to an earlier state, of which the node has
    /// followed nothing.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn register_node(&self, id: NodeId, name: &str, followed: Option<i64>, now: Timestamp) -> Result<()> {
        self.check_file().await?;
        let insert = sql("INSERT INTO nodes (id, name, started_at, seen_at, followed_seq, followed_at) \
                          SELECT $1, $2, $3, $3, CASE WHEN $4 > seq THEN 0 ELSE COALESCE($4, seq) END, $3 FROM changes WHERE id = 1 \
                          ON CONFLICT (id) DO UPDATE SET stopped_at = NULL, seen_at = excluded.seen_at, \
                          followed_seq = excluded.followed_seq, followed_at = excluded.followed_at")
        .bind(id)
        .bind(name)
        .bind(now)
        .bind(followed);
        self.writes.execute(insert).await.map(drop)
    }

    /// Records that a node had followed the change counter up to `seq` at `at`, with a receipt for each revocation on the
    /// way. Returns whether the node is registered.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn record_followed(&self, id: NodeId, seq: i64, at: Timestamp, now: Timestamp) -> Result<bool> {
        let mut tx = self.begin_unaudited().await?;
        tx.insert_receipts(id, seq, at).await?;
        let update = sql("UPDATE nodes SET seen_at = $3, followed_seq = $2, \
                          followed_at = CASE WHEN followed_seq = $2 THEN followed_at ELSE $3 END \
                          WHERE id = $1 AND stopped_at IS NULL");
        let is_registered = tx.execute(update.bind(id).bind(seq).bind(now)).await? == 1;
        tx.commit().await?;
        Ok(is_registered)
    }

    /// Deletes the row of a node that has answered its last request, with a receipt for each revocation that it has not
    /// followed: it uses no key any more.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn remove_node(&self, id: NodeId, now: Timestamp) -> Result<()> {
        let mut tx = self.begin_unaudited().await?;
        tx.insert_receipts(id, i64::MAX, now).await?;
        tx.execute(sql("DELETE FROM nodes WHERE id = $1").bind(id)).await?;
        tx.commit().await
    }

    /// Deletes nodes that ended without removing their row, in two steps: rows that were not written for 15 minutes no longer
    /// count as registered, and a minute later they are deleted. Returns how many were deleted.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn purge_nodes(&self, now: Timestamp) -> Result<u64> {
        let mut tx = self.begin_unaudited().await?;
        let delete = sql("DELETE FROM nodes WHERE stopped_at <= $1");
        let deleted = tx.execute(delete.bind(now.minus(DELETED_AFTER))).await?;
        let unregister = sql("UPDATE nodes SET stopped_at = $2 WHERE seen_at < $1 AND stopped_at IS NULL");
        tx.execute(unregister.bind(now.minus(UNREGISTERED_AFTER)).bind(now)).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Completes a key's revocation if no node can use the key any more; returns whether it is complete. Writes the audit
    /// event once, whatever the number of processes that complete it at the same time.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a write.
    pub async fn complete_revocation(&self, key: KeyId, leases: Leases, context: &AuditContext) -> Result<bool> {
        let mut tx = self.begin(context).await?;
        let select = sql("SELECT seq, revocation_complete_at FROM keys WHERE id = $1 AND revoked_at IS NOT NULL");
        let Some((seq, complete_at)) = tx.fetch_optional::<(i64, Option<i64>)>(select.bind(key)).await? else {
            return Ok(false);
        };
        if complete_at.is_some() {
            return Ok(true);
        }
        match leases {
            Leases::MayHold => {
                let waiting = sql("SELECT count(*) FROM nodes WHERE followed_seq < $1").bind(seq);
                if tx.fetch_scalar::<i64>(waiting).await? != Some(0) {
                    return Ok(false);
                }
            }
            Leases::AreOver => {
                let receipts = sql("INSERT INTO receipts (key_id, node_id, node_name, at, by_lease) \
                                    SELECT $1, id, name, $3, 1 FROM nodes WHERE followed_seq < $2 \
                                    ON CONFLICT (key_id, node_id) DO NOTHING")
                .bind(key)
                .bind(seq)
                .bind(context.at);
                tx.execute(receipts).await?;
            }
        }
        tx.mark_complete(key).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Transaction {
    /// Writes a receipt of a node for each revocation from the change counter that it has followed up to `seq`. A revoked key
    /// keeps the number of its revocation: its record does not change any more.
    async fn insert_receipts(&mut self, node: NodeId, seq: i64, at: Timestamp) -> Result<()> {
        let insert = sql("INSERT INTO receipts (key_id, node_id, node_name, at, by_lease) \
                          SELECT keys.id, nodes.id, nodes.name, $3, 0 FROM keys JOIN nodes ON nodes.id = $1 \
                          WHERE keys.seq > followed_seq AND keys.seq <= $2 AND revoked_at IS NOT NULL \
                          AND revocation_complete_at IS NULL ON CONFLICT (key_id, node_id) DO NOTHING")
        .bind(node)
        .bind(seq)
        .bind(at);
        self.execute(insert).await.map(drop)
    }
}

impl Tx {
    async fn mark_complete(&mut self, id: KeyId) -> Result<()> {
        let now = self.context.at;
        let last = sql("SELECT max(at), count(*) FROM receipts WHERE key_id = $1").bind(id);
        let (last, nodes): (Option<i64>, i64) = self.fetch_one(last).await?;
        let at = last.map_or(now, Timestamp::from_ms);
        // The row is locked by this update: a second process waits for the commit, then updates nothing.
        let update =
            sql("UPDATE keys SET revocation_complete_at = $2 WHERE id = $1 AND revocation_complete_at IS NULL");
        if self.execute(update.bind(id).bind(at)).await? == 0 {
            return Ok(());
        }
        let key = self.listed_key(id).await?.ok_or_else(|| corrupt("keys", &id.to_string()))?;
        let after = (at.ms() - key.key.ended_at(now).unwrap_or(at).ms()).max(0);
        let on = match nodes {
            0 => "no node was running".to_owned(),
            1 => format!("refused on 1 node after {after} ms"),
            n => format!("refused on {n} nodes after {after} ms"),
        };
        let detail = key_detail(&key, &format!(": {on}"));
        self.audit_server(key.key.team, Action::KeyRevocationCompleted, id, detail).await
    }
}

impl Queries {
    /// The registered nodes, by name.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let select =
            sql("SELECT nodes.id, name, started_at, seen_at, followed_seq, followed_at, seq - followed_seq AS behind \
                          FROM nodes JOIN changes ON changes.id = 1 ORDER BY name, started_at");
        self.reads.fetch_all::<NodeRow>(select).await?.into_iter().map(NodeRow::read).collect()
    }

    /// The receipt of a revocation, as far as nodes have confirmed it; `None` if the key is not revoked.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn receipt(&self, key: KeyId) -> Result<Option<Receipt>> {
        let select =
            sql("SELECT revoked_at, revocation_complete_at FROM keys WHERE id = $1 AND revoked_at IS NOT NULL");
        let revoked: Option<(i64, Option<i64>)> = self.reads.fetch_optional(select.bind(key)).await?;
        let Some((revoked_at, complete_at)) = revoked else { return Ok(None) };
        let select = sql("SELECT node_name, at, by_lease FROM receipts WHERE key_id = $1 ORDER BY at, node_name");
        let rows: Vec<ReceiptRow> = self.reads.fetch_all(select.bind(key)).await?;
        let nodes = rows.into_iter().map(|row| NodeReceipt {
            node: row.node_name,
            at: Timestamp::from_ms(row.at),
            by_lease: row.by_lease != 0,
        });
        let select = sql("SELECT nodes.name FROM keys JOIN nodes ON followed_seq < keys.seq WHERE keys.id = $1 \
                          AND revocation_complete_at IS NULL ORDER BY nodes.name");
        let waiting: Vec<(String,)> = self.reads.fetch_all(select.bind(key)).await?;
        Ok(Some(Receipt {
            revoked_at: Timestamp::from_ms(revoked_at),
            complete_at: complete_at.map(Timestamp::from_ms),
            nodes: nodes.collect(),
            waiting: waiting.into_iter().map(|(name,)| name).collect(),
        }))
    }

    /// Up to `limit` keys whose revocation is not complete, the earliest revocation first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`](crate::StoreError) of a read.
    pub async fn incomplete_revocations(&self, limit: u32) -> Result<Vec<KeyId>> {
        let select = sql("SELECT id FROM keys WHERE revoked_at IS NOT NULL AND revocation_complete_at IS NULL \
                          ORDER BY seq LIMIT $1");
        let ids: Vec<(String,)> = self.reads.fetch_all(select.bind(limit)).await?;
        ids.into_iter().map(|(id,)| id.parse().map_err(|_| corrupt("keys", &id))).collect()
    }
}

impl NodeRow {
    fn read(self) -> Result<Node> {
        Ok(Node {
            id: self.id.parse().map_err(|_| corrupt("nodes", &self.id))?,
            name: self.name,
            started_at: Timestamp::from_ms(self.started_at),
            seen_at: Timestamp::from_ms(self.seen_at),
            followed_seq: self.followed_seq,
            followed_at: Timestamp::from_ms(self.followed_at),
            behind: u64::try_from(self.behind).unwrap_or(0),
        })
    }
}
