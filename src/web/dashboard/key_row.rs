//! A key as pages show it.

use std::time::Duration;

use super::authorize::Authorized;
use super::layout::TimeTag;
use super::rejection::Rejection;
use crate::web::AppState;
use keyhouse_domain::api_key::{KeyName, KeyStatus, LastUse, ListedKey, Revocation};
use keyhouse_domain::conditions::EXPIRY_NOTICE;
use keyhouse_domain::ids::{KeyId, PersonId};
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::Outcome;
use keyhouse_token::Mode;

/// Path of the keys page, below the team's.
pub(super) const PAGE: &str = "/settings/integrations/api-keys";
/// A key that was used within these days is in use: revoking it interrupts something.
const IN_USE_DAYS: i64 = 7;
/// A key that was not used for so many days is flagged.
const UNUSED_DAYS: i64 = 30;
/// A key that was used within this time is marked as used right now.
const BUSY: Duration = Duration::from_secs(5 * 60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) struct KeyRow {
    pub id: String,
    pub name: String,
    pub prefix: String,
    pub mode: Mode,
    pub scope: &'static str,
    pub creator: String,
    pub creator_id: Option<PersonId>,
    /// Empty for the command line, and until [`add_emails`] has read it.
    pub creator_email: String,
    pub creator_has_left: bool,
    pub created: TimeTag,
    pub last_used: Option<TimeTag>,
    pub last_from: String,
    /// `Unused for 42 days`; empty if the key was used within 30 days.
    pub hint: String,
    /// A call was accepted in the last 5 minutes.
    pub is_busy: bool,
    /// The path of the sparkline, and the number of calls beside it: of an active key those of the last 14 days, of one that
    /// has ended those that were refused since. The list alone sets them.
    pub spark: String,
    pub calls: String,
    /// When the current token was created.
    pub token_created: TimeTag,
    /// Of a key that was rotated, when and from where the current token was last used.
    pub token_used: Option<TimeTag>,
    pub token_from: String,
    /// The former token while it is accepted.
    pub former: Option<FormerCells>,
    pub paused: Option<PausedCells>,
    pub expires: Option<ExpiryCells>,
    pub allowed: Vec<String>,
    pub ended: Option<EndedCells>,
    pub is_new: bool,
}

pub(super) struct FormerCells {
    pub prefix: String,
    /// At the latest.
    pub ends: TimeTag,
    /// Since the rotation.
    pub last_used: Option<TimeTag>,
    pub last_from: String,
}

pub(super) struct PausedCells {
    pub since: TimeTag,
    /// `None`: until it is resumed.
    pub until: Option<TimeTag>,
}

pub(super) struct ExpiryCells {
    pub at: TimeTag,
    /// Within [`EXPIRY_NOTICE`].
    pub is_soon: bool,
}

pub(super) struct EndedCells {
    /// `Revoked` or `Expired`.
    pub label: &'static str,
    /// The outcome of the calls that were refused since, as the filter of the Requests page names it.
    pub outcome: &'static str,
    /// Who revoked the key; empty if it expired.
    pub by: String,
    pub by_id: Option<PersonId>,
    pub by_email: String,
    pub reason: String,
    pub at: TimeTag,
    /// When the row leaves the list.
    pub listed_until: TimeTag,
}

impl KeyRow {
    pub(super) fn of(listed: &ListedKey, now: Timestamp) -> Self {
        let key = &listed.key;
        let since = listed.last_use.as_ref().map_or(key.created_at, |used| used.at);
        let days = (now.ms() - since.ms()) / DAY_MS;
        let status = key.status(now);
        let ended = |label, outcome: Outcome, at, by: Option<(&str, Option<PersonId>)>, reason: &str| EndedCells {
            label,
            outcome: outcome.as_str(),
            by: by.map_or("", |(name, _)| name).to_owned(),
            by_id: by.and_then(|(_, person)| person),
            by_email: String::new(),
            reason: reason.to_owned(),
            at: TimeTag::past(at, now),
            listed_until: TimeTag::future(key.listed_until(now).unwrap_or(at), now),
        };
        let ended = match status {
            KeyStatus::Active | KeyStatus::Paused(_) => None,
            KeyStatus::Expired(at) => Some(ended("Expired", Outcome::Expired, at, None, "")),
            KeyStatus::Revoked(Revocation { at, by, reason }) => {
                let reason = reason.as_ref().map_or("", |reason| reason.as_str());
                Some(ended("Revoked", Outcome::Revoked, *at, Some((&by.name, by.person)), reason))
            }
        };
        let paused = match status {
            KeyStatus::Paused(pause) => Some(PausedCells {
                since: TimeTag::past(pause.at, now),
                until: pause.until.map(|until| TimeTag::future(until, now)),
            }),
            _ => None,
        };
        let expires = key.conditions.expires_at.filter(|_| ended.is_none());
        let former = listed.living_former(now).filter(|_| ended.is_none()).map(|former| {
            let rotated = key.token.created_at;
            let last_use = former.last_use.as_ref().filter(|used| used.at >= rotated);
            FormerCells {
                prefix: former.token.prefix.to_string(),
                ends: TimeTag::future(former.token.ends_at.unwrap_or(now), now),
                last_used: used(last_use, now),
                last_from: from(last_use),
            }
        });
        Self {
            id: key.id.to_string(),
            name: listed.name.as_ref().map_or("", KeyName::as_str).to_owned(),
            prefix: key.prefix().to_string(),
            mode: key.mode,
            scope: key.scope.label(),
            creator: listed.creator.name.clone(),
            creator_id: listed.creator.person,
            creator_email: String::new(),
            creator_has_left: listed.creator_has_left,
            created: TimeTag::past(key.created_at, now),
            last_used: used(listed.last_use.as_ref(), now),
            last_from: from(listed.last_use.as_ref()),
            hint: if days >= UNUSED_DAYS { format!("Unused for {days} days") } else { String::new() },
            is_busy: listed.last_use.as_ref().is_some_and(|used| used.at > now.minus(BUSY)),
            spark: String::new(),
            calls: String::new(),
            token_created: TimeTag::past(key.token.created_at, now),
            token_used: used(listed.current_use.as_ref(), now),
            token_from: from(listed.current_use.as_ref()),
            former,
            paused,
            expires: expires
                .map(|at| ExpiryCells { at: TimeTag::future(at, now), is_soon: at <= now.plus(EXPIRY_NOTICE) }),
            allowed: key.conditions.allowed.iter().map(ToString::to_string).collect(),
            ended,
            is_new: false,
        }
    }
}

fn used(last_use: Option<&LastUse>, now: Timestamp) -> Option<TimeTag> {
    last_use.map(|used| TimeTag::past(used.at, now))
}

fn from(last_use: Option<&LastUse>) -> String {
    last_use.map_or_else(String::new, |used| used.from.clone())
}

/// Adds their addresses to those who created and revoked keys: names are not unique.
pub(super) async fn add_emails(state: &AppState, rows: impl IntoIterator<Item = &mut KeyRow>) -> Result<(), Rejection> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    let named = rows.iter().flat_map(|row| [row.creator_id, row.ended.as_ref().and_then(|ended| ended.by_id)]);
    let mut people: Vec<PersonId> = named.flatten().collect();
    people.sort();
    people.dedup();
    let emails = state.app.queries().emails_of(&people).await?;
    let of = |person: Option<PersonId>| {
        let found = emails.iter().find(|(id, _)| Some(*id) == person);
        found.map_or_else(String::new, |(_, email)| email.to_string())
    };
    for row in &mut rows {
        row.creator_email = of(row.creator_id);
        if let Some(ended) = &mut row.ended {
            ended.by_email = of(ended.by_id);
        }
    }
    Ok(())
}

/// The part of a token that may be shown, and the rest, which the page masks: the former ends three characters after the
/// last `_`.
pub(super) fn shown_and_masked(token: &str) -> (&str, &str) {
    token.split_at_checked(token.rfind('_').map_or(0, |at| at + 4)).unwrap_or(("", token))
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
