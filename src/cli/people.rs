//! `keyhouse person`: list people, reset a password, change an address, end sessions, remove an account.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::CommandContext;
use super::terminal::{Cell, Table, outln, print_json, style};
use keyhouse_domain::account::Account;
use keyhouse_domain::person::{Email, EmailLookup};

#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// List all people and their teams
    List,
    /// Sign a person out everywhere and print a one-time link to choose a new password
    Reset {
        /// Their email address
        email: EmailLookup,
    },
    /// Print a one-time link that changes a person's email address
    SetEmail {
        /// Their current email address
        old: EmailLookup,
        /// Their new email address; it takes effect when the link is used
        #[arg(value_parser = Email::parse)]
        new: Email,
    },
    /// Sign a person out everywhere
    EndSessions {
        /// Their email address
        email: EmailLookup,
    },
    /// Remove an account that is in no team; its audit events stay
    Remove {
        /// Their email address
        email: EmailLookup,
    },
}

impl PersonCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        match self {
            Self::List => list(context).await,
            Self::Reset { email } => reset(context, &account(context, &email).await?).await,
            Self::SetEmail { old, new } => set_email(context, &account(context, &old).await?, &new).await,
            Self::EndSessions { email } => {
                let account = account(context, &email).await?;
                let ended = context.app.end_sessions_of(&super::os_user(), account.person.id).await?;
                if context.json {
                    return print_json(&json!({ "email": account.person.email.as_str(), "ended": ended }));
                }
                let sessions = if ended == 1 { "session" } else { "sessions" };
                outln!("Ended {ended} {sessions} of {} ({}).", account.person.name, account.person.email);
                Ok(())
            }
            Self::Remove { email } => {
                let account = account(context, &email).await?;
                context.app.remove_person(account.person.id).await.with_context(|| describe(&account))?;
                if context.json {
                    return print_json(&json!({ "email": account.person.email.as_str(), "removed": true }));
                }
                outln!("Removed the account of {} ({}).", account.person.name, account.person.email);
                Ok(())
            }
        }
    }
}

/// The account that a command names.
async fn account(context: &CommandContext<'_>, email: &EmailLookup) -> anyhow::Result<Account> {
    let found = context.app.queries().account(email).await?;
    found.with_context(|| {
        format!("there is no account with the address {email}; see `{}`", context.invocation.line("person list"))
    })
}

async fn reset(context: &CommandContext<'_>, account: &Account) -> anyhow::Result<()> {
    let code = context.app.reset_link(&super::os_user(), &account.person.email).await?;
    let (_, code) = code.context("the account was removed at the same time")?;
    let link = context.link(&code);
    if context.json {
        return print_json(&json!({ "email": account.person.email.as_str(), "link": link }));
    }
    outln!("{} ({}) is signed out everywhere.", account.person.name, account.person.email);
    outln!("\nSend them this one-time link (valid for 7 days). Anyone who has it can set a new password:\n{link}");
    Ok(())
}

async fn set_email(context: &CommandContext<'_>, account: &Account, new: &Email) -> anyhow::Result<()> {
    let code = context.app.change_email_link(&super::os_user(), account.person.id, new).await?;
    let link = context.link(&code);
    if context.json {
        return print_json(&json!({ "email": account.person.email.as_str(), "newEmail": new.as_str(), "link": link }));
    }
    outln!(
        "{} ({}) gets the email address {new} when this one-time link is used.",
        account.person.name,
        account.person.email
    );
    outln!("\nSend it to {new} (valid for 7 days):\n{link}");
    Ok(())
}

async fn list(context: &CommandContext<'_>) -> anyhow::Result<()> {
    let accounts = context.app.queries().accounts().await?;
    if context.json {
        return print_json(&accounts.iter().map(account_json).collect::<Vec<_>>());
    }
    if accounts.is_empty() {
        outln!("No accounts yet. Create the first one with the link that `keyhouse serve` prints.");
        return Ok(());
    }
    let mut table = Table::new(["Name", "Email", "Teams", "Password", "Since", "Id"]);
    for account in &accounts {
        let password = if account.person.has_password { "yes" } else { "not chosen yet" };
        table.row([
            account.person.name.as_str().into(),
            account.person.email.as_str().into(),
            teams(account).unwrap_or_else(|| "none".to_owned()).into(),
            password.into(),
            day(account).into(),
            Cell::new(account.person.id.to_string(), style::MUTED),
        ]);
    }
    table.print()
}

/// An account in one sentence, without its full stop, for those who give something to it.
pub(super) fn describe(account: &Account) -> String {
    let teams = teams(account).map_or_else(|| "in no team".to_owned(), |teams| format!("in {teams}"));
    format!("{} is the account of {}, created {}, {teams}", account.person.email, account.person.name, day(account))
}

/// The teams of an account with its role in each: `acme (owner), globex (member)`.
fn teams(account: &Account) -> Option<String> {
    let teams: Vec<_> =
        account.teams.iter().map(|(team, role)| format!("{} ({})", team.slug.as_str(), role.as_str())).collect();
    (!teams.is_empty()).then(|| teams.join(", "))
}

fn day(account: &Account) -> String {
    account.created_at.to_string().chars().take("2026-11-25".len()).collect()
}

pub(super) fn account_json(account: &Account) -> Value {
    let teams: Vec<_> = account
        .teams
        .iter()
        .map(|(team, role)| json!({ "id": team.id.to_string(), "slug": team.slug.as_str(), "role": role.as_str() }))
        .collect();
    json!({
        "id": account.person.id.to_string(),
        "email": account.person.email.as_str(),
        "pendingEmail": account.pending_email.as_ref().map(Email::as_str),
        "name": account.person.name.as_str(),
        "hasPassword": account.person.has_password,
        "createdAt": account.created_at.to_string(),
        "teams": teams,
    })
}
