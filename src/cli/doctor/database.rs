//! Checks of the database, its clock, pending addresses, and keys that are unused or expire soon.

use std::net::IpAddr;
use std::time::Duration;

use super::Report;
use crate::app::infra::clock::Clock;
use crate::config::Config;
use keyhouse_domain::conditions::EXPIRY_NOTICE;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{Location, Measurements, OpenError, Queries, Store, StoreError};

/// Longer round trips make calls that are not cached slow.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(20);
/// Clocks that are further apart show wrong times and end sessions early.
const SKEW_MAX_MS: i64 = 1000;

/// A key that was not used for so long is probably not needed.
const UNUSED_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

pub(super) async fn check(config: &Config, report: &mut Report) {
    let (store, warnings) = match Store::open(&config.database, config.brand.as_ref()).await {
        Ok((store, _, warnings)) => (store, warnings),
        Err(error) => return report.failure(check_of(&error), format!("{}: {error}", config.database), remedy(&error)),
    };
    report.ok("database", format!("{} answers", config.database));
    report.ok("migrations", "the schema matches this version of Keyhouse");
    if warnings.is_empty() {
        report.ok("durability", "commits are flushed to disk before they are acknowledged");
    }
    for warning in warnings {
        report.failure("durability", warning.0, "See \"Failover\" in the guide.");
    }
    if let Err(error) = contents(config, store.queries(), report).await {
        report.failure("database", error.to_string(), "See the database server's log.");
    }
    store.close().await;
}

/// The check that an error belongs to.
fn check_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Old { .. } | OpenError::New { .. } | OpenError::Migrate(_) | OpenError::Foreign => "migrations",
        OpenError::NotDurable { .. } => "durability",
        OpenError::Path { .. } | OpenError::Locked { .. } => "files",
        OpenError::Brand { .. } => "settings",
        OpenError::Database(_)
        | OpenError::NotSetUp(_)
        | OpenError::Moved { .. }
        | OpenError::MoveUnfinished { .. }
        | OpenError::MoveTarget => "database",
    }
}

fn remedy(error: &OpenError) -> &'static str {
    match error {
        OpenError::Old { .. } => "Back up the database and run `keyhouse migrate`, or start `keyhouse serve`.",
        OpenError::New { .. } => "Install the newer keyhouse that has migrated it.",
        OpenError::NotSetUp(_) => "Check `data` or `database_url`; for a new installation run `keyhouse migrate`.",
        OpenError::Foreign => "Give Keyhouse a database or a schema of its own.",
        OpenError::Brand { .. } => "Set token.brand to the database's brand, or leave it out.",
        OpenError::NotDurable { .. } => "Put the data folder on a local file system.",
        OpenError::Path { .. } => "Make the user that runs Keyhouse the owner of the file.",
        OpenError::Locked { .. } => "Wait for the other process, or stop it.",
        OpenError::Database(_) | OpenError::Migrate(_) => {
            "Check that the server runs, that its address and the password are right, and that a firewall lets it through."
        }
        OpenError::Moved { .. } | OpenError::MoveUnfinished { .. } | OpenError::MoveTarget => {
            "Set `data` or `database_url` to the database that it was moved to, or finish the move."
        }
    }
}

async fn contents(config: &Config, queries: &Queries, report: &mut Report) -> Result<(), StoreError> {
    let measured = queries.measurements().await?;
    let now = Clock::System.now();
    if let Location::Postgres(_) = config.database {
        round_trip(measured.round_trip, report);
    }
    clocks(&measured, now, report);
    observations(config, queries, report).await?;
    let before = report.0.len();
    for pending in queries.pending_addresses().await? {
        report.warning(
            "accounts",
            format!("{} asked to change their email to {}, which needs a link", pending.email, pending.pending_email),
            format!("Print the link with: keyhouse person set-email {} {}", pending.email, pending.pending_email),
        );
    }
    report.ok_unless_found(before, "accounts", "no email change is pending");
    let before = report.0.len();
    for key in queries.unused_keys(now.minus(UNUSED_FOR)).await? {
        report.warning(
            "keys",
            format!("\"{}\" of {} has not been used for 90 days", key.name.unwrap_or_default(), key.slug),
            format!("If it is not needed: keyhouse key revoke {}", key.id),
        );
    }
    for key in queries.expiring_keys(now, now.plus(EXPIRY_NOTICE)).await? {
        report.warning(
            "keys",
            format!("\"{}\" of {} expires at {}", key.name.unwrap_or_default(), key.slug, key.expires_at),
            format!("To keep it: keyhouse key conditions {} --expires 90d", key.id),
        );
    }
    report.ok_unless_found(
        before,
        "keys",
        "every active key was used or created within 90 days, and none expires within 14 days",
    );
    Ok(())
}

fn round_trip(took: Duration, report: &mut Report) {
    let shown = format!("a round trip takes {:.1} ms", took.as_secs_f64() * 1000.0);
    if took <= ROUND_TRIP_MAX {
        return report.ok("round trip", shown);
    }
    report.warning(
        "round trip",
        shown,
        "Run Keyhouse near its database: each call that changes something makes several round trips.",
    );
}

fn clocks(measured: &Measurements, now: Timestamp, report: &mut Report) {
    let before = report.0.len();
    let set = "Synchronize both machines with a time server (chrony, systemd-timesyncd).";
    if let Some(server) = measured.server_time {
        // The server answered halfway through the round trip, which ended a moment ago.
        let ahead = now.ms() - server.ms();
        let within = SKEW_MAX_MS + i64::try_from(measured.round_trip.as_millis()).unwrap_or(i64::MAX);
        if ahead.abs() > within {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            report.failure(
                "clock",
                format!("this machine's clock is {:.1} s {way} the database server's", ahead.abs() as f64 / 1000.0),
                set,
            );
        }
    }
    let future = measured.newest.ms() - now.ms();
    if future > SKEW_MAX_MS {
        report.failure(
            "clock",
            format!("the database's newest entry is {} s ahead of this machine's clock", future / 1000),
            format!("{set} A node whose clock was ahead may have written it."),
        );
    }
    report.ok_unless_found(before, "clock", "this machine's clock agrees with the database");
}

/// What servers saw of requests, compared with the settings of now.
async fn observations(config: &Config, queries: &Queries, report: &mut Report) -> Result<(), StoreError> {
    for (name, value) in queries.observations().await? {
        match &*name {
            "unlisted_proxy" => {
                let peer: Option<IpAddr> = value.parse().ok();
                if peer.is_some_and(|peer| !config.trusted_proxies.iter().any(|network| network.contains(&peer))) {
                    report.warning(
                        "trusted_proxies",
                        format!("{value} sends X-Forwarded-For and is not listed: all its clients count as one"),
                        format!("If it is your proxy, add it: trusted_proxies = [\"{value}\"]"),
                    );
                }
            }
            "other_origin" => {
                if let Some(url) = config.public_url.as_ref().filter(|url| url.as_str() != value) {
                    report.warning(
                        "public_url",
                        format!("a browser used {value}, and public_url is {url}: links lead to a different address"),
                        "Set public_url to the address that browsers use, or redirect the other one to it.",
                    );
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_differs_from_the_server_s_is_a_failure_beyond_a_second_and_the_round_trip() {
        let now = Timestamp::from_ms(1_795_512_600_000);
        let found = |skew: i64, round_trip: u64| {
            let mut report = Report::default();
            let measured = Measurements {
                round_trip: Duration::from_millis(round_trip),
                server_time: Some(Timestamp::from_ms(now.ms() - skew)),
                newest: now.minus(UNUSED_FOR),
            };
            clocks(&measured, now, &mut report);
            (report.0[0].level, report.0[0].message.clone())
        };
        assert_eq!(found(900, 1).0, Level::Ok);
        assert_eq!(found(1100, 150).0, Level::Ok);
        assert_eq!(
            found(61_000, 1),
            (Level::Failure, "this machine's clock is 61.0 s ahead of the database server's".to_owned())
        );
        assert_eq!(
            found(-61_000, 1),
            (Level::Failure, "this machine's clock is 61.0 s behind the database server's".to_owned())
        );
    }
}
