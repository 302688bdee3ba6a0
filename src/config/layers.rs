//! The values of settings by name, layer over layer, each with the place where it was set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::Value;

/// Every setting with its default: the list of settings itself.
pub(crate) const DEFAULTS: &str = include_str!("../../config.example.toml");
pub(crate) const ENV_PREFIX: &str = "KEYHOUSE_";
/// Names a file of settings, as `--config` does.
pub(crate) const ENV_CONFIG: &str = "KEYHOUSE_CONFIG";

/// A setting that can't be used: where it was set, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

/// Where a value comes from; later ones beat earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueSource {
    Default,
    File { path: String, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// All values so far, by dotted name.
pub(crate) struct Settings(pub(crate) BTreeMap<String, (Value, ValueSource)>);

impl Settings {
    pub(crate) fn defaults() -> Self {
        let table: toml::Table = DEFAULTS.parse().expect("the embedded example is TOML");
        let mut all = BTreeMap::new();
        for (name, value) in table {
            match value {
                Value::Table(section) => {
                    for (key, value) in section {
                        all.insert(format!("{name}.{key}"), (value, ValueSource::Default));
                    }
                }
                value => {
                    all.insert(name, (value, ValueSource::Default));
                }
            }
        }
        Self(all)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value, source: ValueSource) -> Result<(), ConfigError> {
        let Some((current, place)) = self.0.get_mut(name) else {
            let nearest = nearest(name, self.0.keys().map(String::as_str));
            return Err(ConfigError(format!("{source}: there is no setting `{name}`; did you mean `{nearest}`?")));
        };
        if !current.same_type(&value) {
            let (wanted, found) = (current.type_str(), value.type_str());
            return Err(ConfigError(format!("{source}: `{name}` must be of type {wanted}, not {found}")));
        }
        (*current, *place) = (value, source);
        Ok(())
    }

    pub(crate) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
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
            if let toml::de::DeValue::Table(_) = value.get_ref() {
                let sections: Vec<_> = self.0.keys().filter_map(|known| Some(known.split_once('.')?.0)).collect();
                if !sections.contains(&&**name.get_ref()) {
                    let nearest = nearest(name.get_ref(), sections.into_iter());
                    let (line, name) = (line_at(name.span().start), name.get_ref());
                    return Err(ConfigError(format!(
                        "{shown}:{line}: there is no section `{name}`; did you mean `{nearest}`?"
                    )));
                }
            }
            for (name, place, value) in members {
                let source = ValueSource::File { path: shown.clone(), line: line_at(place) };
                self.set(&name, owned(value.get_ref()), source)?;
            }
        }
        Ok(())
    }

    /// Takes over the variables that start with [`ENV_PREFIX`].
    ///
    /// # Errors
    ///
    /// A variable that is not a setting's, a value of the wrong type, a file that can't be read, and an empty value: that is
    /// usually a secret which was not set, and its default may be another database.
    pub(crate) fn add_environment(&mut self, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        let variable_of = |name: &String| format!("{ENV_PREFIX}{}", name.to_uppercase().replace('.', "_"));
        let names: BTreeMap<String, String> = self.0.keys().map(|name| (variable_of(name), name.clone())).collect();
        for (variable, text) in env {
            let source = ValueSource::Environment(variable.clone());
            let (name, text) = match (names.get(variable), variable.strip_suffix("_FILE").and_then(|v| names.get(v))) {
                (Some(name), _) => (name, text.clone()),
                (None, Some(name)) => {
                    let plain = variable.trim_end_matches("_FILE");
                    if env.contains_key(plain) {
                        return Err(ConfigError(format!("{source} and {plain} set the same setting; leave one out")));
                    }
                    (name, read_secret(text, &source)?)
                }
                (None, None) if variable == ENV_CONFIG || is_service_link(variable, text) => continue,
                (None, None) => {
                    let nearest = nearest(variable, names.keys().map(String::as_str));
                    return Err(ConfigError(format!("{source} is not a setting; did you mean {nearest}?")));
                }
            };
            if text.trim().is_empty() {
                return Err(ConfigError(format!("{source} is empty; give it a value, or unset it to use the default")));
            }
            let value = self.parse(name, text, &source)?;
            self.set(name, value, source)?;
        }
        Ok(())
    }

    /// Takes over a flag of the command line.
    ///
    /// # Errors
    ///
    /// An empty value.
    pub(crate) fn add_flag(&mut self, flag: &'static str, name: &str, text: &str) -> Result<(), ConfigError> {
        let source = ValueSource::Flag(flag);
        if text.trim().is_empty() {
            return Err(ConfigError(format!("{source} is empty; give it a value, or leave it out")));
        }
        self.set(name, Value::String(text.to_owned()), source)
    }

    /// Reads a variable's text as the type of its setting.
    fn parse(&self, name: &str, text: String, source: &ValueSource) -> Result<Value, ConfigError> {
        let must_be = |what: &str| ConfigError(format!("{source} must be {what}"));
        Ok(match &self.0[name].0 {
            Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| must_be("a whole number"))?),
            Value::Boolean(_) => Value::Boolean(text.trim().parse().map_err(|_| must_be("true or false"))?),
            Value::Array(_) => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect())
            }
            _ => Value::String(text),
        })
    }

    /// Reads a text setting by `parse`, whose error says what is wrong with it.
    pub(crate) fn text<T, E: fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        let (value, source) = &self.0[name];
        parse(value.as_str().unwrap_or_default()).map_err(|e| ConfigError(format!("{source}: `{name}`: {e}")))
    }

    pub(crate) fn number(&self, name: &str, from: u64, to: u64) -> Result<u64, ConfigError> {
        let (value, source) = &self.0[name];
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (from..=to).contains(n));
        number.ok_or_else(|| ConfigError(format!("{source}: `{name}` must be a number from {from} to {to}")))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0[name].0.as_bool().unwrap_or_default()
    }

    pub(crate) fn source(&self, name: &str) -> &ValueSource {
        &self.0[name].1
    }
}

/// Reads a secret from a file. Line ends at its end are not part of it.
fn read_secret(path: &str, source: &ValueSource) -> Result<String, ConfigError> {
    let failed = |error: std::io::Error| ConfigError(format!("{source}: can't read the file {path}: {error}"));
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.trim().is_empty() { Err(ConfigError(format!("{source}: the file {path} is empty"))) } else { Ok(text) }
}

/// Whether Kubernetes sets this variable for a service whose name begins with `keyhouse` (service links): `…_SERVICE_HOST`,
/// `…_SERVICE_PORT`, `…_SERVICE_PORT_NAME`, `…_PORT=tcp://…`, `…_PORT_80_TCP` and the same with `_ADDR`, `_PORT`, `_PROTO`.
fn is_service_link(variable: &str, text: &str) -> bool {
    if variable.ends_with("_SERVICE_HOST") || variable.ends_with("_SERVICE_PORT") || variable.contains("_SERVICE_PORT_")
    {
        return true;
    }
    if variable.ends_with("_PORT") && text.contains("://") {
        return true;
    }
    let Some((_, port)) = variable.rsplit_once("_PORT_") else { return false };
    let protocol = port.trim_start_matches(|c: char| c.is_ascii_digit());
    protocol != port
        && ["_TCP", "_UDP", "_SCTP"].iter().any(|known| {
            protocol.strip_prefix(known).is_some_and(|rest| ["", "_ADDR", "_PORT", "_PROTO"].contains(&rest))
        })
}

fn owned(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            number.to_string().parse().map_or_else(|_| Value::String(number.to_string()), Value::Integer)
        }
        DeValue::Float(number) => {
            number.to_string().parse().map_or_else(|_| Value::String(number.to_string()), Value::Float)
        }
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| owned(item.get_ref())).collect()),
        DeValue::Table(_) => Value::Table(toml::Table::new()),
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b))).unwrap_or_default()
}
