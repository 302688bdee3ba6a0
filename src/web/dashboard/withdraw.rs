//! Withdrawing an invitation, and taking that back.

use askama::Template;
use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::EmptyForm;
use super::layout::Layout;
use super::members::PAGE;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses::ok;
use crate::app::links::WithdrawInvitationError;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::LinkId;
use keyhouse_domain::link::Purpose;
use keyhouse_domain::permission::ManageTeam;

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage {
    layout: Layout,
    base: String,
    settings: String,
    id: String,
    email: String,
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<LinkId>,
) -> PageResult {
    let invitations = state.app.invitations_of(access.team()).await?;
    let link = invitations.into_iter().find(|link| link.id == id).ok_or_else(Rejection::not_found)?;
    let Purpose::Invite { email, .. } = link.purpose else { return Err(Rejection::not_found()) };
    Ok(ok(&WithdrawPage {
        layout: Layout::of(&access, &format!("Withdraw the invitation for {email}?"), "members"),
        base: access.path(PAGE),
        settings: access.path("/settings"),
        id: id.to_string(),
        email: email.to_string(),
    }))
}

pub(super) async fn destroy(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<LinkId>,
    AuthorizedForm { access, raw, .. }: AuthorizedForm<Authorized<ManageTeam>, EmptyForm>,
) -> PageResult {
    match state.app.withdraw_invitation(&access.permit, id).await {
        Ok(()) => Ok(see_other(&format!("{}?done=withdrawn&invitation={id}", access.path(PAGE)))),
        Err(WithdrawInvitationError::Gone) => Err(Rejection::not_found()),
        Err(WithdrawInvitationError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(WithdrawInvitationError::Store(error)) => Err(error.into()),
    }
}

pub(super) async fn restore(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<LinkId>,
    AuthorizedForm { access, raw, .. }: AuthorizedForm<Authorized<ManageTeam>, EmptyForm>,
) -> PageResult {
    match state.app.restore_invitation(&access.permit, id).await {
        Ok(()) => Ok(see_other(&format!("{}?done=restored", access.path(PAGE)))),
        Err(WithdrawInvitationError::Gone) => Err(Rejection::not_found()),
        Err(WithdrawInvitationError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(WithdrawInvitationError::Store(error)) => Err(error.into()),
    }
}
