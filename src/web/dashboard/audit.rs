//! The audit log: who did what, when, from where; to read, to filter, to take away.

use std::fmt::Write;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::layout::{Layout, TimeTag, address, ok};
use super::rejection::PageResult;
use super::session::Authorized;
use crate::app::App;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::audit::{Action, AuditEvent, AuditFilter};
use keyhouse_domain::ids::AuditId;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::team::Team;
use keyhouse_store::StoreError;

const PAGE: &str = "/settings/audit";
/// Events on one page.
const ROWS: u32 = 50;
/// Events read at once for a download.
const BATCH: u32 = 500;

struct Row {
    at: TimeTag,
    by: String,
    action: &'static str,
    words: &'static str,
    detail: String,
    target: String,
    source: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Layout,
    base: String,
    rows: Vec<Row>,
    /// Who and what can be asked for.
    people: Vec<Choice>,
    keys: Vec<Choice>,
    actions: Vec<Choice>,
    next: Option<String>,
    csv: String,
    filtered: bool,
    is_first: bool,
}

/// Something that can be asked for.
struct Choice {
    value: String,
    words: String,
    chosen: bool,
}

fn choices(options: Vec<(String, String)>, asked: &str) -> Vec<Choice> {
    options.into_iter().map(|(value, words)| Choice { chosen: value == asked, value, words }).collect()
}

/// An action as people say it.
fn words(action: Action) -> &'static str {
    match action {
        Action::TeamCreated => "Created the team",
        Action::TeamRenamed => "Renamed the team",
        Action::TeamHandedOver => "Handed the team over",
        Action::TeamDeleted => "Deleted the team",
        Action::MemberInvited => "Invited",
        Action::InvitationWithdrawn => "Withdrew an invitation",
        Action::MemberAdded => "Joined or was added",
        Action::MemberRoleChanged => "Changed a role",
        Action::MemberRemoved => "Removed a member",
        Action::MemberLeft => "Left the team",
        Action::KeyCreated => "Created a key",
        Action::KeyRenamed => "Renamed a key",
        Action::KeyRevoked => "Revoked a key",
        Action::ProductCreated => "Created a product",
        Action::ProductChanged => "Changed a product",
        Action::ProductArchived => "Archived a product",
        Action::ProductRestored => "Restored a product",
        Action::CurrentUser => "Signed in",
        Action::SignInFailed => "Failed to sign in",
        Action::SignedOut => "Signed out",
        Action::PasswordChanged => "Changed their password",
        Action::ProfileChanged => "Changed their profile",
        Action::LinkMade => "Made a one-time link",
    }
}

fn filter(query: &Query) -> AuditFilter {
    AuditFilter {
        person: query.get_or_empty("person").parse().ok(),
        target: Some(query.get_or_empty("key")).filter(|key| !key.is_empty()).map(str::to_owned),
        action: Action::parse(query.get_or_empty("action")),
    }
}

/// The log at a place, with the filter that is in force.
fn place(path: &str, query: &Query, before: Option<AuditId>) -> String {
    let before = before.map_or(String::new(), |id| id.to_string());
    let named = ["person", "key", "action"].map(|name| (name, query.get_or_empty(name)));
    address(path, named.into_iter().chain([("before", before.as_str())]))
}

pub(super) async fn list(
    State(state): State<AppState>,
    authorized: Authorized<ManageTeam>,
    query: Query,
) -> PageResult {
    let now = state.app.clock().now();
    let team = authorized.team();
    let filter = filter(&query);
    let before = query.get_or_empty("before").parse().ok();
    let mut events = state.app.audit_of(team, &filter, before, ROWS + 1).await?;
    let more = events.len() > ROWS as usize;
    events.truncate(ROWS as usize);
    let last = events.last().filter(|_| more).map(|event| event.id);
    let base = authorized.at(PAGE);
    let members = state.app.members_page(team, "", None, 200).await?;
    let mut people: Vec<_> = members.into_iter().map(|member| (member.person.to_string(), member.name)).collect();
    // Whoever is asked for stays in the list, in the team or not.
    if let Some(person) = filter.person.filter(|person| people.iter().all(|(id, _)| *id != person.to_string())) {
        let name = state.app.person(person).await?.filter(|_| !events.is_empty());
        people.push((person.to_string(), name.map_or("Somebody else".to_owned(), |found| found.name.to_string())));
    }
    let mut keys: Vec<_> = state
        .app
        .keys_of(team)
        .await?
        .into_iter()
        .map(|key| {
            let name = key.name.map_or_else(String::new, |name| name.as_str().to_owned());
            (key.key.id.to_string(), format!("{name} ({})", key.key.prefix))
        })
        .collect();
    if let Some(target) = filter.target.as_ref().filter(|target| keys.iter().all(|(id, _)| id != *target)) {
        keys.push((target.clone(), target.clone()));
    }
    let actions = Action::ALL.iter().map(|action| (action.as_str().to_owned(), words(*action).to_owned()));
    Ok(ok(&AuditPage {
        frame: Layout::of(&authorized, "Audit log", "audit"),
        rows: events.iter().map(|event| row(event, now)).collect(),
        people: choices(people, query.get_or_empty("person")),
        keys: choices(keys, query.get_or_empty("key")),
        actions: choices(actions.collect(), query.get_or_empty("action")),
        next: last.map(|last| place(&base, &query, Some(last))),
        csv: place(&format!("{base}.csv"), &query, None),
        filtered: filter != AuditFilter::default(),
        is_first: before.is_none(),
        base,
    }))
}

fn row(event: &AuditEvent, now: keyhouse_domain::timestamp::Timestamp) -> Row {
    Row {
        at: TimeTag::past(event.at, now),
        by: event.by.name.clone(),
        action: event.action.as_str(),
        words: words(event.action),
        detail: event.detail.clone(),
        target: event.target.clone(),
        source: event.source.clone(),
    }
}

/// All events that pass the filter, newest first, sent as they are read: never all in memory.
pub(super) async fn csv(State(state): State<AppState>, authorized: Authorized<ManageTeam>, query: Query) -> PageResult {
    let first = state.app.audit_of(authorized.team(), &filter(&query), None, BATCH).await?;
    let state = (state.app.clone(), authorized.team().clone(), filter(&query), Some(first), true);
    let rows = stream::try_unfold(state, |(app, team, filter, batch, is_first)| async move {
        let Some(batch) = batch else { return Ok::<_, StoreError>(None) };
        let text = table(&batch, is_first);
        let next = next(&app, &team, &filter, &batch).await?;
        Ok(Some((text, (app, team, filter, next, false))))
    });
    let name = format!("attachment; filename=\"audit-{}.csv\"", authorized.team().slug.as_str());
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    let response: Response = (headers, Body::from_stream(rows)).into_response();
    Ok(response)
}

async fn next(
    app: &App,
    team: &Team,
    filter: &AuditFilter,
    batch: &[AuditEvent],
) -> Result<Option<Vec<AuditEvent>>, StoreError> {
    match batch.last() {
        Some(last) if batch.len() == BATCH as usize => app.audit_of(team, filter, Some(last.id), BATCH).await.map(Some),
        _ => Ok(None),
    }
}

fn table(events: &[AuditEvent], with_head: bool) -> Bytes {
    let mut out = String::new();
    let mut line = |cells: [&str; 8]| {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        // Neither can fail: the writer is a vector, and what comes out is the text that went in.
        let _written = writer.write_record(cells.map(escape_formula));
        let bytes = writer.into_inner().unwrap_or_default();
        let _written = write!(out, "{}", String::from_utf8_lossy(&bytes));
    };
    if with_head {
        line(["time", "id", "action", "by", "by_id", "target", "detail", "from"]);
    }
    for event in events {
        let by_id = event.by.person.map_or(String::new(), |person| person.to_string());
        line([
            &event.at.to_string(),
            &event.id.to_string(),
            event.action.as_str(),
            &event.by.name,
            &by_id,
            &event.target,
            &event.detail,
            &event.source,
        ]);
    }
    out.into()
}

/// A cell that begins like a formula would be run by a spreadsheet.
fn escape_formula(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}
