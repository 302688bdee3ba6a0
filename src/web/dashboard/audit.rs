//! The audit log: who did what, when, and from where.

use std::time::Duration;

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::choice::{Choice, Period, choices, period_choices};
use super::layout::{Layout, TimeTag};
use super::rejection::{PageResult, Rejection};
use super::responses::{ok, url};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::ListedKey;
use keyhouse_domain::audit::{Action, AuditEvent, AuditFilter, SERVER};
use keyhouse_domain::ids::{AuditId, KeyId};
use keyhouse_domain::permission::{ManageTeam, SHELL};
use keyhouse_domain::person::Email;
use keyhouse_domain::team::Member;
use keyhouse_domain::timestamp::Timestamp;

const PAGE: &str = "/settings/audit";
/// Events on one page.
const ROWS: u32 = 50;
/// Revoked keys among the options of the filter by key. The others are reached from their rows on the keys page.
const OPTIONS: u32 = 100;
const PERIODS: [Period; 5] = [
    ("", "Any time", 0),
    ("24h", "Last 24 hours", 24 * 3600),
    ("7d", "Last 7 days", 7 * 24 * 3600),
    ("30d", "Last 30 days", 30 * 24 * 3600),
    ("90d", "Last 90 days", 90 * 24 * 3600),
];

struct EventRow {
    at: TimeTag,
    /// The date, and the time of day to the second, in UTC.
    day: String,
    clock: String,
    by: String,
    /// Names are not unique; empty for the command line.
    by_email: String,
    action: &'static str,
    words: &'static str,
    detail: String,
    target: String,
    /// `CLI`, `Server` or an address.
    source: String,
    is_address: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    base: String,
    rows: Vec<EventRow>,
    /// The options of the filters.
    people: Vec<Choice>,
    keys: Vec<Choice>,
    actions: Vec<Choice>,
    periods: Vec<Choice>,
    next: Option<String>,
    csv: String,
    is_filtered: bool,
    is_first: bool,
}

/// An action in words.
pub(super) fn words(action: Action) -> &'static str {
    match action {
        Action::TeamCreated => "Created the team",
        Action::TeamKeyLifetimeChanged => "Changed the maximum lifetime of keys",
        Action::TeamRenamed => "Renamed the team",
        Action::TeamHandedOver => "Transferred ownership",
        Action::TeamDeleted => "Deleted the team",
        Action::MemberInvited => "Invited",
        Action::InvitationWithdrawn => "Withdrew an invitation",
        Action::MemberAdded => "Was added to the team",
        Action::MemberRoleChanged => "Changed a role",
        Action::MemberRemoved => "Removed a member",
        Action::MemberLeft => "Left the team",
        Action::KeyCreated => "Created a key",
        Action::KeyRenamed => "Renamed a key",
        Action::KeyRotated => "Rotated a key",
        Action::KeyFormerTokenEnded => "Ended a former token",
        Action::KeyPaused => "Paused a key",
        Action::KeyResumed => "Resumed a key",
        Action::KeyConditionsChanged => "Changed a key’s conditions",
        Action::KeyExpired => "Recorded an expired key",
        Action::KeyRevocationCompleted => "Completed a revocation",
        Action::KeyRevoked => "Revoked a key",
        Action::KeyLeaked => "Reported a key as leaked",
        Action::LeakNoticeDismissed => "Dismissed a notice about leaked keys",
        Action::ProductCreated => "Created a product",
        Action::ProductChanged => "Changed a product",
        Action::ProductArchived => "Archived a product",
        Action::ProductRestored => "Restored a product",
        Action::SignedIn => "Signed in",
        Action::SignInFailed => "Failed to sign in",
        Action::SignedOut => "Signed out",
        Action::PasswordChanged => "Changed the password",
        Action::ProfileChanged => "Changed their profile",
        Action::LinkMade => "Created a one-time link",
    }
}

pub(super) fn filter(query: &Query, now: Timestamp) -> AuditFilter {
    let since = query.get_or_empty("since");
    let period = PERIODS.iter().find(|(value, _, seconds)| *value == since && *seconds > 0);
    AuditFilter {
        person: query.get_or_empty("person").parse().ok(),
        target: Some(query.get_or_empty("key")).filter(|key| !key.is_empty()).map(str::to_owned),
        action: Action::parse(query.get_or_empty("action")),
        since: period.map(|(.., seconds)| now.minus(Duration::from_secs(*seconds))),
    }
}

/// A page of the log, with the current filter.
fn page_url(path: &str, query: &Query, before: Option<AuditId>) -> String {
    let before = before.map_or(String::new(), |id| id.to_string());
    let named = ["person", "key", "action", "since"].map(|name| (name, query.get_or_empty(name)));
    url(path, named.into_iter().chain([("before", before.as_str())]))
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let team = access.team();
    let filter = filter(&query, state.app.clock().now());
    let before = query.get_or_empty("before").parse().ok();
    let mut events = state.app.queries().audit_events(team.id, &filter, before, ROWS + 1).await?;
    let has_more = events.len() > ROWS as usize;
    events.truncate(ROWS as usize);
    let last = events.last().filter(|_| has_more).map(|event| event.id);
    let base = access.path(PAGE);
    let people = person_options(&state, &access, &filter, events.is_empty()).await?;
    let keys = key_options(&state, &access, &filter).await?;
    let actions = Action::ALL.iter().map(|action| (action.as_str().to_owned(), words(*action).to_owned()));
    Ok(ok(&AuditPage {
        layout: Layout::of(&access, "Audit log", "audit"),
        rows: events.iter().map(row).collect(),
        people: choices(people, query.get_or_empty("person")),
        keys: choices(keys, query.get_or_empty("key")),
        actions: choices(actions, query.get_or_empty("action")),
        periods: period_choices(&PERIODS, query.get_or_empty("since")),
        next: last.map(|last| page_url(&base, &query, Some(last))),
        csv: page_url(&format!("{base}.csv"), &query, None),
        is_filtered: filter != AuditFilter::default(),
        is_first: before.is_none(),
        base,
    }))
}

/// The team's members, and the person that is selected, in the team or not.
async fn person_options(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    filter: &AuditFilter,
    is_empty: bool,
) -> Result<Vec<(String, String)>, Rejection> {
    let members = state.app.queries().members(access.team().id).await?;
    let option = |member: Member| (member.person.to_string(), format!("{} ({})", member.name, member.email));
    let mut people: Vec<_> = members.into_iter().map(option).collect();
    if let Some(person) = filter.person.filter(|person| people.iter().all(|(id, _)| *id != person.to_string())) {
        let name = state.app.person(person).await?.filter(|_| !is_empty);
        people.push((person.to_string(), name.map_or("Someone else".to_owned(), |found| found.name.to_string())));
    }
    Ok(people)
}

/// The team's active keys, those that ended last, and the key that is selected.
async fn key_options(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    filter: &AuditFilter,
) -> Result<Vec<(String, String)>, Rejection> {
    let mut listed = state.app.active_keys_of(access.team().id).await?;
    listed.extend(state.app.ended_keys_of(access.team(), None, None, OPTIONS).await?);
    if let Some(id) = filter.target.as_deref().and_then(|id| id.parse::<KeyId>().ok()) {
        let selected = state.app.queries().key(id).await?.filter(|key| key.key.team == access.team().id);
        listed.extend(selected.filter(|_| listed.iter().all(|key| key.key.id != id)));
    }
    let option = |key: ListedKey| {
        let name = key.name.map_or_else(String::new, |name| name.as_str().to_owned());
        (key.key.id.to_string(), format!("{name} ({})", key.key.prefix()))
    };
    let mut keys: Vec<_> = listed.into_iter().map(option).collect();
    if let Some(target) = filter.target.as_ref().filter(|target| keys.iter().all(|(id, _)| id != *target)) {
        keys.push((target.clone(), target.clone()));
    }
    Ok(keys)
}

fn row(event: &AuditEvent) -> EventRow {
    let (source, is_address) = match event.source.as_str() {
        SHELL => ("CLI", false),
        SERVER => ("Server", false),
        address => (address, true),
    };
    let exact = event.at.exact();
    let (day, clock) = exact.split_once(' ').unwrap_or((&exact, ""));
    EventRow {
        at: TimeTag::exact(event.at),
        day: day.to_owned(),
        clock: clock.to_owned(),
        by: event.by.name.clone(),
        by_email: event.by_email.as_ref().map_or_else(String::new, Email::to_string),
        action: event.action.as_str(),
        words: words(event.action),
        detail: event.detail.clone(),
        target: event.target.clone(),
        source: source.to_owned(),
        is_address,
    }
}
