//! A team's settings: its name, and the maximum lifetime of its keys.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::{FieldErrors, RawForm};
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses;
use super::usage_chart::thousands;
use crate::app::key_changes::SetKeyLifetimeError;
use crate::app::teams::ChangeTeamError;
use crate::web::base_url::lacks_public_url;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::KeyLifetime;
use keyhouse_domain::permission::ManageTeam;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::TeamName;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    layout: Layout,
    base: String,
    name: &'a str,
    version: &'a str,
    slug: &'a str,
    id: String,
    is_owner: bool,
    max_name: usize,
    lifetime: String,
    lifetime_max: String,
    lifetime_version: String,
    /// `public_url` is not set although people use HTTPS.
    lacks_public_url: bool,
    errors: FieldErrors,
}

fn settings_page(
    state: &AppState,
    access: &Authorized<ManageTeam>,
    (name, lifetime): (&str, Option<&str>),
    message: &str,
    errors: FieldErrors,
) -> PageResult {
    let lacks_public_url = lacks_public_url(state);
    let team = access.team();
    let page = SettingsPage {
        layout: Layout::of(access, "Settings", "settings").with_message(message),
        base: access.path(""),
        name,
        version: team.name.as_str(),
        slug: team.slug.as_str(),
        id: team.id.to_string(),
        is_owner: access.membership.role == Role::Owner,
        max_name: TeamName::MAX,
        lifetime: match lifetime {
            Some(typed) => typed.to_owned(),
            None => team.key_lifetime.map_or(String::new(), |lifetime| lifetime.days().to_string()),
        },
        lifetime_max: thousands(u64::from(KeyLifetime::MAX_DAYS)),
        lifetime_version: lifetime_version(team.key_lifetime),
        lacks_public_url,
        errors,
    };
    Ok(responses::form(&page.errors, &page))
}

pub(super) async fn edit(State(state): State<AppState>, access: Authorized<ManageTeam>, query: Query) -> PageResult {
    let message = if query.get_or_empty("done").is_empty() { "" } else { "Saved" };
    settings_page(&state, &access, (access.team().name.as_str(), None), message, FieldErrors::default())
}

#[derive(Deserialize)]
pub(super) struct SettingsForm {
    #[serde(default)]
    name: String,
    /// `lifetime` in the form of the maximum lifetime of keys, which has no name.
    #[serde(default)]
    setting: String,
    /// In days, empty for none.
    #[serde(default)]
    lifetime: String,
    /// The name or the lifetime that the form was opened with.
    #[serde(default)]
    version: String,
}

/// A lifetime as the hidden field of its form has it.
fn lifetime_version(lifetime: Option<KeyLifetime>) -> String {
    lifetime.map_or("none".to_owned(), |lifetime| lifetime.days().to_string())
}

fn lifetime_changed_meanwhile(state: &AppState, access: &Authorized<ManageTeam>, typed: &str) -> PageResult {
    let change = match access.team().key_lifetime {
        Some(lifetime) => format!("changed to {} days", lifetime.days()),
        None => "removed".to_owned(),
    };
    let error = format!("The maximum lifetime was {change} since you opened this page. Save again to replace it");
    let name = access.team().name.as_str();
    settings_page(state, access, (name, Some(typed)), "", FieldErrors::one("lifetime", error))
}

fn renamed_meanwhile(state: &AppState, access: &Authorized<ManageTeam>, typed: &str) -> PageResult {
    let current = access.team().name.as_str();
    let error = format!("The team was renamed to “{current}” since you opened this page. Save again to replace it");
    settings_page(state, access, (typed, None), "", FieldErrors::one("name", error))
}

pub(super) async fn update(
    State(state): State<AppState>,
    AuthorizedForm { mut access, form, raw }: AuthorizedForm<Authorized<ManageTeam>, SettingsForm>,
) -> PageResult {
    if form.setting == "lifetime" {
        return update_lifetime(&state, access, &form, &raw).await;
    }
    // Compared before the new name is validated, too: otherwise correcting a typing error would replace a colleague's change.
    let was = Some(form.version.as_str()).filter(|version| !version.is_empty());
    if was.is_some_and(|was| was != access.team().name.as_str()) {
        return renamed_meanwhile(&state, &access, &form.name);
    }
    let name = match TeamName::parse(&form.name) {
        Ok(name) => name,
        Err(error) => return settings_page(&state, &access, (&form.name, None), "", FieldErrors::one("name", error)),
    };
    match state.app.rename_team(&access.permit, &name, was).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed", access.path("/settings")))),
        Err(ChangeTeamError::Renamed(current)) => {
            if let Ok(current) = TeamName::from_stored(&current) {
                access.membership.team.name = current;
            }
            renamed_meanwhile(&state, &access, &form.name)
        }
        Err(ChangeTeamError::Forbidden(_)) => Err(access.permission_lost(&state, &raw).await),
        Err(ChangeTeamError::Store(error)) => Err(error.into()),
    }
}

async fn update_lifetime(
    state: &AppState,
    mut access: Authorized<ManageTeam>,
    form: &SettingsForm,
    raw: &RawForm,
) -> PageResult {
    let typed = form.lifetime.as_str();
    let was = access.team().key_lifetime;
    if !form.version.is_empty() && form.version != lifetime_version(was) {
        return lifetime_changed_meanwhile(state, &access, typed);
    }
    let lifetime = match typed.trim() {
        "" => None,
        text => match text.parse().ok().and_then(|days| KeyLifetime::from_days(days).ok()) {
            Some(lifetime) => Some(lifetime),
            None => {
                let error = format!("Enter a number of days from 1 to {}", KeyLifetime::MAX_DAYS);
                let name = access.team().name.as_str();
                return settings_page(state, &access, (name, Some(typed)), "", FieldErrors::one("lifetime", error));
            }
        },
    };
    match state.app.set_key_lifetime(&access.permit, lifetime, was).await {
        Ok(()) => Ok(see_other(&format!("{}?done=lifetime", access.path("/settings")))),
        Err(SetKeyLifetimeError::Forbidden(_)) => Err(access.permission_lost(state, raw).await),
        Err(SetKeyLifetimeError::Store(error)) => Err(error.into()),
        Err(SetKeyLifetimeError::Changed(current)) => {
            access.membership.team.key_lifetime = current;
            lifetime_changed_meanwhile(state, &access, typed)
        }
    }
}
