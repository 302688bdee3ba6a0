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
use crate::web::base_url::lacks_public_url;
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
    version: &'a str,
    slug: &'a str,
    id: String,
    is_owner: bool,
    max_name: usize,
    /// `public_url` is not set although people use HTTPS.
    lacks_public_url: bool,
    errors: FieldErrors,
}

fn settings_page(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    name: &str,
    message: &str,
    errors: FieldErrors,
) -> PageResult {
    let lacks_public_url = lacks_public_url(state);
    let team = access.team();
    let page = SettingsPage {
        layout: Layout::of(access, "Settings", "settings").with_message(message),
        base: access.path(""),
        name,
        version: team.name.as_str(),
        slug: team.slug.as_str(),
        id: team.id.to_string(),
        is_owner: access.membership.role == Role::Owner,
        max_name: TeamName::MAX,
        lacks_public_url,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(State(state): State<AppState>, access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let message = if query.get_or_empty("done") == "renamed" { "Saved" } else { "" };
    settings_page(&state, &access, access.team().name.as_str(), message, FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct SettingsForm {
    #[serde(default)]
    name: String,
    /// The name that the form was opened with.
    #[serde(default)]
    version: String,
}

fn renamed_meanwhile(state: &AppState, access: &Authorized<ManageTeam>, typed: &str) -> PageResult {
    let current = access.team().name.as_str();
    let error = format!("The team was renamed to “{current}” since you opened this page. Save again to replace it");
    settings_page(state, access, typed, "", FieldErrors::one("name", error))
}

pub(super) async fn update(
    State(state): State<AppState>,
    AuthorizedForm { mut access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, SettingsForm>,
) -> PageResult {
    // Compared before the new name is validated, too: otherwise correcting a typing error would replace a colleague's change.
    let was = Some(form.version.as_str()).filter(|version| !version.is_empty());
    if was.is_some_and(|was| was != access.team().name.as_str()) {
        return renamed_meanwhile(&state, &access, &form.name);
    }
    let name = match TeamName::parse(&form.name) {
        Ok(name) => name,
        Err(error) => return settings_page(&state, &access, &form.name, "", FieldErrors::one("name", error)),
    };
    match state.app.rename_team(&access.permit, &name, was).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed", access.path("/settings")))),
        Err(ChangeTeamError::Renamed(current)) => {
            if let Ok(current) = TeamName::from_stored(&current) {
                access.membership.team.name = current;
            }
            renamed_meanwhile(&state, &access, &form.name)
        }
        Err(ChangeTeamError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}
