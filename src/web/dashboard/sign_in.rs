//! In and out: the sign-in page, signing out, and where the start leads.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::forms::Form;
use super::layout::{Layout, ok, page};
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{ClientSession, CurrentUser, safe_redirect_path};
use crate::app::sessions::SignInError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    email: &'a str,
    next: &'a str,
    /// Somebody was about to change something when their session ended.
    cut_off: bool,
    signed_out: bool,
    fault: &'a str,
}

pub(super) async fn form(State(state): State<AppState>, client: ClientSession, query: Query) -> PageResult {
    let next = safe_redirect_path(query.get_or_empty("next"));
    if client.session(&state).await?.is_some() {
        return Ok(see_other(next));
    }
    Ok(ok(&SignInPage {
        email: "",
        next,
        cut_off: !query.get_or_empty("cut_off").is_empty(),
        signed_out: !query.get_or_empty("signed_out").is_empty(),
        fault: "",
    }))
}

pub(super) async fn sign_in(State(state): State<AppState>, client: ClientSession, form: Form) -> PageResult {
    let next = safe_redirect_path(form.get("next"));
    match state.app.sign_in(form.get("email"), form.get("password"), client.browser()).await {
        Ok(started) => {
            client.set_session_cookie(&started.secret);
            Ok(see_other(next))
        }
        Err(error) => {
            let (sentence, wait) = refusal(error)?;
            let again =
                SignInPage { email: form.get("email"), next, cut_off: false, signed_out: false, fault: &sentence };
            Ok(refused(wait, StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

/// A form again, with `status` or, after too many tries, 429 and the wait. Never 401: it would need a challenge, and
/// browsers' own dialogs are not ours.
pub(super) fn refused(wait: Option<u64>, status: StatusCode, template: &impl Template) -> Response {
    let Some(seconds) = wait else { return page(status, template) };
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, template);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// What is said of a sign-in that failed, and how long to wait; what is no matter of the password stops the page.
pub(super) fn refusal(error: SignInError) -> Result<(String, Option<u64>), Rejection> {
    match error {
        SignInError::InvalidCredentials => Ok(("The e-mail address or the password is wrong".to_owned(), None)),
        SignInError::RateLimited(seconds) => {
            let minutes = seconds.div_ceil(60);
            let s = if minutes == 1 { "" } else { "s" };
            let sentence = format!("Too many wrong passwords. Wait {minutes} minute{s}, or ask for a reset link");
            Ok((sentence, Some(seconds)))
        }
        SignInError::Overloaded(busy) => Err(busy.into()),
        SignInError::Store(error) => Err(error.into()),
    }
}

/// Ends this browser's session. Without one there is nothing to end, and no fault.
pub(super) async fn sign_out(State(state): State<AppState>, client: ClientSession) -> PageResult {
    if let Some((session, person)) = client.session(&state).await? {
        state.app.sign_out(&person, Some(session.id), client.browser()).await?;
    }
    client.clear_session_cookie();
    Ok(see_other("/sign-in?signed_out=1"))
}

/// For who follows a link to it: the button is elsewhere.
pub(super) async fn sign_out_form() -> Response {
    see_other("/account")
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    frame: Layout,
    teams: Vec<(Team, Role)>,
}

/// To the one team or the last one looked at, or to a choice of them.
pub(super) async fn start(State(state): State<AppState>, signed_in: CurrentUser) -> PageResult {
    let teams = state.app.teams_of(signed_in.person.id).await?;
    let last = teams.iter().find(|(team, _)| signed_in.client.last_team.as_deref() == Some(team.slug.as_str()));
    let only = teams.first().filter(|_| teams.len() == 1);
    if let Some((team, _)) = last.or(only) {
        return Ok(see_other(&format!("/t/{}/products", team.slug.as_str())));
    }
    let frame = Layout::personal(&signed_in, &teams, "Your teams", "start");
    Ok(ok(&StartPage { frame, teams }))
}
