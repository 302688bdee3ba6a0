//! Which build this is: shown by `--version`, on the pages and in a metric.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; `unknown` if the build had neither Git nor KEYHOUSE_COMMIT.
pub const COMMIT: &str = env!("KEYHOUSE_COMMIT");
/// The day of the build in UTC, `2026-11-25`; of SOURCE_DATE_EPOCH for a reproducible build.
pub const DATE: &str = env!("KEYHOUSE_BUILD_DATE");
/// All three, as `--version` prints them.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("KEYHOUSE_COMMIT"),
    ", built ",
    env!("KEYHOUSE_BUILD_DATE"),
    ")"
);
/// The version and the commit, as pages show them.
pub const SHORT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " · ", env!("KEYHOUSE_COMMIT"), " · ", env!("KEYHOUSE_BUILD_DATE"));
