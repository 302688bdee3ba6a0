//! Signing out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::forms::{FORM_OWNER, RawForm};
use super::rejection::{PageResult, see_other};
use super::responses;
use super::session::{ClientSession, CurrentUser};
use crate::web::AppState;

/// Links may lead here; the button to sign out is on every page.
pub(super) async fn show() -> Response {
    see_other("/account")
}

/// Ends this browser's session. Without one there is nothing to do, and no error.
pub(super) async fn destroy(State(state): State<AppState>, client: ClientSession, form: RawForm) -> PageResult {
    if let Some((session, person)) = client.session(&state).await? {
        if form.get(FORM_OWNER) != person.id.to_string() {
            let user = CurrentUser { client, session, person };
            return responses::not_your_form(&state, &user, "/account").await;
        }
        state.app.sign_out(&person, Some(session.id), client.info()).await?;
    }
    Ok((client.cookies.clear_session(), see_other("/sign-in?signed_out=1")).into_response())
}
