//! Until when and from where an API key may be used.

use std::net::IpAddr;

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm, LastPathParam};
use super::forms::FieldErrors;
use super::key_row::{self, KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use super::usage_chart::thousands;
use crate::app::key_changes::ChangeConditionsError;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{AllowedNetworks, Conditions, ListedKey};
use keyhouse_domain::conditions::Expiry;
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_domain::usage::{CALLS_KEPT, CALLS_PER_KEY, CallFilter};

#[derive(Default, Deserialize)]
pub(super) struct ConditionsForm {
    /// A date, or empty for never.
    #[serde(default)]
    expires: String,
    /// Networks, separated by commas or line breaks.
    #[serde(default)]
    allowed: String,
    /// `check` to see what the addresses would have refused, and to change nothing.
    #[serde(default)]
    step: String,
    /// The networks for which the person has seen that recent calls would have been refused.
    #[serde(default)]
    seen: String,
    /// The conditions that the form was opened with, as [`version`] writes them.
    #[serde(default)]
    version: String,
}

/// Conditions as the hidden field of the form has them: the expiry in ms, or `never`, and the networks.
fn version(conditions: &Conditions) -> String {
    let expires = conditions.expires_at.map_or("never".to_owned(), |at| at.ms().to_string());
    format!("{expires} {}", networks(conditions, ","))
}

fn conditions_of(version: &str) -> Option<Conditions> {
    let (expires, allowed) = version.split_once(' ')?;
    let expires_at = match expires {
        "never" => None,
        ms => Some(Timestamp::from_ms(ms.parse().ok()?)),
    };
    Some(Conditions { expires_at, allowed: AllowedNetworks::parse(allowed).ok()? })
}

fn networks(conditions: &Conditions, separator: &str) -> String {
    conditions.allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl ConditionsForm {
    pub(super) fn of(conditions: &Conditions) -> Self {
        Self {
            expires: conditions.expires_at.map_or(String::new(), date),
            allowed: networks(conditions, "\n"),
            ..Self::default()
        }
    }
}

/// The day of a time, as the field of a form has it.
pub(super) fn date(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Reads the two fields that the forms of a new key and of its conditions share. A date that has not changed keeps the time
/// of day that was set by another way.
pub(super) fn parse(
    expires: &str,
    allowed: &str,
    current: Option<Timestamp>,
    now: Timestamp,
    errors: &mut FieldErrors,
) -> Option<Conditions> {
    let expires_at = match expires.trim() {
        "" => Some(None),
        text if current.is_some_and(|current| date(current) == text) => Some(current),
        text => {
            let expiry = text.parse::<Expiry>().map_err(|_| "Enter a date, such as 2027-01-31");
            errors.check("expires", expiry).map(|expiry| expiry.at(now))
        }
    };
    let allowed = errors.check("allowed", AllowedNetworks::parse(allowed));
    Some(Conditions { expires_at: expires_at?, allowed: allowed? })
}

/// What allowed addresses would have done to the calls of the last 7 days.
struct DryRun {
    calls: String,
    refused: String,
    is_clean: bool,
    /// Addresses outside that were in use in that time.
    outside: Vec<String>,
}

#[derive(Template)]
#[template(path = "key_conditions.html")]
struct ConditionsPage {
    layout: Layout,
    base: String,
    back: String,
    key: KeyRow,
    form: ConditionsForm,
    today: String,
    networks_max: usize,
    lifetime_days: Option<u32>,
    dry_run: Option<DryRun>,
    /// The networks that the dry run was made with, if the form is to be sent again.
    seen: String,
    version: String,
    errors: FieldErrors,
}

fn conditions_page(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    form: ConditionsForm,
    dry_run: Option<DryRun>,
    errors: FieldErrors,
) -> PageResult {
    let now = state.app.clock().now();
    let key = KeyRow::of(listed, now);
    let seen = dry_run.as_ref().map_or(String::new(), |_| form.allowed.clone());
    let page = ConditionsPage {
        layout: Layout::of(access, &format!("Conditions of {}", key.name), "keys"),
        base: access.path(PAGE),
        back: key_row::back(access, "key", listed.key.id),
        key,
        form,
        today: date(now),
        networks_max: AllowedNetworks::MAX,
        lifetime_days: access.team().key_lifetime.map(|lifetime| lifetime.days()),
        dry_run,
        seen,
        version: version(&listed.key.conditions),
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(
    State(state): State<AppState>,
    access: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let form = ConditionsForm::of(&listed.key.conditions);
    conditions_page(&state, &access, &listed, form, None, FieldErrors::default())
}

pub(super) async fn update(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, ConditionsForm>,
) -> PageResult {
    let listed = key_row::find(&state, &access, id).await?;
    let now = state.app.clock().now();
    let mut errors = FieldErrors::default();
    // Compared before the fields are validated, too: otherwise correcting a typing error would replace a colleague's change.
    let was = conditions_of(&form.version).unwrap_or_else(|| listed.key.conditions.clone());
    if was != listed.key.conditions {
        return changed_meanwhile(&state, &access, &listed, form, &was);
    }
    let current = listed.key.conditions.expires_at;
    let Some(conditions) = parse(&form.expires, &form.allowed, current, now, &mut errors) else {
        return conditions_page(&state, &access, &listed, form, None, errors);
    };
    let dry_run = dry_run(&state, &access, id, &conditions.allowed, now).await?;
    let is_confirmed =
        dry_run.is_clean || form.seen == form.allowed || conditions.allowed == listed.key.conditions.allowed;
    if form.step == "check" || !is_confirmed {
        return conditions_page(&state, &access, &listed, form, Some(dry_run), FieldErrors::default());
    }
    match state.app.set_conditions(&access.permit, id, &conditions, &was).await {
        Ok(()) => Ok(see_other(&key_row::after(&access, "key", id, "conditions"))),
        Err(error @ ChangeConditionsError::Expiry(_)) => {
            conditions_page(&state, &access, &listed, form, None, FieldErrors::one("expires", error))
        }
        Err(ChangeConditionsError::Changed) => {
            let listed = key_row::find(&state, &access, id).await?;
            changed_meanwhile(&state, &access, &listed, form, &was)
        }
        Err(ChangeConditionsError::NoSuchKey) => Err(Rejection::not_found()),
        Err(ChangeConditionsError::Ended) => {
            let listed = key_row::find(&state, &access, id).await?;
            conditions_page(&state, &access, &listed, form, None, FieldErrors::default())
        }
        Err(ChangeConditionsError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(ChangeConditionsError::Store(error)) => Err(error.into()),
    }
}

/// The form with what was typed, and what a colleague has set in the meantime.
fn changed_meanwhile(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    listed: &ListedKey,
    form: ConditionsForm,
    was: &Conditions,
) -> PageResult {
    let current = &listed.key.conditions;
    let mut errors = FieldErrors::default();
    if current.expires_at != was.expires_at {
        let to = current.expires_at.map_or("never".to_owned(), date);
        errors.add("expires", format!("Changed to {to} since you opened this page. Save again to replace it"));
    }
    if current.allowed != was.allowed {
        let to = if current.allowed.is_any() { "any address".to_owned() } else { current.allowed.to_string() };
        errors.add("allowed", format!("Changed to {to} since you opened this page. Save again to replace it"));
    }
    conditions_page(state, access, listed, form, None, errors)
}

/// Judges the recorded calls of the last 7 days whose token was accepted by these networks.
async fn dry_run(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    id: KeyId,
    allowed: &AllowedNetworks,
    now: Timestamp,
) -> Result<DryRun, Rejection> {
    let since = now.minus(CALLS_KEPT);
    let is_outside = |address: &str| address.parse::<IpAddr>().is_ok_and(|address| !allowed.contains(address));
    let filter = CallFilter { key: Some(id), since: Some(since), ..CallFilter::default() };
    let calls = state.app.queries().recent_calls(access.team().id, &filter, None, CALLS_PER_KEY).await?;
    let accepted: Vec<_> = calls.iter().filter(|(_, call)| !call.outcome.is_refused_token()).collect();
    let refused = accepted.iter().filter(|(_, call)| is_outside(&call.address)).count();
    let seen = state.app.queries().addresses_of_key(id).await?;
    let recent = seen.iter().filter(|seen| seen.accepted_at.is_some_and(|at| at > since));
    let mut outside: Vec<_> = recent.map(|seen| seen.address.clone()).filter(|address| is_outside(address)).collect();
    outside.sort_unstable();
    outside.dedup();
    Ok(DryRun {
        calls: thousands(accepted.len() as u64),
        refused: thousands(refused as u64),
        is_clean: refused == 0 && outside.is_empty(),
        outside,
    })
}
