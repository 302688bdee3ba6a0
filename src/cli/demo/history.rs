//! Some weeks of history for the demo's team: the same use cases as everywhere, under a clock that runs behind.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Context;

use super::products::Catalog;
use super::{PEOPLE, TEAM};
use crate::app::App;
use keyhouse_domain::api_key::{KeyName, NewKey};
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::product::ProductFields;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::{Access, Scope};
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_token::Mode;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses for documentation (RFC 5737) from which the keys were used, with a `User-Agent`.
const OFFICE: (IpAddr, &str) = (IpAddr::V4(Ipv4Addr::new(198, 51, 100, 24)), "curl/8.14.1");
const CLOUD: (IpAddr, &str) = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), "python-httpx/0.28.1");

/// Creates the team 48 days ago, then its people, its catalog, and keys: one in use, one unused for weeks, one revoked.
pub(super) async fn create(app: &App, catalog: &Catalog) -> anyhow::Result<Team> {
    let user = super::super::os_user();
    let [(email, name, _), ..] = PEOPLE;
    let (email, name) = (Email::parse(email)?, PersonName::parse(name)?);
    let team = app.behind(48 * DAY).create_team_owned_by(&user, &TeamName::parse(TEAM)?, (&email, name)).await?;
    super::add_people(&app.behind(47 * DAY), &team).await?;

    let members = app.queries().members(team.id).await?;
    let as_role = |role: Role| -> anyhow::Result<KeyAdmin> {
        let member = members.iter().find(|member| member.role == role).context("the demo's people")?;
        Ok(KeyAdmin::member(member, SHELL)?)
    };
    let (owner, admin) = (as_role(Role::Owner)?, as_role(Role::Admin)?);

    let import = app.behind(46 * DAY).create_key(&admin, key("Catalog import", Mode::Live, Scope::ReadWrite)?).await?;
    let grant = import.key.grant(Access::Write, OFFICE.0)?;
    fill(app, &grant, &catalog.live, 45 * DAY).await?;
    app.behind(8 * DAY).store_sample_usage(import.key.id, OFFICE, &calls(37, 60)).await?;
    app.behind(6 * DAY).revoke_key(&admin, import.key.id, None).await?;

    let trial = app.behind(46 * DAY).create_key(&owner, key("Local trial", Mode::Test, Scope::ReadWrite)?).await?;
    let grant = trial.key.grant(Access::Write, OFFICE.0)?;
    fill(app, &grant, &catalog.test, 30 * DAY).await?;
    app.behind(25 * DAY).store_sample_usage(trial.key.id, OFFICE, &calls(5, 12)).await?;
    app.behind(20 * DAY).revoke_key(&owner, trial.key.id, None).await?;

    let unused = app.behind(44 * DAY).create_key(&owner, key("Old storefront", Mode::Live, Scope::ReadOnly)?).await?;
    app.behind(34 * DAY).store_sample_usage(unused.key.id, CLOUD, &calls(10, 240)).await?;
    let used = app.behind(15 * DAY).create_key(&admin, key("Warehouse display", Mode::Live, Scope::ReadOnly)?).await?;
    app.behind(3 * HOUR).store_sample_usage(used.key.id, CLOUD, &calls(15, 380)).await?;
    Ok(team)
}

/// The calls of some days, around a number: different each day, the same in each demo.
fn calls(days: u64, around: u64) -> Vec<u64> {
    (0..days).map(|day| around * (70 + day * 37 % 61) / 100).collect()
}

fn key(name: &str, mode: Mode, scope: Scope) -> anyhow::Result<NewKey> {
    Ok(NewKey::new(KeyName::parse(name)?, mode, scope))
}

/// Creates products one after another, 18 hours apart.
async fn fill(
    app: &App,
    grant: &keyhouse_domain::auth::Grant,
    samples: &[ProductFields],
    begin: Duration,
) -> anyhow::Result<()> {
    let mut ago = begin;
    for fields in samples {
        app.behind(ago).create_product(grant, fields.clone(), None).await?;
        ago = ago.saturating_sub(18 * HOUR);
    }
    Ok(())
}
