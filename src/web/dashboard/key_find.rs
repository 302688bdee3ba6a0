//! "Which key is this?": the key of a token that was found where it should not be, and the way to revoke it.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::FieldErrors;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::PageResult;
use super::responses;
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::team::Team;
use keyhouse_token::RawToken;

#[derive(Template)]
#[template(path = "key_find.html")]
struct FindPage {
    layout: Layout,
    base: String,
    errors: FieldErrors,
    found: Option<Found>,
}

struct Found {
    key: KeyRow,
    team: String,
    /// Path of the page that revokes it; `None` if it is revoked.
    revoke: Option<String>,
}

fn find_page(access: &Authorized<ManageKeys>, errors: FieldErrors, found: Option<Found>) -> PageResult {
    let layout = Layout::of(access, "Which key is this?", "keys");
    let page = FindPage { layout, base: access.path(PAGE), errors, found };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(access: Authorized<ManageKeys>) -> PageResult {
    find_page(&access, FieldErrors::default(), None)
}

#[derive(Deserialize)]
pub(super) struct FindKeyForm {
    #[serde(default)]
    token: Zeroizing<String>,
}

/// Finds keys only of teams whose keys this person manages: a token must not tell strangers whose it is.
pub(super) async fn create(
    State(state): State<AppState>,
    AuthorizedForm { access, form, .. }: AuthorizedForm<Authorized<ManageKeys>, FindKeyForm>,
) -> PageResult {
    let token = match RawToken::parse(form.token.trim().as_bytes(), state.app.brand()) {
        Ok(token) => token,
        Err(error) => {
            let message = format!("This is no token of this Keyhouse: {error}. Paste the whole of it");
            return find_page(&access, FieldErrors::one("token", message), None);
        }
    };
    let found = state.app.find_key(token).await?;
    let manages = |team: &Team| access.teams.iter().any(|(own, role)| own.id == team.id && role.administers());
    let Some((key, team)) = found.filter(|(_, team)| manages(team)) else {
        let message = "No key of yours has this token. Its form is right, so it may be another team’s";
        return find_page(&access, FieldErrors::one("token", message), None);
    };
    let base = format!("/t/{}{PAGE}", team.slug.as_str());
    let revoke = key.key.is_active().then(|| format!("{base}/{}/revoke", key.key.id));
    let key = KeyRow::of(&key, state.app.clock().now());
    find_page(&access, FieldErrors::default(), Some(Found { key, team: team.name.as_str().to_owned(), revoke }))
}
