//! Deleting a team.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::FieldErrors;
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses;
use crate::app::teams::ChangeTeamError;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::OwnTeam;

#[derive(Template)]
#[template(path = "team_delete.html")]
struct DeletePage<'a> {
    layout: Layout,
    base: String,
    team: String,
    keys: u32,
    members: u64,
    /// The team's name as it was typed to confirm.
    name: &'a str,
    errors: FieldErrors,
}

async fn delete_page(state: &AppState, access: &Authorized<OwnTeam>, name: &str, errors: FieldErrors) -> PageResult {
    let team = access.team();
    let page = DeletePage {
        layout: Layout::of(access, &format!("Delete {}?", team.name.as_str()), "settings"),
        base: access.path(""),
        team: team.name.as_str().to_owned(),
        keys: state.app.active_key_count(team.id).await?,
        members: state.app.queries().member_count(team.id).await?,
        name,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(State(state): State<AppState>, access: Authorized<OwnTeam>) -> PageResult {
    delete_page(&state, &access, "", FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct DeleteTeamForm {
    #[serde(default)]
    name: String,
}

pub(super) async fn destroy(
    State(state): State<AppState>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<OwnTeam>, DeleteTeamForm>,
) -> PageResult {
    if !access.team().name.is_repeated_by(&form.name) {
        let errors = FieldErrors::one("name", "That doesn’t match the team’s name");
        return delete_page(&state, &access, &form.name, errors).await;
    }
    let delete = async {
        match state.app.delete_team(&access.permit).await {
            Ok(_revoked) => Ok(see_other("/")),
            Err(ChangeTeamError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
            Err(ChangeTeamError::Renamed(_)) => {
                let errors = FieldErrors::one("name", "The team was renamed meanwhile");
                delete_page(&state, &access, &form.name, errors).await
            }
            Err(ChangeTeamError::Store(error)) => Err(error.into()),
        }
    };
    access.user.with_recent_authentication(&state, &raw, delete).await
}
