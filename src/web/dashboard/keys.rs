//! Settings → Integrations → API keys: make, name, watch and revoke them.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::form::Faults;
use super::halt::{Answer, Halt, see_other};
use super::pages::{self, Frame, Moment, address, name_of, ok};
use super::visitor::{Holds, Posted, Rest};
use crate::app::keys::{CreateKeyError, RenameKeyError, Revocation, RevokeKeyError};
use crate::domain::ids::KeyId;
use crate::domain::key::{ACTIVE_KEYS_MAX, KeyName, KeyState, ListedKey, Mode, NewKey, Scope};
use crate::domain::role::ManageKeys;
use crate::domain::timestamp::Timestamp;
use crate::web::extract::Query;
use crate::web::{Web, assets};

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
    pub(super) created: Moment,
    pub(super) last_used: Option<Moment>,
    pub(super) last_from: String,
    /// "Unused for 42 days"; empty if there is nothing to remark.
    pub(super) hint: String,
    /// By whom, when, and when the row goes.
    pub(super) revoked: Option<(String, Moment, Moment)>,
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
                Some((by.name.clone(), Moment::past(*at, now), Moment::future(gone, now)))
            }
        };
        Self {
            id: key.key.id.to_string(),
            name: key.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            prefix: key.key.prefix.to_string(),
            mode: key.key.mode,
            scope: key.key.scope.label(),
            creator: name_of(&key.creator, key.creator_has_left),
            created: Moment::past(key.key.created_at, now),
            last_used: key.last_use.as_ref().map(|used| Moment::past(used.at, now)),
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
    frame: Frame,
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
async fn find(web: &Web, holds: &Holds<ManageKeys>, id: KeyId) -> Result<ListedKey, Halt> {
    let keys = web.app.keys_of(holds.team()).await?;
    keys.into_iter().find(|key| key.key.id == id).ok_or_else(Halt::absent)
}

pub async fn list(State(web): State<Web>, holds: Holds<ManageKeys>, query: Query) -> Answer {
    let now = web.app.clock().now();
    let keys = web.app.keys_of(holds.team()).await?;
    let about = query.text("key");
    let named = keys.iter().find(|key| key.key.id.to_string() == about);
    let name = named.and_then(|key| key.name.as_ref()).map_or("", KeyName::as_str);
    let done = match (query.text("done"), named) {
        ("renamed", Some(_)) => format!("Renamed to {name}"),
        ("revoked", Some(key)) if !key.key.is_active() => format!("Revoked {name}"),
        _ => String::new(),
    };
    let mode = Mode::parse(query.text("mode"));
    let status = ["active", "revoked"].into_iter().find(|status| *status == query.text("status")).unwrap_or("");
    let count = keys.iter().filter(|key| key.key.is_active()).count();
    let shown = keys.iter().filter(|key| mode.is_none_or(|mode| key.key.mode == mode));
    let (active, revoked): (Vec<_>, Vec<_>) = shown.partition(|key| key.key.is_active());
    let rows = |keys: Vec<&ListedKey>, wanted: bool| {
        let row = |key: &&ListedKey| Row { is_new: key.key.id.to_string() == about, ..Row::of(key, now) };
        if wanted { keys.iter().map(row).collect() } else { Vec::new() }
    };
    Ok(ok(&ListPage {
        frame: Frame::of(&holds, "API keys", "keys").saying(done),
        base: holds.at(PAGE),
        base_up: holds.at("/settings/integrations"),
        settings: holds.at("/settings"),
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
    frame: Frame,
    base: String,
    id: String,
    name: &'a str,
    mode: Option<Mode>,
    scope: Option<Scope>,
    max_name: usize,
    faults: Faults,
    /// Why there can be no more keys; empty if there can.
    full: bool,
    max: u32,
}

pub async fn new(State(web): State<Web>, holds: Holds<ManageKeys>, query: Query) -> Answer {
    let full = web.app.active_keys(holds.team()).await? >= ACTIVE_KEYS_MAX;
    // An id that comes along is that of a form which was interrupted: it stays the same form.
    let id = query.text("id").parse().unwrap_or_else(|_| web.app.new_key_id());
    Ok(ok(&NewPage {
        frame: Frame::of(&holds, "Create API key", "keys"),
        base: holds.at(PAGE),
        id: id.to_string(),
        name: query.text("name"),
        mode: Mode::parse(query.text("mode")),
        scope: Scope::parse(query.text("scope")),
        max_name: KeyName::MAX,
        faults: Faults::default(),
        full,
        max: ACTIVE_KEYS_MAX,
    }))
}

#[derive(Template)]
#[template(path = "key_created.html")]
struct CreatedPage<'a> {
    frame: Frame,
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
    frame: Frame,
    base: String,
    key: Option<Row>,
}

pub async fn create(State(web): State<Web>, Posted { who: mut holds, form }: Posted<Holds<ManageKeys>>) -> Answer {
    let mut faults = Faults::default();
    let name = faults.check("name", KeyName::parse(form.get("name")));
    let mode = Mode::parse(form.get("mode"));
    let scope = Scope::parse(form.get("scope"));
    if mode.is_none() {
        faults.add("mode", "Choose live or test");
    }
    if scope.is_none() {
        faults.add("scope", "Choose what the key may do");
    }
    let id: KeyId = form.get("id").parse().unwrap_or_else(|_| web.app.new_key_id());
    let mut full = false;
    if let (Some(name), Some(mode), Some(scope), true) = (name, mode, scope, faults.is_empty()) {
        if mode == Mode::Live {
            holds.signed_in.prove(&web, &form).await?;
        }
        match web.app.create_key_once(&holds.permit, id, NewKey { name: name.clone(), mode, scope }).await {
            Ok(created) => {
                return Ok(ok(&CreatedPage {
                    frame: Frame::of(&holds, "Key created", "keys"),
                    base: holds.at(PAGE),
                    id: created.key.id.to_string(),
                    name: name.as_str().to_owned(),
                    mode,
                    scope: scope.label(),
                    token: created.token.expose(),
                    url: holds.signed_in.visitor.reached.clone(),
                }));
            }
            Err(CreateKeyError::Exists) => {
                let keys = web.app.keys_of(holds.team()).await?;
                let now = web.app.clock().now();
                let page = ExistsPage {
                    frame: Frame::of(&holds, "This key exists", "keys"),
                    base: holds.at(PAGE),
                    key: keys.iter().find(|key| key.key.id == id).map(|key| Row::of(key, now)),
                };
                return Ok(pages::page(StatusCode::CONFLICT, &page));
            }
            Err(CreateKeyError::CapReached) => full = true,
            Err(CreateKeyError::NotAllowed) => return Err(holds.lost(&web).await),
            Err(CreateKeyError::Store(error)) => return Err(error.into()),
        }
    }
    let page = NewPage {
        frame: Frame::of(&holds, "Create API key", "keys"),
        base: holds.at(PAGE),
        id: id.to_string(),
        name: form.get("name"),
        mode,
        scope,
        max_name: KeyName::MAX,
        faults,
        full,
        max: ACTIVE_KEYS_MAX,
    };
    Ok(pages::page(if full { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY }, &page))
}

#[derive(Template)]
#[template(path = "key_rename.html")]
struct RenamePage<'a> {
    frame: Frame,
    base: String,
    key: Row,
    name: &'a str,
    max_name: usize,
    faults: Faults,
}

pub async fn rename_form(
    State(web): State<Web>,
    holds: Holds<ManageKeys>,
    Rest(id): Rest<KeyId>,
    query: Query,
) -> Answer {
    let key = Row::of(&find(&web, &holds, id).await?, web.app.clock().now());
    let name = if query.text("name").is_empty() { key.name.clone() } else { query.text("name").to_owned() };
    rename_page(&holds, key, &name, Faults::default())
}

fn rename_page(holds: &Holds<ManageKeys>, key: Row, name: &str, faults: Faults) -> Answer {
    let frame = Frame::of(holds, &format!("Rename {}", key.name), "keys");
    let page = RenamePage { frame, base: holds.at(PAGE), key, name, max_name: KeyName::MAX, faults };
    Ok(pages::form(&page.faults, &page))
}

pub async fn rename(
    State(web): State<Web>,
    Rest(id): Rest<KeyId>,
    Posted { who: holds, form }: Posted<Holds<ManageKeys>>,
) -> Answer {
    let key = find(&web, &holds, id).await?;
    let row = Row::of(&key, web.app.clock().now());
    let name = match KeyName::parse(form.get("name")) {
        Ok(name) => name,
        Err(error) => return rename_page(&holds, row, form.get("name"), Faults::one("name", error)),
    };
    match web.app.rename_key(&holds.permit, id, &name).await {
        Ok(()) => Ok(see_other(&format!("{}?done=renamed&key={id}", holds.at(PAGE)))),
        Err(RenameKeyError::NoSuchKey) => Err(Halt::absent()),
        Err(error @ RenameKeyError::Revoked) => rename_page(&holds, row, form.get("name"), Faults::one("name", error)),
        Err(RenameKeyError::NotAllowed) => Err(holds.lost(&web).await),
        Err(RenameKeyError::Store(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage {
    frame: Frame,
    base: String,
    key: Row,
    /// The key's name must be typed.
    type_name: bool,
    faults: Faults,
}

/// Ending a live key that is in use stops something: then its name must be typed.
fn is_in_use(key: &ListedKey, now: Timestamp) -> bool {
    let used = key.last_use.as_ref().is_some_and(|used| now.ms() - used.at.ms() < IN_USE_DAYS * DAY_MS);
    key.key.mode == Mode::Live && used
}

fn revoke_page(holds: &Holds<ManageKeys>, key: &ListedKey, now: Timestamp, faults: Faults) -> Answer {
    let row = Row::of(key, now);
    let page = RevokePage {
        frame: Frame::of(holds, &format!("Revoke {}?", row.name), "keys"),
        base: holds.at(PAGE),
        key: row,
        type_name: is_in_use(key, now),
        faults,
    };
    Ok(pages::form(&page.faults, &page))
}

pub async fn revoke_form(State(web): State<Web>, holds: Holds<ManageKeys>, Rest(id): Rest<KeyId>) -> Answer {
    let key = find(&web, &holds, id).await?;
    revoke_page(&holds, &key, web.app.clock().now(), Faults::default())
}

pub async fn revoke(
    State(web): State<Web>,
    Rest(id): Rest<KeyId>,
    Posted { who: mut holds, form }: Posted<Holds<ManageKeys>>,
) -> Answer {
    let key = find(&web, &holds, id).await?;
    let now = web.app.clock().now();
    let name = key.name.as_ref().map_or("", KeyName::as_str);
    if key.key.is_active() && is_in_use(&key, now) && form.get("name").trim() != name {
        let sentence = "This is not the key’s name; type it as it stands above";
        return revoke_page(&holds, &key, now, Faults::one("name", sentence));
    }
    if key.key.mode == Mode::Live && key.key.is_active() {
        holds.signed_in.prove(&web, &form).await?;
    }
    match web.app.revoke_key(&holds.permit, id).await {
        Ok(Revocation::Now | Revocation::Before) => Ok(see_other(&format!("{}?done=revoked&key={id}", holds.at(PAGE)))),
        Err(RevokeKeyError::NoSuchKey) => Err(Halt::absent()),
        Err(RevokeKeyError::NotAllowed) => Err(holds.lost(&web).await),
        Err(RevokeKeyError::Store(error)) => Err(error.into()),
    }
}
