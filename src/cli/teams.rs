//! `keyhouse team`.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::terminal::{Cell, Table, outln, print_json, style};
use crate::app::App;
use keyhouse_domain::person::Email;
use keyhouse_domain::team::{Team, TeamName};

#[derive(Debug, Subcommand)]
pub(super) enum TeamCommand {
    /// Create a team and its owner
    Create {
        /// The team's name; its slug is made from it
        #[arg(value_parser = TeamName::parse)]
        name: TeamName,
        /// The owner's e-mail address
        #[arg(long, value_name = "EMAIL", value_parser = Email::parse)]
        owner: Email,
    },
    /// List all teams
    List,
}

impl TeamCommand {
    pub(super) async fn run(self, app: &App, url: &str, json: bool) -> anyhow::Result<()> {
        match self {
            Self::Create { name, owner } => {
                let team = app.create_team(&super::os_user(), &name, &owner).await?;
                let code = app.entry_link(&super::os_user(), &owner).await?.context("the owner is there")?;
                let link = super::link(url, &code);
                if json {
                    let mut row = team_json(&team);
                    row["link"] = json!(link);
                    return print_json(&row);
                }
                outln!("Created {} ({}), owned by {owner}.", style::STRONG.paint(name.as_str()), team.slug.as_str());
                outln!("\nFor the owner, once, within 7 days:\n{link}");
                outln!(
                    "\nNext: keyhouse key create --team {} --name \"My first key\" --mode test --scope read_write",
                    team.slug.as_str()
                );
            }
            Self::List => {
                let teams = app.teams().await?;
                if json {
                    let rows: Vec<_> = teams
                        .iter()
                        .map(|(team, active)| {
                            let mut row = team_json(team);
                            row["activeKeys"] = json!(active);
                            row
                        })
                        .collect();
                    return print_json(&rows);
                }
                if teams.is_empty() {
                    outln!("No teams yet.\n\nNext: keyhouse team create \"My team\" --owner me@example.com");
                    return Ok(());
                }
                let mut table = Table::new(["Team", "Slug", "Active keys", "Id"]);
                for (team, active) in &teams {
                    let id = Cell::new(team.id.to_string(), style::MUTED);
                    table.row([
                        team.name.as_str().into(),
                        team.slug.as_str().into(),
                        format!("{active} of 10").into(),
                        id,
                    ]);
                }
                table.print()?;
            }
        }
        Ok(())
    }
}

fn team_json(team: &Team) -> Value {
    json!({ "id": team.id.to_string(), "slug": team.slug.as_str(), "name": team.name.as_str(),
            "createdAt": team.created_at.to_string() })
}
