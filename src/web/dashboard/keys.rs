//! Settings → Integrations → API keys: the list.

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::leak_notice::{self, NoticeRow};
use super::rejection::{PageResult, Rejection};
use super::responses::{ok, url};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, KeyState, ListedKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

/// Revoked keys on one page.
const REVOKED_ROWS: usize = 50;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    layout: Layout,
    base: String,
    integrations: String,
    active: Vec<KeyRow>,
    revoked: Vec<KeyRow>,
    /// The next page of revoked keys, if there is one.
    older: Option<String>,
    is_first: bool,
    count: u32,
    max: u32,
    mode: Option<Mode>,
    /// `active`, `revoked`, or empty for both.
    status: &'static str,
    is_filtered: bool,
    search: String,
    /// The name of a creator, or empty for all.
    by: String,
    /// `name`, `used`, `unused` (the least recently used first), or empty for the newest first.
    sort: &'static str,
    /// The names of all creators.
    creators: Vec<String>,
    /// Reports of leaked keys, the latest first.
    leaks: Vec<NoticeRow>,
}

impl KeysPage {
    /// This page with another value of one parameter.
    fn link(&self, name: &str, value: &str) -> String {
        let pairs = [
            ("q", self.search.as_str()),
            ("mode", self.mode_word()),
            ("status", self.status),
            ("by", self.by.as_str()),
            ("sort", self.sort),
        ];
        url(&self.base, pairs.map(|(other, current)| (other, if other == name { value } else { current })))
    }

    /// The attribute of the column that the list is sorted by.
    fn aria_sort(&self, column: &str) -> &'static str {
        match (self.sort, column) {
            ("name", "name") | ("unused", "used") => " aria-sort=\"ascending\"",
            ("used", "used") | ("", "") => " aria-sort=\"descending\"",
            _ => "",
        }
    }

    fn mode_word(&self) -> &'static str {
        self.mode.map_or("", Mode::as_str)
    }
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageKeys>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    // The key that the person has just created, renamed or revoked.
    let about = key_of_team(&state, &access, query.get_or_empty("key")).await?;
    let about_id = about.as_ref().map(|key| key.key.id);
    let name = about.as_ref().and_then(|key| key.name.as_ref()).map_or("", KeyName::as_str);
    let message = match (query.get_or_empty("done"), &about) {
        ("renamed", Some(_)) => format!("Renamed to {name}"),
        ("revoked", Some(key)) if !key.key.is_active() => format!("Revoked {name}"),
        _ => String::new(),
    };
    let mode = Mode::parse(query.get_or_empty("mode"));
    let status = ["active", "revoked"].into_iter().find(|status| *status == query.get_or_empty("status")).unwrap_or("");
    let before = key_of_team(&state, &access, query.get_or_empty("before")).await?.and_then(|key| revocation(&key));
    let sort = ["name", "used", "unused"].into_iter().find(|sort| *sort == query.get_or_empty("sort")).unwrap_or("");
    let (search, by) = (query.get_or_empty("q").trim(), query.get_or_empty("by"));
    let wanted = search.to_lowercase();
    let name_of = |key: &ListedKey| key.name.as_ref().map_or_else(String::new, |name| name.as_str().to_lowercase());
    let matches = |key: &ListedKey| {
        (by.is_empty() || key.creator.name == by)
            && (name_of(key).contains(&wanted) || key.key.prefix.to_string().contains(search))
    };

    let mut active = state.app.queries().active_keys_of_team(access.team().id).await?;
    let count = u32::try_from(active.len()).unwrap_or(ACTIVE_KEYS_MAX);
    let mut creators: Vec<String> = active.iter().map(|key| key.creator.name.clone()).collect();
    creators.sort();
    creators.dedup();
    active.retain(|key| {
        status != "revoked" && before.is_none() && mode.is_none_or(|mode| key.key.mode == mode) && matches(key)
    });
    match sort {
        "name" => active.sort_by_cached_key(name_of),
        "used" => active.sort_by_key(|key| std::cmp::Reverse(key.last_use.as_ref().map(|used| used.at))),
        "unused" => active.sort_by_key(|key| key.last_use.as_ref().map(|used| used.at)),
        _ => {}
    }
    let mut revoked = match status {
        "active" => Vec::new(),
        _ => state.app.revoked_keys_of(access.team(), mode, before, REVOKED_ROWS as u32 + 1).await?,
    };
    let has_more = revoked.len() > REVOKED_ROWS;
    revoked.truncate(REVOKED_ROWS);
    let base = access.path(PAGE);
    let older = revoked.last().filter(|_| has_more).map(|last| {
        let (mode, id) = (mode.map_or("", Mode::as_str), last.key.id.to_string());
        url(&base, [("mode", mode), ("status", "revoked"), ("before", id.as_str())])
    });
    let row = |key: &ListedKey| KeyRow { is_new: about_id == Some(key.key.id), ..KeyRow::of(key, now) };
    Ok(ok(&KeysPage {
        layout: Layout::of(&access, "API Keys", "keys").with_message(message),
        base,
        integrations: access.path("/settings/integrations"),
        active: active.iter().map(row).collect(),
        revoked: revoked.iter().filter(|key| matches(key)).map(row).collect(),
        older,
        is_first: before.is_none(),
        count,
        max: ACTIVE_KEYS_MAX,
        mode,
        status,
        is_filtered: mode.is_some() || !status.is_empty() || before.is_some() || !search.is_empty() || !by.is_empty(),
        search: search.to_owned(),
        by: by.to_owned(),
        sort,
        creators,
        leaks: leak_notice::rows(&state, &access).await?,
    }))
}

/// A key that an address names, if it is the team's.
async fn key_of_team(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    id: &str,
) -> Result<Option<ListedKey>, Rejection> {
    let Ok(id) = id.parse::<KeyId>() else { return Ok(None) };
    Ok(state.app.queries().key(id).await?.filter(|key| key.key.team == access.team().id))
}

/// When a key was revoked, and its id: its place in the list of revoked keys.
fn revocation(key: &ListedKey) -> Option<(Timestamp, KeyId)> {
    match &key.key.state {
        KeyState::Revoked { at, .. } => Some((*at, key.key.id)),
        KeyState::Active => None,
    }
}
