//! Transferring the ownership of a team.

use askama::Template;
use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::{EmptyForm, FieldErrors};
use super::layout::Layout;
use super::members::{self, PAGE};
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
    errors: FieldErrors,
}

fn ownership_page(access: &Authorized<OwnTeam>, member: Member, errors: FieldErrors) -> PageResult {
    let team = access.team().name.as_str().to_owned();
    let layout = Layout::of(access, &format!("Make {} the owner?", member.name), "members");
    let page = OwnershipPage { layout, base: access.path(PAGE), team, member, errors };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<OwnTeam>,
    LastPathParam(id): LastPathParam<PersonId>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    ownership_page(&access, member, FieldErrors::default())
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<PersonId>,
    AuthorizedForm { access, raw, .. }: AuthorizedForm<Authorized<OwnTeam>, EmptyForm>,
) -> PageResult {
    let member = members::find(&state, &access, id).await?;
    let transfer = async {
        match state.app.transfer_ownership(&access.permit, id).await {
            Ok(()) => Ok(see_other(&format!("{}?done=handed_over", access.path(PAGE)))),
            Err(error) => {
                let errors = members::change_error(&state, &access, &raw, error).await?;
                ownership_page(&access, member, errors)
            }
        }
    };
    access.user.with_recent_authentication(&state, &raw, transfer).await
}
