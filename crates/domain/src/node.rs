//! Nodes: the serving processes, and when each of them could no longer use a revoked key

use std::time::Duration;

use super::ids::NodeId;
use super::timestamp::Timestamp;

/// A node that has not written for this long is shown as silent: three of its heartbeats.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);

/// A serving process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Another one for each start of the process.
    pub id: NodeId,
    /// The host's name and the port.
    pub name: String,
    /// When it registered.
    pub started_at: Timestamp,
    /// When it last wrote its row, by its own clock.
    pub seen_at: Timestamp,
    /// The value of the change counter up to which it has followed changes.
    pub followed_seq: i64,
    /// When it last wrote another value of the change counter.
    pub followed_at: Timestamp,
    /// How many changes it has not followed yet, as far as it has written.
    pub behind: u64,
}

impl Node {
    /// Whether the node has written within [`SILENT_AFTER`].
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.seen_at.plus(SILENT_AFTER)
    }
}

/// When one node could no longer use a revoked key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReceipt {
    /// The node's name.
    pub node: String,
    /// By the node's own clock; with `by_lease` by the clock of the process that found that the lease was over.
    pub at: Timestamp,
    /// Whether the node has confirmed nothing, and its lease must have been over.
    pub by_lease: bool,
}

/// The proof that a revocation has taken effect on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// When the key was revoked.
    pub revoked_at: Timestamp,
    /// When the last node could no longer use the key; `None` while that is not certain.
    pub complete_at: Option<Timestamp>,
    /// The nodes that can no longer use the key, in that order.
    pub nodes: Vec<NodeReceipt>,
    /// The names of the nodes that have not confirmed the revocation yet.
    pub waiting: Vec<String>,
}

impl Receipt {
    /// How long after the revocation `at` was, in milliseconds. Zero if the clocks of two nodes differ by more.
    pub fn ms_after(&self, at: Timestamp) -> u64 {
        u64::try_from(at.ms().saturating_sub(self.revoked_at.ms())).unwrap_or(0)
    }
}
