//! What the docs fill into their examples for a person who is signed in: `GET /account/docs`. The docs themselves are the
//! same for all readers, so that they can be cached.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::key_row::PAGE;
use super::rejection::Rejection;
use super::session::ClientSession;
use crate::web::AppState;
use crate::web::json::json_response;
use keyhouse_token::Mode;

/// The path of the keys page and the prefix of a test key, of the team that the person opened last, if they manage its keys;
/// an empty object otherwise.
pub(super) async fn show(State(state): State<AppState>, client: ClientSession) -> Result<Response, Rejection> {
    let mut context = json!({});
    if let Some((_, person)) = client.session(&state).await? {
        let teams = state.app.queries().teams_of(person.id).await?;
        let mut managed: Vec<_> = teams.iter().filter(|(_, role)| role.administers()).map(|(team, _)| team).collect();
        managed.sort_by_key(|team| client.last_team.as_deref() != Some(team.slug.as_str()));
        if let Some(team) = managed.first() {
            let keys = state.app.active_keys_of(team.id).await?;
            let test = keys.iter().find(|key| key.key.mode == Mode::Test);
            context = json!({
                "keys": format!("/t/{}{PAGE}", team.slug.as_str()),
                "prefix": test.map(|key| key.key.prefix().to_string()),
            });
        }
    }
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((no_store, json_response(StatusCode::OK, context.to_string())).into_response())
}
