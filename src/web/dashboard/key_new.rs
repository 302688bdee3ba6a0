//! Creating an API key, and the one page that shows its token.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::authorize::{Authorized, AuthorizedForm};
use super::forms::{FieldErrors, RawForm};
use super::key_conditions;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection};
use super::responses;
use crate::app::keys::CreateKeyError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, AllowedNetworks, KeyName, ListedKey, NewKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

const DAY: u64 = 24 * 60 * 60;

/// The id is chosen when the form is rendered, so that the same form sent twice makes one key.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CreateKeyForm {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    scope: String,
    /// A date, or empty.
    #[serde(default)]
    expires: String,
    /// Networks, or empty.
    #[serde(default)]
    allowed: String,
    /// The name for which the person has seen the warning that another active key has it.
    #[serde(default)]
    same_name: String,
}

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewKeyPage<'a> {
    layout: Layout,
    base: String,
    id: String,
    name: &'a str,
    mode: Option<Mode>,
    scope: Option<Scope>,
    max_name: usize,
    errors: FieldErrors,
    expires: &'a str,
    allowed: &'a str,
    today: String,
    networks_max: usize,
    lifetime_days: Option<u32>,
    /// The team has the most active keys it can have.
    is_full: bool,
    /// With `is_full`: the active keys, the least recently used first.
    candidates: Vec<KeyRow>,
    /// Another active key has this name.
    is_name_taken: bool,
    max: u32,
}

impl<'a> NewKeyPage<'a> {
    fn new(
        access: &Authorized<ManageKeys>,
        id: KeyId,
        form: &'a CreateKeyForm,
        now: Timestamp,
        errors: FieldErrors,
    ) -> Self {
        Self {
            layout: Layout::of(access, "Create API Key", "keys"),
            base: access.path(PAGE),
            id: id.to_string(),
            name: &form.name,
            mode: Mode::parse(&form.mode),
            scope: Scope::parse(&form.scope),
            max_name: KeyName::MAX,
            errors,
            expires: &form.expires,
            allowed: &form.allowed,
            today: key_conditions::date(now),
            networks_max: AllowedNetworks::MAX,
            lifetime_days: access.team().key_lifetime.map(|lifetime| lifetime.days()),
            is_full: false,
            candidates: Vec::new(),
            is_name_taken: false,
            max: ACTIVE_KEYS_MAX,
        }
    }
}

impl NewKeyPage<'_> {
    fn set_full(&mut self, mut keys: Vec<ListedKey>, now: Timestamp) {
        keys.sort_by_key(|key| key.last_use.as_ref().map_or(Timestamp::from_ms(0), |used| used.at));
        self.is_full = true;
        self.candidates = keys.iter().map(|key| KeyRow::of(key, now)).collect();
    }
}

/// `?mode=test` selects the mode.
pub(super) async fn new(State(state): State<AppState>, access: Authorized<ManageKeys>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    // The maximum lifetime of the team is what the form begins with.
    let longest =
        access.team().key_lifetime.map(|lifetime| now.plus(Duration::from_secs(u64::from(lifetime.days()) * DAY)));
    let form = CreateKeyForm {
        mode: query.get_or_empty("mode").to_owned(),
        expires: longest.map_or(String::new(), key_conditions::date),
        ..CreateKeyForm::default()
    };
    let mut page = NewKeyPage::new(&access, state.app.new_key_id(), &form, now, FieldErrors::default());
    let keys = active_keys(&state, &access).await?;
    if keys.len() >= ACTIVE_KEYS_MAX as usize {
        page.set_full(keys, state.app.clock().now());
    }
    Ok(responses::ok(&page))
}

async fn active_keys(state: &AppState, access: &Authorized<ManageKeys>) -> Result<Vec<ListedKey>, Rejection> {
    Ok(state.app.active_keys_of(access.team().id).await?)
}

#[derive(Template)]
#[template(path = "key_created.html")]
struct CreatedPage<'a> {
    layout: Layout,
    base: String,
    id: String,
    name: String,
    mode: Mode,
    scope: &'static str,
    token: &'a str,
    base_url: &'a str,
}

#[derive(Template)]
#[template(path = "key_exists.html")]
struct ExistsPage {
    layout: Layout,
    base: String,
    key: Option<KeyRow>,
}

pub(super) async fn create(
    State(state): State<AppState>,
    AuthorizedForm { access, form, raw }: AuthorizedForm<Authorized<ManageKeys>, CreateKeyForm>,
) -> PageResult {
    let now = state.app.clock().now();
    let mut errors = FieldErrors::default();
    let name = errors.check("name", KeyName::parse(&form.name));
    let mode = Mode::parse(&form.mode);
    let scope = Scope::parse(&form.scope);
    if mode.is_none() {
        errors.add("mode", "Choose live or test");
    }
    if scope.is_none() {
        errors.add("scope", "Choose what the key can do");
    }
    let conditions = key_conditions::parse(&form.expires, &form.allowed, None, now, &mut errors);
    let id: KeyId = form.id.parse().unwrap_or_else(|_| state.app.new_key_id());
    let (Some(name), Some(mode), Some(scope), Some(conditions)) = (name, mode, scope, conditions) else {
        let page = NewKeyPage::new(&access, id, &form, now, errors);
        return Ok(responses::form(&page.errors, &page));
    };
    // Two keys may have one name, but then they look the same in the list and in the audit log: warn once.
    if form.same_name != name.as_str() {
        let is_taken = |key: &ListedKey| key.name.as_ref() == Some(&name) && key.key.id != id;
        if active_keys(&state, &access).await?.iter().any(is_taken) {
            let mut page = NewKeyPage::new(&access, id, &form, now, errors);
            page.is_name_taken = true;
            return Ok(responses::page(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    }
    let save = insert(&state, &access, id, NewKey::new(name, mode, scope).with_conditions(conditions), &form, &raw);
    match mode {
        Mode::Live => access.user.with_recent_authentication(&state, &raw, save).await,
        Mode::Test => save.await,
    }
}

async fn insert(
    state: &AppState,
    access: &Authorized<ManageKeys>,
    id: KeyId,
    new: NewKey,
    form: &CreateKeyForm,
    raw: &RawForm,
) -> PageResult {
    let (name, mode, scope) = (new.name.to_string(), new.mode, new.scope.label());
    match state.app.create_key_once(&access.permit, id, new).await {
        Ok(created) => Ok(responses::ok(&CreatedPage {
            layout: Layout::of(access, "Key created", "keys"),
            base: access.path(PAGE),
            id: created.key.id.to_string(),
            name,
            mode,
            scope,
            token: created.token.expose(),
            base_url: &access.user.client.base_url,
        })),
        Err(CreateKeyError::Exists) => {
            let key = state.app.queries().key(id).await?.filter(|key| key.key.team == access.team().id);
            let page = ExistsPage {
                layout: Layout::of(access, "Already created", "keys"),
                base: access.path(PAGE),
                key: key.map(|key| KeyRow::of(&key, state.app.clock().now())),
            };
            Ok(responses::page(StatusCode::CONFLICT, &page))
        }
        Err(CreateKeyError::LimitReached) => {
            let mut page = NewKeyPage::new(access, id, form, state.app.clock().now(), FieldErrors::default());
            page.set_full(active_keys(state, access).await?, state.app.clock().now());
            Ok(responses::page(StatusCode::CONFLICT, &page))
        }
        Err(CreateKeyError::Expiry(error)) => {
            let page = NewKeyPage::new(access, id, form, state.app.clock().now(), FieldErrors::one("expires", error));
            Ok(responses::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
        Err(CreateKeyError::Forbidden(_)) => Err(access.permission_lost(state, raw).await),
        Err(CreateKeyError::Store(error)) => Err(error.into()),
    }
}
