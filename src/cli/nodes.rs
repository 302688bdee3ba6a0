//! `keyhouse node`: the serving processes.

use clap::Subcommand;
use serde_json::json;

use super::CommandContext;
use super::terminal::{Cell, Table, outln, print_json, style};
use crate::time_format::TimeFormat;

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// List the nodes that serve this database, and whether each has processed all key changes
    List,
}

impl NodeCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        let Self::List = self;
        let (nodes, now) = (context.app.queries().nodes().await?, context.app.clock().now());
        if context.json {
            let rows = nodes.iter().map(|node| {
                json!({
                    "id": node.id.to_string(),
                    "name": node.name,
                    "status": if node.is_live(now) { "live" } else { "silent" },
                    "startedAt": node.started_at.to_string(),
                    "lastSeenAt": node.seen_at.to_string(),
                    "followedSeq": node.followed_seq,
                    "followedAt": node.followed_at.to_string(),
                    "changesBehind": node.behind,
                })
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        if nodes.is_empty() {
            outln!("No node serves this database.");
            return Ok(());
        }
        let mut table = Table::new(["Node", "Status", "Started", "Last seen", "Changes of keys", "Id"]);
        for node in &nodes {
            let status =
                if node.is_live(now) { Cell::new("Live", style::LIVE) } else { Cell::new("Silent", style::ERROR) };
            let followed = match node.behind {
                0 => "all followed".to_owned(),
                1 => "1 not followed".to_owned(),
                n => format!("{n} not followed"),
            };
            table.row([
                node.name.clone().into(),
                status,
                node.started_at.ago(now).into(),
                format!("{} s ago", (now.ms() - node.seen_at.ms()).max(0) / 1000).into(),
                followed.into(),
                Cell::new(node.id.to_string(), style::MUTED),
            ]);
        }
        table.print()
    }
}
