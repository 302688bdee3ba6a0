//! Nodes and receipts: which processes serve, and when each of them could no longer use a revoked key.
//!
//! # Invariants
//!
//! 1. **A node has a row before it has a lease.** A poll checks the row; a poll that finds none renews no lease.
//! 2. **A node confirms a revocation only after its cache has dropped the key**: it writes the change counter of a poll that
//!    was applied to every shard.
//! 3. **A silent node is waited for as long as its lease may last**, counted by the process that waits from the moment it
//!    found the revocation in the database. A poll that the silent node sent later than that has the revocation in its answer.
//!
//! A command of the shell answers no calls, so it is no node.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::App;
use super::key_cache::LEASES_END_WITHIN;
use keyhouse_domain::audit::{AuditActor, SERVER};
use keyhouse_domain::ids::{KeyId, NodeId};
use keyhouse_domain::node::Receipt;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangeFeed, Leases, StoreError};

/// How often a node writes that it is alive while no key changes.
pub const NODE_HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a node checks a revocation that is not complete.
const INCOMPLETE_INTERVAL: Duration = Duration::from_millis(250);
/// How often the command line checks the revocation that it waits for.
const WAIT_INTERVAL: Duration = Duration::from_millis(50);
/// Revocations that are checked in one go.
const REVOCATIONS: u32 = 100;

/// What this process has written of itself as a node.
#[derive(Debug, Default)]
pub(crate) struct NodeState {
    inner: Mutex<Inner>,
    /// Wakes the task that writes.
    followed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    name: String,
    id: Option<NodeId>,
    is_registered: bool,
    /// The change counter of the last applied poll that brought another value, and when that was.
    polled: Option<(i64, Timestamp)>,
    /// The change counter that the node's row has.
    written: Option<i64>,
    /// When the row was last written, on the monotonic clock.
    written_at: Duration,
    /// When this process first found each revocation that is not complete, on the monotonic clock.
    incomplete: HashMap<KeyId, Duration>,
}

impl NodeState {
    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a poll that was applied to the whole cache.
    pub(crate) fn note_poll(&self, seq: i64, at: Timestamp) {
        let is_news = self.with(|inner| {
            let is_other = inner.polled.is_none_or(|(known, _)| known != seq);
            if is_other {
                inner.polled = Some((seq, at));
            }
            is_other && inner.is_registered
        });
        if is_news {
            self.followed.notify_one();
        }
    }

    /// Notes that the database has no row of this node any more.
    pub(crate) fn note_missing_row(&self) {
        self.with(|inner| inner.is_registered = false);
    }
}

impl App {
    /// Names this process for lists of nodes. Call it before the first poll.
    pub fn set_node_name(&self, name: &str) {
        self.node.with(|inner| name.clone_into(&mut inner.name));
    }

    /// As [`App::apply_changes`], in a process that serves: registers it as a node first, if it is not registered.
    ///
    /// # Errors
    ///
    /// As [`App::apply_changes`].
    pub async fn follow_changes(&self, feed: &mut ChangeFeed) -> Result<(), StoreError> {
        let known = self.node.with(|inner| inner.id);
        let id = known.unwrap_or_else(|| NodeId::new(self.ids.seed()));
        if !self.node.with(|inner| inner.is_registered) {
            let (name, polled) = self.node.with(|inner| (inner.name.clone(), inner.polled.map(|(seq, _)| seq)));
            self.store.register_node(id, &name, polled, self.clock.now()).await?;
            let now = self.clock.monotonic();
            self.node.with(|inner| {
                (inner.id, inner.is_registered, inner.written, inner.written_at) = (Some(id), true, polled, now);
            });
            feed.check_registration_of(id);
        }
        self.apply_changes(feed).await
    }

    /// Waits until there is something to write: a poll with a new value of the change counter, a revocation that is not
    /// complete, or the heartbeat.
    pub async fn node_report_due(&self) {
        let is_waiting = self.node.with(|inner| !inner.incomplete.is_empty());
        let period = if is_waiting { INCOMPLETE_INTERVAL } else { NODE_HEARTBEAT };
        let _elapsed = tokio::time::timeout(period, self.node.followed.notified()).await;
    }

    /// Writes how far this node has followed the change counter, if that is news or the heartbeat is due, and completes the
    /// revocations that are certain; returns how many are not.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    pub async fn report_node(&self) -> Result<usize, StoreError> {
        let now = self.clock.monotonic();
        let due = self.node.with(|inner| {
            let is_heartbeat = now.saturating_sub(inner.written_at) >= NODE_HEARTBEAT;
            let due = inner.polled.filter(|(seq, _)| is_heartbeat || inner.written != Some(*seq));
            inner.id.filter(|_| inner.is_registered).zip(due)
        });
        if let Some((id, (seq, at))) = due {
            let is_registered = self.store.record_followed(id, seq, at, self.clock.now()).await?;
            self.node.with(|inner| {
                (inner.written, inner.written_at) = (Some(seq), now);
                inner.is_registered &= is_registered;
            });
        }
        self.complete_revocations().await
    }

    /// Completes the revocations that every node has followed, or whose nodes' leases must be over.
    async fn complete_revocations(&self) -> Result<usize, StoreError> {
        let found = self.queries().incomplete_revocations(REVOCATIONS).await?;
        // Read after the answer: a revocation is in the database when it is first found.
        let now = self.clock.monotonic();
        self.node.with(|inner| inner.incomplete.retain(|key, _| found.contains(key)));
        for &key in &found {
            let since = self.node.with(|inner| *inner.incomplete.entry(key).or_insert(now));
            if self.complete_revocation(key, now.saturating_sub(since)).await? {
                self.node.with(|inner| inner.incomplete.remove(&key));
            }
        }
        Ok(self.node.with(|inner| inner.incomplete.len()))
    }

    /// Completes a revocation that this process found `found_before` ago, if that is certain.
    async fn complete_revocation(&self, key: KeyId, found_before: Duration) -> Result<bool, StoreError> {
        let leases = if found_before > LEASES_END_WITHIN { Leases::AreOver } else { Leases::MayHold };
        self.store.complete_revocation(key, leases, &self.context(AuditActor::server(), SERVER)).await
    }

    /// Waits until a key's revocation is complete; `None` if the key is not revoked. While the database answers, that takes
    /// little longer than a lease.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    pub async fn wait_for_receipt(&self, key: KeyId) -> Result<Option<Receipt>, StoreError> {
        if self.queries().receipt(key).await?.is_none() {
            return Ok(None);
        }
        let found = self.clock.monotonic();
        while !self.complete_revocation(key, self.clock.monotonic().saturating_sub(found)).await? {
            tokio::time::sleep(WAIT_INTERVAL).await;
        }
        self.queries().receipt(key).await
    }

    /// Deletes the rows of nodes that ended without removing them; returns how many.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn purge_nodes(&self) -> Result<u64, StoreError> {
        self.store.purge_nodes(self.clock.now()).await
    }

    /// Deletes this node's row, and completes the revocations that waited for it alone. Call it after the last request.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a write.
    pub async fn remove_node(&self) -> Result<(), StoreError> {
        let registered = self.node.with(|inner| {
            let id = inner.id.filter(|_| inner.is_registered);
            inner.is_registered = false;
            id
        });
        let Some(id) = registered else { return Ok(()) };
        self.store.remove_node(id, self.clock.now()).await?;
        self.complete_revocations().await.map(drop)
    }
}
