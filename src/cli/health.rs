//! `keyhouse health`, for the health checks of containers: an image without a shell has no other program to ask with.

use clap::Args;
use tokio::net::TcpStream;

use super::terminal::{outln, print_json};
use super::{Global, http_probe};
use crate::config::{Config, local_url};

#[derive(Debug, Args)]
pub(super) struct Health {
    /// As for `serve`
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Health {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&global.flags(self.listen))?;
        let url = local_url(config.listen);
        let says = if config.tls.is_some() {
            // The certificate is for the name of the public URL, and not for this machine's own address.
            TcpStream::connect(url.trim_start_matches("http://")).await?;
            "accepts connections".to_owned()
        } else {
            let answer = http_probe::get(&url, "/readyz").await.map_err(|error| anyhow::anyhow!("{url}: {error}"))?;
            anyhow::ensure!(answer.status == 200, "{url} is not ready: {}", answer.body().trim());
            answer.body().trim().to_owned()
        };
        if global.json {
            return print_json(&serde_json::json!({ "url": url, "ready": true }));
        }
        outln!("{url}: {says}");
        Ok(())
    }
}
