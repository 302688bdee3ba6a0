//! Revoking an API key.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::{FieldErrors, RawForm};
use super::key_row::{self, KeyRow, PAGE, is_in_use};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use super::safety::Safety;
use crate::app::keys::{CreateKeyError, RevokeKeyError, Revoked};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, ListedKey, NewKey, RevocationReason};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_token::Mode;

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage<'a> {
    layout: Layout,
    base: String,
    key: KeyRow,
    /// The key is in use: its name must be typed.
    confirms_name: bool,
    name: &'a str,
    reason: &'a str,
    reason_max: usize,
    /// The id of the key that takes this one's place, if the person wants one first.
    successor: String,
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
        reason: &form.reason,
        reason_max: RevocationReason::MAX,
        successor: state.app.new_key_id().to_string(),
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
    reason: String,
    /// `successor`: create a key in place of this one first.
    #[serde(default)]
    step: String,
    #[serde(default)]
    successor: String,
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
    let is_active = key.key.is_active(now);
    if is_active && is_in_use(&key, now) && !is_repeated {
        let errors = FieldErrors::one("name", "That doesn’t match the key’s name");
        return revoke_page(&state, &access, &key, &form, errors).await;
    }
    let reason = match form.reason.trim() {
        "" => None,
        text => match text.parse::<RevocationReason>() {
            Ok(reason) => Some(reason),
            Err(error) => {
                return revoke_page(&state, &access, &key, &form, FieldErrors::one("reason", error)).await;
            }
        },
    };
    if is_active && form.step == "successor" {
        let create = create_successor(&state, &access, &key, &form, &raw);
        return match key.key.mode {
            Mode::Live => access.user.with_recent_authentication(&state, &raw, create).await,
            Mode::Test => create.await,
        };
    }
    match state.app.revoke_key(&access.permit, id, reason.as_ref()).await {
        Ok(Revoked::Now | Revoked::Before) => Ok(see_other(&key_row::after(&access, &form.from, id, "revoked"))),
        Err(RevokeKeyError::NoSuchKey) => Err(Rejection::not_found()),
        Err(RevokeKeyError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "key_successor.html")]
struct SuccessorPage<'a> {
    layout: Layout,
    base: String,
    key: KeyRow,
    id: String,
    from: &'a str,
    reason: &'a str,
    token: &'a str,
    base_url: &'a str,
}

/// Creates a key like this one and shows its token. The page then revokes the old key, so that the token is saved first.
async fn create_successor(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    old: &ListedKey,
    form: &RevokeKeyForm,
    raw: &RawForm,
) -> PageResult {
    let name = old.name.clone().ok_or_else(Rejection::not_found)?;
    let new = NewKey::new(name, old.key.mode, old.key.scope)
        .with_conditions(old.key.conditions.clone())
        .in_place_of(old.key.id);
    let id = form.successor.parse().unwrap_or_else(|_| state.app.new_key_id());
    let refused = match state.app.create_key_once(&access.permit, id, new).await {
        Ok(created) => {
            return Ok(responses::ok(&SuccessorPage {
                layout: Layout::of(access, "Successor created", "keys"),
                base: access.path(PAGE),
                key: KeyRow::of(old, state.app.clock().now()),
                id: id.to_string(),
                from: &form.from,
                reason: &form.reason,
                token: created.token.expose(),
                base_url: &access.user.client.base_url,
            }));
        }
        Err(CreateKeyError::LimitReached) => {
            format!(
                "The team has {ACTIVE_KEYS_MAX} active keys, the maximum. Rotate this key instead: it gets a new token"
            )
        }
        Err(CreateKeyError::Exists) => {
            "The successor exists, and its token can’t be shown again. Revoke it, then try again".to_owned()
        }
        Err(CreateKeyError::Expiry(error)) => error.to_string(),
        Err(CreateKeyError::Forbidden(_)) => return Err(access.permission_lost(state, raw).await),
        Err(CreateKeyError::Store(error)) => return Err(error.into()),
    };
    revoke_page(state, access, old, form, FieldErrors::one("successor", refused)).await
}
