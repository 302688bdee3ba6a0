//! Settings → Integrations → Requests: the recent calls with the team's keys.

use std::time::Duration;

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::choice::{Choice, Period, choices, period_choices};
use super::key_row::PAGE as KEYS;
use super::layout::{Layout, TimeTag};
use super::rejection::PageResult;
use super::responses::{ok, url};
use super::usage_chart::{day_label, outcome_label};
use crate::web::api::operations::operations;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{KeyName, ListedKey};
use keyhouse_domain::ids::{KeyId, RequestId};
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{CALLS_KEPT, CallFilter, Outcome, RecordedCall, UtcDay};

/// Path of the page, below the team's.
pub(super) const PAGE: &str = "/settings/integrations/requests";
/// Calls on one page.
const ROWS: u32 = 50;
/// Revoked and expired keys in the filter.
const ENDED: u32 = 100;
const PERIODS: [Period; 3] =
    [("1h", "Last hour", 3600), ("24h", "Last 24 hours", 24 * 3600), ("", "Last 7 days", 7 * 24 * 3600)];

/// A call as a row shows it.
pub(super) struct CallRow {
    pub at: TimeTag,
    /// The date and the time to the second, in UTC until the script shows the reader's zone: `Nov 24, 09:30:00`.
    pub clock: String,
    pub method: String,
    /// Without `/api/v1`.
    pub route: String,
    pub full_route: String,
    pub status: u16,
    /// Why the call was no success; empty if it was one.
    pub outcome: &'static str,
    pub address: String,
    pub agent: String,
    pub request: String,
    pub key: String,
    pub key_name: String,
}

impl CallRow {
    pub(super) fn of(call: &RecordedCall, key_name: String, now: Timestamp) -> Self {
        Self {
            at: TimeTag::past(call.at, now),
            clock: clock(call.at),
            method: call.method.clone(),
            route: short(&call.route).to_owned(),
            full_route: call.route.clone(),
            status: call.status,
            outcome: if call.outcome == Outcome::Admitted { "" } else { outcome_label(call.outcome) },
            address: call.address.clone(),
            agent: call.agent.clone(),
            request: call.request.to_string(),
            key: String::new(),
            key_name,
        }
    }

    pub(super) fn level(&self) -> &'static str {
        match self.status {
            400..=499 => "warn",
            500.. => "bad",
            _ => "good",
        }
    }
}

fn clock(at: Timestamp) -> String {
    let exact = at.exact();
    format!("{}, {}", day_label(UtcDay::of(at)), exact.split(' ').nth(1).unwrap_or_default())
}

/// A route as lists show it.
fn short(route: &str) -> &str {
    match route {
        "-" => "No such route",
        route => route.strip_prefix("/api/v1").unwrap_or(route),
    }
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    layout: Layout,
    base: String,
    keys_page: String,
    integrations: String,
    rows: Vec<CallRow>,
    search: String,
    /// The first digit of the status, or empty.
    status: String,
    keys: Vec<Choice>,
    routes: Vec<Choice>,
    outcomes: Vec<Choice>,
    periods: Vec<Choice>,
    query: Vec<(&'static str, String)>,
    next: Option<String>,
    is_filtered: bool,
    is_first: bool,
}

impl RequestsPage {
    fn is_status(&self, class: &str) -> bool {
        self.status == class
    }

    /// This page with another value of one parameter.
    fn link(&self, name: &str, value: &str) -> String {
        let pairs = self.query.iter().map(|(other, current)| (*other, if *other == name { value } else { current }));
        url(&self.base, pairs)
    }
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageKeys>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    let queries = state.app.queries();
    let mut keys = state.app.active_keys_of(access.team().id).await?;
    keys.extend(state.app.ended_keys_of(access.team(), None, None, ENDED).await?);
    let filter = filter(&query, now);
    let before = query.get_or_empty("before").parse::<RequestId>().ok();
    let mut calls = queries.recent_calls(access.team().id, &filter, before, ROWS + 1).await?;
    let has_more = calls.len() > ROWS as usize;
    calls.truncate(ROWS as usize);
    let named = ["q", "status", "key", "route", "outcome", "since"];
    let params = named.map(|name| (name, query.get_or_empty(name).trim().to_owned()));
    let base = access.path(PAGE);
    let next = calls.last().filter(|_| has_more).map(|(_, call)| {
        let before = call.request.to_string();
        url(&base, params.iter().map(|(name, value)| (*name, value.as_str())).chain([("before", before.as_str())]))
    });
    let name_of = |id: KeyId| keys.iter().find(|key| key.key.id == id).map_or_else(String::new, key_name);
    let rows =
        calls.iter().map(|(key, call)| CallRow { key: key.to_string(), ..CallRow::of(call, name_of(*key), now) });
    let key_choices = keys.iter().map(|key| (key.key.id.to_string(), key_name(key)));
    let listed = operations();
    let routes = listed.iter().map(|operation| (operation.method, operation.path));
    let routes = routes.chain([("", "/auth/verify"), ("", "/auth/envoy/{*path}")]).map(|(method, path)| {
        (format!("{method} {path}"), format!("{method} {}", short(path)).trim_start().to_owned())
    });
    let outcomes = Outcome::ALL.iter().map(|outcome| (outcome.as_str().to_owned(), outcome_label(*outcome).to_owned()));
    Ok(ok(&RequestsPage {
        layout: Layout::of(&access, "Requests", "keys"),
        keys_page: access.path(KEYS),
        integrations: access.path("/settings/integrations"),
        rows: rows.collect(),
        search: query.get_or_empty("q").trim().to_owned(),
        status: query.get_or_empty("status").to_owned(),
        keys: choices(key_choices, query.get_or_empty("key")),
        routes: choices(routes, query.get_or_empty("route")),
        outcomes: choices(outcomes, query.get_or_empty("outcome")),
        periods: period_choices(&PERIODS, query.get_or_empty("since")),
        is_filtered: params.iter().any(|(_, value)| !value.is_empty()) || before.is_some(),
        query: params.into(),
        next,
        is_first: before.is_none(),
        base,
    }))
}

fn filter(query: &Query, now: Timestamp) -> CallFilter {
    let search = query.get_or_empty("q").trim();
    let request = search.parse::<RequestId>().ok();
    let since = PERIODS.iter().find(|(value, ..)| *value == query.get_or_empty("since"));
    CallFilter {
        key: query.get_or_empty("key").parse().ok(),
        outcome: Outcome::parse(query.get_or_empty("outcome")),
        route: query.get_or_empty("route").split_once(' ').map(|(method, path)| (method.to_owned(), path.to_owned())),
        status_class: query.get_or_empty("status").parse().ok().filter(|class| (1..=5).contains(class)),
        since: Some(now.minus(since.map_or(CALLS_KEPT, |(.., seconds)| Duration::from_secs(*seconds)))),
        address: (request.is_none() && !search.is_empty()).then(|| canonical(search)),
        request,
    }
}

/// An address as it is stored; other text as it is, which then matches nothing.
fn canonical(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.chars().filter(|c| *c != '\0').collect(), |ip| ip.to_string())
}

fn key_name(key: &ListedKey) -> String {
    key.name.as_ref().map_or("", KeyName::as_str).to_owned()
}
