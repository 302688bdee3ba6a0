//! Settings: flags over environment over file over defaults, each judged once, each fault naming where it stands.
//!
//! `config.example.toml` is embedded and *is* the list of settings and their defaults; it can't fall behind.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;
use tracing_subscriber::filter::Targets;

use crate::domain::token::Brand;
use crate::store::Location;

/// Every setting with its default.
pub const EXAMPLE: &str = include_str!("../config.example.toml");
const ENV_PREFIX: &str = "KEYHOUSE_";
/// Names a file of settings, as `--config` does.
const ENV_CONFIG: &str = "KEYHOUSE_CONFIG";

/// What Keyhouse was told, read and judged.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub database: Location,
    pub trusted_proxies: Vec<IpNet>,
    pub shutdown_grace: Duration,
    pub log: Targets,
    /// `None` where nobody asked for one: then the database's own counts.
    pub brand: Option<Brand>,
}

/// A setting that can't be used: where it stands, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Where a value comes from; later ones beat earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Default,
    File { path: String, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// What the command line says of settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub data: Option<String>,
    pub database: Option<String>,
}

/// All values so far, by dotted name.
struct Settings(BTreeMap<String, (Value, Origin)>);

impl Config {
    /// Reads the process's own environment and the file that it or the flags name.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::from_layers(
            flags,
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// # Errors
    ///
    /// A file that can't be read, a setting that does not exist (with the nearest that does), or a value of no use.
    pub fn from_layers(flags: &Flags, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: BTreeMap<String, String> = env.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        let mut settings = Settings::defaults();
        if let Some(path) = flags.config.clone().or_else(|| env.get(ENV_CONFIG).map(PathBuf::from)) {
            settings.add_file(&path)?;
        }
        settings.add_environment(&env)?;
        for (flag, name, value) in [
            ("--listen", "listen", &flags.listen),
            ("--data", "data", &flags.data),
            ("--database", "database_url", &flags.database),
        ] {
            if let Some(value) = value {
                settings.0.insert(name.to_owned(), (Value::String(value.clone()), Origin::Flag(flag)));
            }
        }
        settings.judge()
    }
}

impl Settings {
    fn defaults() -> Self {
        let table: toml::Table = EXAMPLE.parse().expect("the embedded example is TOML");
        let mut all = BTreeMap::new();
        for (name, value) in table {
            match value {
                Value::Table(section) => {
                    for (key, value) in section {
                        all.insert(format!("{name}.{key}"), (value, Origin::Default));
                    }
                }
                value => {
                    all.insert(name, (value, Origin::Default));
                }
            }
        }
        Self(all)
    }

    fn set(&mut self, name: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some((current, place)) = self.0.get_mut(name) else {
            let nearest = nearest(name, self.0.keys().map(String::as_str));
            return Err(ConfigError(format!("{origin}: there is no setting `{name}`; did you mean `{nearest}`?")));
        };
        if !current.same_type(&value) {
            let (wanted, found) = (current.type_str(), value.type_str());
            return Err(ConfigError(format!("{origin}: `{name}` must be of type {wanted}, not {found}")));
        }
        (*current, *place) = (value, origin);
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError(format!("can't read {shown}: {e}")))?;
        let line_at = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let table = toml::de::DeTable::parse(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_at(span.start));
            ConfigError(format!("{shown}:{line}: {}", e.message()))
        })?;
        for (name, value) in table.get_ref() {
            let members: Vec<_> = match value.get_ref() {
                toml::de::DeValue::Table(section) => section
                    .iter()
                    .map(|(key, value)| (format!("{}.{}", name.get_ref(), key.get_ref()), key.span().start, value))
                    .collect(),
                _ => vec![(name.get_ref().to_string(), name.span().start, value)],
            };
            for (name, place, value) in members {
                let origin = Origin::File { path: shown.clone(), line: line_at(place) };
                self.set(&name, owned(value.get_ref()), origin)?;
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> = self
            .0
            .keys()
            .map(|name| (format!("{ENV_PREFIX}{}", name.to_uppercase().replace('.', "_")), name.clone()))
            .collect();
        for (variable, text) in env {
            // Kubernetes sets these for a service that is called keyhouse.
            let from_kubernetes = variable.starts_with("KEYHOUSE_PORT") || variable.starts_with("KEYHOUSE_SERVICE_");
            if variable == ENV_CONFIG || from_kubernetes {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            let (name, text) = match (names.get(variable), variable.strip_suffix("_FILE").and_then(|v| names.get(v))) {
                (Some(name), _) => (name, text.clone()),
                (None, Some(name)) => {
                    let read = std::fs::read_to_string(text)
                        .map_err(|e| ConfigError(format!("{origin}: can't read the file it names: {e}")))?;
                    (name, read.trim_end_matches(['\r', '\n']).to_owned())
                }
                (None, None) => {
                    let nearest = nearest(variable, names.keys().map(String::as_str));
                    return Err(ConfigError(format!("{origin} is no setting; did you mean {nearest}?")));
                }
            };
            let value = match &self.0[name].0 {
                Value::Integer(_) => Value::Integer(
                    text.trim().parse().map_err(|_| ConfigError(format!("{origin} must be a whole number")))?,
                ),
                Value::Array(_) => Value::Array(
                    text.split(',')
                        .map(str::trim)
                        .filter(|t| !t.is_empty())
                        .map(|t| Value::String(t.to_owned()))
                        .collect(),
                ),
                _ => Value::String(text),
            };
            self.set(name, value, origin)?;
        }
        Ok(())
    }

    /// Reads a text setting; `parse` says what is wrong with it.
    fn text<T, E: fmt::Display>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, ConfigError> {
        let (value, origin) = &self.0[name];
        parse(value.as_str().unwrap_or_default()).map_err(|e| ConfigError(format!("{origin}: `{name}`: {e}")))
    }

    fn number(&self, name: &str, from: u64, to: u64) -> Result<u64, ConfigError> {
        let (value, origin) = &self.0[name];
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (from..=to).contains(n));
        number.ok_or_else(|| ConfigError(format!("{origin}: `{name}` must be a number from {from} to {to}")))
    }

    fn origin(&self, name: &str) -> &Origin {
        &self.0[name].1
    }

    fn judge(self) -> Result<Config, ConfigError> {
        Ok(Config {
            listen: self.text("listen", |text| {
                text.parse().map_err(|_| "must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080")
            })?,
            database: self.database()?,
            trusted_proxies: self.networks("trusted_proxies")?,
            shutdown_grace: Duration::from_secs(self.number("shutdown_grace_seconds", 0, 5)?),
            log: self.text("log", |text| text.parse::<Targets>())?,
            brand: match self.origin("token.brand") {
                Origin::Default => None,
                _ => Some(self.text("token.brand", Brand::parse)?),
            },
        })
    }

    /// A URL and a folder exclude each other; the one that was said later, in order of precedence, counts.
    fn database(&self) -> Result<Location, ConfigError> {
        let folder = || {
            self.text("data", |text| if text.is_empty() { Err("must name a folder") } else { Ok(PathBuf::from(text)) })
        };
        let url = self.0["database_url"].0.as_str().unwrap_or_default();
        let (by_folder, by_url) = (self.origin("data"), self.origin("database_url"));
        let rank = |origin: &Origin| match origin {
            Origin::Default => 0,
            Origin::File { .. } => 1,
            Origin::Environment(_) => 2,
            Origin::Flag(_) => 3,
        };
        if url.is_empty() || rank(by_folder) > rank(by_url) {
            return Ok(Location::Folder(folder()?));
        }
        if rank(by_folder) == rank(by_url) {
            return Err(ConfigError(format!("{by_folder} and {by_url} name two databases; leave one out")));
        }
        self.text("database_url", Location::postgres)
    }

    fn networks(&self, name: &str) -> Result<Vec<IpNet>, ConfigError> {
        let (value, origin) = &self.0[name];
        let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let text = entry.as_str().unwrap_or_default();
                text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                    ConfigError(format!(
                        "{origin}: `{name}`: {entry} is neither an address nor a network such as 10.0.0.0/8"
                    ))
                })
            })
            .collect()
    }
}

fn owned(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            number.to_string().parse().map_or_else(|_| Value::String(number.to_string()), Value::Integer)
        }
        DeValue::Float(number) => Value::String(number.to_string()),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| owned(item.get_ref())).collect()),
        DeValue::Table(_) => Value::Table(toml::Table::new()),
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, env: &[(&str, &str)]) -> Result<Config, String> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::from_layers(flags, env).map_err(|e| e.to_string())
    }

    fn with_file(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
        load(&flags, env).map_err(|e| e.replace(file.path().to_str().unwrap(), "keyhouse.toml"))
    }

    #[test]
    fn the_example_is_complete_and_is_the_defaults() {
        // Every setting that `judge` asks for is in it, or this panics; and it is a file that can be used as it stands.
        let config = load(&Flags::default(), &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(matches!(&config.database, Location::Folder(folder) if folder == Path::new("./keyhouse-data")));
        assert_eq!(config.brand, None);
        assert_eq!(with_file(EXAMPLE, &[]).unwrap().listen, config.listen);
        for line in EXAMPLE.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
            let above = EXAMPLE[..EXAMPLE.find(line).unwrap()].lines().last().unwrap();
            assert!(above.starts_with("# "), "`{line}` has a line of meaning above it");
        }
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_default() {
        let file = "listen = \"127.0.0.1:1\"\nlog = \"debug\"\n";
        assert_eq!(with_file(file, &[]).unwrap().listen.port(), 1);
        assert_eq!(with_file(file, &[("KEYHOUSE_LISTEN", "127.0.0.1:2")]).unwrap().listen.port(), 2);
        let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
        assert_eq!(load(&flags, &[("KEYHOUSE_LISTEN", "127.0.0.1:2")]).unwrap().listen.port(), 3);
    }

    #[test]
    fn faults_name_their_place_and_the_nearest_right_name() {
        for (file, says) in [
            ("# a comment\nlistne = \"x\"\n", "keyhouse.toml:2: there is no setting `listne`; did you mean `listen`?"),
            (
                "[token]\nbrnd = \"x\"\n",
                "keyhouse.toml:2: there is no setting `token.brnd`; did you mean `token.brand`?",
            ),
            ("\nlisten = 8080\n", "keyhouse.toml:2: `listen` must be of type string, not integer"),
            (
                "listen = \"8080\"\n",
                "keyhouse.toml:1: `listen`: must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
            ),
            ("shutdown_grace_seconds = 60\n", "keyhouse.toml:1: `shutdown_grace_seconds` must be a number from 0 to 5"),
            ("[token]\nbrand = \"P\"\n", "keyhouse.toml:2: `token.brand`: a token brand is 2 to 10 of a-z and 0-9"),
            (
                "trusted_proxies = [\"proxy\"]\n",
                "keyhouse.toml:1: `trusted_proxies`: \"proxy\" is neither an address nor a network such as 10.0.0.0/8",
            ),
            (
                "data = \"a\"\ndatabase_url = \"postgres://x/y\"\n",
                "keyhouse.toml:1 and keyhouse.toml:2 name two databases; leave one out",
            ),
        ] {
            assert_eq!(with_file(file, &[]).unwrap_err(), says);
        }
        assert!(with_file("listen = \n", &[]).unwrap_err().starts_with("keyhouse.toml:1: "));
        assert_eq!(
            load(&Flags::default(), &[("KEYHOUSE_LISTN", "x")]).unwrap_err(),
            "the environment variable KEYHOUSE_LISTN is no setting; did you mean KEYHOUSE_LISTEN?"
        );
        assert_eq!(
            load(&Flags::default(), &[("KEYHOUSE_SHUTDOWN_GRACE_SECONDS", "two")]).unwrap_err(),
            "the environment variable KEYHOUSE_SHUTDOWN_GRACE_SECONDS must be a whole number"
        );
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_no_fault() {
        assert!(
            load(&Flags::default(), &[("KEYHOUSE_PORT", "tcp://10.0.0.1:80"), ("KEYHOUSE_SERVICE_HOST", "x")]).is_ok()
        );
    }

    #[test]
    fn a_secret_may_come_from_a_file_and_is_never_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://u:hunter2@db/keyhouse\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = load(&Flags::default(), &[("KEYHOUSE_DATABASE_URL_FILE", path)]).unwrap();
        assert!(matches!(config.database, Location::Postgres(_)));
        let told = load(&Flags::default(), &[("KEYHOUSE_DATABASE_URL", "mysql://u:hunter2@db")]).unwrap_err();
        assert!(told.contains("KEYHOUSE_DATABASE_URL") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn lists_come_from_the_environment_with_commas() {
        let config = load(&Flags::default(), &[("KEYHOUSE_TRUSTED_PROXIES", "10.0.0.0/8, ::1")]).unwrap();
        assert_eq!(config.trusted_proxies.len(), 2);
    }
}
