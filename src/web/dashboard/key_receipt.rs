//! The receipt of a revocation on the key's page: when each node stopped accepting the key.

use super::usage_chart::thousands;
use keyhouse_domain::node::Receipt;

pub(super) struct ReceiptCells {
    is_complete: bool,
    /// Whether every node refuses the key, and since when.
    pub sentence: String,
    pub nodes: Vec<NodeCells>,
}

pub(super) struct NodeCells {
    pub name: String,
    /// `148 ms`, or `Waiting` while the node has not confirmed the revocation.
    pub after: String,
    pub by_lease: bool,
}

impl ReceiptCells {
    /// `None` if no node was running when the key was revoked.
    pub(super) fn of(receipt: &Receipt) -> Option<Self> {
        let after = |ms: u64| format!("{} ms", thousands(ms));
        let confirmed = receipt.nodes.iter().map(|node| NodeCells {
            name: node.node.clone(),
            after: after(receipt.ms_after(node.at)),
            by_lease: node.by_lease,
        });
        let waiting = receipt.waiting.iter().map(|name| NodeCells {
            name: name.clone(),
            after: "Waiting".to_owned(),
            by_lease: false,
        });
        let nodes: Vec<_> = confirmed.chain(waiting).collect();
        let sentence = match (receipt.complete_at, nodes.len()) {
            (_, 0) => return None,
            (Some(at), 1) => format!("Refused on the only node {} later.", after(receipt.ms_after(at))),
            (Some(at), n) => format!("Refused on all {n} nodes {} later.", after(receipt.ms_after(at))),
            (None, 1) => "The node hasn’t confirmed it yet.".to_owned(),
            (None, n) => format!("{} of {n} nodes have confirmed it.", receipt.nodes.len()),
        };
        Some(Self { is_complete: receipt.complete_at.is_some(), sentence, nodes })
    }

    /// For the script, which loads the page again while the revocation is not complete.
    pub(super) fn state(&self) -> &'static str {
        if self.is_complete { "complete" } else { "waiting" }
    }
}
