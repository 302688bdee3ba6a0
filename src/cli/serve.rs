//! `keyhouse serve` and `keyhouse migrate`.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use super::terminal::{print_json, say, style};
use super::{Global, logs};
use crate::boot;
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Serve {
    pub async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&global.flags(self.listen))?;
        logs::init(&config.log);
        let app = boot::migrate_and_open(&config).await?;
        let (listener, address) = boot::listen(&config).await?;
        if global.json {
            print_json(&json!({ "url": url(address) }))?;
        } else {
            say!("Keyhouse listens on {}", style::ACCENT.paint(url(address)));
            if app.teams().await?.is_empty() {
                say!("No team yet. Make one: keyhouse team create \"My team\" --owner me@example.com");
            }
        }
        boot::serve(&config, app, listener).await
    }
}

/// Where a listening address is reached from this machine.
pub fn url(address: SocketAddr) -> String {
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{reached}")
}

pub async fn migrate(global: Global) -> anyhow::Result<()> {
    let config = Config::load(&global.flags(None))?;
    logs::init(&config.log);
    let app = boot::migrate_and_open(&config).await?;
    app.close().await?;
    if global.json {
        print_json(&json!({ "migrated": true }))
    } else {
        say!("The database is up to date.");
        Ok(())
    }
}
