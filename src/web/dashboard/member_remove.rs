//! Removing a member from a team.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::layout::Layout;
use super::members::{self, CreatedKey, PAGE};
use super::rejection::{PageResult, see_other};
use super::responses;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::team::Member;

#[derive(Template)]
#[template(path = "member_remove.html")]
struct RemovePage {
    layout: Layout,
    base: String,
    member: Member,
    keys: Vec<CreatedKey>,
    errors: FieldErrors,
}

async fn remove_page(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    member: Member,
    errors: FieldErrors,
) -> PageResult {
    let keys = members::created_keys(state, access, member.person).await?;
    let page = RemovePage {
        layout: Layout::of(access, &format!("Remove {}?", member.name), "members"),
        base: access.path(PAGE),
        keys,
        member,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    remove_page(&state, &access, member, FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct RemoveMemberForm {
    /// `revoke` revokes the keys that the member created.
    #[serde(default)]
    keys: String,
}

pub(super) async fn destroy(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, RemoveMemberForm>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let removes_admin = member.role.administers();
    let remove = async {
        match state.app.remove_member(&access.permit, id, form.keys == "revoke").await {
            Ok(()) => Ok(see_other(&format!("{}?done=removed", access.path(PAGE)))),
            Err(error) => {
                let errors = members::change_error(&state, &access, &raw, error).await?;
                remove_page(&state, &access, member, errors).await
            }
        }
    };
    // A stolen session must not be able to remove those who would notice. Revoking keys alone needs no password.
    if removes_admin { access.user.with_recent_authentication(&state, &raw, remove).await } else { remove.await }
}
