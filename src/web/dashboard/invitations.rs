//! Settings → Members: invite by a one-time link, withdraw an invitation.

use askama::Template;
use axum::extract::State;

use super::forms::FieldErrors;
use super::layout::{self, Layout, ok};
use super::members::PAGE;
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{Authorized, AuthorizedForm, LastPathParam};
use crate::app::links::InviteError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::LinkId;
use keyhouse_domain::link::Purpose;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage<'a> {
    frame: Layout,
    base: String,
    email: &'a str,
    role: &'static str,
    faults: FieldErrors,
}

impl InvitePage<'_> {
    fn chosen(&self, role: &str) -> bool {
        self.role == role
    }
}

fn invite_page(
    authorized: &Authorized<ManageTeam>,
    email: &str,
    role: Option<Role>,
    faults: FieldErrors,
) -> PageResult {
    let (frame, role) = (Layout::of(authorized, "Invite", "members"), role.map_or("", Role::as_str));
    let page = InvitePage { frame, base: authorized.at(PAGE), email, role, faults };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn invite_form(authorized: Authorized<ManageTeam>, query: Query) -> PageResult {
    invite_page(
        &authorized,
        query.get_or_empty("email"),
        Role::parse_given(query.get_or_empty("role")),
        FieldErrors::default(),
    )
}

#[derive(Template)]
#[template(path = "invited.html")]
struct InvitedPage {
    frame: Layout,
    base: String,
    email: String,
    role: &'static str,
    link: String,
}

pub(super) async fn invite(
    State(state): State<AppState>,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<ManageTeam>>,
) -> PageResult {
    let mut faults = FieldErrors::default();
    let email = faults.check("email", Email::parse(form.get("email")));
    let role = Role::parse_given(form.get("role"));
    if role.is_none() {
        faults.add("role", "Choose what they may do");
    }
    let (Some(email), Some(role)) = (email, role) else {
        return invite_page(&authorized, form.get("email"), role, faults);
    };
    match state.app.invite(&authorized.permit, &email, role).await {
        Ok(code) => Ok(ok(&InvitedPage {
            frame: Layout::of(&authorized, "Invited", "members"),
            base: authorized.at(PAGE),
            email: email.to_string(),
            role: role.label(),
            link: format!("{}/link/{}", authorized.signed_in.client.reached, code.expose()),
        })),
        Err(InviteError::IsMember) => invite_page(
            &authorized,
            form.get("email"),
            Some(role),
            FieldErrors::one("email", "They are in the team already"),
        ),
        Err(InviteError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage {
    frame: Layout,
    base: String,
    settings: String,
    id: String,
    email: String,
}

pub(super) async fn withdraw_form(
    State(state): State<AppState>,
    authorized: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<LinkId>,
) -> PageResult {
    let invitations = state.app.invitations_of(authorized.team()).await?;
    let found = invitations.into_iter().find(|link| link.id == id).ok_or_else(Rejection::not_found)?;
    let Purpose::Invite { email, .. } = found.purpose else { return Err(Rejection::not_found()) };
    let frame = Layout::of(&authorized, &format!("Withdraw the invitation of {email}?"), "members");
    Ok(ok(&WithdrawPage {
        frame,
        base: authorized.at(PAGE),
        settings: authorized.at("/settings"),
        id: id.to_string(),
        email: email.to_string(),
    }))
}

pub(super) async fn withdraw(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<LinkId>,
    AuthorizedForm { who: authorized, .. }: AuthorizedForm<Authorized<ManageTeam>>,
) -> PageResult {
    match state.app.withdraw_invitation(&authorized.permit, id).await {
        Ok(true) => Ok(see_other(&format!("{}?done=withdrawn", authorized.at(PAGE)))),
        Ok(false) => Err(Rejection::not_found()),
        Err(InviteError::IsMember | InviteError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}
