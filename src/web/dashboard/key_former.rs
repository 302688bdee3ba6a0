//! Ending the former token of a key that was rotated.

use askama::Template;
use axum::extract::State;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::EmptyForm;
use super::key_row::{self, KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use crate::app::keys::EndFormerTokenError;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;

#[derive(Template)]
#[template(path = "key_former.html")]
struct FormerPage {
    layout: Layout,
    base: String,
    back: String,
    key: KeyRow,
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let key = KeyRow::of(&key_row::find(&state, &access, id).await?, state.app.clock().now());
    Ok(responses::ok(&FormerPage {
        layout: Layout::of(&access, "End the former token?", "keys"),
        base: access.path(PAGE),
        back: key_row::back(&access, "key", id),
        key,
    }))
}

/// Never asks for a password, as a revocation doesn't.
pub(super) async fn destroy(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form: EmptyForm {}, raw }: AuthorizedForm<Authorized<ManageKeys>, EmptyForm>,
) -> PageResult {
    key_row::find(&state, &access, id).await?;
    match state.app.end_former_token(&access.permit, id).await {
        Ok(()) | Err(EndFormerTokenError::NoFormerToken) => {
            Ok(see_other(&key_row::after(&access, "key", id, "former-ended")))
        }
        Err(EndFormerTokenError::NoSuchKey) => Err(Rejection::not_found()),
        Err(EndFormerTokenError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(EndFormerTokenError::Store(error)) => Err(error.into()),
    }
}
