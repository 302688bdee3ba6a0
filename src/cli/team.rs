//! `keyhouse team` and `keyhouse member`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::terminal::{Cell, Table, print_json, say, style};
use crate::app::App;
use crate::domain::team::{Email, Team, TeamName, TeamRef};

#[derive(Debug, Subcommand)]
pub enum TeamCommand {
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

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List a team's members
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
}

impl TeamCommand {
    pub async fn run(self, app: &App, json: bool) -> anyhow::Result<()> {
        match self {
            Self::Create { name, owner } => {
                let team = app.create_team(&super::os_user(), &name, &owner).await?;
                if json {
                    return print_json(&team_json(&team));
                }
                say!("Created {} ({}), owned by {owner}.", style::STRONG.paint(name.as_str()), team.slug.as_str());
                say!(
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
                    say!("No teams yet.\n\nNext: keyhouse team create \"My team\" --owner me@example.com");
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

impl MemberCommand {
    pub async fn run(self, app: &App, json: bool) -> anyhow::Result<()> {
        let Self::List { team } = self;
        let team = super::team(app, &team).await?;
        let members = app.members_of(&team).await?;
        if json {
            let row = |m: &crate::domain::team::Member| {
                json!({ "id": m.person.to_string(), "email": m.email.as_str(), "name": m.name, "role": m.role.as_str(),
                        "joinedAt": m.joined_at.to_string() })
            };
            return print_json(&members.iter().map(row).collect::<Vec<_>>());
        }
        let mut table = Table::new(["Name", "E-mail", "Role"]);
        for member in &members {
            table.row([member.name.as_str().into(), member.email.as_str().into(), member.role.as_str().into()]);
        }
        table.print()?;
        Ok(())
    }
}

fn team_json(team: &Team) -> Value {
    json!({ "id": team.id.to_string(), "slug": team.slug.as_str(), "name": team.name.as_str(),
            "createdAt": team.created_at.to_string() })
}
