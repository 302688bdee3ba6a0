//! `/`: leads to the person's team, or shows a choice of teams.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::authorize::Authorized;
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses::ok;
use super::session::CurrentUser;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ViewTeam;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;

#[derive(Template)]
#[template(path = "start.html")]
struct HomePage {
    layout: Layout,
    teams: Vec<(Team, Role)>,
}

pub(super) async fn index(State(state): State<AppState>, user: CurrentUser) -> PageResult {
    let teams = state.app.queries().teams_of(user.person.id).await?;
    let is_last = |team: &Team| {
        user.client.last_team.as_ref().is_some_and(|last| last == team.slug.as_str() || *last == team.id.to_string())
    };
    let last = teams.iter().find(|(team, _)| is_last(team));
    let only = teams.first().filter(|_| teams.len() == 1);
    if let Some((team, _)) = last.or(only) {
        return Ok(see_other(&format!("/t/{}/products", team.slug.as_str())));
    }
    Ok(ok(&HomePage { layout: Layout::personal(&user, &teams, "Your teams", "start"), teams }))
}

/// A team's address leads to its products.
pub(super) async fn show(access: Authorized<ViewTeam>) -> Response {
    see_other(&access.path("/products"))
}
