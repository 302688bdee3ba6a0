//! `keyhouse key`: create, list, rename and revoke keys.

mod find;

pub(super) use find::INPUT_MAX;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::CommandContext;
use super::terminal::{self, Cell, Table, outln, print_json, style};
use crate::app::App;
use crate::app::keys::{Created, Revocation};
use crate::time_format::TimeFormat;
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, KeyState, ListedKey, NewKey};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::EmailLookup;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_token::Mode;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create a key and print its token, once
    Create {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// What the key is for; private to the team
        #[arg(long, value_parser = KeyName::parse)]
        name: KeyName,
        /// live or test; can't be changed later
        #[arg(long, value_parser = |text: &str| Mode::parse(text).ok_or("live or test"))]
        mode: Mode,
        /// read_write or read_only
        #[arg(long, value_parser = |text: &str| Scope::parse(text).ok_or("read_write or read_only"))]
        scope: Scope,
        /// Act as this member, who must be an owner or admin of the team
        #[arg(long = "as", value_name = "EMAIL")]
        acting_as: Option<EmailLookup>,
    },
    /// List a team's keys: the active ones, and those revoked in the last 90 days
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
    /// Rename a key
    Rename {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// Its new name
        #[arg(value_parser = KeyName::parse)]
        name: KeyName,
    },
    /// Revoke a key, or all keys of a team. No confirmation; permanent
    Revoke {
        /// The key's id, key_…
        #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = key_id)]
        id: Option<KeyId>,
        /// All active keys of the team
        #[arg(long, requires = "team")]
        all: bool,
        /// The team's slug or id
        #[arg(long)]
        team: Option<TeamRef>,
    },
    /// Find the tokens in any text on standard input, and say whose keys they are
    Find,
}

fn key_id(text: &str) -> Result<KeyId, &'static str> {
    text.parse().map_err(|_| "not a key id (key_ and 26 characters)")
}

impl KeyCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        match self {
            Self::Create { team, name, mode, scope, acting_as } => {
                let team = context.team(&team).await?;
                let admin = admin(context.app, &team, acting_as.as_ref()).await?;
                create(context, &admin, &team, NewKey::new(name, mode, scope)).await
            }
            Self::List { team } => list(context, &context.team(&team).await?).await,
            Self::Rename { id, name } => {
                let key = key(context.app, id).await?;
                context.app.rename_key(&shell(&key), id, &name).await?;
                if context.json {
                    return print_json(&json!({ "id": id.to_string(), "name": name.as_str() }));
                }
                outln!("Renamed {} to {name}.", key.key.prefix());
                Ok(())
            }
            Self::Revoke { id: Some(id), team, .. } => {
                if let Some(team) = team {
                    let (team, key) = (context.team(&team).await?, key(context.app, id).await?);
                    anyhow::ensure!(
                        key.key.team == team.id,
                        "{id} is not a key of {}; nothing was revoked",
                        team.slug.as_str()
                    );
                }
                revoke(context, id).await
            }
            Self::Revoke { id: None, team, .. } => {
                let team = context.team(&team.context("name a team with --team")?).await?;
                revoke_all(context, &team).await
            }
            Self::Find => find::find(context).await,
        }
    }
}

async fn admin(app: &App, team: &Team, acting_as: Option<&EmailLookup>) -> anyhow::Result<KeyAdmin> {
    let Some(email) = acting_as else { return Ok(KeyAdmin::shell(&super::os_user(), team.id)) };
    let member = app.queries().member_by_email(team.id, email).await?;
    let member = member.with_context(|| format!("{email} is not in {}", team.slug.as_str()))?;
    let role = member.role.as_str();
    KeyAdmin::member(&member, SHELL)
        .with_context(|| format!("{} ({email}) has the role {role} in {}", member.name, team.slug.as_str()))
}

fn shell(key: &ListedKey) -> KeyAdmin {
    KeyAdmin::shell(&super::os_user(), key.key.team)
}

async fn key(app: &App, id: KeyId) -> anyhow::Result<ListedKey> {
    app.queries().key(id).await?.with_context(|| format!("there is no key {id}"))
}

async fn create(context: &CommandContext<'_>, admin: &KeyAdmin, team: &Team, new: NewKey) -> anyhow::Result<()> {
    let (name, scope) = (new.name.clone(), new.scope);
    let created = context.app.create_key(admin, new).await?;
    // A token that was not printed can't be used, so its key would only occupy a slot.
    if let Err(error) = show(context, &created, team, &name, scope) {
        context.app.revoke_key(admin, created.key.id, None).await.context(error)?;
        anyhow::bail!("the token could not be shown, so the key was revoked again");
    }
    Ok(())
}

fn show(
    context: &CommandContext<'_>,
    created: &Created,
    team: &Team,
    name: &KeyName,
    scope: Scope,
) -> anyhow::Result<()> {
    let key = &created.key;
    if context.json {
        return print_json(
            &json!({ "id": key.id.to_string(), "token": created.token.expose(), "prefix": key.prefix().as_str(),
            "mode": key.mode.as_str(), "scope": key.scope.as_str() }),
        );
    }
    outln!("Created {name} for {} ({}, {}).\n", team.name.as_str(), key.mode.label(), scope.label());
    outln!("  {}\n", style::STRONG.paint(created.token.expose()));
    outln!("Save the token now: only its hash is stored, so it can't be shown again.");
    outln!("To revoke it: {}", context.invocation.line(&format!("key revoke {}", key.id)));
    Ok(())
}

async fn list(context: &CommandContext<'_>, team: &Team) -> anyhow::Result<()> {
    let keys = context.app.keys_of(team).await?;
    if context.json {
        return print_json(&keys.iter().map(key_json).collect::<Vec<_>>());
    }
    let now = context.app.clock().now();
    let (active, revoked): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.key.is_active(now));
    outln!("{}: {} of {ACTIVE_KEYS_MAX} active", style::STRONG.paint(team.name.as_str()), active.len());
    if !active.is_empty() {
        outln!("");
        let mut table = Table::new(["Name", "Prefix", "Mode", "Scope", "Created by", "Last used", "Created", "Id"]);
        for key in active {
            let last = match &key.last_use {
                None => Cell::new("Never used", style::MUTED),
                Some(used) => format!("{} from {}", used.at.ago(now), used.from).into(),
            };
            table.row([
                name(key).into(),
                key.key.prefix().to_string().into(),
                terminal::mode(key.key.mode),
                key.key.scope.label().into(),
                actor(&key.creator).into(),
                last,
                key.key.created_at.ago(now).into(),
                Cell::new(key.key.id.to_string(), style::MUTED),
            ]);
        }
        table.print()?;
    }
    if !revoked.is_empty() {
        outln!("\n{}", style::STRONG.paint("Revoked in the last 90 days"));
        let mut table = Table::new(["Name", "Prefix", "Mode", "Revoked by", "Revoked", "Id"]);
        for key in revoked {
            let KeyState::Revoked { at, by, .. } = &key.key.state else { continue };
            table.row([
                name(key).into(),
                key.key.prefix().to_string().into(),
                terminal::mode(key.key.mode),
                actor(by).into(),
                at.ago(now).into(),
                Cell::new(key.key.id.to_string(), style::MUTED),
            ]);
        }
        table.print()?;
    }
    if keys.is_empty() {
        outln!("\nNext: {}", first_key(context, team));
    }
    Ok(())
}

/// The command that creates a team's first key.
pub(super) fn first_key(context: &CommandContext<'_>, team: &Team) -> String {
    context.invocation.line(&format!(
        "key create --team {} --name \"My first key\" --mode test --scope read_write",
        team.slug.as_str()
    ))
}

async fn revoke(context: &CommandContext<'_>, id: KeyId) -> anyhow::Result<()> {
    let before = key(context.app, id).await?;
    let revoked = match before.key.state {
        // The team of a revoked key may have been deleted, and a deleted team has no permits.
        KeyState::Revoked { .. } => Revocation::Before,
        KeyState::Active => context.app.revoke_key(&shell(&before), id, None).await?,
    };
    let after = key(context.app, id).await?;
    if context.json {
        return print_json(&key_json(&after));
    }
    match (revoked, &after.key.state) {
        (Revocation::Before, KeyState::Revoked { at, by, .. }) => {
            outln!("{} ({}) was revoked {at} by {}; nothing changed.", name(&after), after.key.prefix(), actor(by));
        }
        _ => outln!("Revoked {} ({}). Calls with it get 401 within a second.", name(&before), before.key.prefix()),
    }
    Ok(())
}

async fn revoke_all(context: &CommandContext<'_>, team: &Team) -> anyhow::Result<()> {
    let revoked = context.app.revoke_all_keys(&KeyAdmin::shell(&super::os_user(), team.id)).await?;
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

/// The name of a key, as lists show it.
pub(super) fn name(key: &ListedKey) -> &str {
    key.name.as_ref().map_or("(name cleared)", KeyName::as_str)
}

/// Who made a change. The command line is marked by brackets, which set it apart from a person of that name.
fn actor(by: &AuditActor) -> String {
    if by.person.is_some() { by.name.clone() } else { format!("[{}]", by.name) }
}

fn key_json(key: &ListedKey) -> Value {
    let mut row = json!({
        "id": key.key.id.to_string(),
        "name": key.name.as_ref().map(KeyName::as_str),
        "prefix": key.key.prefix().as_str(),
        "mode": key.key.mode.as_str(),
        "scope": key.key.scope.as_str(),
        "status": "active",
        "createdAt": key.key.created_at.to_string(),
        "createdBy": key.creator.name,
        "createdById": key.creator.person.map(|person| person.to_string()),
        "lastUsedAt": key.last_use.as_ref().map(|used| used.at.to_string()),
        "lastUsedFrom": key.last_use.as_ref().map(|used| used.from.as_str()),
    });
    if let KeyState::Revoked { at, by, .. } = &key.key.state {
        row["status"] = json!("revoked");
        row["revokedAt"] = json!(at.to_string());
        row["revokedBy"] = json!(by.name);
        row["revokedById"] = json!(by.person.map(|person| person.to_string()));
    }
    row
}
