//! A team's settings: its name, its end, and what it is connected to.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::forms::FieldErrors;
use super::layout::{self, Layout, ok};
use super::rejection::{PageResult, see_other};
use super::session::{Authorized, AuthorizedForm};
use crate::app::teams::ChangeTeamError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::ACTIVE_KEYS_MAX;
use keyhouse_domain::permission::{ManageKeys, ManageTeam, OwnTeam, ViewTeam};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::TeamName;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    frame: Layout,
    base: String,
    name: &'a str,
    slug: &'a str,
    id: String,
    owns: bool,
    max_name: usize,
    faults: FieldErrors,
}

/// The team's address leads to its catalog.
pub(super) async fn home(authorized: Authorized<ViewTeam>) -> Response {
    see_other(&authorized.at("/products"))
}

fn show(authorized: &Authorized<ManageTeam>, name: &str, done: &str, faults: FieldErrors) -> PageResult {
    let team = authorized.team();
    let page = SettingsPage {
        frame: Layout::of(authorized, "Settings", "settings").with_message(done),
        base: authorized.at(""),
        name,
        slug: team.slug.as_str(),
        id: team.id.to_string(),
        owns: authorized.seat.role == Role::Owner,
        max_name: TeamName::MAX,
        faults,
    };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn settings(authorized: Authorized<ManageTeam>, query: Query) -> PageResult {
    let done = if query.get_or_empty("done") == "renamed" { "Saved" } else { "" };
    let typed = query.get_or_empty("name");
    let name = if typed.is_empty() { authorized.team().name.as_str() } else { typed };
    show(&authorized, name, done, FieldErrors::default())
}

pub(super) async fn rename(
    State(state): State<AppState>,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<ManageTeam>>,
) -> PageResult {
    let name = match TeamName::parse(form.get("name")) {
        Ok(name) => name,
        Err(error) => return show(&authorized, form.get("name"), "", FieldErrors::one("name", error)),
    };
    match state.app.rename_team(&authorized.permit, &name).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed", authorized.at("/settings")))),
        Err(ChangeTeamError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "team_delete.html")]
struct DeletePage {
    frame: Layout,
    base: String,
    team: String,
    keys: u32,
    members: u64,
    faults: FieldErrors,
}

async fn delete_page(state: &AppState, authorized: &Authorized<OwnTeam>, faults: FieldErrors) -> PageResult {
    let team = authorized.team();
    let page = DeletePage {
        frame: Layout::of(authorized, &format!("Delete {}?", team.name.as_str()), "settings"),
        base: authorized.at(""),
        team: team.name.as_str().to_owned(),
        keys: state.app.active_keys(team).await?,
        members: state.app.member_count(team).await?,
        faults,
    };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn delete_form(State(state): State<AppState>, authorized: Authorized<OwnTeam>) -> PageResult {
    delete_page(&state, &authorized, FieldErrors::default()).await
}

pub(super) async fn delete(
    State(state): State<AppState>,
    AuthorizedForm { who: mut authorized, form }: AuthorizedForm<Authorized<OwnTeam>>,
) -> PageResult {
    if form.get("name").trim() != authorized.team().name.as_str() {
        let faults = FieldErrors::one("name", "This is not the team’s name; type it as it stands above");
        return delete_page(&state, &authorized, faults).await;
    }
    authorized.signed_in.reauthenticate(&state, &form).await?;
    match state.app.delete_team(&authorized.permit).await {
        Ok(_revoked) => Ok(see_other("/")),
        Err(ChangeTeamError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "integrations.html")]
struct IntegrationsPage {
    frame: Layout,
    base: String,
    active: u32,
    max: u32,
}

pub(super) async fn integrations(State(state): State<AppState>, authorized: Authorized<ManageKeys>) -> PageResult {
    let active = state.app.active_keys(authorized.team()).await?;
    let frame = Layout::of(&authorized, "Integrations", "integrations");
    Ok(ok(&IntegrationsPage { frame, base: authorized.at("/settings/integrations"), active, max: ACTIVE_KEYS_MAX }))
}
