//! Transferring the ownership of a team.

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
use keyhouse_domain::permission::OwnTeam;
use keyhouse_domain::team::Member;

#[derive(Template)]
#[template(path = "ownership.html")]
struct OwnershipPage {
    layout: Layout,
    base: String,
    team: String,
    member: Member,
    /// The active keys that the owner created, whose tokens they may still have.
    keys: Vec<CreatedKey>,
    errors: FieldErrors,
}

async fn ownership_page(
    state: &AppState,
    access: &Authorized<OwnTeam>,
    member: Member,
    errors: FieldErrors,
) -> PageResult {
    let keys = members::created_keys(state, access, access.membership.person.id).await?;
    let team = access.team().name.as_str().to_owned();
    let layout = Layout::of(access, &format!("Transfer ownership to {}?", member.name), "members");
    let page = OwnershipPage { layout, base: access.path(PAGE), team, member, keys, errors };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<OwnTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    ownership_page(&state, &access, member, FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct TransferForm {
    /// `revoke` revokes the keys that the former owner created.
    #[serde(default)]
    keys: String,
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<OwnTeam>, TransferForm>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let transfer = async {
        if form.keys == "revoke" {
            members::revoke_created_keys(&state, &access, &raw, access.membership.person.id).await?;
        }
        match state.app.transfer_ownership(&access.permit, id).await {
            Ok(()) => Ok(see_other(&format!("{}?done=handed_over", access.path(PAGE)))),
            Err(error) => {
                let errors = members::change_error(&state, &access, &raw, error).await?;
                ownership_page(&state, &access, member, errors).await
            }
        }
    };
    access.user.with_recent_authentication(&state, &raw, transfer).await
}
