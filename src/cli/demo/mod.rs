//! `keyhouse demo`: from nothing to a 200 in one command.

mod products;

use std::net::Ipv4Addr;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::app::keys::Created;
use crate::app::products::WriteProductError;
use crate::cli::Global;
use crate::cli::terminal::{Cell, Table, mode, outln, print_json, style};
use crate::config::{CliOverrides, Config, local_url};
use crate::startup::{self, ShutdownSignal};
use crate::telemetry;
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, ListedKey, NewKey};
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::permission::KeyAdmin;
use keyhouse_domain::person::Email;
use keyhouse_domain::product::{ProductFields, StatusFilter};
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Access;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Team, TeamName, TeamRef};
use keyhouse_token::Mode;
use products::Catalog;

const TEAM: &str = "Skylark Instruments";
const SLUG: &str = "skylark-instruments";
const PEOPLE: [(&str, Role); 4] = [
    ("owner@example.com", Role::Owner),
    ("admin@example.com", Role::Admin),
    ("manager@example.com", Role::Manager),
    ("member@example.com", Role::Member),
];
/// The keys of each run: those of the runs before, known by these names, are revoked.
const KEYS: [(&str, Mode, Scope); 3] = [
    ("Demo: live", Mode::Live, Scope::ReadWrite),
    ("Demo: live, reading", Mode::Live, Scope::ReadOnly),
    ("Demo: test", Mode::Test, Scope::ReadWrite),
];

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Demo {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let flags = CliOverrides { default_data: Some("./keyhouse-demo"), ..global.flags(self.listen) };
        let config = Config::load(&flags)?;
        telemetry::init(&config.log);
        // The port first: a demo that can't be reached should not have ended the keys of one that can.
        let listeners = startup::listen(&config).await?;
        let address = listeners.address;
        let app = startup::migrate_and_open(&config).await?;
        let team = team(&app).await?;
        let keys = new_keys(&app, &team).await?;
        let people = ways_in(&app, &team, &config.url(address)).await?;
        let [live, _, test] = &keys;
        let catalog = Catalog::load().context("the demo's products")?;
        let counts = [fill(&app, live, catalog.live).await?, fill(&app, test, catalog.test).await?];
        let stop_signal = ShutdownSignal::listen()?;
        if global.json {
            let row = |key: &Created| {
                json!({ "id": key.key.id.to_string(), "token": key.token.expose(), "prefix": key.key.prefix.as_str(),
                        "mode": key.key.mode.as_str(), "scope": key.key.scope.as_str() })
            };
            let team = json!({ "id": team.id.to_string(), "slug": team.slug.as_str() });
            let people: Vec<_> = people
                .iter()
                .map(|(email, role, link)| json!({ "email": email, "role": role.as_str(), "link": link }))
                .collect();
            print_json(
                &json!({ "url": local_url(address), "opsUrl": listeners.metrics_address.map(local_url), "team": team,
                                "keys": keys.each_ref().map(row), "people": people }),
            )?;
        } else {
            let place = config.database_flag();
            welcome(&local_url(address), &team, &keys, counts, &people, &place)?;
        }
        drop(keys);
        startup::serve(&config, app, listeners, stop_signal).await
    }
}

/// Finds the team, or makes it; and whoever of its people is missing, should an earlier run have been cut off.
async fn team(app: &App) -> anyhow::Result<Team> {
    let user = super::os_user();
    let [(owner, _), others @ ..] = PEOPLE;
    let team = match app.queries().team(&TeamRef::Slug(SLUG.to_owned())).await? {
        Some(team) => team,
        None => app.create_team(&user, &TeamName::parse(TEAM)?, &Email::parse(owner)?).await?,
    };
    for (email, role) in others {
        let email = Email::parse(email)?;
        if app.queries().member_by_email(team.id, &email).await?.is_none() {
            app.add_member(&user, &team, &email, role).await?;
        }
    }
    Ok(team)
}

/// A one-time sign-in link for each of the people.
async fn ways_in(app: &App, team: &Team, url: &str) -> anyhow::Result<Vec<(String, Role, String)>> {
    let mut links = Vec::new();
    // Whoever is in it by now, and under whatever address.
    for member in app.queries().members(team.id).await? {
        if let Some(code) = app.sign_in_link(&super::os_user(), &member.email).await? {
            links.push((member.email.to_string(), member.role, super::link(url, &code)));
        }
    }
    links.sort_by_key(|(_, role, _)| Role::ALL.iter().position(|known| known == role));
    Ok(links)
}

async fn new_keys(app: &App, team: &Team) -> anyhow::Result<[Created; 3]> {
    let admin = KeyAdmin::shell(&super::os_user(), team.id);
    let active: Vec<_> = app.keys_of(team).await?.into_iter().filter(|key| key.key.is_active()).collect();
    let is_ours =
        |key: &ListedKey| key.name.as_ref().is_some_and(|name| KEYS.iter().any(|ours| ours.0 == name.as_str()));
    let (old, others): (Vec<_>, Vec<_>) = active.into_iter().partition(is_ours);
    anyhow::ensure!(
        others.len() + KEYS.len() <= ACTIVE_KEYS_MAX as usize,
        "the demo needs room for {} keys, and its team has {} of your own: revoke some with `keyhouse key revoke`",
        KEYS.len(),
        others.len()
    );
    for old in old {
        app.revoke_key(&admin, old.key.id).await?;
    }
    let mut made = Vec::new();
    for (name, mode, scope) in KEYS {
        made.push(app.create_key(&admin, NewKey::new(KeyName::parse(name)?, mode, scope)).await?);
    }
    made.try_into().map_err(|_| anyhow::anyhow!("three keys were made, but not three are here"))
}

/// Makes the samples whose SKU is missing in the catalog of a key's mode; says how many products it shows.
async fn fill(app: &App, key: &Created, samples: Vec<ProductFields>) -> anyhow::Result<String> {
    let grant = key.key.grant(Access::Write, Ipv4Addr::LOCALHOST.into())?;
    let all = Limit::parse("100").unwrap_or_default();
    let there = app.queries().products(grant.tenant(), StatusFilter::All, None, all).await?;
    if there.items.len() < samples.len() {
        for fields in samples {
            match app.create_product(&grant, fields, None).await {
                Ok(_) | Err(WriteProductError::SkuTaken) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let active = app.queries().products(grant.tenant(), StatusFilter::Active, None, all).await?;
    Ok(format!("{}{}", active.items.len(), if active.has_more { "+" } else { "" }))
}

fn welcome(
    url: &str,
    team: &Team,
    [live, reading, test]: &[Created; 3],
    [live_count, test_count]: [String; 2],
    people: &[(String, Role, String)],
    place: &str,
) -> anyhow::Result<()> {
    outln!("{} on {}", style::STRONG.paint("Keyhouse demo"), style::ACCENT.paint(url));
    outln!("{} sells {live_count} products for real and {test_count} to test with.\n", team.name.as_str());

    let mut table = Table::new(["Keys of this run", "", ""]);
    for key in [live, reading, test] {
        table.row([mode(key.key.mode), key.key.scope.label().into(), Cell::from(key.token.expose())]);
    }
    table.print()?;

    let mut table = Table::new(["Sign in, once each", "", ""]);
    for (email, role, link) in people {
        table.row([role.label().into(), email.as_str().into(), Cell::from(link.as_str())]);
    }
    outln!("");
    table.print()?;

    let auth = |key: &Created| format!("-H \"Authorization: Bearer {}\"", key.token.expose());
    let body = r#"{"name":"Hail pad","unitPrice":12.5,"currency":"EUR"}"#;
    for (says, command) in [
        ("The live catalog", format!("curl \"{url}/api/v1/products?limit=5\" {}", auth(live))),
        ("The test catalog: another world", format!("curl \"{url}/api/v1/products?limit=5\" {}", auth(test))),
        (
            "Create a product to test with",
            format!("curl \"{url}/api/v1/products\" {} -H \"Content-Type: application/json\" -d '{body}'", auth(test)),
        ),
        ("Read-only means it: 403", format!("curl -X POST \"{url}/api/v1/products\" {}", auth(reading))),
        (
            "Revoke the live key, in another terminal; a second later the first line gets 401",
            format!("{} key revoke {} {place}", program(), live.key.id),
        ),
    ] {
        outln!("\n{}\n{command}", style::MUTED.paint(format!("# {says}")));
    }
    outln!("\nCtrl-C stops it. Later runs keep the team and its products, and make new keys.");
    Ok(())
}

/// How this program was started, so that the printed line works as pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "keyhouse".to_owned())
}
