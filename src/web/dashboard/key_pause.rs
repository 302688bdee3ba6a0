//! Pausing an API key, with or without an end, and resuming it.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::{EmptyForm, FieldErrors, RawForm};
use super::key_row::{self, KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use super::safety::Safety;
use crate::app::key_changes::PauseKeyError;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::time_span::parse_time_span;
use keyhouse_token::Mode;

/// The value of `length` for a pause without an end.
const OPEN: &str = "open";

#[derive(Template)]
#[template(path = "key_pause.html")]
struct PausePage {
    layout: Layout,
    base: String,
    back: String,
    key: KeyRow,
    safety: Safety,
    length: String,
    errors: FieldErrors,
}

async fn pause_page(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    length: &str,
    errors: FieldErrors,
) -> PageResult {
    let now = state.app.clock().now();
    let addresses = state.app.queries().addresses_of_key(listed.key.id).await?;
    let key = KeyRow::of(listed, now);
    let page = PausePage {
        layout: Layout::of(access, &format!("Pause {}?", key.name), "keys"),
        base: access.path(PAGE),
        back: key_row::back(access, "key", listed.key.id),
        safety: Safety::of(listed, &addresses, now),
        key,
        length: length.to_owned(),
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    pause_page(&state, &access, &listed, "1h", FieldErrors::default()).await
}

#[derive(Deserialize)]
pub(super) struct PauseKeyForm {
    /// A time span, or [`OPEN`].
    #[serde(default)]
    length: String,
}

/// Never asks for a password: a suspected leak must be stopped at once.
pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, PauseKeyForm>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let until = match form.length.as_str() {
        OPEN => None,
        text => match parse_time_span(text) {
            Ok(span) => Some(state.app.clock().now().plus(span)),
            Err(_) => {
                let errors = FieldErrors::one("length", "Choose how long to pause the key");
                return pause_page(&state, &access, &listed, &form.length, errors).await;
            }
        },
    };
    match state.app.pause_key(&access.permit, id, until).await {
        Ok(()) => Ok(see_other(&key_row::after(&access, "key", id, "paused"))),
        Err(error @ PauseKeyError::Past) => {
            pause_page(&state, &access, &listed, &form.length, FieldErrors::one("length", error)).await
        }
        Err(PauseKeyError::Ended) => pause_page(&state, &access, &listed, &form.length, FieldErrors::default()).await,
        Err(error) => Err(refused(&state, &access, &raw, error).await),
    }
}

async fn refused(state: &AppState, access: &Authorized<ManageKeys>, raw: &RawForm, error: PauseKeyError) -> Rejection {
    match error {
        PauseKeyError::Forbidden(_) => access.permission_lost(state, raw).await,
        PauseKeyError::Store(error) => error.into(),
        PauseKeyError::NoSuchKey | PauseKeyError::Ended | PauseKeyError::Past => Rejection::not_found(),
    }
}

#[derive(Template)]
#[template(path = "key_resume.html")]
struct ResumePage {
    layout: Layout,
    base: String,
    back: String,
    key: KeyRow,
}

pub(super) async fn show_resume(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let key = KeyRow::of(&key_row::find(&state, &access, id).await?, state.app.clock().now());
    Ok(responses::ok(&ResumePage {
        layout: Layout::of(&access, &format!("Resume {}?", key.name), "keys"),
        base: access.path(PAGE),
        back: key_row::back(&access, "key", id),
        key,
    }))
}

pub(super) async fn resume(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form: EmptyForm {}, raw }: AuthorizedForm<Authorized<ManageKeys>, EmptyForm>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let resume = async {
        match state.app.resume_key(&access.permit, id).await {
            Ok(()) => Ok(see_other(&key_row::after(&access, "key", id, "resumed"))),
            Err(error) => Err(refused(&state, &access, &raw, error).await),
        }
    };
    match listed.key.mode {
        Mode::Live => access.user.with_recent_authentication(&state, &raw, resume).await,
        Mode::Test => resume.await,
    }
}
