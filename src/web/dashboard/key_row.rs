//! A key as pages show it.

use super::authorize::Authorized;
use super::layout::TimeTag;
use super::rejection::Rejection;
use crate::web::AppState;
use keyhouse_domain::api_key::{KeyName, KeyStatus, ListedKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

/// Path of the keys page, below the team's.
pub(super) const PAGE: &str = "/settings/integrations/api-keys";
/// A key that was used within these days is in use: revoking it interrupts something.
const IN_USE_DAYS: i64 = 7;
/// A key that was not used for so many days is flagged.
const UNUSED_DAYS: i64 = 30;
/// A key that was used within this time is marked as used right now.
const BUSY_MS: i64 = 5 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) struct KeyRow {
    pub id: String,
    pub name: String,
    pub prefix: String,
    pub mode: Mode,
    pub scope: &'static str,
    pub creator: String,
    pub creator_has_left: bool,
    pub created: TimeTag,
    pub last_used: Option<TimeTag>,
    pub last_from: String,
    /// `Unused for 42 days`; empty if the key was used within 30 days.
    pub hint: String,
    /// A call was accepted in the last 5 minutes.
    pub is_busy: bool,
    /// The path of the sparkline, and the number of calls that it stands for; for a revoked key, the calls that were refused
    /// since. The list alone sets them.
    pub spark: String,
    pub calls: String,
    pub revoked: Option<RevokedCells>,
    pub is_new: bool,
}

pub(super) struct RevokedCells {
    pub by: String,
    pub at: TimeTag,
    /// When the row leaves the list.
    pub listed_until: TimeTag,
}

impl KeyRow {
    pub(super) fn of(listed: &ListedKey, now: Timestamp) -> Self {
        let key = &listed.key;
        let since = listed.last_use.as_ref().map_or(key.created_at, |used| used.at);
        let days = (now.ms() - since.ms()) / DAY_MS;
        let ended = |at, by: &str| RevokedCells {
            by: by.to_owned(),
            at: TimeTag::past(at, now),
            listed_until: TimeTag::future(key.listed_until(now).unwrap_or(at), now),
        };
        let revoked = match key.status(now) {
            KeyStatus::Active | KeyStatus::Paused(_) => None,
            KeyStatus::Expired(at) => Some(ended(at, "expiry")),
            KeyStatus::Revoked { at, by, .. } => Some(ended(at, &by.name)),
        };
        Self {
            id: key.id.to_string(),
            name: listed.name.as_ref().map_or("", KeyName::as_str).to_owned(),
            prefix: key.prefix().to_string(),
            mode: key.mode,
            scope: key.scope.label(),
            creator: listed.creator.name.clone(),
            creator_has_left: listed.creator_has_left,
            created: TimeTag::past(key.created_at, now),
            last_used: listed.last_use.as_ref().map(|used| TimeTag::past(used.at, now)),
            last_from: listed.last_use.as_ref().map_or_else(String::new, |used| used.from.clone()),
            hint: if days >= UNUSED_DAYS { format!("Unused for {days} days") } else { String::new() },
            is_busy: listed.last_use.as_ref().is_some_and(|used| now.ms() - used.at.ms() < BUSY_MS),
            spark: String::new(),
            calls: String::new(),
            revoked,
            is_new: false,
        }
    }
}

/// Whether revoking a key interrupts something: a live key that was used within the last 7 days.
pub(super) fn is_in_use(listed: &ListedKey, now: Timestamp) -> bool {
    let used = listed.last_use.as_ref().is_some_and(|used| now.ms() - used.at.ms() < IN_USE_DAYS * DAY_MS);
    listed.key.mode == Mode::Live && used
}

/// A key of the team, while the list shows it.
pub(super) async fn find(state: &AppState, access: &Authorized<ManageKeys>, id: KeyId) -> Result<ListedKey, Rejection> {
    let now = state.app.clock().now();
    let listed = state.app.queries().key(id).await?.filter(|listed| listed.key.team == access.team().id);
    listed
        .filter(|listed| listed.key.listed_until(now).is_none_or(|until| now < until))
        .ok_or_else(Rejection::not_found)
}

/// The page that a form leads back to: the key's, if `from` says that the form was opened there, or the list.
pub(super) fn back(access: &Authorized<ManageKeys>, from: &str, id: KeyId) -> String {
    let list = access.path(PAGE);
    if from == "key" { format!("{list}/{id}") } else { list }
}

/// As [`back`], after something was done to the key.
pub(super) fn after(access: &Authorized<ManageKeys>, from: &str, id: KeyId, done: &str) -> String {
    let key = if from == "key" { String::new() } else { format!("&key={id}") };
    format!("{}?done={done}{key}", back(access, from, id))
}
