//! Leaving a team.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::layout::Layout;
use super::members::{self, CreatedKey};
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
    /// The active keys that the person created, if they may revoke them.
    keys: Vec<CreatedKey>,
    error: &'static str,
}

async fn leave_page(state: &AppState, access: &Authorized<ViewTeam>, error: &'static str) -> PageResult {
    let keys = match access.membership.role.administers() {
        true => members::created_keys(state, access, access.membership.person.id).await?,
        false => Vec::new(),
    };
    let team = access.team().name.as_str().to_owned();
    let layout = Layout::of(access, &format!("Leave {team}?"), "account");
    let is_owner = access.membership.role == Role::Owner;
    Ok(responses::ok(&LeavePage { layout, base: access.path(""), team, is_owner, keys, error }))
}

pub(super) async fn show(State(state): State<AppState>, access: Authorized<ViewTeam>) -> PageResult {
    leave_page(&state, &access, "").await
}

#[derive(Deserialize)]
pub(super) struct LeaveForm {
    /// `revoke` revokes the keys that the person created.
    #[serde(default)]
    keys: String,
}

pub(super) async fn destroy(
    State(state): State<AppState>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ViewTeam>, LeaveForm>,
) -> PageResult {
    // The owner can't leave, so their keys stay.
    let may_revoke = access.membership.role == Role::Admin;
    if may_revoke && form.keys == "revoke" {
        members::revoke_created_keys(&state, &access, &raw, access.membership.person.id).await?;
    }
    match state.app.leave_team(&access.permit).await {
        Ok(()) => Ok(see_other("/account?done=left")),
        Err(ChangeMemberError::IsOwner) => leave_page(&state, &access, "The owner can’t leave").await,
        Err(ChangeMemberError::NoSuchMember | ChangeMemberError::Changed(_) | ChangeMemberError::Forbidden(_)) => {
            Err(Rejection::not_found())
        }
        Err(ChangeMemberError::Store(error)) => Err(error.into()),
    }
}
