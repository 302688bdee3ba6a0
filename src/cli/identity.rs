//! `keyhouse identity-key`: rotates the key that signs the identity of forwarded calls.

use clap::Subcommand;
use serde_json::json;

use super::CommandContext;
use super::terminal::{outln, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum IdentityKeyCommand {
    /// Create a new key; it is published for 15 minutes before it is used, so that no request is refused
    Rotate {
        /// Sign with the new key at once and withdraw the others, because a private key may have been stolen. Services that
        /// keep the public keys refuse calls until they fetch them again
        #[arg(long)]
        now: bool,
    },
}

impl IdentityKeyCommand {
    pub(super) async fn run(self, context: &CommandContext<'_>) -> anyhow::Result<()> {
        let Self::Rotate { now } = self;
        let rotation = context.app.rotate_identity_key(now).await?;
        let (from, until) = (rotation.signs_from, rotation.former_published_until);
        if context.json {
            return print_json(&json!({
                "kid": rotation.kid,
                "signsFrom": from.to_string(),
                "formerPublishedUntil": until.map(|until| until.to_string()),
            }));
        }
        outln!("Key {} is used from {from} on.", rotation.kid);
        match until {
            Some(until) => outln!("The former key is published until {until}. All nodes switch automatically."),
            None => outln!("It is the only key that is published. All nodes switch within a second."),
        }
        Ok(())
    }
}
