//! `keyhouse member` and `keyhouse person`.

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::terminal::{Table, outln, print_json, style};
use crate::app::App;
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Member, Team, TeamRef};

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Invite somebody, and print their one-time link
    Invite {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their e-mail address
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        /// admin, manager or member
        #[arg(long, value_parser = given)]
        role: Role,
    },
    /// List a team's members
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
    /// Give a member another role
    Role {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their e-mail address
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        /// admin, manager or member
        #[arg(long, value_parser = given)]
        role: Role,
    },
    /// Take a member out of a team; their keys go on working
    Remove {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their e-mail address
        #[arg(long, value_parser = Email::parse)]
        email: Email,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// Print a one-time link by which somebody chooses a new password
    Reset {
        /// Their e-mail address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
}

fn given(text: &str) -> Result<Role, &'static str> {
    Role::parse_given(text).ok_or("admin, manager or member; the owner hands the team over on its Members page")
}

impl MemberCommand {
    pub(super) async fn run(self, app: &App, url: &str, json: bool) -> anyhow::Result<()> {
        match self {
            Self::Invite { team, email, role } => {
                let team = super::team(app, &team).await?;
                let link = super::link(url, &app.invite(&admin(&team), &email, role).await?);
                if json {
                    return print_json(&json!({ "email": email.as_str(), "role": role.as_str(), "link": link }));
                }
                outln!("Invited {email} to {} as {}.", style::STRONG.paint(team.name.as_str()), role.as_str());
                outln!("\nFor them, once, within 7 days:\n{link}");
            }
            Self::List { team } => list(app, &super::team(app, &team).await?, json).await?,
            Self::Role { team, email, role } => {
                let (team, member) = find(app, &team, &email).await?;
                app.change_role(&admin(&team), member.person, role).await?;
                if json {
                    return print_json(&json!({ "email": email.as_str(), "role": role.as_str() }));
                }
                outln!("{email} is now {} of {}.", role.as_str(), team.name.as_str());
            }
            Self::Remove { team, email } => {
                let (team, member) = find(app, &team, &email).await?;
                app.remove_member(&admin(&team), member.person, false).await?;
                let keys = app.keys_of(&team).await?;
                let theirs = |key: &&keyhouse_domain::api_key::ListedKey| {
                    key.key.is_active() && key.creator.person == Some(member.person)
                };
                let theirs: Vec<_> = keys.iter().filter(theirs).collect();
                if json {
                    let ids: Vec<_> = theirs.iter().map(|key| key.key.id.to_string()).collect();
                    return print_json(&json!({ "email": email.as_str(), "activeKeys": ids }));
                }
                outln!("Removed {email} from {}.", team.name.as_str());
                if !theirs.is_empty() {
                    outln!("\nThe keys they made go on working. To end one:");
                    for key in theirs {
                        outln!("keyhouse key revoke {}    # {}", key.key.id, super::keys::name(key));
                    }
                }
            }
        }
        Ok(())
    }
}

impl PersonCommand {
    pub(super) async fn run(self, app: &App, url: &str, json: bool) -> anyhow::Result<()> {
        let Self::Reset { email } = self;
        let found = app.reset_link(&super::os_user(), &email).await?;
        let (person, code) = found.with_context(|| format!("nobody here has the address {email}"))?;
        let link = super::link(url, &code);
        if json {
            return print_json(&json!({ "email": person.email.as_str(), "link": link }));
        }
        outln!("For {} ({}), once, within 7 days:\n{link}", person.name, person.email);
        outln!("\nIt lets its holder choose a new password, and signs every browser of theirs out.");
        Ok(())
    }
}

fn admin(team: &Team) -> TeamAdmin {
    TeamAdmin::shell(&super::os_user(), team.id)
}

async fn find(app: &App, team: &TeamRef, email: &Email) -> anyhow::Result<(Team, Member)> {
    let team = super::team(app, team).await?;
    let member = app.queries().member_by_email(team.id, email).await?;
    let member = member.with_context(|| format!("{email} is not in {}", team.slug.as_str()))?;
    Ok((team, member))
}

async fn list(app: &App, team: &Team, json: bool) -> anyhow::Result<()> {
    let members = app.queries().members(team.id).await?;
    if json {
        let row = |m: &Member| {
            json!({ "id": m.person.to_string(), "email": m.email.as_str(), "name": m.name, "role": m.role.as_str(),
                    "joinedAt": m.joined_at.to_string() })
        };
        return print_json(&members.iter().map(row).collect::<Vec<_>>());
    }
    let mut table = Table::new(["Name", "E-mail", "Role"]);
    for member in &members {
        table.row([member.name.as_str().into(), member.email.as_str().into(), member.role.as_str().into()]);
    }
    table.print()
}
