//! Changing a member's role.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::layout::Layout;
use super::members::{self, CreatedKey, PAGE};
use super::rejection::{PageResult, see_other};
use super::responses;
use crate::app::members::ChangeMemberError;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Member;

#[derive(Template)]
#[template(path = "member_role.html")]
struct RolePage {
    layout: Layout,
    base: String,
    member: Member,
    /// The role that is selected.
    role: Role,
    is_me: bool,
    /// The active keys that the member created, if they can manage keys now.
    keys: Vec<CreatedKey>,
    errors: FieldErrors,
}

async fn role_page(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    member: Member,
    role: Role,
    errors: FieldErrors,
) -> PageResult {
    let keys = match member.role.administers() {
        true => members::created_keys(state, access, member.person).await?,
        false => Vec::new(),
    };
    let page = RolePage {
        layout: Layout::of(access, &format!("Role of {}", member.name), "members"),
        base: access.path(PAGE),
        is_me: member.person == access.membership.person.id,
        member,
        role,
        keys,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let role = member.role;
    role_page(&state, &access, member, role, FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    #[serde(default)]
    role: String,
    /// `revoke` revokes the keys that the member created, if the new role can't manage keys.
    #[serde(default)]
    keys: String,
    /// The role that the form was opened with.
    #[serde(default)]
    version: String,
}

async fn changed_meanwhile(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    member: Member,
    selected: Role,
) -> PageResult {
    let error =
        format!("The role was changed to {} since you opened this page. Save again to replace it", member.role.label());
    role_page(state, access, member, selected, FieldErrors::one("role", error)).await
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, RoleForm>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let selected = Role::parse_given(&form.role).unwrap_or(member.role);
    // Compared here too, so that no keys are revoked for a change that is not made.
    let was = Role::parse(&form.version);
    if was.is_some_and(|was| was != member.role) {
        return changed_meanwhile(&state, &access, member, selected).await;
    }
    let Some(role) = Role::parse_given(&form.role) else {
        let role = member.role;
        return role_page(&state, &access, member, role, FieldErrors::one("role", "Choose a role")).await;
    };
    let gives_power = role.administers() && !member.role.administers();
    let loses_power = member.role.administers() && !role.administers();
    let save = async {
        if loses_power && form.keys == "revoke" {
            members::revoke_created_keys(&state, &access, &raw, id).await?;
        }
        match state.app.change_role(&access.permit, id, role, was).await {
            Err(ChangeMemberError::Changed(current)) => {
                changed_meanwhile(&state, &access, Member { role: current, ..member }, role).await
            }
            Ok(()) => Ok(see_other(&format!("{}?done=role", access.path(PAGE)))),
            Err(error) => {
                let errors = members::change_error(&state, &access, &raw, error).await?;
                role_page(&state, &access, member, role, errors).await
            }
        }
    };
    // An admin can create live keys, so appointing one needs a recent authentication, as creating a live key does.
    if gives_power { access.user.with_recent_authentication(&state, &raw, save).await } else { save.await }
}
