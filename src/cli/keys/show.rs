//! `keyhouse key show`, and a key as JSON

use serde_json::{Value, json};

use super::revoke::{self, add_receipt};
use super::{actor, key, name};
use crate::cli::CommandContext;
use crate::cli::terminal::{self, Cell, Table, outln, print_json, style};
use crate::time_format::TimeFormat;
use keyhouse_domain::api_key::{KeyName, KeyStatus, KeyToken, LastUse, ListedKey, Revocation, RevocationReason};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::team::TeamRef;
use keyhouse_domain::timestamp::Timestamp;

/// Prints one key: what it is, its conditions, its tokens.
pub(super) async fn show(context: &CommandContext<'_>, id: KeyId) -> anyhow::Result<()> {
    let listed = key(context.app, id).await?;
    let receipt = context.app.queries().receipt(id).await?;
    if context.json {
        let mut row = full_json(context, &listed);
        add_receipt(&mut row, receipt.as_ref());
        return print_json(&row);
    }
    let (key, now) = (&listed.key, context.app.clock().now());
    let team = context.app.queries().team(&TeamRef::Id(key.team)).await?;
    let mut table = Table::new(["", ""]);
    let mut row = |label: &'static str, value: Cell| table.row([Cell::new(label, style::MUTED), value]);
    row("Key", name(&listed).into());
    row("Team", team.map_or("(deleted)".to_owned(), |team| format!("{} ({})", team.name, team.slug.as_str())).into());
    row("Status", status(&listed, now));
    if let Some(receipt) = &receipt {
        row("Revocation", revoke::summary(receipt).into());
        for node in &receipt.nodes {
            let lease = if node.by_lease { " (lease ended)" } else { "" };
            row("", format!("{} after {} ms{lease}", node.node, receipt.ms_after(node.at)).into());
        }
    }
    row("Mode", terminal::mode(key.mode));
    row("Scope", key.scope.label().into());
    row("Created", format!("{} by {}", key.created_at.exact(), actor(&listed.creator)).into());
    if let Some(at) = key.conditions.expires_at {
        row("Expires", format!("{} ({})", at.exact(), at.ahead(now)).into());
    }
    if !key.conditions.allowed.is_any() {
        row("Allowed from", key.conditions.allowed.to_string().into());
    }
    if let Some(successor) = listed.successor {
        row("Successor", successor.to_string().into());
    }
    row("Last used", last_used(listed.last_use.as_ref()).into());
    row("Token", current_token(&listed).into());
    if let Some(former) = listed.living_former(now) {
        row("Former token", former_token(&former.token, former.last_use.as_ref()).into());
    }
    row("Id", key.id.to_string().into());
    table.print()?;
    if key.is_active(now) {
        outln!("To revoke it: {}", context.invocation.line(&format!("key revoke {}", key.id)));
    }
    Ok(())
}

/// A key's status in words.
pub(super) fn status(listed: &ListedKey, now: Timestamp) -> Cell {
    match listed.key.status(now) {
        KeyStatus::Active => Cell::new("Active", style::LIVE),
        KeyStatus::Paused(pause) => match pause.until {
            Some(until) => format!("Paused until {}", until.exact()).into(),
            None => "Paused".into(),
        },
        KeyStatus::Expired(at) => Cell::new(format!("Expired {}", at.exact()), style::ERROR),
        KeyStatus::Revoked(Revocation { at, by, reason }) => {
            let because = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            Cell::new(format!("Revoked {} by {}{because}", at.exact(), actor(by)), style::ERROR)
        }
    }
}

fn last_used(used: Option<&LastUse>) -> String {
    used.map_or("Never used".to_owned(), |used| format!("{} from {}", used.at.exact(), used.from))
}

fn current_token(listed: &ListedKey) -> String {
    let token = &listed.key.token;
    if token.number == 1 {
        return token.prefix.to_string();
    }
    let used = match (&listed.current_use, token.first_used_at) {
        (Some(_), _) => format!("last used {}", last_used(listed.current_use.as_ref())),
        (None, Some(first)) => format!("first used {}", first.exact()),
        (None, None) => "not used yet".to_owned(),
    };
    format!("{} since {}, {used}", token.prefix, token.created_at.exact())
}

fn former_token(token: &KeyToken, used: Option<&LastUse>) -> String {
    let ends = token.ends_at.map_or_else(String::new, |at| format!(", accepted until {} at the latest", at.exact()));
    format!("{}{ends}, last used: {}", token.prefix, last_used(used))
}

/// A key as the commands print it for programs.
pub(super) fn key_json(listed: &ListedKey, now: Timestamp) -> Value {
    let key = &listed.key;
    let mut row = json!({
        "id": key.id.to_string(),
        "name": listed.name.as_ref().map(KeyName::as_str),
        "prefix": key.prefix().as_str(),
        "mode": key.mode.as_str(),
        "scope": key.scope.as_str(),
        "status": "active",
        "createdAt": key.created_at.to_string(),
        "createdBy": listed.creator.name,
        "createdById": listed.creator.person.map(|person| person.to_string()),
        "lastUsedAt": listed.last_use.as_ref().map(|used| used.at.to_string()),
        "lastUsedFrom": listed.last_use.as_ref().map(|used| used.from.as_str()),
        "successorId": listed.successor.map(|successor| successor.to_string()),
        "expiresAt": key.conditions.expires_at.map(|at| at.to_string()),
        "allowedNetworks": key.conditions.allowed.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    match key.status(now) {
        KeyStatus::Active => {}
        KeyStatus::Paused(pause) => {
            row["status"] = json!("paused");
            row["pausedAt"] = json!(pause.at.to_string());
            row["pausedUntil"] = json!(pause.until.map(|until| until.to_string()));
        }
        KeyStatus::Expired(_) => row["status"] = json!("expired"),
        KeyStatus::Revoked(Revocation { at, by, reason }) => {
            row["status"] = json!("revoked");
            row["revokedAt"] = json!(at.to_string());
            row["revokedBy"] = json!(by.name);
            row["revokedById"] = json!(by.person.map(|person| person.to_string()));
            row["revokedReason"] = json!(reason.as_ref().map(RevocationReason::as_str));
        }
    }
    row
}

/// As [`key_json`], with the tokens.
pub(super) fn full_json(context: &CommandContext<'_>, listed: &ListedKey) -> Value {
    let now = context.app.clock().now();
    let mut row = key_json(listed, now);
    let current_use = if listed.key.token.number == 1 { &listed.last_use } else { &listed.current_use };
    let mut tokens = vec![token_json(&listed.key.token, current_use.as_ref())];
    tokens.extend(listed.living_former(now).map(|former| token_json(&former.token, former.last_use.as_ref())));
    row["tokens"] = json!(tokens);
    row
}

fn token_json(token: &KeyToken, used: Option<&LastUse>) -> Value {
    json!({
        "prefix": token.prefix.as_str(),
        "createdAt": token.created_at.to_string(),
        "firstUsedAt": token.first_used_at.map(|at| at.to_string()),
        "lastUsedAt": used.map(|used| used.at.to_string()),
        "lastUsedFrom": used.map(|used| used.from.as_str()),
        "endsAt": token.ends_at.map(|at| at.to_string()),
    })
}
