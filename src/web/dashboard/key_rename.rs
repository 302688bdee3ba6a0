//! Renaming an API key.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::key_row::{self, KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use crate::app::keys::RenameKeyError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{KeyName, ListedKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;

#[derive(Template)]
#[template(path = "key_rename.html")]
struct RenamePage<'a> {
    layout: Layout,
    base: String,
    key: KeyRow,
    name: &'a str,
    /// `key` if the form was opened from the key's page.
    from: &'a str,
    back: String,
    max_name: usize,
    /// Another active key has this name.
    is_name_taken: bool,
    errors: FieldErrors,
}

impl<'a> RenamePage<'a> {
    fn new(
        access: &Authorized<ManageKeys>,
        key: KeyRow,
        name: &'a str,
        (from, id): (&'a str, KeyId),
        errors: FieldErrors,
    ) -> Self {
        Self {
            layout: Layout::of(access, &format!("Rename {}", key.name), "keys"),
            base: access.path(PAGE),
            back: key_row::back(access, from, id),
            key,
            name,
            from,
            max_name: KeyName::MAX,
            is_name_taken: false,
            errors,
        }
    }
}

fn rename_page(
    access: &Authorized<ManageKeys>,
    key: KeyRow,
    name: &str,
    back: (&str, KeyId),
    errors: FieldErrors,
) -> PageResult {
    let page = RenamePage::new(access, key, name, back, errors);
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
    query: Query,
) -> PageResult {
    let key = KeyRow::of(&key_row::find(&state, &access, id).await?, state.app.clock().now());
    let name = key.name.clone();
    rename_page(&access, key, &name, (query.get_or_empty("from"), id), FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct RenameKeyForm {
    #[serde(default)]
    name: String,
    /// The name that the form was opened with.
    #[serde(default)]
    version: String,
    #[serde(default)]
    from: String,
    /// The name for which the person has seen the warning that another active key has it.
    #[serde(default)]
    same_name: String,
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, RenameKeyForm>,
) -> PageResult {
    let mut key = KeyRow::of(&key_row::find(&state, &access, id).await?, state.app.clock().now());
    let renamed_meanwhile = |key: KeyRow| {
        let error =
            format!("The key was renamed to “{}” since you opened this page. Save again to replace it", key.name);
        rename_page(&access, key, &form.name, (&form.from, id), FieldErrors::one("name", error))
    };
    // Compared before the new name is validated, too: otherwise correcting a typing error would replace a colleague's change.
    let was = Some(form.version.as_str()).filter(|version| !version.is_empty());
    if was.is_some_and(|was| was != key.name) {
        return renamed_meanwhile(key);
    }
    let name = match KeyName::parse(&form.name) {
        Ok(name) => name,
        Err(error) => return rename_page(&access, key, &form.name, (&form.from, id), FieldErrors::one("name", error)),
    };
    // As when a key is created: two keys of one name look the same in the list and in the audit log.
    if form.same_name != name.as_str() && name.as_str() != key.name {
        let is_taken = |other: &ListedKey| other.name.as_ref() == Some(&name) && other.key.id != id;
        if state.app.active_keys_of(access.team().id).await?.iter().any(is_taken) {
            let mut page = RenamePage::new(&access, key, name.as_str(), (&form.from, id), FieldErrors::default());
            page.is_name_taken = true;
            return Ok(responses::page(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    }
    match state.app.rename_key(&access.permit, id, &name, was).await {
        Ok(()) => Ok(see_other(&key_row::after(&access, &form.from, id, "renamed"))),
        Err(RenameKeyError::Renamed(current)) => {
            key.name = current;
            renamed_meanwhile(key)
        }
        Err(RenameKeyError::NoSuchKey) => Err(Rejection::not_found()),
        Err(error @ (RenameKeyError::Revoked | RenameKeyError::Expired)) => {
            rename_page(&access, key, &form.name, (&form.from, id), FieldErrors::one("name", error))
        }
        Err(RenameKeyError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(RenameKeyError::Store(error)) => Err(error.into()),
    }
}
