//! Revoking an API key.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::key_row::{self, KeyRow, PAGE, is_in_use};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use super::safety::Safety;
use crate::app::keys::{Revocation, RevokeKeyError};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage<'a> {
    layout: Layout,
    base: String,
    key: KeyRow,
    /// The key is in use: its name must be typed.
    confirms_name: bool,
    name: &'a str,
    safety: Safety,
    /// `key` if the form was opened from the key's page.
    from: &'a str,
    back: String,
    errors: FieldErrors,
}

async fn revoke_page(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    key: &ListedKey,
    form: &RevokeKeyForm,
    errors: FieldErrors,
) -> PageResult {
    let now = state.app.clock().now();
    let confirms_name = is_in_use(key, now);
    let (id, from) = (key.key.id, form.from.as_str());
    let safety = Safety::of(key, &state.app.queries().addresses_of_key(id).await?, now);
    let key = KeyRow::of(key, now);
    let layout = Layout::of(access, &format!("Revoke {}?", key.name), "keys");
    let page = RevokePage {
        layout,
        base: access.path(PAGE),
        key,
        confirms_name,
        name: &form.name,
        safety,
        from,
        back: key_row::back(access, from, id),
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
    query: Query,
) -> PageResult {
    let key = key_row::find(&state, &access, id).await?;
    let form = RevokeKeyForm { from: query.get_or_empty("from").to_owned(), ..RevokeKeyForm::default() };
    revoke_page(&state, &access, &key, &form, FieldErrors::default()).await
}

#[derive(Default, Deserialize)]
pub(super) struct RevokeKeyForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    from: String,
}

/// Never asks for a password: revoking must work at once, also while strangers exhaust the limit on
/// password checks.
pub(super) async fn destroy(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, RevokeKeyForm>,
) -> PageResult {
    let key = key_row::find(&state, &access, id).await?;
    let now = state.app.clock().now();
    let is_repeated = key.name.as_ref().is_none_or(|name| name.is_repeated_by(&form.name));
    if key.key.is_active(now) && is_in_use(&key, now) && !is_repeated {
        let errors = FieldErrors::one("name", "That doesn’t match the key’s name");
        return revoke_page(&state, &access, &key, &form, errors).await;
    }
    match state.app.revoke_key(&access.permit, id, None).await {
        Ok(Revocation::Now | Revocation::Before) => Ok(see_other(&key_row::after(&access, &form.from, id, "revoked"))),
        Err(RevokeKeyError::NoSuchKey) => Err(Rejection::not_found()),
        Err(RevokeKeyError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}
