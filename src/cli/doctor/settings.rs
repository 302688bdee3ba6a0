//! Checks of the settings against each other.

use super::Report;
use crate::config::Config;

pub(super) fn check(config: &Config, report: &mut Report) {
    let changed = config.changed.len();
    report.ok("settings", format!("{changed} differ{} from the default", if changed == 1 { "s" } else { "" }));
    public_url(config, report);
    trusted_proxies(config, report);
    if let Some(metrics) = config.metrics_listen.filter(|address| address.ip().is_unspecified()) {
        report.warning(
            "ops_listen",
            format!("/metrics is served on every address of this machine ({metrics})"),
            "Set ops_listen to a private address, such as 127.0.0.1:9090.",
        );
    }
}

fn public_url(config: &Config, report: &mut Report) {
    let Some(url) = &config.public_url else {
        if config.listen.ip().is_loopback() {
            report.ok("public_url", "not set; links begin with the listen address, which only this machine can reach");
        } else {
            report.warning(
                "public_url",
                format!(
                    "not set, and {} is reached from other machines: links begin with the listen address",
                    config.listen
                ),
                "Set public_url to the address that browsers use, such as https://keys.example.com.",
            );
        }
        return;
    };
    let host = url.as_str().split("://").nth(1).unwrap_or_default();
    let is_local = ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|local| host.split(':').next() == Some(local) || host.starts_with(local));
    if url.is_https() || is_local {
        report.ok("public_url", url.to_string());
    } else {
        report.failure(
            "tls",
            format!("{url} is plain HTTP: passwords, cookies and keys are sent unencrypted"),
            "Put a TLS proxy in front, or set tls.cert and tls.key, and set public_url to an address that begins with https://.",
        );
    }
}

fn trusted_proxies(config: &Config, report: &mut Report) {
    let before = report.0.len();
    for network in config.trusted_proxies.iter().filter(|network| network.prefix_len() < 8) {
        report.failure(
            "trusted_proxies",
            format!(
                "{network} covers a large part of the internet: any client can claim any address in X-Forwarded-For"
            ),
            "List only the addresses of your proxies.",
        );
    }
    report.ok_unless_found(before, "trusted_proxies", format!("{} in the settings", config.trusted_proxies.len()));
}
