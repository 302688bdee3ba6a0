//! Settings → Integrations.

use askama::Template;
use axum::extract::State;

use super::authorize::Authorized;
use super::layout::Layout;
use super::rejection::PageResult;
use super::responses::ok;
use crate::web::{AppState, assets};
use keyhouse_domain::api_key::ACTIVE_KEYS_MAX;
use keyhouse_domain::permission::ManageKeys;

#[derive(Template)]
#[template(path = "integrations.html")]
struct IntegrationsPage {
    layout: Layout,
    base: String,
    active: u32,
    max: u32,
}

pub(super) async fn index(State(state): State<AppState>, access: Authorized<ManageKeys>) -> PageResult {
    let active = state.app.active_key_count(access.team().id).await?;
    let layout = Layout::of(&access, "Integrations", "integrations");
    Ok(ok(&IntegrationsPage { layout, base: access.path("/settings/integrations"), active, max: ACTIVE_KEYS_MAX }))
}
