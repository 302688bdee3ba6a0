//! Revoking all keys that one person created.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses;
use crate::app::keys::RevokeKeyError;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ListedKey, RevocationReason};
use keyhouse_domain::ids::PersonId;
use keyhouse_domain::permission::ManageKeys;

#[derive(Template)]
#[template(path = "keys_of_person.html")]
struct KeysOfPersonPage<'a> {
    layout: Layout,
    base: String,
    person: String,
    /// The name that the keys have as their creator's.
    name: String,
    keys: Vec<KeyRow>,
    reason: &'a str,
    reason_max: usize,
    errors: FieldErrors,
}

async fn page(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    person: PersonId,
    reason: &str,
    errors: FieldErrors,
) -> PageResult {
    let now = state.app.clock().now();
    let active = state.app.active_keys_of(access.team().id).await?;
    let keys: Vec<ListedKey> = active.into_iter().filter(|key| key.creator.person == Some(person)).collect();
    let name = match keys.first() {
        Some(key) => key.creator.name.clone(),
        None => {
            let member = state.app.queries().member(access.team().id, person).await?;
            member.map_or_else(|| "this person".to_owned(), |member| member.name)
        }
    };
    let page = KeysOfPersonPage {
        layout: Layout::of(access, &format!("Revoke the keys that {name} created?"), "keys"),
        base: access.path(PAGE),
        person: person.to_string(),
        name,
        keys: keys.iter().map(|key| KeyRow::of(key, now)).collect(),
        reason,
        reason_max: RevocationReason::MAX,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(person): LastPathParam<PersonId>,
) -> PageResult {
    page(&state, &access, person, "", FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct RevokeKeysForm {
    #[serde(default)]
    reason: String,
}

/// Never asks for a password, as the revocation of one key doesn't.
pub(super) async fn destroy(
    State(state): State<AppState>,
    LastPathParam(person): LastPathParam<PersonId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, RevokeKeysForm>,
) -> PageResult {
    let reason = match form.reason.trim() {
        "" => None,
        text => match text.parse::<RevocationReason>() {
            Ok(reason) => Some(reason),
            Err(error) => return page(&state, &access, person, text, FieldErrors::one("reason", error)).await,
        },
    };
    match state.app.revoke_keys_created_by(&access.permit, person, reason.as_ref()).await {
        // Another person has revoked them meanwhile.
        Ok(()) | Err(RevokeKeyError::NoSuchKey) => Ok(see_other(&format!("{}?done=all-revoked", access.path(PAGE)))),
        Err(RevokeKeyError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}
