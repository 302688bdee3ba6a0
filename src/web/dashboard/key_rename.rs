//! Renaming an API key.

use askama::Template;
use axum::extract::State;
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
use keyhouse_domain::api_key::KeyName;
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
    errors: FieldErrors,
}

fn rename_page(
    access: &Authorized<ManageKeys>,
    key: KeyRow,
    name: &str,
    back: (&str, KeyId),
    errors: FieldErrors,
) -> PageResult {
    let layout = Layout::of(access, &format!("Rename {}", key.name), "keys");
    let (from, id) = back;
    let back = key_row::back(access, from, id);
    let page = RenamePage { layout, base: access.path(PAGE), key, name, from, back, max_name: KeyName::MAX, errors };
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
