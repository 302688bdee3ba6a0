//! Where the database is: a folder or a server.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

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

/// As an operator knows it, without user and password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "the data folder {}", folder.display()),
            Self::Postgres(to) => {
                let database = to.get_database().unwrap_or("of the user's name");
                write!(f, "PostgreSQL at {}:{}, database {database}", to.get_host(), to.get_port())
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

    /// Reads `postgres://…`. The error never repeats the URL: it may hold a password.
    pub fn postgres(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("a database URL starts with postgres:// (for SQLite name a folder with `data`)".to_owned());
        }
        let options = PgConnectOptions::from_str(url).map_err(|e| format!("not a PostgreSQL URL: {e}"))?;
        Ok(Self::Postgres(Box::new(options.application_name("keyhouse"))))
    }
}
