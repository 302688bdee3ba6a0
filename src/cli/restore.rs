//! `keyhouse restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::backup::described;
use super::invocation;
use super::terminal::{Cell, Table, outln, print_json, style};
use super::{Global, encryption};
use crate::app::infra::clock::Clock;
use crate::config::Config;
use crate::shell_command::{ShellCommand, quoted};
use crate::telemetry;
use crate::time_format::TimeFormat;
use keyhouse_store::{CarryOver, Comparison, Location, Restore as Prepared, Returning};

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup: a file made by `keyhouse backup`; for PostgreSQL the URL of a database that pg_restore has filled
    #[arg(value_name = "FILE|URL")]
    backup: String,
    /// Give back the listed access, which was removed since the backup; COUNT is the number of entries in the list
    #[arg(long, value_name = "COUNT", conflicts_with = "carry_over")]
    accept: Option<usize>,
    /// Remove the listed access from the restored database too
    #[arg(long)]
    carry_over: bool,
    /// Restore even if the existing database can't be compared with the backup
    #[arg(long)]
    without_comparison: bool,
    /// Decrypt the backup with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Restore {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&global.flags(None))?;
        telemetry::init(&config.log);
        let database = &config.database;
        let shell = invocation::of(&global, &config);
        let is_url = self.backup.starts_with("postgres://") || self.backup.starts_with("postgresql://");
        let restored = match (is_url, database) {
            (true, _) => Some(Location::postgres(&self.backup).map_err(anyhow::Error::msg)?),
            (false, Location::Folder(_)) => None,
            (false, Location::Postgres(_)) => return self.explain_postgres(database, &shell, global.json),
        };
        if restored.is_none() {
            self.stage(database)?;
        }
        let prepared = Prepared::prepare(restored, database).await?;
        if !global.json
            && let Some(summary) = &prepared.summary
        {
            outln!("The backup {}: {}", self.backup, described(summary));
        }
        let returning: &[Returning] = match &prepared.comparison {
            Comparison::Compared(returning) => returning,
            _ => &[],
        };
        if !returning.is_empty() && !global.json {
            print_returning(returning)?;
        }
        let entries: Vec<Value> = returning.iter().map(entry).collect();
        if let Err(refusal) = self.check(&prepared.comparison, &shell) {
            if global.json {
                print_json(&json!({ "restored": false, "count": entries.len(), "returning": entries }))?;
            }
            return Err(refusal);
        }
        let compared = matches!(prepared.comparison, Comparison::Compared(_));
        let carry_over = if self.carry_over { CarryOver::Removals } else { CarryOver::Nothing };
        let former = prepared.finish(carry_over, Clock::System.now()).await?;
        if global.json {
            let former = former.map(|former| former.display().to_string());
            return print_json(&json!({
                "restored": true, "count": entries.len(), "returning": entries, "carriedOver": self.carry_over,
                "compared": compared, "formerDatabase": former,
            }));
        }
        outln!("Restored into {database}. All sessions and one-time links of the backup have ended.");
        if let Some(former) = former {
            outln!("The former database is {}; remove it when it is no longer needed.", former.display());
        }
        if !compared {
            outln!(
                "The backup was not compared with a database: keys revoked since the backup are active again. Check \
                 `{}`, or revoke all keys of a team with `{}`.",
                shell.line("key list --team TEAM"),
                shell.line("key revoke --all --team TEAM")
            );
        }
        outln!("Start Keyhouse now: `{}` brings an older schema up to date.", shell.line("serve"));
        Ok(())
    }

    /// Copies the backup, decrypted, to where it is verified.
    fn stage(&self, database: &Location) -> anyhow::Result<()> {
        let from = Path::new(&self.backup);
        let is_encrypted =
            encryption::is_encrypted(from).map_err(|error| anyhow::anyhow!("{}: {error}", self.backup))?;
        let Some(to) = database.staging_file()? else { return Ok(()) };
        match (&self.passphrase_file, is_encrypted) {
            (Some(file), true) => encryption::decrypt(from, &to, encryption::read_passphrase(file)?),
            (None, false) => encryption::copy(from, &to),
            (None, true) => {
                anyhow::bail!("{} is encrypted: name the file of its passphrase with --passphrase-file", self.backup)
            }
            (Some(_), false) => anyhow::bail!("{} is not encrypted; leave out --passphrase-file", self.backup),
        }
    }

    /// Whether the operator has agreed to what the backup brings back.
    fn check(&self, comparison: &Comparison, shell: &ShellCommand) -> anyhow::Result<()> {
        let again = |flags: &str| shell.line(&format!("restore {} {flags}", quoted(&self.backup)));
        let why = match comparison {
            Comparison::Absent => return Ok(()),
            Comparison::Compared(returning) => {
                let count = returning.len();
                if count == 0 || self.carry_over || self.accept == Some(count) {
                    return Ok(());
                }
                let not = self.accept.map(|other| format!(", not {other}")).unwrap_or_default();
                let (entries, them) = if count == 1 { ("entry", "it") } else { ("entries", "them") };
                anyhow::bail!(
                    "nothing was restored, because the backup gives back {count} {entries}{not}. To restore and remove {them} again: `{}`. To restore and give {them} back: `{}`",
                    again("--carry-over"),
                    again(&format!("--accept {count}"))
                );
            }
            _ if self.without_comparison => return Ok(()),
            Comparison::Unreadable(why) => format!("the existing database can't be read ({why})"),
            Comparison::Unrelated => {
                "the existing database has no team of the backup: it is new, or belongs to another installation"
                    .to_owned()
            }
        };
        anyhow::bail!(
            "nothing was restored: {why}, so it is unknown what was revoked since the backup. To restore anyway: `{}`",
            again("--without-comparison")
        )
    }

    fn explain_postgres(&self, database: &Location, shell: &ShellCommand, json: bool) -> anyhow::Result<()> {
        let url = database.libpq_url().unwrap_or_default();
        let restored = restored_url(&url);
        let name = restored.rsplit('/').next().and_then(|path| path.split('?').next()).unwrap_or_default();
        let commands = [
            format!("createdb --maintenance-db={} {}", quoted(&url), quoted(name)),
            format!("pg_restore --exit-on-error --no-owner --dbname={} {}", quoted(&restored), quoted(&self.backup)),
            shell.line(&format!("restore {}", quoted(&restored))),
        ];
        if json {
            return print_json(&json!({ "restored": false, "commands": commands }));
        }
        tracing::info!(
            "A PostgreSQL dump is restored into a new database, compared with the one that is there, and then served"
        );
        for command in commands {
            outln!("{command}");
        }
        Ok(())
    }
}

/// The URL of the database that a dump is restored into: the same server and another name.
fn restored_url(url: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    format!("{path}_restored?{query}")
}

fn print_returning(returning: &[Returning]) -> anyhow::Result<()> {
    outln!("The following access was removed after the backup. The backup gives it back:");
    let now = Clock::System.now();
    let mut table = Table::new(["", "What", "Team", "Removed"]);
    for one in returning {
        let ended = one.ended_at.map_or_else(String::new, |at| at.ago(now));
        table.row([
            Cell::new(one.kind.as_str(), style::STRONG),
            one.subject.clone().into(),
            one.team.clone().unwrap_or_default().into(),
            Cell::new(ended, style::MUTED),
        ]);
    }
    table.print()
}

fn entry(one: &Returning) -> Value {
    let ended_at = one.ended_at.map(|at| at.to_string());
    json!({ "kind": one.kind.as_str(), "subject": one.subject, "team": one.team, "endedAt": ended_at })
}
