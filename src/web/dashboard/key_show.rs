//! The page of an API key: what it does, whether it can be ended, and what was changed on it.

use askama::Template;
use axum::extract::State;

use super::audit;
use super::authorize::{Authorized, LastPathParam};
use super::forms::capitalize;
use super::key_receipt::ReceiptCells;
use super::key_row::{self, KeyRow, PAGE};
use super::layout::{Layout, TimeTag, Undo};
use super::rejection::{PageResult, Rejection};
use super::requests::CallRow;
use super::responses;
use super::safety::Safety;
use super::usage_chart::{Chart, day_label, outcome_label, thousands};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{KeyStatus, ListedKey};
use keyhouse_domain::audit::{Action, AuditFilter};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{CallFilter, DailyCalls, Outcome, SeenAddress, UtcDay};

/// Recent calls and changes on the page; the others are a link away.
const CALLS: u32 = 8;
const CHANGES: u32 = 8;
/// Recent calls with a former token whose addresses are shown.
const FORMER_CALLS: u32 = 20;
/// The periods of the chart, in days.
const PERIODS: [u32; 3] = [7, 30, 90];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct AddressRow {
    address: String,
    agent: String,
    first: String,
    last: TimeTag,
    calls: String,
    /// `12 refused`; empty if none was.
    refused: String,
}

struct Change {
    at: TimeTag,
    by: String,
    words: &'static str,
    detail: String,
    is_end: bool,
}

/// Calls that were refused because of the key's state: how often, from where, last when.
struct Tried {
    calls: String,
    addresses: Vec<String>,
    last: Option<TimeTag>,
    /// The address of the last call; empty if it is not known.
    last_from: String,
}

struct Successor {
    id: String,
    name: String,
}

struct Figures {
    requests: String,
    today: String,
    refused: String,
    /// The most frequent reason.
    refused_most: String,
    addresses: usize,
    new_addresses: usize,
}

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    layout: Layout,
    base: String,
    integrations: String,
    requests: String,
    key: KeyRow,
    days: u32,
    /// The periods of the chart, and which of them is shown.
    periods: [(u32, bool); 3],
    figures: Figures,
    chart: Chart,
    calls: Vec<CallRow>,
    addresses: Vec<AddressRow>,
    changes: Vec<Change>,
    safety: Option<Safety>,
    /// Since the key ended or was paused.
    tried: Option<Tried>,
    /// With the former token since it ended, while the key itself is active.
    former_tried: Option<Tried>,
    /// The beginning of that former token.
    former_prefix: String,
    /// The key that was created in place of this one, while a list shows it.
    successor: Option<Successor>,
    /// Of a revoked key that nodes used to accept.
    receipt: Option<ReceiptCells>,
    /// The exact time of the end.
    ended_at: Option<TimeTag>,
    has_ended: bool,
}

pub(super) async fn show(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
    query: Query,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let now = state.app.clock().now();
    let today = UtcDay::of(now);
    let days = PERIODS.into_iter().find(|days| days.to_string() == query.get_or_empty("days")).unwrap_or(30);
    let queries = state.app.queries();
    let counted = queries.calls_by_day(id, UtcDay::from_number(today.number() - 399)).await?;
    let addresses = queries.addresses_of_key(id).await?;
    let filter = CallFilter { key: Some(id), ..CallFilter::default() };
    let calls = queries.recent_calls(access.team().id, &filter, None, CALLS).await?;
    let filter = AuditFilter { target: Some(id.to_string()), ..AuditFilter::default() };
    let events = queries.audit_events(access.team().id, &filter, None, CHANGES).await?;
    let mut key = KeyRow::of(&listed, now);
    key_row::add_emails(&state, [&mut key]).await?;
    let message = match query.get_or_empty("done") {
        "renamed" => format!("Renamed to {}", key.name),
        "revoked" if key.ended.is_some() => format!("Revoked {}", key.name),
        "paused" if key.paused.is_some() => format!("Paused {}", key.name),
        "resumed" if key.paused.is_none() => format!("Resumed {}", key.name),
        "conditions" => "Conditions saved".to_owned(),
        "former-ended" if key.former.is_none() => "Former token ended".to_owned(),
        _ => String::new(),
    };
    let undo = match query.get_or_empty("done") {
        "paused" if key.paused.is_some() => {
            Some(Undo { action: access.path(&format!("{PAGE}/{id}/resume")), verb: "" })
        }
        _ => None,
    };
    let changes = events.iter().map(|event| Change {
        at: TimeTag::exact(event.at),
        by: event
            .by_email
            .as_ref()
            .map_or_else(|| event.by.name.clone(), |email| format!("{} ({email})", event.by.name)),
        words: audit::words(event.action),
        detail: own_detail(&event.detail, &key.name),
        is_end: matches!(event.action, Action::KeyRevoked | Action::KeyExpired),
    });
    Ok(responses::ok(&KeyPage {
        layout: Layout::of(&access, &key.name, "keys").with_message(message).with_undo(undo),
        base: access.path(PAGE),
        integrations: access.path("/settings/integrations"),
        requests: access.path(super::requests::PAGE),
        days,
        periods: PERIODS.map(|period| (period, period == days)),
        figures: figures(&counted, &addresses, now),
        chart: Chart::of(&counted, today, days),
        calls: calls.iter().map(|(_, call)| CallRow::of(call, String::new(), now)).collect(),
        addresses: addresses.iter().map(|seen| address_row(seen, now)).collect(),
        changes: changes.collect(),
        safety: key.ended.is_none().then(|| Safety::of(&listed, &addresses, now)),
        tried: tried(&listed, &counted, &addresses, now),
        former_tried: former_tried(&state, &access, &listed, &counted, now).await?,
        former_prefix: listed.former.as_ref().map_or_else(String::new, |former| former.token.prefix.to_string()),
        successor: successor(&state, &listed, now).await?,
        receipt: queries.receipt(id).await?.and_then(|receipt| ReceiptCells::of(&receipt)),
        ended_at: listed.key.ended_at(now).map(TimeTag::exact),
        has_ended: key.ended.is_some(),
        key,
    }))
}

/// The detail of an event on the page of its own key: without the key's prefix, and without its name if it still has it.
fn own_detail(detail: &str, name: &str) -> String {
    let rest = detail.split_once("... ").map_or(detail, |(_, rest)| rest);
    let is_of_a_rename = rest.contains("” to “");
    let named = format!("“{name}”");
    let rest = rest.strip_prefix(named.as_str()).filter(|_| !is_of_a_rename).unwrap_or(rest);
    capitalize(rest.trim_start_matches([',', ':', ' ']))
}

async fn successor(state: &AppState, listed: &ListedKey, now: Timestamp) -> Result<Option<Successor>, Rejection> {
    let Some(id) = listed.successor else { return Ok(None) };
    let found = state.app.queries().key(id).await?;
    let shown = found.filter(|found| found.key.listed_until(now).is_none_or(|until| now < until));
    Ok(shown.map(|found| Successor { id: id.to_string(), name: KeyRow::of(&found, now).name }))
}

/// The calls with a former token since it ended. A call with an active key counts as expired only if its token was a former one.
async fn former_tried(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    counted: &[DailyCalls],
    now: Timestamp,
) -> Result<Option<Tried>, Rejection> {
    let ended = listed.former.as_ref().and_then(|former| former.token.ends_at).filter(|end| *end <= now);
    let Some(since) = ended.filter(|_| listed.key.is_active(now)) else { return Ok(None) };
    let is_counted = |count: &&DailyCalls| count.day >= UtcDay::of(since) && count.outcome == Outcome::Expired;
    let calls: u64 = counted.iter().filter(is_counted).map(|count| count.calls).sum();
    if calls == 0 {
        return Ok(None);
    }
    let (key, outcome) = (Some(listed.key.id), Some(Outcome::Expired));
    let filter = CallFilter { key, outcome, since: Some(since), ..CallFilter::default() };
    let recent = state.app.queries().recent_calls(access.team().id, &filter, None, FORMER_CALLS).await?;
    let mut addresses: Vec<_> = recent.iter().map(|(_, call)| call.address.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let last = recent.first().map(|(_, call)| call);
    Ok(Some(Tried {
        calls: thousands(calls),
        addresses,
        last: last.map(|call| TimeTag::past(call.at, now)),
        last_from: last.map_or(String::new(), |call| call.address.clone()),
    }))
}

fn address_row(seen: &SeenAddress, now: Timestamp) -> AddressRow {
    AddressRow {
        address: seen.address.clone(),
        agent: seen.agent.clone(),
        first: day_label(UtcDay::of(seen.first_at)),
        last: TimeTag::past(seen.last_at, now),
        calls: thousands(seen.calls),
        refused: if seen.refused > 0 { format!("{} refused", thousands(seen.refused)) } else { String::new() },
    }
}

/// Of the last 30 days.
fn figures(counted: &[DailyCalls], addresses: &[SeenAddress], now: Timestamp) -> Figures {
    let today = UtcDay::of(now);
    let month: Vec<_> = counted.iter().filter(|count| count.day.number() > today.number() - 30).collect();
    let sum = |of: &dyn Fn(&DailyCalls) -> bool| month.iter().filter(|count| of(count)).map(|count| count.calls).sum();
    let of_outcome = |outcome: Outcome| (sum(&|count| count.outcome == outcome), outcome);
    let refusals = Outcome::ALL.iter().copied().filter(|outcome| outcome.is_refused()).map(of_outcome);
    let most: Option<(u64, Outcome)> = refusals.max_by_key(|(calls, _)| *calls).filter(|(calls, _)| *calls > 0);
    let mut ips: Vec<_> = addresses.iter().map(|seen| seen.address.as_str()).collect();
    ips.sort_unstable();
    ips.dedup();
    let is_new = |ip: &&str| {
        addresses.iter().filter(|seen| seen.address == **ip).all(|seen| now.ms() - seen.first_at.ms() < 7 * DAY_MS)
    };
    Figures {
        requests: thousands(sum(&|_| true)),
        today: thousands(sum(&|count| count.day == today)),
        refused: thousands(sum(&|count| count.outcome.is_refused())),
        refused_most: most.map_or(String::new(), |(calls, outcome)| {
            format!("{} {}", thousands(calls), outcome_label(outcome).to_lowercase())
        }),
        new_addresses: ips.iter().filter(|ip| is_new(ip)).count(),
        addresses: ips.len(),
    }
}

/// The calls that were refused since the key ended or was paused. The counts are by day, so the first day counts as a whole.
fn tried(listed: &ListedKey, counted: &[DailyCalls], addresses: &[SeenAddress], now: Timestamp) -> Option<Tried> {
    let (since, outcomes) = match listed.key.status(now) {
        KeyStatus::Active => return None,
        KeyStatus::Paused(pause) => (pause.at, [Outcome::Paused].as_slice()),
        KeyStatus::Expired(at) => (at, [Outcome::Expired].as_slice()),
        KeyStatus::Revoked(revocation) => (revocation.at, [Outcome::Revoked].as_slice()),
    };
    let first = UtcDay::of(since);
    let is_counted = |count: &&DailyCalls| count.day >= first && outcomes.contains(&count.outcome);
    let calls: u64 = counted.iter().filter(is_counted).map(|count| count.calls).sum();
    let after = |seen: &&SeenAddress| seen.refused_at.is_some_and(|refused| refused >= since);
    let mut from: Vec<_> = addresses.iter().filter(after).map(|seen| seen.address.clone()).collect();
    from.sort_unstable();
    from.dedup();
    let refusals = addresses.iter().filter_map(|seen| Some((seen.refused_at?, &seen.address)));
    let last = refusals.max_by_key(|(at, _)| *at);
    (calls > 0).then(|| Tried {
        calls: thousands(calls),
        addresses: from,
        last: last.map(|(at, _)| TimeTag::past(at, now)),
        last_from: last.map_or(String::new(), |(_, address)| address.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_of_a_change_leaves_out_the_key_itself() {
        for (detail, shown) in [
            ("pk_live_AbC... “CI”, Read-only, expires 2026-11-29 05:58 UTC", "Read-only, expires 2026-11-29 05:58 UTC"),
            ("pk_live_AbC... “CI”", ""),
            ("pk_live_AbC... “CI”: found in a log", "Found in a log"),
            ("pk_live_AbC... “CI”, new token pk_live_xyz..., the former", "New token pk_live_xyz..., the former"),
            ("pk_live_AbC... “Old” to “CI”", "“Old” to “CI”"),
            ("pk_live_AbC... “Old”, until 2026-11-29 05:58 UTC", "“Old”, until 2026-11-29 05:58 UTC"),
        ] {
            assert_eq!(own_detail(detail, "CI"), shown, "{detail}");
        }
    }
}
