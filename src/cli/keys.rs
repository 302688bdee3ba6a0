//! `keyhouse key`: create, list, change, revoke and find keys.

mod change;
mod find;
mod revoke;
mod show;

pub(super) use find::INPUT_MAX;

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::CommandContext;
use super::terminal::{self, Cell, Table, outln, print_json, style};
use crate::app::App;
use crate::app::keys::Created;
use crate::time_format::TimeFormat;
use keyhouse_domain::api_key::{
    ACTIVE_KEYS_MAX, AllowedNetworks, Conditions, Expiry, KeyName, KeyStatus, ListedKey, NewKey, Overlap, Pause,
    RevocationReason,
};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::networks::NetworksError;
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::EmailLookup;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_domain::time_span::parse_time_span;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;
use show::key_json;

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
        /// When the key ends: a time span (90d) or the last day on which it works (2027-01-31, UTC)
        #[arg(long, value_name = "WHEN")]
        expires: Option<Expiry>,
        /// Networks or addresses from which the key may be used, separated by commas [default: any]
        #[arg(long, value_name = "CIDR,…", value_parser = networks)]
        allow_from: Option<AllowedNetworks>,
        /// Act as this member, who must be an owner or admin of the team
        #[arg(long = "as", value_name = "EMAIL")]
        acting_as: Option<EmailLookup>,
    },
    /// List a team's keys: the active ones, and those that ended in the last 90 days
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
    /// Show a key with its conditions and tokens
    Show {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
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
    /// Pause a key: its calls are refused, and it still counts toward the team's limit
    Pause {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// How long, such as 1h; then the key works again automatically [default: until it is resumed]
        #[arg(long = "for", value_name = "TIME", value_parser = parse_time_span)]
        length: Option<Duration>,
    },
    /// End a key's pause
    Resume {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
    },
    /// Give a key a new token and print it, once; the former token is accepted for a while
    Rotate {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// How long the former token is accepted after the first use of the new one, 0 to 7d [default: 24h]
        #[arg(long, value_name = "TIME")]
        overlap: Option<Overlap>,
    },
    /// End the former token of a rotated key at once
    EndFormer {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
    },
    /// Change until when and from where a key may be used
    #[command(group = clap::ArgGroup::new("condition").required(true).multiple(true))]
    Conditions {
        /// The key's id, key_…
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// When the key ends: a time span (90d), the last day on which it works (2027-01-31, UTC), or never
        #[arg(long, value_name = "WHEN", group = "condition")]
        expires: Option<Expiry>,
        /// Networks or addresses from which the key may be used, separated by commas, or any
        #[arg(long, value_name = "CIDR,…", group = "condition", value_parser = networks)]
        allow_from: Option<AllowedNetworks>,
    },
    /// Revoke a key, or all keys of a team, permanently and without confirmation
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
        /// Why, for the audit log and the key's page
        #[arg(long, value_name = "TEXT", conflicts_with = "all")]
        reason: Option<RevocationReason>,
        /// Wait until no node accepts the key: at most about 4 seconds if the database responds
        #[arg(long, conflicts_with = "all")]
        wait: bool,
    },
    /// Find tokens in a text on standard input, and show their keys
    Find,
}

fn key_id(text: &str) -> Result<KeyId, &'static str> {
    text.parse().map_err(|_| "not a key id (key_ and 26 characters)")
}

/// `any` and an empty list allow every address.
fn networks(text: &str) -> Result<AllowedNetworks, NetworksError> {
    if text == "any" { Ok(AllowedNetworks::default()) } else { AllowedNetworks::parse(text) }
}

impl KeyCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        match self {
            Self::Create { team, name, mode, scope, expires, allow_from, acting_as } => {
                let team = context.team(&team).await?;
                let admin = admin(context.app, &team, acting_as.as_ref()).await?;
                let conditions = Conditions {
                    expires_at: expires.and_then(|expiry| expiry.at(context.app.clock().now())),
                    allowed: allow_from.unwrap_or_default(),
                };
                let new = NewKey::new(name, mode, scope).with_conditions(conditions);
                create(context, &admin, &team, new).await
            }
            Self::List { team } => list(context, &context.team(&team).await?).await,
            Self::Show { id } => show::show(context, id).await,
            Self::Pause { id, length } => change::pause(context, id, length).await,
            Self::Resume { id } => change::resume(context, id).await,
            Self::Rotate { id, overlap } => change::rotate(context, id, overlap.unwrap_or_default()).await,
            Self::EndFormer { id } => change::end_former(context, id).await,
            Self::Conditions { id, expires, allow_from } => change::conditions(context, id, expires, allow_from).await,
            Self::Rename { id, name } => {
                let key = key(context.app, id).await?;
                context.app.rename_key(&shell(&key), id, &name, None).await?;
                if context.json {
                    return print_json(&json!({ "id": id.to_string(), "name": name.as_str() }));
                }
                outln!("Renamed {} to {name}.", key.key.prefix());
                Ok(())
            }
            Self::Revoke { id: Some(id), team, reason, wait, .. } => {
                if let Some(team) = team {
                    let (team, key) = (context.team(&team).await?, key(context.app, id).await?);
                    anyhow::ensure!(
                        key.key.team == team.id,
                        "{id} is not a key of {}; nothing was revoked",
                        team.slug.as_str()
                    );
                }
                revoke::revoke(context, id, reason.as_ref(), wait).await
            }
            Self::Revoke { id: None, team, .. } => {
                let team = context.team(&team.context("name a team with --team")?).await?;
                revoke::revoke_all(context, &team).await
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
    if let Err(error) = show_token(context, &created, team, &name, scope) {
        context.app.revoke_key(admin, created.key.id, None).await.context(error)?;
        anyhow::bail!("the token could not be shown, so the key was revoked");
    }
    Ok(())
}

fn show_token(
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
    if let Some(at) = key.conditions.expires_at {
        outln!("It expires {}.", at.exact());
    }
    if !key.conditions.allowed.is_any() {
        outln!("It can be used from {}.", key.conditions.allowed);
    }
    outln!("To revoke it: {}", context.invocation.line(&format!("key revoke {}", key.id)));
    Ok(())
}

async fn list(context: &CommandContext<'_>, team: &Team) -> anyhow::Result<()> {
    let keys = context.app.keys_of(team).await?;
    let now = context.app.clock().now();
    if context.json {
        return print_json(&keys.iter().map(|key| key_json(key, now)).collect::<Vec<_>>());
    }
    let (active, ended): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.key.is_active(now));
    outln!("{}: {} of {ACTIVE_KEYS_MAX} active", style::STRONG.paint(team.name.as_str()), active.len());
    if !active.is_empty() {
        outln!("");
        let heads = ["Name", "Prefix", "Mode", "Scope", "Created by", "Last used", "Created", "Status", "Id"];
        let mut table = Table::new(heads);
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
                active_status(key, now).into(),
                Cell::new(key.key.id.to_string(), style::MUTED),
            ]);
        }
        table.print()?;
    }
    if !ended.is_empty() {
        outln!("\n{}", style::STRONG.paint("Revoked or expired in the last 90 days"));
        let mut table = Table::new(["Name", "Prefix", "Mode", "Ended by", "Ended", "Id"]);
        for key in ended {
            let (at, by) = match key.key.status(now) {
                KeyStatus::Revoked(revocation) => (revocation.at, actor(&revocation.by)),
                KeyStatus::Expired(at) => (at, "Expiry".to_owned()),
                KeyStatus::Active | KeyStatus::Paused(_) => continue,
            };
            table.row([
                name(key).into(),
                key.key.prefix().to_string().into(),
                terminal::mode(key.key.mode),
                by.into(),
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

/// The status of an active key: paused, rotating, or when it expires.
fn active_status(key: &ListedKey, now: Timestamp) -> String {
    let rotating = key.living_former(now).is_some();
    match (key.key.status(now), key.key.conditions.expires_at) {
        (KeyStatus::Paused(Pause { until: Some(until), .. }), _) => format!("Paused, resumes {}", until.ahead(now)),
        (KeyStatus::Paused(_), _) => "Paused".to_owned(),
        (_, Some(at)) => format!("Expires {}", at.ahead(now)),
        (_, None) if rotating => "Two tokens".to_owned(),
        (_, None) => "Active".to_owned(),
    }
}

/// The command that creates a team's first key.
pub(super) fn first_key(context: &CommandContext<'_>, team: &Team) -> String {
    context.invocation.line(&format!(
        "key create --team {} --name \"My first key\" --mode test --scope read_write",
        team.slug.as_str()
    ))
}

/// The name of a key, as lists show it.
pub(super) fn name(key: &ListedKey) -> &str {
    key.name.as_ref().map_or("(name cleared)", KeyName::as_str)
}

/// Who made a change. The command line is marked by brackets, which set it apart from a person of that name.
fn actor(by: &AuditActor) -> String {
    if by.person.is_some() { by.name.clone() } else { format!("[{}]", by.name) }
}
