//! Which build this is: shown by `--version`, on the pages and in a metric.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; `unknown` if the build had neither Git nor BUILD_COMMIT.
pub const COMMIT: &str = env!("BUILD_COMMIT");
/// The day of the build in UTC, `2026-11-25`; of SOURCE_DATE_EPOCH for a reproducible build.
pub const DATE: &str = env!("BUILD_DATE");
/// All three, as `--version` prints them.
pub const LONG: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BUILD_COMMIT"), ", built ", env!("BUILD_DATE"), ")");
/// All three, as pages show them; what is unknown is left out.
pub const SHORT: &str = env!("BUILD_LABEL");
