//! The checklist of a new team: from a test key to a live one. It disappears once everything is done, or for this browser when it
//! is dismissed.

use axum::response::{IntoResponse, Response};

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::EmptyForm;
use super::key_row;
use super::layout::TimeTag;
use super::members;
use super::rejection::{Rejection, see_other};
use crate::web::AppState;
use keyhouse_domain::api_key::{KeyName, ListedKey};
use keyhouse_domain::permission::ViewTeam;
use keyhouse_token::Mode;

/// Revoked keys that are looked at: a new team has few.
const REVOKED: u32 = 20;
/// Dismissals that a browser remembers, the latest ones.
const DISMISSED_MAX: usize = 20;

pub(super) struct Checklist {
    pub done: usize,
    /// The first test key.
    pub test_key: Option<TestKey>,
    pub is_called: bool,
    pub has_invited: bool,
    pub has_live_key: bool,
    /// Path of the keys page, and of the members page.
    pub keys: String,
    pub members: String,
    /// Where the form that dismisses the checklist is sent.
    pub dismiss: String,
    /// Where the API is reached.
    pub url: String,
}

pub(super) struct TestKey {
    pub name: String,
    pub prefix: String,
    pub created: TimeTag,
}

impl Checklist {
    pub(super) const STEPS: usize = 4;

    /// The first step that is not done, from 1.
    pub(super) fn current(&self) -> usize {
        let steps = [self.test_key.is_some(), self.is_called, self.has_invited, self.has_live_key];
        steps.iter().position(|done| !done).map_or(Self::STEPS, |at| at + 1)
    }
}

/// The checklist, if the member can do its steps and the team has not been through them.
pub(super) async fn of(state: &AppState, access: &Authorized<ViewTeam>) -> Result<Option<Checklist>, Rejection> {
    let is_dismissed = access.user.client.without_checklist.iter().any(|slug| slug == access.team().slug.as_str());
    if is_dismissed || !access.membership.role.administers() {
        return Ok(None);
    }
    let (app, team) = (&state.app, access.team());
    let is_live = |key: &&ListedKey| key.key.mode == Mode::Live;
    let mut keys = app.active_keys_of(team.id).await?;
    // A team whose live keys are in use needs no introduction, however it got there.
    if keys.iter().filter(is_live).any(|key| key.last_use.is_some()) {
        return Ok(None);
    }
    keys.extend(app.ended_keys_of(team, None, None, REVOKED).await?);
    if keys.iter().filter(is_live).any(|key| key.last_use.is_some()) {
        return Ok(None);
    }
    let has_invited = app.queries().member_count(team.id).await? > 1 || !app.invitations_of(team).await?.is_empty();
    let now = app.clock().now();
    let test_key = keys.iter().filter(|key| key.key.mode == Mode::Test).min_by_key(|key| key.key.created_at);
    let list = Checklist {
        done: 0,
        is_called: keys.iter().any(|key| key.last_use.is_some()),
        has_invited,
        has_live_key: keys.iter().any(|key| key.key.mode == Mode::Live),
        test_key: test_key.map(|key| TestKey {
            name: key.name.as_ref().map_or("", KeyName::as_str).to_owned(),
            prefix: key.key.prefix().to_string(),
            created: TimeTag::past(key.key.created_at, now),
        }),
        keys: access.path(key_row::PAGE),
        members: access.path(members::PAGE),
        dismiss: access.path("/products/checklist"),
        url: access.user.client.base_url.clone(),
    };
    let done = [list.test_key.is_some(), list.is_called, list.has_invited, list.has_live_key];
    let done = done.iter().filter(|done| **done).count();
    Ok((done < Checklist::STEPS).then_some(Checklist { done, ..list }))
}

/// Hides the checklist of a team in this browser.
pub(super) async fn dismiss(
    AuthorizedForm { access, .. }: AuthorizedForm<Authorized<ViewTeam>, EmptyForm>,
) -> Response {
    let client = &access.user.client;
    let slug = access.team().slug.as_str();
    let others = client.without_checklist.iter().map(String::as_str).filter(|other| *other != slug);
    let teams: Vec<_> = std::iter::once(slug).chain(others).take(DISMISSED_MAX).collect();
    (client.cookies.set_without_checklist(&teams.join(".")), see_other(&access.path("/products"))).into_response()
}
