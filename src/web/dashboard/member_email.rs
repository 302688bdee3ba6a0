//! Confirming the new address that a member has asked for: an owner or admin creates its one-time link.

use askama::Template;
use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::EmptyForm;
use super::layout::Layout;
use super::members::{self, LinkCreatedPage, PAGE};
use super::rejection::{PageResult, Rejection};
use super::responses;
use crate::app::accounts::EmailLinkError;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::person::Email;
use keyhouse_domain::team::Member;

#[derive(Template)]
#[template(path = "member_email.html")]
struct ConfirmEmailPage {
    layout: Layout,
    base: String,
    member: Member,
    pending: String,
    error: String,
}

fn confirm_page(access: &Authorized<ManageTeam>, member: Member, pending: &Email, error: String) -> PageResult {
    let layout = Layout::of(access, &format!("Confirm the new email of {}?", member.name), "members");
    let page = ConfirmEmailPage { layout, base: access.path(PAGE), member, pending: pending.to_string(), error };
    Ok(responses::ok(&page))
}

/// The member and the address they have asked for.
async fn find_pending(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    id: PersonId,
) -> Result<(Member, Email), Rejection> {
    let member = members::find(state, access, id).await?;
    let pending = member.pending_email.clone().ok_or_else(Rejection::not_found)?;
    Ok((member, pending))
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let (member, pending) = find_pending(&state, &access, id).await?;
    confirm_page(&access, member, &pending, String::new())
}

pub(super) async fn create(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, raw, .. }: AuthorizedForm<Authorized<ManageTeam>, EmptyForm>,
) -> PageResult {
    let (member, pending) = find_pending(&state, &access, id).await?;
    match state.app.confirm_email_link(&access.permit, id, &pending).await {
        Ok(code) => Ok(responses::ok(&LinkCreatedPage {
            layout: Layout::of(&access, "Link created", "members"),
            base: access.path(PAGE),
            title: "Link created",
            email: pending.to_string(),
            about: format!("It works once, within 7 days, and makes this the email of {}.", member.name),
            link: access.user.client.link(&code),
        })),
        Err(EmailLinkError::NoSuchPerson | EmailLinkError::NotPending) => Err(Rejection::not_found()),
        Err(EmailLinkError::EmailTaken) => {
            confirm_page(&access, member, &pending, "Another account has this email".to_owned())
        }
        Err(EmailLinkError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(EmailLinkError::Store(error)) => Err(error.into()),
    }
}
