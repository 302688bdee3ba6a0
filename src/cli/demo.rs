//! `keyhouse demo`: from nothing to a 200 in one command.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::catalog::{self, Sample};
use super::serve::url;
use super::terminal::{Cell, Table, mode, print_json, style};
use super::{Global, logs};
use crate::app::App;
use crate::app::keys::Created;
use crate::boot;
use crate::config::Config;
use crate::domain::grant::Access;
use crate::domain::key::{KeyName, Mode, NewKey, Scope};
use crate::domain::page::Limit;
use crate::domain::price::{Price, TaxRate};
use crate::domain::product::{
    Currency, Description, Kind, ProductFields, ProductName, Sku, StatusFilter, UnitOfMeasure,
};
use crate::domain::team::{Email, KeyAdmin, Role, Team, TeamName, TeamRef};

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
pub struct Demo {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Demo {
    pub async fn run(self, mut global: Global) -> anyhow::Result<()> {
        if global.database.is_none() {
            global.data.get_or_insert_with(|| "./keyhouse-demo".to_owned());
        }
        let config = Config::load(&global.flags(self.listen))?;
        logs::init(&config.log);
        // The port first: a demo that can't be reached should not have ended the keys of one that can.
        let (listener, address) = boot::listen(&config).await?;
        let app = boot::migrate_and_open(&config).await?;
        let team = team(&app).await?;
        let keys = new_keys(&app, &team).await?;
        let [live, _, test] = &keys;
        let counts = [fill(&app, live, catalog::LIVE).await?, fill(&app, test, catalog::TEST).await?];
        if global.json {
            let row = |key: &Created| {
                json!({ "id": key.key.id.to_string(), "token": key.token.expose(), "prefix": key.key.prefix.as_str(),
                        "mode": key.key.mode.as_str(), "scope": key.key.scope.as_str() })
            };
            let team = json!({ "id": team.id.to_string(), "slug": team.slug.as_str() });
            print_json(&json!({ "url": url(address), "team": team, "keys": keys.each_ref().map(row) }))?;
        } else {
            let place = match (&global.database, &global.data) {
                // A URL may hold a password, so it is not repeated.
                (Some(_), _) => "--database ...".to_owned(),
                (None, data) => format!("--data {}", data.as_deref().unwrap_or_default()),
            };
            welcome(&url(address), &team, &keys, counts, &place);
        }
        drop(keys);
        boot::serve(&config, app, listener).await
    }
}

async fn team(app: &App) -> anyhow::Result<Team> {
    if let Some(team) = app.team(&TeamRef::Slug(SLUG.to_owned())).await? {
        return Ok(team);
    }
    let user = super::os_user();
    let [(owner, _), others @ ..] = PEOPLE;
    let team = app.create_team(&user, &TeamName::parse(TEAM)?, &Email::parse(owner)?).await?;
    for (email, role) in others {
        app.add_member(&user, &team, &Email::parse(email)?, role).await?;
    }
    Ok(team)
}

async fn new_keys(app: &App, team: &Team) -> anyhow::Result<[Created; 3]> {
    let admin = KeyAdmin::shell(&super::os_user(), team.id);
    for old in app.keys_of(team).await? {
        let ours = old.name.as_ref().is_some_and(|name| KEYS.iter().any(|key| key.0 == name.as_str()));
        if ours && old.key.is_active() {
            app.revoke_key(&admin, old.key.id).await?;
        }
    }
    let mut made = Vec::new();
    for (name, mode, scope) in KEYS {
        made.push(app.create_key(&admin, NewKey { name: KeyName::parse(name)?, mode, scope }).await?);
    }
    made.try_into().map_err(|_| anyhow::anyhow!("three keys were made, but not three are here"))
}

/// Fills the catalog of a key's mode if it is empty; says how many products it has at least.
async fn fill(app: &App, key: &Created, samples: &[Sample]) -> anyhow::Result<usize> {
    let grant = key.key.grant(Access::Write)?;
    let there = app.list_products(grant.tenant(), StatusFilter::All, None, Limit::default()).await?;
    if there.items.is_empty() {
        for sample in samples {
            let fields = read(sample).with_context(|| format!("the sample {}", sample.0))?;
            app.create_product(grant.tenant(), fields, None).await?;
        }
    }
    Ok(samples.len())
}

fn read(&(name, price, currency, sku, tax, kind, unit, description): &Sample) -> anyhow::Result<ProductFields> {
    Ok(ProductFields {
        name: ProductName::parse(name.to_owned())?,
        unit_price: Price::parse(price)?,
        currency: Currency::parse(currency)?,
        description: Some(Description::parse(description.to_owned())?),
        sku: Some(Sku::parse(sku.to_owned())?),
        tax_rate: Some(TaxRate::parse(tax)?),
        kind: Kind::parse(kind.to_owned())?,
        unit_of_measure: UnitOfMeasure::parse(unit.to_owned())?,
    })
}

fn welcome(
    url: &str,
    team: &Team,
    [live, reading, test]: &[Created; 3],
    [live_count, test_count]: [usize; 2],
    place: &str,
) {
    anstream::println!("{} on {}", style::STRONG.paint("Keyhouse demo"), style::ACCENT.paint(url));
    anstream::println!("{} sells {live_count} products for real and {test_count} to test with.\n", team.name.as_str());

    let mut table = Table::new(["Keys of this run", "", ""]);
    for key in [live, reading, test] {
        table.row([mode(key.key.mode), key.key.scope.label().into(), Cell::from(key.token.expose())]);
    }
    table.print();

    let line =
        |says: &str, command: String| anstream::println!("\n{}\n{command}", style::MUTED.paint(format!("# {says}")));
    let auth = |key: &Created| format!("-H \"Authorization: Bearer {}\"", key.token.expose());
    line("The live catalog", format!("curl \"{url}/api/v1/products?limit=5\" {}", auth(live)));
    line("The test catalog: another world", format!("curl \"{url}/api/v1/products?limit=5\" {}", auth(test)));
    line(
        "Create a product to test with",
        format!(
            "curl \"{url}/api/v1/products\" {} -H \"Content-Type: application/json\" -d '{{\"name\":\"Hail pad\",\"unitPrice\":12.5,\"currency\":\"EUR\"}}'",
            auth(test)
        ),
    );
    line("Read-only means it: 403", format!("curl -X POST \"{url}/api/v1/products\" {}", auth(reading)));
    line(
        "Revoke the live key, in another terminal; then try the first line again: 401",
        format!("{} key revoke {} {place}", program(), live.key.id),
    );
    anstream::println!("\nCtrl-C stops it. Later runs keep the team and its products, and make new keys.");
}

/// How this program was started, so that the printed line works as pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "keyhouse".to_owned())
}
