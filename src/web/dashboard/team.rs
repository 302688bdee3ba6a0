//! A team's settings: its name, its end, and what it is connected to.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::Faults;
use super::halt::{Answer, see_other};
use super::pages::{self, Frame, ok};
use super::visitor::{Holds, Posted};
use crate::app::teams::ChangeTeamError;
use crate::domain::key::ACTIVE_KEYS_MAX;
use crate::domain::role::{ManageKeys, ManageTeam, OwnTeam, Role, TakePart};
use crate::domain::team::TeamName;
use crate::web::extract::Query;
use crate::web::{Web, assets};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    frame: Frame,
    base: String,
    name: &'a str,
    slug: &'a str,
    id: String,
    owns: bool,
    max_name: usize,
    faults: Faults,
}

/// The team's address leads to its catalog.
pub async fn home(holds: Holds<TakePart>) -> Response {
    see_other(&holds.at("/products"))
}

fn show(holds: &Holds<ManageTeam>, name: &str, done: &str, faults: Faults) -> Answer {
    let team = holds.team();
    let page = SettingsPage {
        frame: Frame::of(holds, "Settings", "settings").saying(done),
        base: holds.at(""),
        name,
        slug: team.slug.as_str(),
        id: team.id.to_string(),
        owns: holds.seat.role == Role::Owner,
        max_name: TeamName::MAX,
        faults,
    };
    Ok(pages::form(&page.faults, &page))
}

pub async fn settings(holds: Holds<ManageTeam>, query: Query) -> Answer {
    let done = if query.text("done") == "renamed" { "Saved" } else { "" };
    let typed = query.text("name");
    let name = if typed.is_empty() { holds.team().name.as_str() } else { typed };
    show(&holds, name, done, Faults::default())
}

pub async fn rename(State(web): State<Web>, Posted { who: holds, form }: Posted<Holds<ManageTeam>>) -> Answer {
    let name = match TeamName::parse(form.get("name")) {
        Ok(name) => name,
        Err(error) => return show(&holds, form.get("name"), "", Faults::one("name", error)),
    };
    match web.app.rename_team(&holds.permit, &name).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed", holds.at("/settings")))),
        Err(ChangeTeamError::NotAllowed) => Err(holds.lost(&web).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "team_delete.html")]
struct DeletePage {
    frame: Frame,
    base: String,
    team: String,
    keys: u32,
    members: u64,
    faults: Faults,
}

async fn delete_page(web: &Web, holds: &Holds<OwnTeam>, faults: Faults) -> Answer {
    let team = holds.team();
    let page = DeletePage {
        frame: Frame::of(holds, &format!("Delete {}?", team.name.as_str()), "settings"),
        base: holds.at(""),
        team: team.name.as_str().to_owned(),
        keys: web.app.active_keys(team).await?,
        members: web.app.member_count(team).await?,
        faults,
    };
    Ok(pages::form(&page.faults, &page))
}

pub async fn delete_form(State(web): State<Web>, holds: Holds<OwnTeam>) -> Answer {
    delete_page(&web, &holds, Faults::default()).await
}

pub async fn delete(State(web): State<Web>, Posted { who: mut holds, form }: Posted<Holds<OwnTeam>>) -> Answer {
    if form.get("name").trim() != holds.team().name.as_str() {
        let faults = Faults::one("name", "This is not the team’s name; type it as it stands above");
        return delete_page(&web, &holds, faults).await;
    }
    holds.signed_in.prove(&web, &form).await?;
    match web.app.delete_team(&holds.permit).await {
        Ok(_revoked) => Ok(see_other("/")),
        Err(ChangeTeamError::NotAllowed) => Err(holds.lost(&web).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "integrations.html")]
struct IntegrationsPage {
    frame: Frame,
    base: String,
    active: u32,
    max: u32,
}

pub async fn integrations(State(web): State<Web>, holds: Holds<ManageKeys>) -> Answer {
    let active = web.app.active_keys(holds.team()).await?;
    let frame = Frame::of(&holds, "Integrations", "integrations");
    Ok(ok(&IntegrationsPage { frame, base: holds.at("/settings/integrations"), active, max: ACTIVE_KEYS_MAX }))
}
