//! The configuration: flags over environment over file over defaults. An error names the place where a setting was set.
//!
//! `config.example.toml` is embedded: it is the list of settings and of their defaults.

pub(crate) mod layers;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use ipnet::IpNet;
use toml::Value;
use tracing_subscriber::filter::Targets;

use crate::app::identity::SealingSecret;
use crate::app::leaks::LeakAction;
use crate::app::rate_limit::redis::RedisAddress;
use crate::app::rate_limit::{BAD_TOKENS_WINDOW, Limits};
use crate::config::layers::{ConfigError, ENV_CONFIG, ENV_PREFIX, Settings, ValueSource};
use crate::telemetry::otlp::Endpoint;
use crate::web::feed::FeedSettings;
use crate::web::forward_auth::ForwardAuth;
use crate::web::leaks::{GithubKeys, LeakSettings};
use crate::web::server::tls::TlsFiles;
use crate::web::shared_secret::SharedSecret;
use keyhouse_domain::public_url::PublicUrl;
use keyhouse_domain::rate_limit::RateLimit;
use keyhouse_store::Location;
use keyhouse_token::Brand;

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub database: Location,
    /// The Redis in which all nodes count together; `None`: each node counts for itself.
    pub redis: Option<RedisAddress>,
    pub trusted_proxies: Vec<IpNet>,
    /// Where browsers reach the server; `None`: links name the address that it listens on.
    pub public_url: Option<PublicUrl>,
    /// Where metrics are served (`ops_listen`); `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate of the main port; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// A plain HTTP port that redirects to the one with TLS; `None`: there is none.
    pub redirect_listen: Option<SocketAddr>,
    /// Where traces are sent; `None`: nowhere.
    pub otlp: Option<Endpoint>,
    /// How long a connection may be idle between two requests.
    pub http_idle: Duration,
    pub shutdown_grace: Duration,
    /// About how many keys' records are kept in memory.
    pub cached_keys: usize,
    pub limits: Limits,
    pub forward_auth: ForwardAuth,
    pub leaks: LeakSettings,
    pub feed: FeedSettings,
    /// Encrypts the keys that sign the identity of forwarded calls; `None`: it is not signed.
    pub identity_secret: Option<SealingSecret>,
    pub log: Targets,
    /// The brand for a new database; `None`: its default, and an existing database keeps its own.
    pub brand: Option<Brand>,
    /// The settings that differ from their defaults, by name.
    pub changed: Vec<ChangedSetting>,
}

/// A setting that was set somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedSetting {
    pub name: String,
    /// The value in TOML; `None` if it may hold a secret.
    pub value: Option<String>,
    /// Where it was set: a flag, an environment variable, or a file and its line.
    pub source: String,
}

/// Settings that are given on the command line.
#[derive(Debug, Clone, Default)]
pub struct CliOverrides {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub ops_listen: Option<String>,
    pub data: Option<String>,
    pub database: Option<String>,
    pub redis: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
    /// A command's own default in place of `./keyhouse-data`; every other layer overrides it.
    pub default_data: Option<&'static str>,
}

impl Config {
    /// Reads the process's environment, and the file that the environment or the flags name.
    ///
    /// # Errors
    ///
    /// As [`Config::from_layers`], and a variable that is not UTF-8.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn load(flags: &CliOverrides) -> Result<Self, ConfigError> {
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with(ENV_PREFIX) && value.to_str().is_none() {
                return Err(ConfigError(format!("the environment variable {name} is not UTF-8")));
            }
        }
        Self::from_layers(
            flags,
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// The base of printed links: the public URL, or the listening address as it is reached from this machine.
    pub fn url(&self, listening: SocketAddr) -> String {
        self.public_url.as_ref().map_or_else(|| self.local_url(listening), PublicUrl::to_string)
    }

    /// The URL at which the main port is reached from this machine.
    pub fn local_url(&self, listening: SocketAddr) -> String {
        let url = local_url(listening);
        if self.tls.is_some() { url.replacen("http://", "https://", 1) } else { url }
    }

    /// The flag that makes another command use the same database, quoted for a shell.
    pub fn database_flag(&self) -> String {
        match &self.database {
            Location::Folder(folder) => {
                let path = std::path::absolute(folder).unwrap_or_else(|_| folder.clone()).display().to_string();
                let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
                if plain { format!("--data {path}") } else { format!("--data '{}'", path.replace('\'', r"'\''")) }
            }
            // A URL may hold a password, so it is not repeated.
            Location::Postgres(_) => "--database ...".to_owned(),
        }
    }

    /// # Errors
    ///
    /// A file that can't be read, a setting that does not exist (with the nearest that does), an invalid or empty value.
    pub fn from_layers(flags: &CliOverrides, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: BTreeMap<String, String> = env.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        let mut settings = Settings::defaults();
        if let Some(folder) = flags.default_data {
            settings.0.insert("data".to_owned(), (Value::String(folder.to_owned()), ValueSource::Default));
        }
        if let Some(path) = flags.config.clone().or_else(|| env.get(ENV_CONFIG).map(PathBuf::from)) {
            settings.add_file(&path)?;
        }
        settings.add_environment(&env)?;
        for (flag, name, value) in [
            ("--listen", "listen", &flags.listen),
            ("--ops-listen", "ops_listen", &flags.ops_listen),
            ("--data", "data", &flags.data),
            ("--database", "database_url", &flags.database),
            ("--redis", "redis_url", &flags.redis),
            ("--tls-cert", "tls.cert", &flags.tls_cert),
            ("--tls-key", "tls.key", &flags.tls_key),
        ] {
            if let Some(value) = value {
                settings.add_flag(flag, name, value)?;
            }
        }
        settings.build()
    }
}

impl Settings {
    fn build(self) -> Result<Config, ConfigError> {
        Ok(Config {
            listen: self.text("listen", address)?,
            metrics_listen: self
                .text("ops_listen", |text| if text.is_empty() { Ok(None) } else { address(text).map(Some) })?,
            database: self.database()?,
            redis: self.text("redis_url", |text| {
                if text.is_empty() { Ok(None) } else { RedisAddress::parse(text).map(Some) }
            })?,
            trusted_proxies: self.networks("trusted_proxies")?,
            public_url: self
                .text("public_url", |text| if text.is_empty() { Ok(None) } else { PublicUrl::parse(text).map(Some) })?,
            tls: self.tls()?,
            redirect_listen: self.redirect_listen()?,
            otlp: self.text("otlp_endpoint", |text| {
                if text.is_empty() { Ok(None) } else { Endpoint::parse(text).map(Some) }
            })?,
            http_idle: Duration::from_secs(self.number("http.idle_seconds", 1, 3600)?),
            shutdown_grace: Duration::from_secs(self.number("shutdown_grace_seconds", 0, 5)?),
            cached_keys: memory::cached_keys(self.number("cache.keys", 0, 1_000_000_000)?),
            limits: Limits {
                per_key: RateLimit::new(
                    self.number("rate_limit.requests", 0, 1_000_000_000)?,
                    Duration::from_secs(self.number("rate_limit.window_seconds", 1, 86_400)?),
                ),
                bad_tokens: RateLimit::new(self.number("rate_limit.bad_tokens", 0, 1_000_000_000)?, BAD_TOKENS_WINDOW),
            },
            forward_auth: ForwardAuth {
                enabled: self.flag("forward_auth.enabled"),
                key_header: self.text("forward_auth.key_header", key_header)?,
            },
            identity_secret: self.identity_secret()?,
            leaks: self.leaks()?,
            feed: FeedSettings::new(self.text("feed.secret", |text| match text {
                "" => Ok(None),
                secret => SharedSecret::parse(secret).map(Some),
            })?),
            log: self.text("log", parse_log_filter)?,
            brand: match self.source("token.brand") {
                ValueSource::Default => None,
                _ => Some(self.text("token.brand", Brand::parse)?),
            },
            changed: self.changed(),
        })
    }

    /// A URL and a folder exclude each other: the one of the higher layer counts.
    fn database(&self) -> Result<Location, ConfigError> {
        let folder = || {
            self.text("data", |text| if text.is_empty() { Err("must name a folder") } else { Ok(PathBuf::from(text)) })
        };
        let url = self.0["database_url"].0.as_str().unwrap_or_default();
        let (by_folder, by_url) = (self.source("data"), self.source("database_url"));
        let rank = |source: &ValueSource| match source {
            ValueSource::Default => 0,
            ValueSource::File { .. } => 1,
            ValueSource::Environment(_) => 2,
            ValueSource::Flag(_) => 3,
        };
        if url.is_empty() || rank(by_folder) > rank(by_url) {
            return Ok(Location::Folder(folder()?));
        }
        if rank(by_folder) == rank(by_url) {
            return Err(ConfigError(format!("{by_folder} and {by_url} name two databases; leave one out")));
        }
        self.text("database_url", Location::postgres)
    }

    fn leaks(&self) -> Result<LeakSettings, ConfigError> {
        let is_set = |name: &str| !self.0[name].0.as_str().unwrap_or_default().is_empty();
        Ok(LeakSettings {
            public_report: self.flag("leaks.public_report"),
            action: self.text("leaks.action", LeakAction::parse)?,
            github: match is_set("leaks.github_keys") {
                true => Some(Arc::new(self.text("leaks.github_keys", GithubKeys::parse)?)),
                false => None,
            },
            gitlab: match is_set("leaks.gitlab_secret") {
                true => Some(self.text("leaks.gitlab_secret", SharedSecret::parse)?),
                false => None,
            },
        })
    }

    /// The secret of `forward_auth.identity_jwt`, if that is on.
    fn identity_secret(&self) -> Result<Option<SealingSecret>, ConfigError> {
        if !self.flag("forward_auth.identity_jwt") {
            return Ok(None);
        }
        if self.0["forward_auth.identity_secret"].0.as_str().unwrap_or_default().is_empty() {
            let place = self.source("forward_auth.identity_jwt");
            return Err(ConfigError(format!(
                "{place}: `forward_auth.identity_jwt` needs `forward_auth.identity_secret`; to generate one, run `openssl rand -hex 32`"
            )));
        }
        self.text("forward_auth.identity_secret", SealingSecret::parse).map(Some)
    }

    fn tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let path = |name: &str| self.0[name].0.as_str().filter(|path| !path.is_empty()).map(PathBuf::from);
        match (path("tls.cert"), path("tls.key")) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError(format!("{}: `tls.cert` needs `tls.key` too", self.source("tls.cert")))),
            (None, Some(_)) => Err(ConfigError(format!("{}: `tls.key` needs `tls.cert` too", self.source("tls.key")))),
        }
    }

    fn redirect_listen(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let has_tls = self.tls()?.is_some();
        self.text("tls.redirect_listen", |text| match text {
            "" => Ok(None),
            _ if !has_tls => Err("requires tls.cert and tls.key"),
            text => address(text).map(Some),
        })
    }

    fn changed(&self) -> Vec<ChangedSetting> {
        let set = self.0.iter().filter(|(_, (_, source))| *source != ValueSource::Default);
        set.map(|(name, (value, source))| {
            let is_secret = ["url", "secret", "key", "password"].iter().any(|word| name.contains(word));
            let value = (!is_secret || name == "public_url").then(|| value.to_string());
            ChangedSetting { name: name.clone(), value, source: source.to_string() }
        })
        .collect()
    }

    fn networks(&self, name: &str) -> Result<Vec<IpNet>, ConfigError> {
        let (value, source) = &self.0[name];
        let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let text = entry.as_str().unwrap_or_default();
                text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                    ConfigError(format!(
                        "{source}: `{name}`: {entry} is neither an address nor a network such as 10.0.0.0/8"
                    ))
                })
            })
            .collect()
    }
}

/// The URL at which a listening address is reached from this machine.
pub fn local_url(address: SocketAddr) -> String {
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{reached}")
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080")
}

/// Reads the name of the header that carries keys in forward-auth.
fn key_header(text: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::try_from(text).map_err(|_| "must be the name of a header, such as X-API-Key")?;
    // Headers that proxies set or merge themselves, or that name the proxied method.
    let is_taken = ["host", "cookie", "connection", "content-length", "transfer-encoding"].contains(&name.as_str())
        || ["x-keyhouse-", "x-forwarded-", "x-original-", "x-http-method", "x-method-override"]
            .iter()
            .any(|taken| name.as_str().starts_with(taken));
    if is_taken { Err("this header is reserved; choose another, such as X-API-Key") } else { Ok(name) }
}

/// Parses the log filter. `Targets` alone parses an unknown level as the name of a target, which would disable logging.
fn parse_log_filter(text: &str) -> Result<Targets, String> {
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if !["off", "error", "warn", "info", "debug", "trace"].contains(&level.to_lowercase().as_str()) {
            return Err(format!("`{part}` is not one of error, warn, info, debug, trace, off or target=level"));
        }
    }
    text.parse().map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())
}
