//! `keyhouse key find`: whose tokens are in this text?

use std::io::Read;

use anyhow::Context;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::show::{key_json, status};
use super::{actor, name};
use crate::app::keys::FoundKey;
use crate::cli::CommandContext;
use crate::cli::terminal::{self, Cell, Table, outln, print_json, style};
use keyhouse_domain::api_key::KeyState;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::{TokenError, TokenPrefix, find_tokens};

/// The longest input, in bytes: the whole log of a small service, and no more memory than a server uses.
pub(in crate::cli) const INPUT_MAX: u64 = 64 << 20;

/// What a text that begins like a token turned out to be.
enum Finding {
    /// A key of this installation.
    Ours(Box<FoundKey>),
    /// A token in the right form that no key here has.
    Unknown(TokenPrefix),
    /// Not a token.
    Faulty(TokenError),
}

/// Reads standard input, finds each token in it and prints whose key it is. A token is never printed.
///
/// # Errors
///
/// Fails, so that the exit code is 1, if no key of this installation was found.
pub(super) async fn find(context: &CommandContext<'_>) -> anyhow::Result<()> {
    let (findings, now) = (findings(context).await?, context.app.clock().now());
    if context.json {
        print_json(&findings.iter().map(|finding| finding_json(finding, now)).collect::<Vec<_>>())?;
    } else {
        for (nth, finding) in findings.iter().enumerate() {
            if nth > 0 {
                outln!("");
            }
            print(context, finding)?;
        }
    }
    let is_ours = |finding: &Finding| matches!(finding, Finding::Ours(_));
    match (findings.is_empty(), findings.iter().any(is_ours)) {
        (true, _) => anyhow::bail!(
            "there is no token in this text: tokens begin with {0}_live_ or {0}_test_",
            context.app.brand().as_str()
        ),
        (false, false) => anyhow::bail!("no token in this text belongs to a key on this server"),
        (false, true) => Ok(()),
    }
}

async fn findings(context: &CommandContext<'_>) -> anyhow::Result<Vec<Finding>> {
    let mut text = Zeroizing::new(Vec::new());
    std::io::stdin().take(INPUT_MAX + 1).read_to_end(&mut text).context("can't read standard input")?;
    anyhow::ensure!(text.len() as u64 <= INPUT_MAX, "the text is longer than {} MiB; split it", INPUT_MAX >> 20);
    let (mut findings, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for token in find_tokens(&text, context.app.brand()) {
        match token {
            Ok(token) => {
                if !seen.insert(token.hash()) {
                    continue;
                }
                let prefix = token.prefix();
                let found = context.app.find_key(token).await?;
                findings.push(found.map_or(Finding::Unknown(prefix), |found| Finding::Ours(Box::new(found))));
            }
            Err(error) => findings.push(Finding::Faulty(error)),
        }
    }
    Ok(findings)
}

fn print(context: &CommandContext<'_>, finding: &Finding) -> anyhow::Result<()> {
    let found = match finding {
        Finding::Ours(found) => found,
        Finding::Unknown(prefix) => {
            outln!("{prefix} has the format of a token, but no key on this server has it.");
            return Ok(());
        }
        Finding::Faulty(error) => {
            outln!(
                "A string in this text starts like a token but is not valid ({error}). It may be truncated or mistyped."
            );
            return Ok(());
        }
    };
    let key = &found.key;
    let now = context.app.clock().now();
    let state = match (&key.key.state, found.team_deleted_at) {
        (KeyState::Active, _) => status(key, now),
        (KeyState::Revoked(revocation), Some(deleted)) if revocation.at == deleted => {
            Cell::new(format!("Revoked with its team {deleted} by {}", actor(&revocation.by)), style::ERROR)
        }
        (KeyState::Revoked(revocation), _) => {
            Cell::new(format!("Revoked {} by {}", revocation.at, actor(&revocation.by)), style::ERROR)
        }
    };
    let team = match found.team_deleted_at {
        None => format!("{} ({})", found.team.name, found.team.slug.as_str()),
        Some(at) => format!("{} (deleted {at})", found.team.name),
    };
    let last = key.last_use.as_ref().map_or("Never used".to_owned(), |used| format!("{} from {}", used.at, used.from));
    let mut table = Table::new(["", ""]);
    for (label, value) in [
        ("Key", Cell::from(name(key))),
        ("Team", team.into()),
        ("Prefix", key.key.prefix().to_string().into()),
        ("Mode", terminal::mode(key.key.mode)),
        ("Scope", key.key.scope.label().into()),
        ("State", state),
        ("Created", format!("{} by {}", key.key.created_at, actor(&key.creator)).into()),
        ("Last used", last.into()),
        ("Id", key.key.id.to_string().into()),
    ] {
        table.row([Cell::new(label, style::MUTED), value]);
    }
    table.print()?;
    if key.key.is_active(now) {
        outln!("");
        outln!("To revoke it: {}", context.invocation.line(&format!("key revoke {}", key.key.id)));
    }
    Ok(())
}

fn finding_json(finding: &Finding, now: Timestamp) -> Value {
    match finding {
        Finding::Ours(found) => {
            let mut row = key_json(&found.key, now);
            row["team"] = json!({
                "id": found.team.id.to_string(),
                "slug": found.team_deleted_at.is_none().then(|| found.team.slug.as_str()),
                "name": found.team.name.as_str(),
                "deletedAt": found.team_deleted_at.map(|at| at.to_string()),
            });
            row
        }
        Finding::Unknown(prefix) => json!({ "prefix": prefix.as_str(), "status": "unknown" }),
        Finding::Faulty(error) => json!({ "status": "malformed", "error": error.to_string() }),
    }
}
