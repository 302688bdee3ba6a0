//! Invitations to a team, by a one-time link.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::{FieldErrors, RawForm};
use super::layout::{Layout, TimeTag};
use super::members::{LinkCreatedPage, PAGE};
use super::rejection::PageResult;
use super::responses;
use crate::app::links::InviteError;
use crate::web::{AppState, assets};
use keyhouse_domain::account::Account;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::timestamp::Timestamp;

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage<'a> {
    layout: Layout,
    base: String,
    email: &'a str,
    /// The role that is selected; empty if none is.
    role: &'static str,
    /// The account that has the address already, to be confirmed.
    account: Option<ExistingAccount>,
    errors: FieldErrors,
}

/// An account that an invitation would add to the team. An address alone does not say whose it is.
struct ExistingAccount {
    id: String,
    name: String,
    since: TimeTag,
    /// `Acme (Owner), Globex (Member)`; empty in no team.
    teams: String,
}

impl ExistingAccount {
    fn of(account: &Account, now: Timestamp) -> Self {
        let teams: Vec<_> =
            account.teams.iter().map(|(team, role)| format!("{} ({})", team.name.as_str(), role.label())).collect();
        Self {
            id: account.person.id.to_string(),
            name: account.person.name.to_string(),
            since: TimeTag::past(account.created_at, now),
            teams: teams.join(", "),
        }
    }
}

fn invite_page(
    access: &Authorized<ManageTeam>,
    (email, role): (&str, Option<Role>),
    account: Option<ExistingAccount>,
    errors: FieldErrors,
) -> PageResult {
    let (layout, role) = (Layout::of(access, "Invite", "members"), role.map_or("", Role::as_str));
    let page = InvitePage { layout, base: access.path(PAGE), email, role, account, errors };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn new(access: Authorized<ManageTeam>) -> PageResult {
    invite_page(&access, ("", None), None, FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct InviteForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
    /// The account that the page has named: the person who invites has seen whom they invite.
    #[serde(default)]
    account: String,
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
        return invite_page(&access, (&form.email, role), None, errors);
    };
    if let Some(account) = state.app.queries().account(&email).await? {
        let is_member = account.teams.iter().any(|(team, _)| team.id == access.team().id);
        if !is_member && form.account != account.person.id.to_string() {
            let account = ExistingAccount::of(&account, state.app.clock().now());
            return invite_page(&access, (&form.email, Some(role)), Some(account), FieldErrors::default());
        }
    }
    let save = insert(&state, &access, &email, role, &form, &raw);
    // An admin can create live keys, so appointing one needs a recent authentication, as creating a live key does.
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
        Ok(code) => Ok(responses::ok(&LinkCreatedPage {
            layout: Layout::of(access, "Invite link created", "members"),
            base: access.path(PAGE),
            title: "Invite link created",
            email: email.to_string(),
            about: format!("It works once, within 7 days, and adds them as {}.", role.label()),
            link: access.user.client.link(&code),
        })),
        Err(InviteError::IsMember) => {
            let errors = FieldErrors::one("email", "Already a member of this team");
            invite_page(access, (&form.email, Some(role)), None, errors)
        }
        Err(InviteError::Forbidden(_)) => Err(access.permission_lost(state, raw).await),
        Err(InviteError::Store(error)) => Err(error.into()),
    }
}
