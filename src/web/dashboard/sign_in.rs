//! The sign-in page.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use zeroize::Zeroizing;

use askama::Template;

use super::forms::RawForm;
use super::layout::Layout;
use super::rejection::{PageResult, see_other};
use super::responses::{self, SignIn};
use super::session::{ClientSession, CurrentUser, safe_redirect_path};
use crate::web::extract::Query;
use crate::web::{AppState, assets};

/// Prefix of the fields that keep an interrupted form.
const KEPT: &str = "kept.";

pub(super) async fn new(State(state): State<AppState>, client: ClientSession, query: Query) -> PageResult {
    let next = safe_redirect_path(query.get_or_empty("next"));
    if client.session(&state).await?.is_some() {
        return Ok(see_other(next));
    }
    let content = SignIn {
        next,
        signed_out: !query.get_or_empty("signed_out").is_empty(),
        elsewhere: client.elsewhere.as_deref().unwrap_or_default(),
        has_no_accounts: !state.app.queries().has_people().await?,
        ..SignIn::default()
    };
    Ok(responses::sign_in(StatusCode::OK, None, content))
}

#[derive(Deserialize)]
pub(super) struct SignInForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    next: String,
    /// Set if a secret part of the interrupted form was not kept.
    #[serde(default)]
    incomplete: String,
}

#[derive(Template)]
#[template(path = "continue.html")]
struct ContinuePage<'a> {
    layout: Layout,
    action: &'a str,
    /// The page with the form.
    path: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

pub(super) async fn create(State(state): State<AppState>, client: ClientSession, raw: RawForm) -> PageResult {
    let form: SignInForm = raw.parse()?;
    let next = safe_redirect_path(&form.next);
    let kept = raw.with_prefix(KEPT);
    match state.app.sign_in(&form.email, &form.password, client.info()).await {
        Ok(started) => {
            let cookie = client.replace_session(&state, &started).await?;
            let is_resumed = !kept.is_empty() && form.incomplete.is_empty();
            let resumed = if is_resumed { state.app.session(&started.secret).await? } else { None };
            let response = match resumed {
                Some((session, person)) => {
                    let teams = state.app.queries().teams_of(person.id).await?;
                    let user = CurrentUser { client, session, person };
                    let layout = Layout::of_person(&user, &teams, "Continue", "");
                    let path = next.split('?').next().unwrap_or("/");
                    responses::ok(&ContinuePage { layout, action: next, path, fields: kept })
                }
                None => see_other(next),
            };
            Ok((cookie, response).into_response())
        }
        Err(error) => {
            let (message, retry_after) = responses::password_error(error, "Wrong email or password")?;
            let content = SignIn {
                email: &form.email,
                next,
                kept,
                is_incomplete: !form.incomplete.is_empty(),
                error: &message,
                ..SignIn::default()
            };
            Ok(responses::sign_in(StatusCode::UNPROCESSABLE_ENTITY, retry_after, content))
        }
    }
}
