//! `keyhouse key revoke`, and the receipt of a revocation

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::show::key_json;
use super::{actor, key, name, shell};
use crate::app::keys::Revoked;
use crate::cli::CommandContext;
use crate::cli::terminal::{Table, outln, print_json};
use keyhouse_domain::api_key::{KeyState, KeyStatus, Revocation, RevocationReason};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::node::Receipt;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::team::Team;

/// How long `--wait` waits: twice what a revocation takes while the database answers.
const WAIT_MAX: Duration = Duration::from_secs(8);

pub(super) async fn revoke(
    context: &CommandContext<'_>,
    id: KeyId,
    reason: Option<&RevocationReason>,
    wait: bool,
) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    let revoked = match before.key.state {
        // The team of a revoked key may have been deleted, and a deleted team has no permits.
        KeyState::Revoked(_) => Revoked::Before,
        KeyState::Active => context.app.revoke_key(&shell(&before), id, reason).await?,
    };
    if !context.json && revoked == Revoked::Now {
        let (name, prefix) = (name(&before), before.key.prefix());
        if wait {
            outln!("Revoked {name} ({prefix}).");
        } else {
            outln!("Revoked {name} ({prefix}). Calls with it get 401 within a second.");
        }
    }
    let receipt = if wait { wait_for_receipt(context, id).await? } else { context.app.queries().receipt(id).await? };
    let after = key(context.app, id).await?;
    if context.json {
        let mut row = key_json(&after, context.app.clock().now());
        add_receipt(&mut row, receipt.as_ref());
        return print_json(&row);
    }
    if revoked == Revoked::Before {
        match after.key.status(context.app.clock().now()) {
            KeyStatus::Revoked(Revocation { at, by, .. }) => {
                outln!("{} ({}) was revoked {at} by {}; nothing changed.", name(&after), after.key.prefix(), actor(by));
            }
            KeyStatus::Expired(at) => {
                outln!("{} ({}) expired {at}; nothing changed.", name(&after), after.key.prefix());
            }
            // Revoking an active key revokes it.
            KeyStatus::Active | KeyStatus::Paused(_) => {}
        }
    }
    match receipt {
        Some(receipt) if wait => print_receipt(&receipt),
        _ => Ok(()),
    }
}

/// Waits for the receipt; the error says that the key is revoked all the same.
async fn wait_for_receipt(context: &CommandContext<'_>, id: KeyId) -> anyhow::Result<Option<Receipt>> {
    let again = context.invocation.line(&format!("key revoke {id} --wait"));
    let unconfirmed = || {
        format!(
            "the key is revoked, but it is not confirmed that every node refuses it; nodes that can't reach the database \
             refuse it after 3 seconds. To check again: {again}"
        )
    };
    match tokio::time::timeout(WAIT_MAX, context.app.wait_for_receipt(id)).await {
        Ok(receipt) => receipt.with_context(unconfirmed),
        Err(_) => anyhow::bail!(unconfirmed()),
    }
}

/// Prints when each node could no longer use the key.
fn print_receipt(receipt: &Receipt) -> anyhow::Result<()> {
    outln!("{}", summary(receipt));
    if receipt.nodes.is_empty() {
        return Ok(());
    }
    outln!("");
    let mut table = Table::new(["Node", "After", "At"]);
    for node in &receipt.nodes {
        let after = format!("{} ms{}", receipt.ms_after(node.at), if node.by_lease { " (lease ended)" } else { "" });
        table.row([node.node.clone().into(), after.into(), node.at.to_string().into()]);
    }
    table.print()
}

/// Whether every node refuses the key, in a sentence.
pub(super) fn summary(receipt: &Receipt) -> String {
    let Some(complete_at) = receipt.complete_at else {
        return format!("Not confirmed yet by {}.", receipt.waiting.join(", "));
    };
    let after = receipt.ms_after(complete_at);
    match receipt.nodes.len() {
        0 => "Complete: no node accepts it.".to_owned(),
        1 => format!("Complete: refused on the only node after {after} ms, {}.", complete_at.exact()),
        n => format!("Complete: refused on all {n} nodes after {after} ms, {}.", complete_at.exact()),
    }
}

/// Adds the receipt of a revoked key to its JSON.
pub(super) fn add_receipt(row: &mut Value, receipt: Option<&Receipt>) {
    let Some(receipt) = receipt else { return };
    row["revocationCompleteAt"] = json!(receipt.complete_at.map(|at| at.to_string()));
    let node = |name: &str| json!({ "node": name, "at": null, "afterMs": null, "byLease": false });
    let confirmed = receipt.nodes.iter().map(|done| {
        let mut row = node(&done.node);
        row["at"] = json!(done.at.to_string());
        row["afterMs"] = json!(receipt.ms_after(done.at));
        row["byLease"] = json!(done.by_lease);
        row
    });
    row["nodes"] = confirmed.chain(receipt.waiting.iter().map(|name| node(name))).collect();
}

pub(super) async fn revoke_all(context: &CommandContext<'_>, team: &Team) -> anyhow::Result<()> {
    let revoked = context.app.revoke_all_keys(&KeyAdmin::shell(&crate::cli::os_user(), team.id)).await?;
    if context.json {
        let ids: Vec<_> = revoked.iter().map(|key| key.key.id.to_string()).collect();
        return print_json(&json!({ "revoked": ids }));
    }
    for key in &revoked {
        outln!("Revoked {} ({}).", name(key), key.key.prefix());
    }
    match revoked.len() {
        0 => outln!("{} has no active keys; nothing changed.", team.name.as_str()),
        1 => outln!("1 key of {} was revoked. Calls with it get 401 within a second.", team.name.as_str()),
        n => outln!("{n} keys of {} were revoked. Calls with them get 401 within a second.", team.name.as_str()),
    }
    Ok(())
}
