//! `keyhouse export digests`: the digests of a team's tokens, for gateways that verify keys themselves.

use clap::Subcommand;

use super::CommandContext;
use super::terminal::outln;
use keyhouse_domain::team::TeamRef;

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Print the SHA-256 of each valid token, with its key, as one JSON object per line
    Digests {
        /// The team's slug or id
        #[arg(long)]
        team: TeamRef,
    },
}

impl ExportCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        let Self::Digests { team } = self;
        let team = context.team(&team).await?;
        for token in context.app.token_digests(team.id).await? {
            outln!("{}", serde_json::to_string(&token)?);
        }
        Ok(())
    }
}
