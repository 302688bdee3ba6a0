//! Puts the commit and the date of the build into the program.
//!
//! A debug build has neither, so that it is not compiled again for every commit.

#![expect(clippy::disallowed_methods, reason = "a build has no clock of the application and no settings")]

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let set = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        std::env::var(name).ok().filter(|value| !value.is_empty())
    };
    let (commit, epoch) = (set("BUILD_COMMIT"), set("SOURCE_DATE_EPOCH"));
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit =
        commit.or_else(|| if is_release { git_commit() } else { None }).unwrap_or_else(|| "unknown".to_owned());
    let date = match epoch.map(|epoch| epoch.parse().expect("SOURCE_DATE_EPOCH is a number of seconds")) {
        Some(seconds) => day(Duration::from_secs(seconds)),
        None if is_release => day(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        None => "unknown".to_owned(),
    };
    let known = [std::env::var("CARGO_PKG_VERSION").unwrap_or_default(), commit.clone(), date.clone()];
    println!(
        "cargo:rustc-env=BUILD_LABEL={}",
        known.into_iter().filter(|part| part != "unknown").collect::<Vec<_>>().join(" · ")
    );
    // Cargo also sets these for `cargo run`, so they must not look like settings, which begin with KEYHOUSE_.
    println!("cargo:rustc-env=BUILD_COMMIT={commit}");
    println!("cargo:rustc-env=BUILD_DATE={date}");
}

/// The commit that is checked out. A change of it builds the program again.
fn git_commit() -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["rev-parse", "--short=10", "HEAD"])
}

/// A time since 1970 as a date of the proleptic Gregorian calendar.
fn day(since_1970: Duration) -> String {
    // Howard Hinnant's civil_from_days, for days that are not negative: years begin in March, so that leap days are last.
    let days = since_1970.as_secs() / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
