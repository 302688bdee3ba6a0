//! How this process was started, so that the commands that it prints work as pasted.

use std::path::Path;

use super::Global;
use crate::config::Config;
use crate::shell_command::{ShellCommand, quoted};
use keyhouse_store::Location;

/// The folder that a command uses if none is named.
const DEFAULT_FOLDER: &str = "./keyhouse-data";

/// Repeats the settings file and the database of this run. A database URL is repeated only if it was given as a flag, and
/// without its password; libpq's `PGPASSWORD` is read in its place.
pub(super) fn of(global: &Global, config: &Config) -> ShellCommand {
    let mut flags = String::new();
    if let Some(file) = &global.config {
        flags.push_str(&format!(" --config {}", quoted(&absolute(file))));
    }
    match (&config.database, &global.database) {
        (Location::Folder(folder), _) if folder != Path::new(DEFAULT_FOLDER) => {
            flags.push_str(&format!(" --data {}", quoted(&absolute(folder))));
        }
        (Location::Postgres(_), Some(url)) => {
            flags.push_str(&format!(" --database {}", quoted(&without_password(url))));
        }
        _ => {}
    }
    let program = std::env::args().next().unwrap_or_else(|| "keyhouse".to_owned());
    ShellCommand::new(&program, flags)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) => {
            let after = &rest[user.len() + 1 + password.len()..];
            format!("{scheme}://{user}{after}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out_of_urls() {
        for (url, shown) in [
            ("postgres://app:s3cret@db.example:5432/keys", "postgres://app@db.example:5432/keys"),
            ("postgres://app:p%40ss@db.example/keys?sslmode=require", "postgres://app@db.example/keys?sslmode=require"),
            ("postgres://app:a@b@db.example/keys", "postgres://app@db.example/keys"),
            ("postgres://app@db.example/keys", "postgres://app@db.example/keys"),
            ("postgres://db.example:5432/keys", "postgres://db.example:5432/keys"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
