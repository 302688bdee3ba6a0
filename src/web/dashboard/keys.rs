//! Settings → Integrations → API keys: the list.

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::key_row::{self, KeyRow, PAGE};
use super::layout::Layout;
use super::leak_notice::{self, NoticeRow};
use super::rejection::{PageResult, Rejection};
use super::responses::{ok, url};
use super::safety::Safety;
use super::usage_chart::{sparkline, thousands};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, ListedKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{DailyCalls, Outcome, UtcDay};
use keyhouse_token::Mode;

/// Revoked keys on one page.
const REVOKED_ROWS: usize = 50;
/// From this number of active keys on, the list says which are most worth ending.
const NEARLY_FULL: u32 = 8;
/// Days of a sparkline, and of the number beside it.
const SPARK_DAYS: u32 = 14;
/// Days in which the refused calls of a key that has ended are counted.
const TRIED_DAYS: u32 = 30;

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
    active_by_mode: [(Mode, usize); 2],
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
    requests: String,
    /// With eight or more active keys: those that are most worth ending, id and name with the reason.
    worth_ending: Vec<(String, String, String)>,
    is_nearly_full: bool,
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
        ("all-revoked", _) => "Keys revoked".to_owned(),
        ("renamed", Some(_)) => format!("Renamed to {name}"),
        ("revoked", Some(key)) if !key.key.is_active(now) => format!("Revoked {name}"),
        _ => String::new(),
    };
    let mode = Mode::parse(query.get_or_empty("mode"));
    let status = ["active", "revoked"].into_iter().find(|status| *status == query.get_or_empty("status")).unwrap_or("");
    let before = key_of_team(&state, &access, query.get_or_empty("before")).await?.and_then(|key| end(&key, now));
    let sort = ["name", "used", "unused"].into_iter().find(|sort| *sort == query.get_or_empty("sort")).unwrap_or("");
    let (search, by) = (query.get_or_empty("q").trim(), query.get_or_empty("by"));
    let wanted = search.to_lowercase();
    let name_of = |key: &ListedKey| key.name.as_ref().map_or_else(String::new, |name| name.as_str().to_lowercase());
    let matches = |key: &ListedKey| {
        (by.is_empty() || key.creator.name == by)
            && (name_of(key).contains(&wanted) || key.key.prefix().to_string().contains(search))
    };

    let mut active = state.app.active_keys_of(access.team().id).await?;
    let count = u32::try_from(active.len()).unwrap_or(ACTIVE_KEYS_MAX);
    let active_by_mode =
        [Mode::Live, Mode::Test].map(|mode| (mode, active.iter().filter(|key| key.key.mode == mode).count()));
    let mut creators: Vec<String> = active.iter().map(|key| key.creator.name.clone()).collect();
    creators.sort();
    creators.dedup();
    let worth_ending = if count >= NEARLY_FULL { worth_ending(&active, now) } else { Vec::new() };
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
        _ => state.app.ended_keys_of(access.team(), mode, before, REVOKED_ROWS as u32 + 1).await?,
    };
    let has_more = revoked.len() > REVOKED_ROWS;
    revoked.truncate(REVOKED_ROWS);
    let base = access.path(PAGE);
    let older = revoked.last().filter(|_| has_more).map(|last| {
        let (mode, id) = (mode.map_or("", Mode::as_str), last.key.id.to_string());
        url(&base, [("mode", mode), ("status", "revoked"), ("before", id.as_str())])
    });
    let today = UtcDay::of(now);
    let first_day = |days: u32| UtcDay::from_number(today.number() - i64::from(days) + 1);
    let counted = state.app.queries().calls_by_day_of_team(access.team().id, first_day(TRIED_DAYS)).await?;
    let row = |key: &ListedKey| {
        let calls: Vec<_> = counted.iter().copied().filter(|count| count.key == key.key.id).collect();
        let is_active = key.key.is_active(now);
        let refused = [Outcome::Revoked, Outcome::Expired];
        let is_shown = |count: &&DailyCalls| match is_active {
            true => count.day >= first_day(SPARK_DAYS),
            false => refused.contains(&count.outcome),
        };
        KeyRow {
            is_new: about_id == Some(key.key.id),
            spark: if is_active { sparkline(&calls, today, SPARK_DAYS) } else { String::new() },
            calls: thousands(calls.iter().filter(is_shown).map(|count| count.calls).sum()),
            ..KeyRow::of(key, now)
        }
    };
    let mut active: Vec<_> = active.iter().map(row).collect();
    let mut revoked: Vec<_> = revoked.iter().filter(|key| matches(key)).map(row).collect();
    key_row::add_emails(&state, active.iter_mut().chain(&mut revoked)).await?;
    Ok(ok(&KeysPage {
        layout: Layout::of(&access, "API Keys", "keys").with_message(message),
        base,
        integrations: access.path("/settings/integrations"),
        active,
        revoked,
        older,
        is_first: before.is_none(),
        count,
        max: ACTIVE_KEYS_MAX,
        active_by_mode,
        mode,
        status,
        is_filtered: mode.is_some() || !status.is_empty() || before.is_some() || !search.is_empty() || !by.is_empty(),
        search: search.to_owned(),
        by: by.to_owned(),
        sort,
        creators,
        leaks: leak_notice::rows(&state, &access).await?,
        requests: access.path(super::requests::PAGE),
        worth_ending,
        is_nearly_full: count >= NEARLY_FULL,
    }))
}

/// Up to three keys that were not used for a week or more, the least recently used first, with the reason.
fn worth_ending(active: &[ListedKey], now: Timestamp) -> Vec<(String, String, String)> {
    let mut unused: Vec<_> = active
        .iter()
        .map(|key| (key, Safety::of(key, &[], now)))
        .filter(|(_, safety)| matches!(safety.answer, "Yes" | "Probably"))
        .collect();
    unused.sort_by_key(|(key, _)| key.last_use.as_ref().map_or(key.key.created_at, |used| used.at));
    let row = |(key, safety): (&ListedKey, Safety)| {
        (key.key.id.to_string(), key.name.as_ref().map_or("", KeyName::as_str).to_owned(), safety.reasons)
    };
    unused.into_iter().take(3).map(row).collect()
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

/// When a key ended, and its id: its place in the list of keys that have ended.
fn end(key: &ListedKey, now: Timestamp) -> Option<(Timestamp, KeyId)> {
    key.key.ended_at(now).map(|at| (at, key.key.id))
}
