//! `keyhouse leak report`: acts on the keys whose tokens are in a text.

use std::io::Read;

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::CommandContext;
use super::keys::INPUT_MAX;
use super::terminal::{outln, print_json};
use crate::app::leaks::{LeakAction, LeakChannel};
use keyhouse_domain::api_key::KeyName;
use keyhouse_domain::permission::SHELL;

#[derive(Debug, Subcommand)]
pub(super) enum LeakCommand {
    /// Read any text from standard input, and revoke, pause or flag the key of each token in it
    Report {
        /// What happens to the keys: revoke, pause or flag [default: the setting leaks.action]
        #[arg(long, value_parser = LeakAction::parse)]
        action: Option<LeakAction>,
    },
}

impl LeakCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        let Self::Report { action } = self;
        let action = action.unwrap_or(context.config.leaks.action);
        let mut text = Zeroizing::new(Vec::new());
        std::io::stdin().take(INPUT_MAX + 1).read_to_end(&mut text).context("can't read standard input")?;
        anyhow::ensure!(text.len() as u64 <= INPUT_MAX, "the text is longer than {} MiB; split it", INPUT_MAX >> 20);
        let report = context.app.leak_report_of(&text);
        let mut keys: Vec<_> =
            context.app.report_leaks(&report, action, LeakChannel::CommandLine, SHELL).await?.into_values().collect();
        keys.sort_by_key(|key| key.id.to_string());
        if context.json {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| json!({ "id": key.id.to_string(), "team": key.team.to_string(), "acted": key.is_new }))
                .collect();
            return print_json(&json!({ "tokens": report.len(), "action": action.past(), "keys": keys }));
        }
        let tokens = if report.len() == 1 { "token" } else { "tokens" };
        let ours = if keys.len() == 1 { "belongs to a key" } else { "belong to keys" };
        outln!("{} {tokens} in this text; {} {ours} on this server.", report.len(), keys.len());
        for key in keys {
            let Some(listed) = context.app.queries().key(key.id).await? else { continue };
            let name = listed.name.as_ref().map_or("without a name", KeyName::as_str);
            let done = if key.is_new { action.past() } else { "unchanged: already ended or reported" };
            outln!("{} {name} ({}): {done}", listed.key.prefix(), key.id);
        }
        Ok(())
    }
}
