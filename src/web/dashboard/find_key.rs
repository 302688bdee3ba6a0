//! "Which key is this?": a token that was found where it should not be, whose it is, and the way to end it.

use askama::Template;
use axum::extract::State;

use super::forms::FieldErrors;
use super::keys::{PAGE, Row};
use super::layout::{self, Layout};
use super::rejection::PageResult;
use super::session::{Authorized, AuthorizedForm};
use crate::web::{AppState, assets};
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::team::Team;
use keyhouse_token::RawToken;

#[derive(Template)]
#[template(path = "key_find.html")]
struct FindPage {
    frame: Layout,
    base: String,
    faults: FieldErrors,
    found: Option<Found>,
}

/// Whose a token is.
struct Found {
    key: Row,
    team: String,
    /// Where it can be revoked, if this person may.
    revoke: Option<String>,
}

pub(super) async fn find_form(authorized: Authorized<ManageKeys>) -> PageResult {
    find_page(&authorized, FieldErrors::default(), None)
}

fn find_page(authorized: &Authorized<ManageKeys>, faults: FieldErrors, found: Option<Found>) -> PageResult {
    let frame = Layout::of(authorized, "Which key is this?", "keys");
    let page = FindPage { frame, base: authorized.at(PAGE), faults, found };
    Ok(layout::form(&page.faults, &page))
}

/// Tells of keys in teams whose keys this person manages, and of no other: a token does not tell strangers whose it is.
pub(super) async fn find_key(
    State(state): State<AppState>,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<ManageKeys>>,
) -> PageResult {
    let token = match RawToken::parse(form.get("token").trim().as_bytes(), state.app.brand()) {
        Ok(token) => token,
        Err(fault) => {
            let sentence = format!("This is no token of this Keyhouse: {fault}. Paste the whole of it");
            return find_page(&authorized, FieldErrors::one("token", sentence), None);
        }
    };
    let found = state.app.find_key(token).await?;
    let manages = |team: &Team| authorized.teams.iter().any(|(mine, role)| mine.id == team.id && role.administers());
    let Some((key, team)) = found.filter(|(_, team)| manages(team)) else {
        let sentence = "No key of yours has this token. Its form is right, so it may be another team’s";
        return find_page(&authorized, FieldErrors::one("token", sentence), None);
    };
    let base = format!("/t/{}{PAGE}", team.slug.as_str());
    let revoke = key.key.is_active().then(|| format!("{base}/{}/revoke", key.key.id));
    let now = state.app.clock().now();
    let found = Found { key: Row::of(&key, now), team: team.name.as_str().to_owned(), revoke };
    find_page(&authorized, FieldErrors::default(), Some(found))
}
