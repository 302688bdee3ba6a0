//! A team's settings: its name.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::FieldErrors;
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses;
use crate::app::teams::ChangeTeamError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::TeamName;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    layout: Layout,
    base: String,
    name: &'a str,
    slug: &'a str,
    id: String,
    is_owner: bool,
    max_name: usize,
    errors: FieldErrors,
}

fn settings_page(access: &Authorized<ManageTeam>, name: &str, message: &str, errors: FieldErrors) -> PageResult {
    let team = access.team();
    let page = SettingsPage {
        layout: Layout::of(access, "Settings", "settings").with_message(message),
        base: access.path(""),
        name,
        slug: team.slug.as_str(),
        id: team.id.to_string(),
        is_owner: access.membership.role == Role::Owner,
        max_name: TeamName::MAX,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let message = if query.get_or_empty("done") == "renamed" { "Saved" } else { "" };
    settings_page(&access, access.team().name.as_str(), message, FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct SettingsForm {
    #[serde(default)]
    name: String,
}

pub(super) async fn update(
    State(state): State<AppState>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, SettingsForm>,
) -> PageResult {
    let name = match TeamName::parse(&form.name) {
        Ok(name) => name,
        Err(error) => return settings_page(&access, &form.name, "", FieldErrors::one("name", error)),
    };
    match state.app.rename_team(&access.permit, &name).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed", access.path("/settings")))),
        Err(ChangeTeamError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}
