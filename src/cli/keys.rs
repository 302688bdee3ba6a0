//! `keyhouse key`: what an admin needs of the keys page when there is only a shell.

use std::io::Read;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::terminal::{self, Cell, Table, outln, print_json, style};
use crate::app::App;
use crate::app::keys::{Created, Revocation};
use crate::time_format::TimeFormat;
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, KeyState, ListedKey, NewKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::Email;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_token::Mode;
use keyhouse_token::RawToken;

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
        #[arg(long = "as", value_name = "EMAIL", value_parser = Email::parse)]
        acting_as: Option<Email>,
    },
    /// List a team's keys: active ones, and those revoked in the last 90 days
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
    /// Give a key another name
    Rename {
        /// The key's id, key_…
        id: KeyId,
        /// Its new name
        #[arg(value_parser = KeyName::parse)]
        name: KeyName,
    },
    /// End a key, or all of a team's; asks nothing, can't be undone
    Revoke {
        /// The key's id, key_…
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<KeyId>,
        /// All active keys of the team
        #[arg(long, requires = "team")]
        all: bool,
        /// The team's slug or id
        #[arg(long)]
        team: Option<TeamRef>,
    },
    /// Say which key a token belongs to; the token comes on standard input
    Find,
}

impl KeyCommand {
    pub(super) async fn run(self, app: &App, json: bool) -> anyhow::Result<()> {
        match self {
            Self::Create { team, name, mode, scope, acting_as } => {
                let team = super::team(app, &team).await?;
                let admin = admin(app, &team, acting_as.as_ref()).await?;
                create(app, &admin, &team, NewKey::new(name, mode, scope), json).await
            }
            Self::List { team } => list(app, &super::team(app, &team).await?, json).await,
            Self::Rename { id, name } => {
                let key = key(app, id).await?;
                app.rename_key(&shell(&key), id, &name).await?;
                if json {
                    return print_json(&json!({ "id": id.to_string(), "name": name.as_str() }));
                }
                outln!("Renamed {} to {name}.", key.key.prefix);
                Ok(())
            }
            Self::Revoke { id: Some(id), team, .. } => {
                if let Some(team) = team {
                    let (team, key) = (super::team(app, &team).await?, key(app, id).await?);
                    anyhow::ensure!(
                        key.key.team == team.id,
                        "{id} is not a key of {}; nothing is revoked",
                        team.slug.as_str()
                    );
                }
                revoke(app, id, json).await
            }
            Self::Revoke { id: None, team, .. } => {
                let team = super::team(app, &team.context("name a team with --team")?).await?;
                revoke_all(app, &team, json).await
            }
            Self::Find => find(app, json).await,
        }
    }
}

async fn admin(app: &App, team: &Team, acting_as: Option<&Email>) -> anyhow::Result<KeyAdmin> {
    let Some(email) = acting_as else { return Ok(KeyAdmin::shell(&super::os_user(), team.id)) };
    let member = app.queries().member_by_email(team.id, email).await?;
    let member = member.with_context(|| format!("{email} is not in {}", team.slug.as_str()))?;
    KeyAdmin::member(&member, SHELL).with_context(|| format!("{email} is {} there", member.role.as_str()))
}

fn shell(key: &ListedKey) -> KeyAdmin {
    KeyAdmin::shell(&super::os_user(), key.key.team)
}

async fn key(app: &App, id: KeyId) -> anyhow::Result<ListedKey> {
    app.queries().key(id).await?.with_context(|| format!("there is no key {id}"))
}

async fn create(app: &App, admin: &KeyAdmin, team: &Team, new: NewKey, json: bool) -> anyhow::Result<()> {
    let (name, scope) = (new.name.clone(), new.scope);
    let created = app.create_key(admin, new).await?;
    // A key whose token nobody has seen is of no use to anybody, but for whoever finds it.
    if let Err(error) = show(&created, team, &name, scope, json) {
        app.revoke_key(admin, created.key.id).await.context(error)?;
        anyhow::bail!("the token could not be shown, so the key was revoked again");
    }
    Ok(())
}

fn show(created: &Created, team: &Team, name: &KeyName, scope: Scope, json: bool) -> anyhow::Result<()> {
    let key = &created.key;
    if json {
        return print_json(
            &json!({ "id": key.id.to_string(), "token": created.token.expose(), "prefix": key.prefix.as_str(),
            "mode": key.mode.as_str(), "scope": key.scope.as_str() }),
        );
    }
    outln!("Created {name} for {} ({}, {}).\n", team.name.as_str(), key.mode.label(), scope.label());
    outln!("  {}\n", style::STRONG.paint(created.token.expose()));
    outln!("Save the token now: only its hash is kept, so it can't be shown again.");
    outln!("To end it: keyhouse key revoke {}", key.id);
    Ok(())
}

async fn list(app: &App, team: &Team, json: bool) -> anyhow::Result<()> {
    let keys = app.keys_of(team).await?;
    if json {
        return print_json(&keys.iter().map(key_json).collect::<Vec<_>>());
    }
    let now = app.clock().now();
    let (active, revoked): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.key.is_active());
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
                key.key.prefix.to_string().into(),
                terminal::mode(key.key.mode),
                key.key.scope.label().into(),
                key.creator.name.as_str().into(),
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
            let KeyState::Revoked { at, by } = &key.key.state else { continue };
            table.row([
                name(key).into(),
                key.key.prefix.to_string().into(),
                terminal::mode(key.key.mode),
                by.name.as_str().into(),
                at.ago(now).into(),
                Cell::new(key.key.id.to_string(), style::MUTED),
            ]);
        }
        table.print()?;
    }
    if keys.is_empty() {
        outln!(
            "\nNext: keyhouse key create --team {} --name \"My first key\" --mode test --scope read_write",
            team.slug.as_str()
        );
    }
    Ok(())
}

async fn revoke(app: &App, id: KeyId, json: bool) -> anyhow::Result<()> {
    let before = key(app, id).await?;
    let outcome = app.revoke_key(&shell(&before), id).await?;
    if json {
        return print_json(&key_json(&key(app, id).await?));
    }
    match outcome {
        Revocation::Now => {
            outln!("Revoked {} ({}). Calls with it get 401 within a second.", name(&before), before.key.prefix);
        }
        Revocation::Before => outln!("{} was revoked before; nothing changed.", before.key.prefix),
    }
    Ok(())
}

async fn revoke_all(app: &App, team: &Team, json: bool) -> anyhow::Result<()> {
    let revoked = app.revoke_all_keys(&KeyAdmin::shell(&super::os_user(), team.id)).await?;
    if json {
        let ids: Vec<_> = revoked.iter().map(|key| key.key.id.to_string()).collect();
        return print_json(&json!({ "revoked": ids }));
    }
    for key in &revoked {
        outln!("Revoked {} ({}).", name(key), key.key.prefix);
    }
    let keys = if revoked.len() == 1 { "key" } else { "keys" };
    outln!("{} {keys} of {} ended. Calls with them get 401 within a second.", revoked.len(), team.name.as_str());
    Ok(())
}

async fn find(app: &App, json: bool) -> anyhow::Result<()> {
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    // A token is 50 characters or so; what is longer is none.
    std::io::stdin().take(256).read_to_end(&mut text).context("can't read standard input")?;
    let token = RawToken::parse(text.trim_ascii(), app.brand())
        .map_err(|fault| anyhow::anyhow!("this is no token of this Keyhouse: {fault}"))?;
    let (key, team) =
        app.find_key(token).await?.context("no key has this token: it is well formed, but not from here")?;
    if json {
        let mut found = key_json(&key);
        found["team"] = json!({ "id": team.id.to_string(), "slug": team.slug.as_str(), "name": team.name.as_str() });
        return print_json(&found);
    }
    let state = match &key.key.state {
        KeyState::Active => Cell::new("Active", style::LIVE),
        KeyState::Revoked { at, by } => Cell::new(format!("Revoked {at} by {}", by.name), style::ERROR),
    };
    let last = key.last_use.as_ref().map_or("Never used".to_owned(), |used| format!("{} from {}", used.at, used.from));
    let mut table = Table::new(["", ""]);
    for (label, value) in [
        ("Key", Cell::from(name(&key))),
        ("Team", format!("{} ({})", team.name.as_str(), team.slug.as_str()).into()),
        ("Prefix", key.key.prefix.to_string().into()),
        ("Mode", terminal::mode(key.key.mode)),
        ("Scope", key.key.scope.label().into()),
        ("State", state),
        ("Created", format!("{} by {}", key.key.created_at, key.creator.name).into()),
        ("Last used", last.into()),
        ("Id", key.key.id.to_string().into()),
    ] {
        table.row([Cell::new(label, style::MUTED), value]);
    }
    table.print()?;
    if key.key.is_active() {
        outln!("\nTo end it: keyhouse key revoke {}", key.key.id);
    }
    Ok(())
}

pub(super) fn name(key: &ListedKey) -> &str {
    key.name.as_ref().map_or("(name cleared)", KeyName::as_str)
}

fn key_json(key: &ListedKey) -> Value {
    let mut row = json!({
        "id": key.key.id.to_string(),
        "name": key.name.as_ref().map(KeyName::as_str),
        "prefix": key.key.prefix.as_str(),
        "mode": key.key.mode.as_str(),
        "scope": key.key.scope.as_str(),
        "status": "active",
        "createdAt": key.key.created_at.to_string(),
        "createdBy": key.creator.name,
        "lastUsedAt": key.last_use.as_ref().map(|used| used.at.to_string()),
        "lastUsedFrom": key.last_use.as_ref().map(|used| used.from.as_str()),
    });
    if let KeyState::Revoked { at, by } = &key.key.state {
        row["status"] = json!("revoked");
        row["revokedAt"] = json!(at.to_string());
        row["revokedBy"] = json!(by.name);
    }
    row
}
