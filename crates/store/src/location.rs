//! Where the database is: a folder or a server

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The SQLite file inside the data folder.
pub(crate) const FILE: &str = "keyhouse.db";

/// Where the database is.
#[derive(Clone)]
pub enum Location {
    /// A folder that holds one SQLite file.
    Folder(PathBuf),
    /// A PostgreSQL server. Boxed: its options are large.
    Postgres(Box<PgConnectOptions>),
}

/// A URL may hold a password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "Folder({})", folder.display()),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// For logs and errors: without user and password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "the data folder {}", folder.display()),
            Self::Postgres(to) => {
                let database = to.get_database().unwrap_or("of the user's name");
                match to.get_socket() {
                    Some(socket) => {
                        write!(f, "PostgreSQL at the socket {}/.s.PGSQL.{}", socket.display(), to.get_port())?;
                    }
                    None => write!(f, "PostgreSQL at {}:{}", to.get_host(), to.get_port())?,
                }
                write!(f, ", database {database}")
            }
        }
    }
}

/// Which file a path led to: its device and inode.
pub(crate) type FileId = (u64, u64);

impl Location {
    /// `None` for a server, and for a file that is not there.
    pub(crate) fn file(&self) -> io::Result<Option<FileId>> {
        let Self::Folder(folder) = self else { return Ok(None) };
        match std::fs::metadata(folder.join(FILE)) {
            Ok(file) => Ok(Some((file.dev(), file.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The URL of a PostgreSQL server as `pg_dump` and `psql` take it: without the password, which they read from
    /// `PGPASSWORD`. `None` for a folder.
    pub fn libpq_url(&self) -> Option<String> {
        let Self::Postgres(options) = self else { return None };
        let mut url = options.to_url_lossy();
        let _a_host_is_there = url.set_password(None);
        let own = |name: &str| name == "statement-cache-capacity";
        let kept: Vec<_> = url
            .query_pairs()
            .filter(|(name, _)| !own(name))
            .map(|pair| (pair.0.into_owned(), pair.1.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        Some(url.to_string())
    }

    /// Reads `postgres://…`. Parameters are checked as strictly as settings are, because a misspelt `sslmode` would connect
    /// without TLS.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong. It never repeats the URL or a part that may belong to the password.
    pub fn postgres(url: &str) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
            return Err("a database URL starts with postgres:// (for SQLite name a folder with `data`)".to_owned());
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if rest.contains('#') || rest.matches('@').count() != authority.matches('@').count().min(1) {
            return Err(
                "the database URL has an @, /, ? or # in its user name or password: write @ as %40, / as %2F, \
                        ? as %3F and # as %23"
                    .to_owned(),
            );
        }
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let tls = check_parameters(query)?;
        let mut options = PgConnectOptions::from_str(&with_host_in_parameters(url, rest, authority))
            .map_err(|error| format!("not a PostgreSQL URL: {error}"))?
            .application_name("keyhouse")
            // PgBouncer refuses start-up parameters that it does not track, and no column is a float.
            .extra_float_digits(None);
        if tls == Tls::VerifyCa {
            options = options.ssl_mode(PgSslMode::VerifyCa);
        }
        Ok(Self::Postgres(Box::new(options)))
    }
}

/// The parameters that sqlx reads.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    AsGiven,
    /// `sslmode=require` with a root certificate verifies the server's certificate, as libpq does; sqlx would not.
    VerifyCa,
}

/// Refuses unknown parameters, unknown TLS modes, files that can't be read, and a root certificate that nothing is checked
/// against.
fn check_parameters(query: &str) -> Result<Tls, String> {
    let (mut mode, mut has_root) = (None, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" | "ssl-mode" => {
                let known = SSL_MODES.iter().find(|known| **known == value);
                mode = Some(
                    *known.ok_or_else(|| format!("the database URL's {name} is one of {}", SSL_MODES.join(", ")))?,
                );
            }
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey" | "ssl-key" => {
                has_root |= !matches!(name, "sslcert" | "ssl-cert" | "sslkey" | "ssl-key");
                let file = value.replace("%2F", "/").replace("%2f", "/");
                std::fs::metadata(&file).map_err(|error| format!("{name} in the database URL: {file}: {error}"))?;
            }
            // What Keyhouse checks on every connection anyway.
            "target_session_attrs" if matches!(value, "read-write" | "primary") => {}
            name if name.starts_with("options[") || PARAMETERS.contains(&name) => {}
            name => {
                let distance = |known: &&&str| (strsim::jaro_winkler(name, known) * 1000.0) as u32;
                let nearest = PARAMETERS.iter().max_by_key(distance).copied().unwrap_or_default();
                let name: String = name.chars().take(40).collect();
                return Err(format!("the database URL has an unknown parameter {name}; did you mean {nearest}?"));
            }
        }
    }
    match (mode, has_root) {
        (Some("require"), true) => Ok(Tls::VerifyCa),
        (None | Some("disable" | "allow" | "prefer"), true) => {
            Err("sslrootcert in the database URL needs sslmode=verify-full (or verify-ca, or require)".to_owned())
        }
        _ => Ok(Tls::AsGiven),
    }
}

/// `postgres://user@/db?host=/run/postgresql`, which libpq takes and the URL parser refuses for its empty host, as
/// `postgres:///db?host=…&user=user`.
fn with_host_in_parameters(url: &str, rest: &str, authority: &str) -> String {
    let Some(user) = authority.strip_suffix('@') else { return url.to_owned() };
    let after = &rest[authority.len()..];
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let (user, password) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
    // In a query a plus sign is a space.
    let mut parameters = format!("user={}", user.replace('+', "%2B"));
    if let Some(password) = password {
        parameters += &format!("&password={}", password.replace('+', "%2B"));
    }
    if !query.is_empty() {
        parameters += &format!("&{query}");
    }
    format!("postgres://{path}?{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Location::postgres(url).expect_err(url)
    }

    #[test]
    fn unknown_parameters_are_refused_with_the_nearest_name() {
        let error = refused("postgres://app@db/keyhouse?sslmod=verify-full");
        assert_eq!(error, "the database URL has an unknown parameter sslmod; did you mean sslmode?");
        let error = refused("postgres://app@db/keyhouse?sslmode=verify_full");
        assert_eq!(
            error,
            "the database URL's sslmode is one of disable, allow, prefer, require, verify-ca, verify-full"
        );
        let error = refused("postgres://app@db/keyhouse?sslmode=verify-ca&sslrootcert=/no/such/ca.crt");
        assert!(error.contains("/no/such/ca.crt: No such file"), "{error}");
    }

    #[test]
    fn no_part_of_a_password_is_repeated() {
        for password in ["S3cr3t@ndB0ld/xyz", "S3cr3t#ndB0ld", "S3cr3t?ndB0ld", "S3cr3t/ndB0ld", "S3cr3t@ndB0ld"] {
            let error = refused(&format!("postgres://app:{password}@db/keyhouse"));
            assert!(error.contains("write @ as %40") && !error.contains("B0ld"), "{password}: {error}");
        }
        Location::postgres("postgres://app:S3cr3t%40%2F%23%3F@db/keyhouse").unwrap();
    }

    #[test]
    fn a_root_certificate_is_verified_against() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = |mode: &str| format!("postgres://app@db/keyhouse?{mode}sslrootcert={}", file.path().display());
        let Location::Postgres(options) = Location::postgres(&url("sslmode=require&")).unwrap() else { unreachable!() };
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyCa));
        for mode in ["", "sslmode=prefer&"] {
            assert!(refused(&url(mode)).contains("needs sslmode=verify-full"), "{mode}");
        }
    }

    #[test]
    fn socket_folders_are_accepted_and_named() {
        for url in [
            "postgres://app@/keyhouse?host=/run/postgresql",
            "postgres:///keyhouse?host=/run/postgresql&user=app",
            "postgres://app@%2Frun%2Fpostgresql/keyhouse",
        ] {
            let location = Location::postgres(url).expect(url);
            assert_eq!(
                location.to_string(),
                "PostgreSQL at the socket /run/postgresql/.s.PGSQL.5432, database keyhouse",
                "{url}"
            );
            let Location::Postgres(options) = location else { unreachable!() };
            assert_eq!(options.get_username(), "app");
        }
    }
}
