//! What changes a key that exists: rotate, pause, conditions

use std::time::Duration;

use serde_json::json;

use super::{key, name, shell, show};
use crate::app::keys::Rotated;
use crate::cli::CommandContext;
use crate::cli::terminal::{outln, print_json, style};
use keyhouse_domain::api_key::{AllowedNetworks, Conditions, Expiry, ListedKey, Overlap};
use keyhouse_domain::ids::KeyId;

pub(super) async fn rotate(context: &CommandContext<'_>, id: KeyId, overlap: Overlap) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    let rotated = context.app.rotate_key(&shell(&before), id, overlap).await?;
    print_rotated(context, &before, &rotated, overlap).map_err(|error| {
        error.context("the key was rotated, but its new token could not be shown: create another key in its place")
    })
}

fn print_rotated(
    context: &CommandContext<'_>,
    before: &ListedKey,
    rotated: &Rotated,
    overlap: Overlap,
) -> anyhow::Result<()> {
    let (key, token) = (&rotated.key, rotated.token.expose());
    if context.json {
        return print_json(&json!({ "id": key.id.to_string(), "token": token, "prefix": key.prefix().as_str(),
            "mode": key.mode.as_str(), "scope": key.scope.as_str(),
            "formerTokenEndsAt": rotated.former_ends_at.to_string() }));
    }
    outln!("Rotated {} ({}, {}).\n", name(before), key.mode.label(), key.scope.label());
    outln!("  {}\n", style::STRONG.paint(token));
    outln!("Save the token now: only its hash is stored, so it can't be shown again.");
    outln!(
        "The former token ({}) is accepted {} the first use of the new one, and until {} at the latest.",
        before.key.prefix(),
        after(overlap.length()),
        rotated.former_ends_at.exact()
    );
    outln!("To end it now: {}", context.invocation.line(&format!("key end-former {}", key.id)));
    Ok(())
}

/// A time span before "the first use", in words.
fn after(overlap: Duration) -> String {
    let seconds = overlap.as_secs();
    let (count, unit) = match seconds {
        0 => return "until".to_owned(),
        _ if seconds.is_multiple_of(86_400) && seconds > 86_400 => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("until {count} {unit}{} after", if count == 1 { "" } else { "s" })
}

pub(super) async fn end_former(context: &CommandContext<'_>, id: KeyId) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    context.app.end_former_token(&shell(&before), id).await?;
    print_change(context, id, "The former token of", "has ended. Calls with it get 401 within a second.").await
}

pub(super) async fn pause(context: &CommandContext<'_>, id: KeyId, length: Option<Duration>) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    let until = length.map(|length| context.app.clock().now().plus(length));
    context.app.pause_key(&shell(&before), id, until).await?;
    let rest = match until {
        Some(until) => format!("until {}. Calls with it get 401 until then.", until.exact()),
        None => format!(
            "until it is resumed. Calls with it get 401.\nTo resume it: {}",
            context.invocation.line(&format!("key resume {id}"))
        ),
    };
    print_change(context, id, "Paused", &rest).await
}

pub(super) async fn resume(context: &CommandContext<'_>, id: KeyId) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    context.app.resume_key(&shell(&before), id).await?;
    print_change(context, id, "Resumed", "; it works again within a second.").await
}

/// Changes the conditions that are given, and keeps the others.
pub(super) async fn conditions(
    context: &CommandContext<'_>,
    id: KeyId,
    expires: Option<Expiry>,
    allowed: Option<AllowedNetworks>,
) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    let old = before.key.conditions.clone();
    let conditions = Conditions {
        expires_at: expires.map_or(old.expires_at, |expiry| expiry.at(context.app.clock().now())),
        allowed: allowed.unwrap_or_else(|| old.allowed.clone()),
    };
    context.app.set_conditions(&shell(&before), id, &conditions, &old).await?;
    let expires = conditions.expires_at.map_or("never expires".to_owned(), |at| format!("expires {}", at.exact()));
    let from = if conditions.allowed.is_any() {
        "from any address".to_owned()
    } else {
        format!("from {}", conditions.allowed)
    };
    print_change(context, id, "Changed", &format!(": it {expires} and can be used {from}.")).await
}

/// Prints the key after a change, or one line about it for people.
async fn print_change(context: &CommandContext<'_>, id: KeyId, before: &str, after: &str) -> anyhow::Result<()> {
    let changed = key(context.app, id).await?;
    if context.json {
        return print_json(&show::full_json(context, &changed));
    }
    let space = if after.starts_with([';', ':']) { "" } else { " " };
    outln!("{before} {} ({}){space}{after}", name(&changed), changed.key.prefix());
    Ok(())
}
