//! Settings → Integrations → API keys: the list.

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::key_row::{KeyRow, PAGE};
use super::layout::Layout;
use super::rejection::PageResult;
use super::responses::{ok, url};
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::{ACTIVE_KEYS_MAX, KeyName, ListedKey};
use keyhouse_domain::permission::ManageKeys;
use keyhouse_token::Mode;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    layout: Layout,
    base: String,
    integrations: String,
    settings: String,
    active: Vec<KeyRow>,
    revoked: Vec<KeyRow>,
    count: u32,
    max: u32,
    mode: Option<Mode>,
    /// `active`, `revoked`, or empty for both.
    status: &'static str,
    total: usize,
}

impl KeysPage {
    fn link(&self, mode: &str, status: &str) -> String {
        url(&self.base, [("mode", mode), ("status", status)])
    }

    fn mode_word(&self) -> &'static str {
        self.mode.map_or("", Mode::as_str)
    }
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageKeys>, query: Query) -> PageResult {
    let now = state.app.clock().now();
    let keys = state.app.keys_of(access.team()).await?;
    // The key that the person has just created, renamed or revoked.
    let about = query.get_or_empty("key");
    let about_key = keys.iter().find(|key| key.key.id.to_string() == about);
    let name = about_key.and_then(|key| key.name.as_ref()).map_or("", KeyName::as_str);
    let message = match (query.get_or_empty("done"), about_key) {
        ("renamed", Some(_)) => format!("Renamed to {name}"),
        ("revoked", Some(key)) if !key.key.is_active() => format!("Revoked {name}"),
        _ => String::new(),
    };
    let mode = Mode::parse(query.get_or_empty("mode"));
    let status = ["active", "revoked"].into_iter().find(|status| *status == query.get_or_empty("status")).unwrap_or("");
    let count = keys.iter().filter(|key| key.key.is_active()).count();
    let shown = keys.iter().filter(|key| mode.is_none_or(|mode| key.key.mode == mode));
    let (active, revoked): (Vec<_>, Vec<_>) = shown.partition(|key| key.key.is_active());
    let rows = |keys: Vec<&ListedKey>, is_shown: bool| {
        let row = |key: &&ListedKey| KeyRow { is_new: key.key.id.to_string() == about, ..KeyRow::of(key, now) };
        if is_shown { keys.iter().map(row).collect() } else { Vec::new() }
    };
    Ok(ok(&KeysPage {
        layout: Layout::of(&access, "API keys", "keys").with_message(message),
        base: access.path(PAGE),
        integrations: access.path("/settings/integrations"),
        settings: access.path("/settings"),
        active: rows(active, status != "revoked"),
        revoked: rows(revoked, status != "active"),
        count: u32::try_from(count).unwrap_or(ACTIVE_KEYS_MAX),
        max: ACTIVE_KEYS_MAX,
        mode,
        status,
        total: keys.len(),
    }))
}
