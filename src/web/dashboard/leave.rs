//! Leaving a team.

use askama::Template;
use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::EmptyForm;
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use crate::app::members::ChangeMemberError;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ViewTeam;
use keyhouse_domain::role::Role;

#[derive(Template)]
#[template(path = "leave.html")]
struct LeavePage {
    layout: Layout,
    base: String,
    team: String,
    is_owner: bool,
    error: &'static str,
}

fn leave_page(access: &Authorized<ViewTeam>, error: &'static str) -> PageResult {
    let team = access.team().name.as_str().to_owned();
    let layout = Layout::of(access, &format!("Leave {team}?"), "account");
    let is_owner = access.membership.role == Role::Owner;
    Ok(responses::ok(&LeavePage { layout, base: access.path(""), team, is_owner, error }))
}

pub(super) async fn show(access: Authorized<ViewTeam>) -> PageResult {
    leave_page(&access, "")
}

pub(super) async fn destroy(
    State(state): State<AppState>,
    AuthorizedForm { access, .. }: AuthorizedForm<Authorized<ViewTeam>, EmptyForm>,
) -> PageResult {
    match state.app.leave_team(&access.permit).await {
        Ok(()) => Ok(see_other("/account?done=left")),
        Err(ChangeMemberError::IsOwner) => leave_page(&access, "The owner can’t leave"),
        Err(ChangeMemberError::NoSuchMember | ChangeMemberError::Forbidden(_)) => Err(Rejection::not_found()),
        Err(ChangeMemberError::Store(error)) => Err(error.into()),
    }
}
