//! Settings → Integrations → API keys: make, name, watch and revoke them.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::forms::FieldErrors;
use super::layout::{self, Layout, TimeTag, address, name_of, ok};
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{Authorized, AuthorizedForm, LastPathParam};
use crate::app::keys::{CreateKeyError, RenameKeyError, Revocation, RevokeKeyError};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, KeyState, ListedKey, NewKey};
use keyhouse_domain::ids::KeyId;
use keyhouse_domain::permission::ManageKeys;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_token::Mode;

pub(super) const PAGE: &str = "/settings/integrations/api-keys";
/// A key that was used within this is in use: ending it stops something.
const IN_USE_DAYS: i64 = 7;
/// A key that was not used for so long is worth a question.
const UNUSED_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A key as the page shows it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) mode: Mode,
    pub(super) scope: &'static str,
    pub(super) creator: String,
    pub(super) created: TimeTag,
    pub(super) last_used: Option<TimeTag>,
    pub(super) last_from: String,
    /// "Unused for 42 days"; empty if there is nothing to remark.
    pub(super) hint: String,
    /// By whom, when, and when the row goes.
    pub(super) revoked: Option<(String, TimeTag, TimeTag)>,
    pub(super) is_new: bool,
}

impl Row {
    pub(super) fn of(key: &ListedKey, now: Timestamp) -> Self {
        let since = key.last_use.as_ref().map_or(key.key.created_at, |used| used.at);
        let days = (now.ms() - since.ms()) / DAY_MS;
        let revoked = match &key.key.state {
            KeyState::Active => None,
            KeyState::Revoked { at, by } => {
                let gone = key.key.listed_until().unwrap_or(*at);
                Some((by.name.clone(), TimeTag::past(*at, now), TimeTag::future(gone, now)))
            }
        };
        Self {
            id: key.key.id.to_string(),
            name: key.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            prefix: key.key.prefix.to_string(),
            mode: key.key.mode,
            scope: key.key.scope.label(),
            creator: name_of(&key.creator, key.creator_has_left),
            created: TimeTag::past(key.key.created_at, now),
            last_used: key.last_use.as_ref().map(|used| TimeTag::past(used.at, now)),
            last_from: key.last_use.as_ref().map_or_else(String::new, |used| used.from.clone()),
            hint: if days >= UNUSED_DAYS { format!("Unused for {days} days") } else { String::new() },
            revoked,
            is_new: false,
        }
    }
}

#[derive(Template)]
#[template(path = "keys.html")]
struct ListPage {
    frame: Layout,
    base: String,
    /// Integrations, which this page is one of.
    base_up: String,
    settings: String,
    active: Vec<Row>,
    revoked: Vec<Row>,
    count: u32,
    max: u32,
    mode: Option<Mode>,
    /// `active`, `revoked`, or empty for both.
    status: &'static str,
    total: usize,
}

impl ListPage {
    fn link(&self, mode: &str, status: &str) -> String {
        address(&self.base, [("mode", mode), ("status", status)])
    }

    fn mode_word(&self) -> &'static str {
        self.mode.map_or("", Mode::as_str)
    }
}

/// The keys that a page may look at: the team's own.
async fn find(state: &AppState, authorized: &Authorized<ManageKeys>, id: KeyId) -> Result<ListedKey, Rejection> {
    let keys = state.app.keys_of(authorized.team()).await?;
    keys.into_iter().find(|key| key.key.id == id).ok_or_else(Rejection::not_found)
}

pub(super) async fn list(
    State(state): State<AppState>,
    authorized: Authorized<ManageKeys>,
    query: Query,
) -> PageResult {
    let now = state.app.clock().now();
    let keys = state.app.keys_of(authorized.team()).await?;
    let about = query.get_or_empty("key");
    let named = keys.iter().find(|key| key.key.id.to_string() == about);
    let name = named.and_then(|key| key.name.as_ref()).map_or("", KeyName::as_str);
    let done = match (query.get_or_empty("done"), named) {
        ("renamed", Some(_)) => format!("Renamed to {name}"),
        ("revoked", Some(key)) if !key.key.is_active() => format!("Revoked {name}"),
        _ => String::new(),
    };
    let mode = Mode::parse(query.get_or_empty("mode"));
    let status = ["active", "revoked"].into_iter().find(|status| *status == query.get_or_empty("status")).unwrap_or("");
    let count = keys.iter().filter(|key| key.key.is_active()).count();
    let shown = keys.iter().filter(|key| mode.is_none_or(|mode| key.key.mode == mode));
    let (active, revoked): (Vec<_>, Vec<_>) = shown.partition(|key| key.key.is_active());
    let rows = |keys: Vec<&ListedKey>, wanted: bool| {
        let row = |key: &&ListedKey| Row { is_new: key.key.id.to_string() == about, ..Row::of(key, now) };
        if wanted { keys.iter().map(row).collect() } else { Vec::new() }
    };
    Ok(ok(&ListPage {
        frame: Layout::of(&authorized, "API keys", "keys").with_message(done),
        base: authorized.at(PAGE),
        base_up: authorized.at("/settings/integrations"),
        settings: authorized.at("/settings"),
        active: rows(active, status != "revoked"),
        revoked: rows(revoked, status != "active"),
        count: u32::try_from(count).unwrap_or(ACTIVE_KEYS_MAX),
        max: ACTIVE_KEYS_MAX,
        mode,
        status,
        total: keys.len(),
    }))
}

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewPage<'a> {
    frame: Layout,
    base: String,
    id: String,
    name: &'a str,
    mode: Option<Mode>,
    scope: Option<Scope>,
    max_name: usize,
    faults: FieldErrors,
    /// Why there can be no more keys; empty if there can.
    full: bool,
    max: u32,
}

pub(super) async fn new(State(state): State<AppState>, authorized: Authorized<ManageKeys>, query: Query) -> PageResult {
    let full = state.app.active_keys(authorized.team()).await? >= ACTIVE_KEYS_MAX;
    // An id that comes along is that of a form which was interrupted: it stays the same form.
    let id = query.get_or_empty("id").parse().unwrap_or_else(|_| state.app.new_key_id());
    Ok(ok(&NewPage {
        frame: Layout::of(&authorized, "Create API key", "keys"),
        base: authorized.at(PAGE),
        id: id.to_string(),
        name: query.get_or_empty("name"),
        mode: Mode::parse(query.get_or_empty("mode")),
        scope: Scope::parse(query.get_or_empty("scope")),
        max_name: KeyName::MAX,
        faults: FieldErrors::default(),
        full,
        max: ACTIVE_KEYS_MAX,
    }))
}

#[derive(Template)]
#[template(path = "key_created.html")]
struct CreatedPage<'a> {
    frame: Layout,
    base: String,
    id: String,
    name: String,
    mode: Mode,
    scope: &'static str,
    token: &'a str,
    url: String,
}

#[derive(Template)]
#[template(path = "key_exists.html")]
struct ExistsPage {
    frame: Layout,
    base: String,
    key: Option<Row>,
}

pub(super) async fn create(
    State(state): State<AppState>,
    AuthorizedForm { who: mut authorized, form }: AuthorizedForm<Authorized<ManageKeys>>,
) -> PageResult {
    let mut faults = FieldErrors::default();
    let name = faults.check("name", KeyName::parse(form.get("name")));
    let mode = Mode::parse(form.get("mode"));
    let scope = Scope::parse(form.get("scope"));
    if mode.is_none() {
        faults.add("mode", "Choose live or test");
    }
    if scope.is_none() {
        faults.add("scope", "Choose what the key may do");
    }
    let id: KeyId = form.get("id").parse().unwrap_or_else(|_| state.app.new_key_id());
    let mut full = false;
    if let (Some(name), Some(mode), Some(scope), true) = (name, mode, scope, faults.is_empty()) {
        if mode == Mode::Live {
            authorized.signed_in.reauthenticate(&state, &form).await?;
        }
        match state.app.create_key_once(&authorized.permit, id, NewKey { name: name.clone(), mode, scope }).await {
            Ok(created) => {
                return Ok(ok(&CreatedPage {
                    frame: Layout::of(&authorized, "Key created", "keys"),
                    base: authorized.at(PAGE),
                    id: created.key.id.to_string(),
                    name: name.as_str().to_owned(),
                    mode,
                    scope: scope.label(),
                    token: created.token.expose(),
                    url: authorized.signed_in.client.reached.clone(),
                }));
            }
            Err(CreateKeyError::Exists) => {
                let keys = state.app.keys_of(authorized.team()).await?;
                let now = state.app.clock().now();
                let page = ExistsPage {
                    frame: Layout::of(&authorized, "This key exists", "keys"),
                    base: authorized.at(PAGE),
                    key: keys.iter().find(|key| key.key.id == id).map(|key| Row::of(key, now)),
                };
                return Ok(layout::page(StatusCode::CONFLICT, &page));
            }
            Err(CreateKeyError::LimitReached) => full = true,
            Err(CreateKeyError::Forbidden) => return Err(authorized.permission_lost(&state).await),
            Err(CreateKeyError::Store(error)) => return Err(error.into()),
        }
    }
    let page = NewPage {
        frame: Layout::of(&authorized, "Create API key", "keys"),
        base: authorized.at(PAGE),
        id: id.to_string(),
        name: form.get("name"),
        mode,
        scope,
        max_name: KeyName::MAX,
        faults,
        full,
        max: ACTIVE_KEYS_MAX,
    };
    Ok(layout::page(if full { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY }, &page))
}

#[derive(Template)]
#[template(path = "key_rename.html")]
struct RenamePage<'a> {
    frame: Layout,
    base: String,
    key: Row,
    name: &'a str,
    max_name: usize,
    faults: FieldErrors,
}

pub(super) async fn rename_form(
    State(state): State<AppState>,
    authorized: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
    query: Query,
) -> PageResult {
    let key = Row::of(&find(&state, &authorized, id).await?, state.app.clock().now());
    let name =
        if query.get_or_empty("name").is_empty() { key.name.clone() } else { query.get_or_empty("name").to_owned() };
    rename_page(&authorized, key, &name, FieldErrors::default())
}

fn rename_page(authorized: &Authorized<ManageKeys>, key: Row, name: &str, faults: FieldErrors) -> PageResult {
    let frame = Layout::of(authorized, &format!("Rename {}", key.name), "keys");
    let page = RenamePage { frame, base: authorized.at(PAGE), key, name, max_name: KeyName::MAX, faults };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn rename(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { who: authorized, form }: AuthorizedForm<Authorized<ManageKeys>>,
) -> PageResult {
    let key = find(&state, &authorized, id).await?;
    let row = Row::of(&key, state.app.clock().now());
    let name = match KeyName::parse(form.get("name")) {
        Ok(name) => name,
        Err(error) => return rename_page(&authorized, row, form.get("name"), FieldErrors::one("name", error)),
    };
    match state.app.rename_key(&authorized.permit, id, &name).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed&key={id}", authorized.at(PAGE)))),
        Err(RenameKeyError::NoSuchKey) => Err(Rejection::not_found()),
        Err(error @ RenameKeyError::Revoked) => {
            rename_page(&authorized, row, form.get("name"), FieldErrors::one("name", error))
        }
        Err(RenameKeyError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(RenameKeyError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage {
    frame: Layout,
    base: String,
    key: Row,
    /// The key's name must be typed.
    type_name: bool,
    faults: FieldErrors,
}

/// Ending a live key that is in use stops something: then its name must be typed.
fn is_in_use(key: &ListedKey, now: Timestamp) -> bool {
    let used = key.last_use.as_ref().is_some_and(|used| now.ms() - used.at.ms() < IN_USE_DAYS * DAY_MS);
    key.key.mode == Mode::Live && used
}

fn revoke_page(
    authorized: &Authorized<ManageKeys>,
    key: &ListedKey,
    now: Timestamp,
    faults: FieldErrors,
) -> PageResult {
    let row = Row::of(key, now);
    let page = RevokePage {
        frame: Layout::of(authorized, &format!("Revoke {}?", row.name), "keys"),
        base: authorized.at(PAGE),
        key: row,
        type_name: is_in_use(key, now),
        faults,
    };
    Ok(layout::form(&page.faults, &page))
}

pub(super) async fn revoke_form(
    State(state): State<AppState>,
    authorized: Authorized<ManageKeys>,
    LastPathParam(id): LastPathParam<KeyId>,
) -> PageResult {
    let key = find(&state, &authorized, id).await?;
    revoke_page(&authorized, &key, state.app.clock().now(), FieldErrors::default())
}

pub(super) async fn revoke(
    State(state): State<AppState>,
    LastPathParam(id): LastPathParam<KeyId>,
    AuthorizedForm { who: mut authorized, form }: AuthorizedForm<Authorized<ManageKeys>>,
) -> PageResult {
    let key = find(&state, &authorized, id).await?;
    let now = state.app.clock().now();
    let name = key.name.as_ref().map_or("", KeyName::as_str);
    if key.key.is_active() && is_in_use(&key, now) && form.get("name").trim() != name {
        let sentence = "This is not the key’s name; type it as it stands above";
        return revoke_page(&authorized, &key, now, FieldErrors::one("name", sentence));
    }
    if key.key.mode == Mode::Live && key.key.is_active() {
        authorized.signed_in.reauthenticate(&state, &form).await?;
    }
    match state.app.revoke_key(&authorized.permit, id).await {
        Ok(Revocation::Now | Revocation::Before) => {
            Ok(see_other(&format!("{}?done=revoked&key={id}", authorized.at(PAGE))))
        }
        Err(RevokeKeyError::NoSuchKey) => Err(Rejection::not_found()),
        Err(RevokeKeyError::Forbidden) => Err(authorized.permission_lost(&state).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}
