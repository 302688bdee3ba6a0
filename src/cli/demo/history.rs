//! Some weeks of history for the demo's team: the same use cases as everywhere, under a clock that runs behind.

use std::time::Duration;

use anyhow::Context;

use super::products::Catalog;
use super::usage::{Client, Route, Usage};
use super::{PEOPLE, TEAM};
use crate::app::App;
use keyhouse_domain::api_key::{ApiKey, Conditions, KeyName, KeyToken, NewKey, Overlap, RevocationReason};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::networks::AllowedNetworks;
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::product::ProductFields;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::{Access, Scope};
use keyhouse_domain::team::{Team, TeamName};
use keyhouse_domain::usage::{CALLS_KEPT, Outcome};
use keyhouse_token::Mode;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses for documentation (RFC 5737, RFC 3849), with the programs that use keys from there.
const OFFICE: Client = Client { address: "198.51.100.24", agent: "curl/8.14.1" };
const CLOUD: [Client; 2] = [
    Client { address: "203.0.113.24", agent: "skylark-warehouse/4.2 (node 24)" },
    Client { address: "203.0.113.25", agent: "skylark-warehouse/4.2 (node 24)" },
];
const OLD_DISPLAY: Client = Client { address: "203.0.113.71", agent: "skylark-warehouse/3.9 (node 22)" };
const PARTNER: Client = Client { address: "192.0.2.17", agent: "python-httpx/0.28.1" };
const KIOSK: Client = Client { address: "2001:db8:40::17", agent: "Mozilla/5.0 (X11; Linux armv7l)" };
const PRODUCTS: &str = "/api/v1/products";
const READS: [Route; 5] = [
    route("GET", PRODUCTS, 200, Outcome::Admitted),
    route("GET", "/api/v1/products/{id}", 200, Outcome::Admitted),
    route("GET", PRODUCTS, 200, Outcome::Admitted),
    route("GET", "/api/v1/products/{id}", 404, Outcome::ClientError),
    route("GET", PRODUCTS, 429, Outcome::RateLimit),
];
const WRITES: [Route; 3] = [
    route("POST", PRODUCTS, 201, Outcome::Admitted),
    route("GET", PRODUCTS, 200, Outcome::Admitted),
    route("PATCH", "/api/v1/products/{id}", 200, Outcome::Admitted),
];

const fn route(method: &'static str, route: &'static str, status: u16, outcome: Outcome) -> Route {
    Route { method, route, status, outcome }
}

/// Creates the team 48 days ago, then its people, its catalog, and its keys: one with two tokens, one that expires soon, one
/// that is paused, one unused for weeks, one revoked and still tried, one expired.
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
    revoked(app, &admin, catalog).await?;
    expired(app, &owner, catalog).await?;
    let unused = app.behind(44 * DAY).create_key(&owner, key("Old storefront", Mode::Live, Scope::ReadOnly)?).await?;
    used(app, unused.key.id, [44 * DAY, 34 * DAY], 240, &CLOUD, &READS).await?;
    expiring(app, &owner).await?;
    paused(app, &admin).await?;
    with_two_tokens(app, &admin).await?;
    Ok(team)
}

/// Revoked six days ago, and its token is still tried.
async fn revoked(app: &App, admin: &KeyAdmin, catalog: &Catalog) -> anyhow::Result<()> {
    let import = app.behind(46 * DAY).create_key(admin, key("Catalog import", Mode::Live, Scope::ReadWrite)?).await?;
    let grant = import.key.grant(Access::Write, OFFICE.address.parse()?)?;
    fill(app, &grant, &catalog.live, 45 * DAY).await?;
    used(app, import.key.id, [45 * DAY, 8 * DAY], 60, &[OFFICE], &WRITES).await?;
    let reason: RevocationReason = "Found in a public repository".parse()?;
    app.behind(6 * DAY).revoke_key(admin, import.key.id, Some(&reason)).await?;
    let tried = [route("GET", PRODUCTS, 401, Outcome::Revoked)];
    used(app, import.key.id, [5 * DAY, 3 * HOUR], 3, &[OFFICE], &tried).await
}

/// Expired 20 days ago.
async fn expired(app: &App, owner: &KeyAdmin, catalog: &Catalog) -> anyhow::Result<()> {
    let conditions = Conditions { expires_at: Some(app.clock().now().minus(20 * DAY)), ..Conditions::default() };
    let new = key("Local trial", Mode::Test, Scope::ReadWrite)?.with_conditions(conditions);
    let trial = app.behind(46 * DAY).create_key(owner, new).await?;
    let grant = trial.key.grant(Access::Write, OFFICE.address.parse()?)?;
    fill(app, &grant, &catalog.test, 30 * DAY).await?;
    used(app, trial.key.id, [30 * DAY, 25 * DAY], 12, &[OFFICE], &WRITES).await?;
    app.behind(20 * DAY - HOUR).record_expiries().await?;
    Ok(())
}

/// Expires in six days, and is limited to the partner's network.
async fn expiring(app: &App, owner: &KeyAdmin) -> anyhow::Result<()> {
    let expires_at = Some(app.clock().now().plus(6 * DAY));
    let conditions = Conditions { expires_at, allowed: AllowedNetworks::parse("192.0.2.0/24")? };
    let new = key("Fjord Marine partner feed", Mode::Live, Scope::ReadOnly)?.with_conditions(conditions);
    let feed = app.behind(40 * DAY).create_key(owner, new).await?;
    used(app, feed.key.id, [40 * DAY, 5 * HOUR], 96, &[PARTNER], &READS).await
}

/// Paused four days ago for a week; its program has not noticed.
async fn paused(app: &App, admin: &KeyAdmin) -> anyhow::Result<()> {
    let kiosk = app.behind(30 * DAY).create_key(admin, key("Trade fair kiosk", Mode::Live, Scope::ReadOnly)?).await?;
    used(app, kiosk.key.id, [30 * DAY, 4 * DAY + HOUR], 140, &[KIOSK], &READS).await?;
    let until = app.clock().now().plus(3 * DAY);
    app.behind(4 * DAY).pause_key(admin, kiosk.key.id, Some(until)).await?;
    let refused = [route("GET", PRODUCTS, 401, Outcome::Paused)];
    used(app, kiosk.key.id, [4 * DAY, 2 * HOUR], 4, &[KIOSK], &refused).await
}

/// Rotated five hours ago: two programs use the new token, one still the former one.
async fn with_two_tokens(app: &App, admin: &KeyAdmin) -> anyhow::Result<()> {
    let new = key("Warehouse display", Mode::Live, Scope::ReadOnly)?;
    let display = app.behind(42 * DAY).create_key(admin, new).await?;
    let id = display.key.id;
    let [first, second] = CLOUD;
    used(app, id, [42 * DAY, 6 * HOUR], 1400, &[first, OLD_DISPLAY, second], &READS).await?;
    let rotated = app.behind(5 * HOUR).rotate_key(admin, id, Overlap::default()).await?;
    used(app, id, [5 * HOUR, 20 * MINUTE], 100, &[OLD_DISPLAY], &READS).await?;
    used(app, id, [5 * HOUR, MINUTE], 300, &CLOUD, &READS).await?;
    let [current, _] = &CLOUD;
    for (ago, token, client) in [
        (4 * HOUR, rotated.key.token.clone(), current),
        (20 * MINUTE, KeyToken { ends_at: Some(rotated.former_ends_at), ..display.key.token.clone() }, &OLD_DISPLAY),
        (MINUTE, rotated.key.token.clone(), current),
    ] {
        let then = app.behind(ago);
        then.note_token_use(&ApiKey { token, ..display.key.clone() }, client.address.parse()?);
        then.record_token_uses().await?;
    }
    Ok(())
}

/// Stores the usage of a key between two times, as lengths of time before now.
async fn used(
    app: &App,
    key: KeyId,
    [first, last]: [Duration; 2],
    daily: u64,
    clients: &[Client],
    routes: &[Route],
) -> anyhow::Result<()> {
    let now = app.clock().now();
    let usage =
        Usage { first: now.minus(first), last: now.minus(last), daily, rate_limited: daily / 8, clients, routes };
    let mut usage = usage.of(key);
    usage.calls.retain(|call| call.at > now.minus(CALLS_KEPT));
    app.store_sample_usage(&usage).await?;
    Ok(())
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
