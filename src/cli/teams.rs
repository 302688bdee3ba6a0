//! `keyhouse team`: create and list teams.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::people::{account_json, describe};
use super::terminal::{Cell, Table, outln, print_json, style};
use super::{CommandContext, keys};
use keyhouse_domain::api_key::ACTIVE_KEYS_MAX;
use keyhouse_domain::person::Email;
use keyhouse_domain::team::{Team, TeamName};

#[derive(Debug, Subcommand)]
pub(super) enum TeamCommand {
    /// Create a team and its owner
    Create {
        /// The team's name; its slug is made from it
        #[arg(value_parser = TeamName::parse)]
        name: TeamName,
        /// The owner's email address
        #[arg(long, value_name = "EMAIL", value_parser = Email::parse)]
        owner: Email,
        /// Give the team to the account that already has this email address
        #[arg(long)]
        existing_account: bool,
    },
    /// List all teams
    List,
}

impl TeamCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        match self {
            Self::Create { name, owner, existing_account } => create(context, &name, &owner, existing_account).await,
            Self::List => list(context).await,
        }
    }
}

async fn create(
    context: &CommandContext<'_>,
    name: &TeamName,
    owner: &Email,
    existing_account: bool,
) -> anyhow::Result<()> {
    // An address is not proof of who its holder is, so an existing account gets a team only if the caller says so.
    let account = context.app.queries().account(owner).await?;
    match &account {
        Some(account) if !existing_account => anyhow::bail!(
            "{}. If that is the owner you mean, repeat the command with --existing-account",
            describe(account)
        ),
        None if existing_account => anyhow::bail!("there is no account with the address {owner}"),
        _ => {}
    }
    let team = context.app.create_team(&super::os_user(), name, owner).await?;
    let code = context.app.entry_link(&super::os_user(), owner).await?;
    let link = context.link(&code.context("the owner's account was removed at the same time")?);
    if context.json {
        let mut row = team_json(&team);
        row["link"] = json!(link);
        row["existingAccount"] = account.as_ref().map_or(Value::Null, account_json);
        return print_json(&row);
    }
    outln!("Created {} ({}), owned by {owner}.", style::STRONG.paint(name.as_str()), team.slug.as_str());
    if let Some(account) = &account {
        outln!("{}.", describe(account));
    }
    outln!("\nSend the owner this one-time link (valid for 7 days):\n{link}");
    outln!("\nNext: {}", keys::first_key(context, &team));
    Ok(())
}

async fn list(context: &CommandContext<'_>) -> anyhow::Result<()> {
    let teams = context.app.teams().await?;
    if context.json {
        let row = |(team, active): &(Team, u32)| {
            let mut row = team_json(team);
            row["activeKeys"] = json!(active);
            row
        };
        return print_json(&teams.iter().map(row).collect::<Vec<_>>());
    }
    if teams.is_empty() {
        outln!("No teams yet.");
        outln!("\nNext: {}", context.invocation.line("team create \"My team\" --owner me@example.com"));
        return Ok(());
    }
    let mut table = Table::new(["Team", "Slug", "Active keys", "Id"]);
    for (team, active) in &teams {
        table.row([
            team.name.as_str().into(),
            team.slug.as_str().into(),
            format!("{active} of {ACTIVE_KEYS_MAX}").into(),
            Cell::new(team.id.to_string(), style::MUTED),
        ]);
    }
    table.print()
}

fn team_json(team: &Team) -> Value {
    json!({ "id": team.id.to_string(), "slug": team.slug.as_str(), "name": team.name.as_str(),
            "createdAt": team.created_at.to_string() })
}
