//! `keyhouse backup`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::terminal::{outln, print_json};
use super::{Global, encryption};
use crate::config::Config;
use crate::shell_command::quoted;
use crate::telemetry;
use keyhouse_store::{BackupSummary, Location};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to create. An existing one is not overwritten
    file: PathBuf,
    /// Encrypt the backup (age format) with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Backup {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&global.flags(None))?;
        telemetry::init(&config.log);
        match &config.database {
            Location::Folder(folder) => self.sqlite(&config.database, folder, global.json).await,
            Location::Postgres(_) => self.postgres(&config.database, global.json),
        }
    }

    async fn sqlite(&self, database: &Location, folder: &Path, json: bool) -> anyhow::Result<()> {
        let summary = match &self.passphrase_file {
            None => database.back_up(&self.file).await?,
            Some(passphrase_file) => {
                let passphrase = encryption::read_passphrase(passphrase_file)?;
                anyhow::ensure!(
                    !self.file.try_exists()?,
                    "{} exists already; choose another name",
                    self.file.display()
                );
                // The copy in plain text stays on the disk of the database.
                let plain = folder.join("keyhouse-backup.tmp");
                let _left_by_a_crash = std::fs::remove_file(&plain);
                let summary = database.back_up(&plain).await?;
                let sealed = self.file.with_added_extension("partial");
                let encrypted = encryption::encrypt(&plain, &sealed, passphrase);
                std::fs::remove_file(&plain).with_context(|| format!("can't remove {}", plain.display()))?;
                encrypted?;
                std::fs::rename(&sealed, &self.file).with_context(|| format!("can't write {}", self.file.display()))?;
                BackupSummary { bytes: std::fs::metadata(&self.file)?.len(), ..summary }
            }
        };
        let encrypted = self.passphrase_file.is_some();
        if json {
            return print_json(&json!({
                "file": self.file.display().to_string(), "bytes": summary.bytes, "encrypted": encrypted,
                "schemaVersion": summary.version, "teams": summary.teams, "activeKeys": summary.active_keys,
                "verified": true,
            }));
        }
        let how = if encrypted { ", encrypted" } else { "" };
        outln!("Backed up {database} to {} ({} bytes{how}).", self.file.display(), summary.bytes);
        outln!("{}", described(&summary));
        Ok(())
    }

    /// Prints the command alone on standard output, so that it can be piped to a shell.
    fn postgres(&self, database: &Location, json: bool) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.passphrase_file.is_none(),
            "PostgreSQL is backed up by pg_dump, which does not encrypt; pipe its output to `age --passphrase`"
        );
        let url = database.libpq_url().context("the database is a server")?;
        let file = self.file.display().to_string();
        let command =
            format!("(umask 077; pg_dump --format=custom --no-owner --file={} {})", quoted(&file), quoted(&url));
        if json {
            return print_json(&json!({ "command": command }));
        }
        tracing::info!(
            "PostgreSQL is backed up by its own tool, while Keyhouse runs; a password is read from PGPASSWORD or ~/.pgpass"
        );
        outln!("{command}");
        Ok(())
    }
}

/// What a backup holds, in a sentence.
pub(super) fn described(summary: &BackupSummary) -> String {
    let BackupSummary { version, teams, active_keys, .. } = summary;
    let plural = |n: i64| if n == 1 { "" } else { "s" };
    format!(
        "It was opened and checked: {teams} team{}, {active_keys} active key{}, schema version {version}.",
        plural(*teams),
        plural(*active_keys)
    )
}
