//! `keyhouse member`: invite, list, change and remove members of a team.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::people::{account_json, describe};
use super::terminal::{Table, outln, print_json, style};
use super::{CommandContext, keys};
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::permission::TeamAdmin;
use keyhouse_domain::person::{Email, EmailLookup};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Member, Team, TeamRef};

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Invite a person, and print their one-time link
    Invite {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their email address
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        /// admin, manager or member
        #[arg(long, value_parser = given_role)]
        role: Role,
    },
    /// List a team's members
    List {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
    /// Change a member's role
    Role {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their email address
        #[arg(long)]
        email: EmailLookup,
        /// admin, manager or member
        #[arg(long, value_parser = given_role)]
        role: Role,
    },
    /// Remove a member from a team; the keys they created stay active
    Remove {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
        /// Their email address
        #[arg(long)]
        email: EmailLookup,
        /// Also revoke the active keys that they created
        #[arg(long)]
        revoke_keys: bool,
    },
}

fn given_role(text: &str) -> Result<Role, &'static str> {
    Role::parse_given(text).ok_or("admin, manager or member; an owner transfers the team on its Members page")
}

impl MemberCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        match self {
            Self::Invite { team, email, role } => invite(context, &context.team(&team).await?, &email, role).await,
            Self::List { team } => list(context, &context.team(&team).await?).await,
            Self::Role { team, email, role } => {
                let (team, member) = find(context, &team, &email).await?;
                context.app.change_role(&admin(&team), member.person, role, None).await?;
                if context.json {
                    return print_json(&json!({ "email": member.email.as_str(), "role": role.as_str() }));
                }
                outln!("{} ({}) is now {} of {}.", member.name, member.email, role.as_str(), team.name.as_str());
                Ok(())
            }
            Self::Remove { team, email, revoke_keys } => {
                let (team, member) = find(context, &team, &email).await?;
                remove(context, &team, &member, revoke_keys).await
            }
        }
    }
}

fn admin(team: &Team) -> TeamAdmin {
    TeamAdmin::shell(&super::os_user(), team.id)
}

async fn find(context: &CommandContext<'_>, team: &TeamRef, email: &EmailLookup) -> anyhow::Result<(Team, Member)> {
    let team = context.team(team).await?;
    let member = context.app.queries().member_by_email(team.id, email).await?;
    let member = member.with_context(|| format!("{email} is not in {}", team.slug.as_str()))?;
    Ok((team, member))
}

async fn invite(context: &CommandContext<'_>, team: &Team, email: &Email, role: Role) -> anyhow::Result<()> {
    let account = context.app.queries().account(email).await?;
    let link = context.link(&context.app.invite(&admin(team), email, role).await?);
    if context.json {
        return print_json(&json!({ "email": email.as_str(), "role": role.as_str(), "link": link,
                                   "existingAccount": account.as_ref().map_or(Value::Null, account_json) }));
    }
    outln!("Invited {email} to {} as {}.", style::STRONG.paint(team.name.as_str()), role.as_str());
    if let Some(account) = &account {
        outln!("{}. The link adds that account to the team.", describe(account));
    }
    outln!("\nSend them this one-time link (valid for 7 days):\n{link}");
    Ok(())
}

async fn remove(context: &CommandContext<'_>, team: &Team, member: &Member, revoke_keys: bool) -> anyhow::Result<()> {
    let keys = context.app.active_keys_of(team.id).await?;
    let is_theirs = |key: &&ListedKey| key.creator.person == Some(member.person);
    let theirs: Vec<_> = keys.iter().filter(is_theirs).collect();
    context.app.remove_member(&admin(team), member.person, revoke_keys).await?;
    if context.json {
        let ids: Vec<_> = theirs.iter().map(|key| key.key.id.to_string()).collect();
        let (active, revoked) = if revoke_keys { (Vec::new(), ids) } else { (ids, Vec::new()) };
        return print_json(&json!({ "email": member.email.as_str(), "activeKeys": active, "revokedKeys": revoked }));
    }
    outln!("Removed {} ({}) from {}.", member.name, member.email, team.name.as_str());
    if theirs.is_empty() {
        return Ok(());
    }
    if revoke_keys {
        outln!("\nRevoked the keys they created:");
        for key in theirs {
            outln!("{}    {}", key.key.id, keys::name(key));
        }
    } else {
        outln!("\nThe keys they created stay active. To revoke one:");
        for key in theirs {
            let command = context.invocation.line(&format!("key revoke {}", key.key.id));
            outln!("{command}    # {}", keys::name(key));
        }
    }
    Ok(())
}

async fn list(context: &CommandContext<'_>, team: &Team) -> anyhow::Result<()> {
    let members = context.app.queries().members(team.id).await?;
    if context.json {
        let row = |m: &Member| {
            json!({ "id": m.person.to_string(), "email": m.email.as_str(), "name": m.name, "role": m.role.as_str(),
                    "joinedAt": m.joined_at.to_string() })
        };
        return print_json(&members.iter().map(row).collect::<Vec<_>>());
    }
    let mut table = Table::new(["Name", "Email", "Role"]);
    for member in &members {
        table.row([member.name.as_str().into(), member.email.as_str().into(), member.role.as_str().into()]);
    }
    table.print()
}
