//! The schema's history, embedded: the same numbers and names for both engines (law 4).

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! migrations {
    ($engine:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../migrations/", $engine, "/", $name, ".sql")))),*]
    };
}

const SQLITE: &[(&str, &str)] = migrations!("sqlite": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names");
const POSTGRES: &[(&str, &str)] = migrations!("postgres": "0001_keys_and_products", "0002_idempotency", "0003_people_sign_in", "0004_duties", "0005_standard_names");

/// The number of the newest migration that this program knows.
pub(crate) const NEWEST: i64 = SQLITE.len() as i64;

pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(files: &'static [(&'static str, &'static str)]) -> Migrator {
    let numbered = files.iter().zip(1..).map(|(&(name, sql), version)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(numbered.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_have_the_same_numbers_and_names() {
        let names = |files: &[(&'static str, &str)]| files.iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        for (version, name) in (1..).zip(names(SQLITE)) {
            assert!(name.starts_with(&format!("{version:04}_")), "{name} is number {version}");
        }
    }
}
