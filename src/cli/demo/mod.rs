//! `keyhouse demo`: serves a team with people, products and keys to try.

mod history;
mod products;
mod usage;

use std::net::Ipv4Addr;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::invocation;
use super::terminal::{Cell, Table, mode, outln, print_json, style};
use crate::app::App;
use crate::app::keys::Created;
use crate::app::products::WriteProductError;
use crate::config::{CliOverrides, Config, local_url};
use crate::shell_command::ShellCommand;
use crate::startup::{self, ShutdownSignal};
use crate::telemetry;
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, ListedKey, NewKey};
use keyhouse_domain::audit::{Action, AuditFilter};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::pagination::Limit;
use keyhouse_domain::permission::{KeyAdmin, SHELL};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::product::{ProductFields, StatusFilter};
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::{Access, Scope};
use keyhouse_domain::team::{Team, TeamRef};
use keyhouse_token::Mode;
use products::Catalog;

const TEAM: &str = "Skylark Instruments";
const SLUG: &str = "skylark-instruments";
const PEOPLE: [(&str, &str, Role); 4] = [
    ("owner@example.com", "Ines Marlow", Role::Owner),
    ("admin@example.com", "Tomás Reyes", Role::Admin),
    ("manager@example.com", "Priya Natarajan", Role::Manager),
    ("member@example.com", "Jonas Weber", Role::Member),
];
/// The keys of each run, in the order in which they are shown. They are created by the owner from the command line, and so
/// are the keys of earlier runs, which are revoked, distinguished from the team's own.
const KEYS: [(&str, Mode, Scope); 3] = [
    ("Production backend", Mode::Live, Scope::ReadWrite),
    ("Shop window", Mode::Live, Scope::ReadOnly),
    ("Staging", Mode::Test, Scope::ReadWrite),
];
/// Which of [`KEYS`] are created first, if the team's own keys leave too few slots for all.
const PRIORITY: [usize; 3] = [0, 2, 1];

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// A member of the demo's team and the ways to sign in as them.
struct DemoPerson {
    name: String,
    email: String,
    role: Role,
    link: String,
    /// Set by this run, because the person had none.
    password: Option<String>,
}

impl Demo {
    pub(super) async fn run(self, global: Global) -> anyhow::Result<()> {
        let flags = CliOverrides { default_data: Some("./keyhouse-demo"), ..global.flags(self.listen) };
        let config = Config::load(&flags)?;
        telemetry::init_without_requests(&config.log);
        // The port is bound first, so that a second demo on the same port does not revoke the first one's keys.
        let listeners = startup::listen(&config).await?;
        let address = listeners.address;
        let app = startup::migrate_and_open(&config).await?;
        app.load_identity_keys().await?;
        app.set_served_url(&config.url(address)).await?;
        let catalog = Catalog::load().context("the demo's products")?;
        let team = team(&app, &catalog).await?;
        let keys = new_keys(&app, &team).await?;
        let people = people(&app, &team, &config.url(address)).await?;
        let live = fill(&app, keys.iter().find(|key| writes(key, Mode::Live)), catalog.live).await?;
        let test = fill(&app, keys.iter().find(|key| writes(key, Mode::Test)), catalog.test).await?;
        let stop_signal = ShutdownSignal::listen()?;
        if global.json {
            let team = json!({ "id": team.id.to_string(), "slug": team.slug.as_str() });
            print_json(&json!({ "url": config.local_url(address), "opsUrl": listeners.metrics_address.map(local_url),
                                "team": team, "keys": keys.iter().map(key_json).collect::<Vec<_>>(),
                                "people": people.iter().map(person_json).collect::<Vec<_>>() }))?;
        } else {
            let invocation = invocation::of(&global, &config);
            welcome(&config.local_url(address), &team, [live, test])?;
            print_keys(&keys, &invocation)?;
            print_people(&people)?;
            print_commands(&config.local_url(address), &keys, &invocation)?;
            outln!(
                "\nCtrl-C stops the demo. Later runs keep the team and its products, revoke these keys and create new ones."
            );
        }
        drop((keys, people));
        startup::serve(&config, app, listeners, invocation::of(&global, &config), stop_signal).await
    }
}

/// Finds the team, or creates it with a history. Adds those of its people who are missing, should an earlier run have been
/// interrupted.
async fn team(app: &App, catalog: &Catalog) -> anyhow::Result<Team> {
    if let Some(team) = app.queries().team(&TeamRef::Slug(SLUG.to_owned())).await? {
        add_people(app, &team).await?;
        return Ok(team);
    }
    history::create(app, catalog).await
}

async fn add_people(app: &App, team: &Team) -> anyhow::Result<()> {
    for (email, name, role) in PEOPLE {
        let (email, name) = (Email::parse(email)?, PersonName::parse(name)?);
        if role != Role::Owner && app.queries().member_by_email(team.id, &email).await?.is_none() {
            app.add_member_named(&super::os_user(), team, (&email, name), role).await?;
        }
    }
    Ok(())
}

/// Gives the members who have none one password, which confirms what a link's session may no longer do after 15 minutes,
/// and each a one-time sign-in link.
async fn people(app: &App, team: &Team, url: &str) -> anyhow::Result<Vec<DemoPerson>> {
    let user = super::os_user();
    let members = app.queries().members(team.id).await?;
    let ids: Vec<_> = members.iter().map(|member| member.person).collect();
    let (password, given) = app.set_first_passwords(&user, &ids).await?;
    let mut people = Vec::new();
    for member in members {
        let code = app.sign_in_link(&user, &member.email).await?.context("the account was removed")?;
        people.push(DemoPerson {
            email: member.email.to_string(),
            role: member.role,
            link: super::link(url, &code),
            password: given.contains(&member.person).then(|| password.clone()),
            name: member.name,
        });
    }
    people.sort_by_key(|person| Role::ALL.iter().position(|role| *role == person.role));
    Ok(people)
}

/// Revokes the keys of earlier runs and creates as many new ones as the team's own keys leave room for.
async fn new_keys(app: &App, team: &Team) -> anyhow::Result<Vec<Created>> {
    let owner = app.queries().members(team.id).await?.into_iter().find(|member| member.role == Role::Owner);
    let owner = owner.context("the demo's team has no owner")?;
    let admin = KeyAdmin::member(&owner, SHELL)?;
    let mut own = Vec::new();
    for key in app.active_keys_of(team.id).await? {
        if is_of_demo(app, team, &key, owner.person).await? {
            app.revoke_key(&admin, key.key.id, None).await?;
        } else {
            own.push(key);
        }
    }
    let mut chosen: Vec<_> = PRIORITY.into_iter().take((ACTIVE_KEYS_MAX as usize).saturating_sub(own.len())).collect();
    chosen.sort_unstable();
    let mut keys = Vec::new();
    for (name, mode, scope) in chosen.into_iter().map(|at| KEYS[at]) {
        keys.push(app.create_key(&admin, NewKey::new(KeyName::parse(name)?, mode, scope)).await?);
    }
    Ok(keys)
}

/// Whether an earlier run created the key: it has the name of one, and the owner created it from the command line.
async fn is_of_demo(app: &App, team: &Team, key: &ListedKey, owner: PersonId) -> anyhow::Result<bool> {
    let has_name = key.name.as_ref().is_some_and(|name| KEYS.iter().any(|demo| demo.0 == name.as_str()));
    if !has_name || key.creator.person != Some(owner) {
        return Ok(false);
    }
    let filter = AuditFilter {
        action: Some(Action::KeyCreated),
        target: Some(key.key.id.to_string()),
        ..AuditFilter::default()
    };
    let events = app.queries().audit_events(team.id, &filter, None, 1).await?;
    Ok(events.first().is_some_and(|event| event.source == SHELL))
}

fn writes(created: &Created, mode: Mode) -> bool {
    created.key.mode == mode && created.key.scope.permits(Access::Write)
}

/// Creates the samples whose SKU is missing in the key's mode, and returns how many active products there are. Without a
/// key it does nothing: only a team that an earlier run filled has no slot left.
async fn fill(app: &App, key: Option<&Created>, samples: Vec<ProductFields>) -> anyhow::Result<Option<String>> {
    let Some(key) = key else { return Ok(None) };
    let grant = key.key.grant(Access::Write, Ipv4Addr::LOCALHOST.into())?;
    let all = Limit::parse("100").unwrap_or_default();
    let existing = app.queries().products(grant.tenant(), StatusFilter::All, None, all).await?;
    if existing.items.len() < samples.len() {
        for fields in samples {
            match app.create_product(&grant, fields, None).await {
                Ok(_) | Err(WriteProductError::SkuTaken) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let active = app.queries().products(grant.tenant(), StatusFilter::Active, None, all).await?;
    Ok(Some(format!("{}{}", active.items.len(), if active.has_more { "+" } else { "" })))
}

fn key_json(key: &Created) -> Value {
    json!({ "id": key.key.id.to_string(), "token": key.token.expose(), "prefix": key.key.prefix().as_str(),
            "mode": key.key.mode.as_str(), "scope": key.key.scope.as_str() })
}

fn person_json(person: &DemoPerson) -> Value {
    json!({ "name": person.name, "email": person.email, "role": person.role.as_str(), "link": person.link, "password": person.password })
}

fn welcome(url: &str, team: &Team, [live, test]: [Option<String>; 2]) -> anyhow::Result<()> {
    outln!("{} on {}", style::STRONG.paint("Keyhouse demo"), style::ACCENT.paint(url));
    match (live, test) {
        (Some(live), Some(test)) => outln!("{}: {live} live and {test} test products\n", team.name.as_str()),
        _ => outln!("{}\n", team.name.as_str()),
    }
    Ok(())
}

fn print_keys(keys: &[Created], invocation: &ShellCommand) -> anyhow::Result<()> {
    let mut table = Table::new(["API keys", "", ""]);
    for key in keys {
        table.row([mode(key.key.mode), key.key.scope.label().into(), Cell::from(key.token.expose())]);
    }
    table.print()?;
    if keys.len() < KEYS.len() {
        outln!(
            "The team's own keys leave room for {} of the demo's {}. To make room, list and revoke some:",
            keys.len(),
            KEYS.len()
        );
        outln!("{}", invocation.line(&format!("key list --team {SLUG}")));
    }
    Ok(())
}

fn print_people(people: &[DemoPerson]) -> anyhow::Result<()> {
    let mut table = Table::new(["One-time sign-in links", "", ""]);
    for person in people {
        table.row([person.role.label().into(), person.name.as_str().into(), Cell::from(person.link.as_str())]);
    }
    outln!("");
    table.print()?;
    let with_password: Vec<_> = people.iter().filter(|person| person.password.is_some()).collect();
    if let Some(password) = with_password.first().and_then(|person| person.password.as_deref()) {
        let emails: Vec<_> = with_password.iter().map(|person| person.email.as_str()).collect();
        outln!("\nShared password of {} (shown once): {password}", emails.join(", "));
    }
    Ok(())
}

fn print_commands(url: &str, keys: &[Created], invocation: &ShellCommand) -> anyhow::Result<()> {
    let auth = |key: &Created| format!("-H \"Authorization: Bearer {}\"", key.token.expose());
    let body = r#"{"name":"Hail pad","unitPrice":12.5,"currency":"EUR"}"#;
    let live = keys.iter().find(|key| writes(key, Mode::Live));
    let test = keys.iter().find(|key| writes(key, Mode::Test));
    let reading = keys.iter().find(|key| !key.key.scope.permits(Access::Write));
    let list = |key: &Created| format!("curl \"{url}/api/v1/products?limit=5\" {}", auth(key));
    let create = |key: &Created| {
        format!("curl \"{url}/api/v1/products\" {} -H \"Content-Type: application/json\" -d '{body}'", auth(key))
    };
    let commands = [
        ("List live products", live.map(list)),
        ("List test products, which are separate", test.map(list)),
        ("Create a test product", test.map(create)),
        (
            "A write with a read-only key: 403",
            reading.map(|key| format!("curl -X POST \"{url}/api/v1/products\" {}", auth(key))),
        ),
        (
            "Revoke the live key, in another terminal; within a second the first command gets 401",
            live.map(|key| invocation.line(&format!("key revoke {}", key.key.id))),
        ),
    ];
    for (comment, command) in commands {
        if let Some(command) = command {
            outln!("\n{}\n{command}", style::MUTED.paint(format!("# {comment}")));
        }
    }
    Ok(())
}
