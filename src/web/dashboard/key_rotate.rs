//! Rotating an API key: the same key gets a new token, which is shown once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::{FieldErrors, RawForm};
use super::key_row::{self, KeyRow, PAGE};
use super::layout::{Layout, TimeTag};
use super::rejection::{PageResult, Rejection};
use super::responses;
use crate::app::keys::{EndFormerTokenError, RotateKeyError};
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ListedKey, Overlap};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::key_token::FORMER_TOKEN_MAX;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_token::Mode;

/// The value of `overlap` that ends the former token with the rotation.
const NOW: &str = "now";

#[derive(Template)]
#[template(path = "key_rotate.html")]
struct RotatePage {
    layout: Layout,
    base: String,
    back: String,
    key: KeyRow,
    /// When the former token would end at the latest.
    latest: TimeTag,
    overlap: String,
    errors: FieldErrors,
}

fn rotate_page(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    overlap: &str,
    errors: FieldErrors,
) -> RotatePage {
    let now = state.app.clock().now();
    let key = KeyRow::of(listed, now);
    RotatePage {
        layout: Layout::of(access, &format!("Rotate {}?", key.name), "keys"),
        base: access.path(PAGE),
        back: key_row::back(access, "key", listed.key.id),
        key,
        latest: TimeTag::exact(now.plus(FORMER_TOKEN_MAX)),
        overlap: overlap.to_owned(),
        errors,
    }
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    Ok(responses::ok(&rotate_page(&state, &access, &listed, "24h", FieldErrors::default())))
}

#[derive(Deserialize)]
pub(super) struct RotateKeyForm {
    /// A time span, or [`NOW`].
    #[serde(default)]
    overlap: String,
}

#[derive(Template)]
#[template(path = "key_rotated.html")]
struct RotatedPage<'a> {
    layout: Layout,
    back: String,
    name: String,
    mode: Mode,
    scope: &'static str,
    token: &'a str,
    base_url: &'a str,
    /// When the former token ends at the latest; `None` if it has ended.
    former_ends: Option<TimeTag>,
    former_prefix: String,
    /// It was to end with the rotation and could not be ended.
    former_lives: bool,
}

pub(super) async fn create(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, RotateKeyForm>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let overlap = match form.overlap.as_str() {
        NOW => "0".parse::<Overlap>(),
        text => text.parse(),
    };
    let overlap = match overlap {
        Ok(overlap) => overlap,
        Err(_) => {
            let errors = FieldErrors::one("overlap", "Choose when the former token stops working");
            let page = rotate_page(&state, &access, &listed, &form.overlap, errors);
            return Ok(responses::form(&page.errors, &page));
        }
    };
    let rotate = rotate(&state, &access, &listed, overlap, &form.overlap, &raw);
    match listed.key.mode {
        Mode::Live => access.user.with_recent_authentication(&state, &raw, rotate).await,
        Mode::Test => rotate.await,
    }
}

async fn rotate(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    overlap: Overlap,
    chosen: &str,
    raw: &RawForm,
) -> PageResult {
    let id = listed.key.id;
    let rotated = match state.app.rotate_key(&access.permit, id, overlap).await {
        Ok(rotated) => rotated,
        Err(RotateKeyError::NoSuchKey) => return Err(Rejection::not_found()),
        Err(RotateKeyError::Forbidden(_)) => return Err(access.permission_lost(state, raw).await),
        Err(RotateKeyError::Store(error)) => return Err(error.into()),
        // The form was sent twice, or another person was faster: the page says which token is the current one.
        Err(RotateKeyError::Ended | RotateKeyError::FormerTokenLives { .. }) => {
            let listed = key_row::find(state, access, id).await?;
            let page = rotate_page(state, access, &listed, chosen, FieldErrors::default());
            return Ok(responses::page(StatusCode::CONFLICT, &page));
        }
    };
    // The token must be shown whatever becomes of the former one.
    let former_lives = chosen == NOW
        && !matches!(
            state.app.end_former_token(&access.permit, id).await,
            Ok(()) | Err(EndFormerTokenError::NoFormerToken)
        );
    let has_ended = chosen == NOW && !former_lives;
    let key = KeyRow::of(listed, state.app.clock().now());
    Ok(responses::ok(&RotatedPage {
        layout: Layout::of(access, "Key rotated", "keys"),
        back: key_row::back(access, "key", id),
        name: key.name,
        mode: key.mode,
        scope: key.scope,
        token: rotated.token.expose(),
        base_url: &access.user.client.base_url,
        former_ends: (!has_ended).then(|| TimeTag::exact(rotated.former_ends_at)),
        former_prefix: listed.key.prefix().to_string(),
        former_lives,
    }))
}
