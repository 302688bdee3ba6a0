//! Keeps the sidebar on *Page not found* for a person who is signed in.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::layout::Layout;
use super::rejection::Rejection;
use super::session::ClientSession;
use crate::web::AppState;
use crate::web::error::ApiError;
use keyhouse_domain::permission::Membership;

/// What `render_error` puts around the page of an error.
#[derive(Clone)]
pub(super) struct ErrorFrame(pub Arc<Layout>);

/// Adds the frame to a response of 404. A request without a cookie has no session, and costs nothing.
pub(in crate::web) async fn keep_sidebar(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let kept = parts.headers.contains_key(header::COOKIE).then(|| parts.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let is_absent =
        response.status() == StatusCode::NOT_FOUND && response.extensions().get::<Arc<ApiError>>().is_some();
    if let Some(mut parts) = kept.filter(|_| is_absent) {
        // Without the frame the page says the same.
        if let Ok(Some(layout)) = layout(&state, &mut parts).await {
            response.extensions_mut().insert(ErrorFrame(Arc::new(layout)));
        }
    }
    response
}

async fn layout(state: &AppState, parts: &mut Parts) -> Result<Option<Layout>, Rejection> {
    let client = ClientSession::from_request_parts(parts, state).await?;
    let Some((session, person)) = client.session(state).await? else { return Ok(None) };
    let mut teams = state.app.queries().teams_of(person.id).await?;
    teams.sort_by_key(|(team, _)| client.last_team.as_deref() != Some(team.slug.as_str()));
    if teams.is_empty() {
        return Ok(None);
    }
    let (team, role) = teams.remove(0);
    let client_ip = client.ip.to_string();
    let membership = Membership { team, role, person, session: session.id, client_ip };
    Ok(Some(Layout::for_member(&membership, "Page not found")))
}
