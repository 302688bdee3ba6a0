//! Changing a member's role.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::layout::Layout;
use super::members::{self, PAGE};
use super::rejection::{PageResult, see_other};
use super::responses;
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
    errors: FieldErrors,
}

fn role_page(access: &Authorized<ManageTeam>, member: Member, role: Role, errors: FieldErrors) -> PageResult {
    let page = RolePage {
        layout: Layout::of(access, &format!("Role of {}", member.name), "members"),
        base: access.path(PAGE),
        is_me: member.person == access.membership.person.id,
        member,
        role,
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
    role_page(&access, member, role, FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    #[serde(default)]
    role: String,
    /// The role that the form was opened with.
    #[serde(default)]
    version: String,
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, RoleForm>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let selected = Role::parse_given(&form.role).unwrap_or(member.role);
    if !form.version.is_empty() && form.version != member.role.as_str() {
        let current = member.role.label();
        let error = format!("Somebody made this member {current} since you opened this page. Save again to replace it");
        return role_page(&access, member, selected, FieldErrors::one("role", error));
    }
    let Some(role) = Role::parse_given(&form.role) else {
        let role = member.role;
        return role_page(&access, member, role, FieldErrors::one("role", "Choose a role"));
    };
    let gives_power = role.administers() && !member.role.administers();
    let save = async {
        match state.app.change_role(&access.permit, id, role).await {
            Ok(()) => Ok(see_other(&format!("{}?done=role", access.path(PAGE)))),
            Err(error) => {
                let errors = members::change_error(&state, &access, &raw, error).await?;
                role_page(&access, member, role, errors)
            }
        }
    };
    // An admin can create live keys: whoever may make one may do all that an admin may.
    if gives_power { access.user.with_recent_authentication(&state, &raw, save).await } else { save.await }
}
