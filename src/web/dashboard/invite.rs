//! Inviting somebody to a team by a one-time link.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::{FieldErrors, RawForm};
use super::layout::Layout;
use super::members::PAGE;
use super::rejection::PageResult;
use super::responses;
use crate::app::links::InviteError;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage<'a> {
    layout: Layout,
    base: String,
    email: &'a str,
    /// The role that is selected; empty if none is.
    role: &'static str,
    errors: FieldErrors,
}

fn invite_page(access: &Authorized<ManageTeam>, email: &str, role: Option<Role>, errors: FieldErrors) -> PageResult {
    let (layout, role) = (Layout::of(access, "Invite", "members"), role.map_or("", Role::as_str));
    let page = InvitePage { layout, base: access.path(PAGE), email, role, errors };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn new(access: Authorized<ManageTeam>) -> PageResult {
    invite_page(&access, "", None, FieldErrors::default())
}

#[derive(Template)]
#[template(path = "invited.html")]
struct InvitedPage {
    layout: Layout,
    base: String,
    email: String,
    role: &'static str,
    link: String,
}

#[derive(Deserialize)]
pub(super) struct InviteForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

pub(super) async fn create(
    State(state): State<AppState>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, InviteForm>,
) -> PageResult {
    let mut errors = FieldErrors::default();
    let email = errors.check("email", Email::parse(&form.email));
    let role = Role::parse_given(&form.role);
    if role.is_none() {
        errors.add("role", "Choose a role");
    }
    let (Some(email), Some(role)) = (email, role) else {
        return invite_page(&access, &form.email, role, errors);
    };
    let save = insert(&state, &access, &email, role, &form, &raw);
    // An admin can create live keys: whoever may make one may do all that an admin may.
    if role.administers() { access.user.with_recent_authentication(&state, &raw, save).await } else { save.await }
}

async fn insert(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    email: &Email,
    role: Role,
    form: &InviteForm,
    raw: &RawForm,
) -> PageResult {
    match state.app.invite(&access.permit, email, role).await {
        Ok(code) => Ok(responses::ok(&InvitedPage {
            layout: Layout::of(access, "Invited", "members"),
            base: access.path(PAGE),
            email: email.to_string(),
            role: role.label(),
            link: format!("{}/link/{}", access.user.client.base_url, code.expose()),
        })),
        Err(InviteError::IsMember) => {
            let errors = FieldErrors::one("email", "Already a member of this team");
            invite_page(access, &form.email, Some(role), errors)
        }
        Err(InviteError::Forbidden(_)) => Err(access.permission_lost(state, raw).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}
