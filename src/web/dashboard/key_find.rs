//! "Which key is this?": the keys of the tokens in a text that was found where it should not be, and the way to revoke them.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::FieldErrors;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection};
use super::responses;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{KeyState, ListedKey};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_token::{RawToken, find_tokens};

#[derive(Template)]
#[template(path = "key_find.html")]
struct FindPage {
    layout: Layout,
    base: String,
    errors: FieldErrors,
    found: Vec<FoundToken>,
}

/// A token in the text, or a text that begins like one.
struct FoundToken {
    /// Beginning of the token; empty if it is none.
    prefix: String,
    result: FindResult,
}

enum FindResult {
    Key {
        key: Box<KeyRow>,
        /// Empty if the team was deleted.
        team: String,
        /// Path of the page that revokes it; empty if it is revoked.
        revoke: String,
    },
    /// No key of this person's teams.
    NotYours,
    /// Why it is no token.
    Malformed(String),
}

fn find_page(access: &Authorized<ManageKeys>, errors: FieldErrors, found: Vec<FoundToken>) -> PageResult {
    let layout = Layout::of(access, "Which key is this?", "keys");
    let page = FindPage { layout, base: access.path(PAGE), errors, found };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn show(access: Authorized<ManageKeys>) -> PageResult {
    find_page(&access, FieldErrors::default(), Vec::new())
}

#[derive(Deserialize)]
pub(super) struct FindKeyForm {
    /// Any text.
    #[serde(default)]
    token: Zeroizing<String>,
}

pub(super) async fn create(
    State(state): State<AppState>,
    AuthorizedForm { access, form, .. }: AuthorizedForm<Authorized<ManageKeys>, FindKeyForm>,
) -> PageResult {
    let mut found: Vec<FoundToken> = Vec::new();
    let mut hashes = Vec::new();
    for token in find_tokens(form.token.as_bytes(), state.app.brand()) {
        match token {
            Ok(token) if hashes.contains(&token.hash()) => {}
            Ok(token) => {
                hashes.push(token.hash());
                found.push(find(&state, &access, token).await?);
            }
            Err(error) => {
                let result = FindResult::Malformed(error.to_string());
                found.push(FoundToken { prefix: String::new(), result });
            }
        }
    }
    if found.is_empty() {
        let message = "No Keyhouse token in this text. Paste the full token";
        return find_page(&access, FieldErrors::one("token", message), found);
    }
    find_page(&access, FieldErrors::default(), found)
}

/// Shows keys only of teams whose keys this person manages: a token must not tell strangers whose it is. A deleted team has
/// no members any more; its keys are shown to the person who created or revoked them.
async fn find(state: &AppState, access: &Authorized<ManageKeys>, token: RawToken) -> Result<FoundToken, Rejection> {
    let prefix = token.prefix().to_string();
    let Some((key, team)) = state.app.key_of_token(&token).await? else {
        return Ok(FoundToken { prefix, result: FindResult::NotYours });
    };
    let is_shown = match &team {
        Some(team) => access.teams.iter().any(|(own, role)| own.id == team.id && role.administers()),
        None => has_acted(access, &key),
    };
    let revoke = match &team {
        Some(team) if key.key.is_active(state.app.clock().now()) => {
            format!("/t/{}{PAGE}/{}/revoke", team.slug.as_str(), key.key.id)
        }
        _ => String::new(),
    };
    let result = if is_shown {
        let team = team.map_or_else(String::new, |team| team.name.as_str().to_owned());
        FindResult::Key { key: Box::new(KeyRow::of(&key, state.app.clock().now())), team, revoke }
    } else {
        FindResult::NotYours
    };
    Ok(FoundToken { prefix, result })
}

/// Whether the person created or revoked the key.
fn has_acted(access: &Authorized<ManageKeys>, key: &ListedKey) -> bool {
    let is_me = |actor: &AuditActor| actor.person == Some(access.user.person.id);
    is_me(&key.creator) || matches!(&key.key.state, KeyState::Revoked(revocation) if is_me(&revocation.by))
}
