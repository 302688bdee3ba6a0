//! `keyhouse serve` and `keyhouse migrate`.

use clap::Args;
use serde_json::json;

use super::terminal::{outln, print_json, style};
use super::{Global, invocation};
use crate::config::{CliOverrides, Config, local_url};
use crate::startup::{self, ShutdownSignal};
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Redis, for one rate limit over all nodes, redis://…
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Address and port for /metrics, which should be private [default: none]
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<String>,
    /// Certificate in PEM, for TLS without a proxy; reloaded when it changes [default: plain HTTP]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
}

impl Serve {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let config = Config::load(&CliOverrides {
            redis: self.redis,
            ops_listen: self.ops_listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            ..global.flags(self.listen)
        })?;
        telemetry::init(&config.log);
        // Before the first wait: as process 1 of a container the process ignores a signal without a handler.
        let mut stop_signal = ShutdownSignal::listen()?;
        let Some(app) = startup::migrate_and_open_to_serve(&config, &mut stop_signal).await? else { return Ok(()) };
        let listeners = startup::listen(&config).await?;
        let address = listeners.address;
        let url = config.url(address);
        app.set_served_url(&url).await?;
        let link = app.set_up_link().await?.map(|code| super::link(&url, &code));
        if global.json {
            let ops = listeners.metrics_address.map(local_url);
            let redirect = listeners.redirect_address.map(local_url);
            print_json(
                &json!({ "url": config.local_url(address), "opsUrl": ops, "redirectUrl": redirect, "setUpLink": link }),
            )?;
        } else {
            outln!("Keyhouse is listening on {}", style::ACCENT.paint(config.local_url(address)));
            if let Some(ops) = listeners.metrics_address {
                outln!("Metrics: {}/metrics", local_url(ops));
            }
            if let Some(redirect) = listeners.redirect_address {
                outln!("Redirects: {}", local_url(redirect));
            }
            if let Some(link) = &link {
                outln!("\nNo accounts yet. Open this link within 7 days to set up Keyhouse:\n{link}");
            }
        }
        startup::serve(&config, app, listeners, invocation::of(&global, &config), stop_signal).await
    }
}

pub(super) async fn migrate(global: Global) -> anyhow::Result<()> {
    let config = Config::load(&global.flags(None))?;
    telemetry::init(&config.log);
    let app = startup::migrate_and_open(&config).await?;
    app.close().await?;
    if global.json {
        print_json(&json!({ "migrated": true }))
    } else {
        outln!("The database is up to date.");
        Ok(())
    }
}
