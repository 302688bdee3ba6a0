//! In and out: the sign-in page, signing out, and where the start leads.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::form::Form;
use super::halt::{Answer, Halt, see_other};
use super::pages::{Frame, ok, page};
use super::visitor::{SignedIn, Visitor, local};
use crate::app::sign_in::SignInError;
use crate::domain::role::Role;
use crate::domain::team::Team;
use crate::web::extract::Query;
use crate::web::{Web, assets};

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

pub async fn form(State(web): State<Web>, visitor: Visitor, query: Query) -> Answer {
    let next = local(query.text("next"));
    if visitor.session(&web).await?.is_some() {
        return Ok(see_other(next));
    }
    Ok(ok(&SignInPage {
        email: "",
        next,
        cut_off: !query.text("cut_off").is_empty(),
        signed_out: !query.text("signed_out").is_empty(),
        fault: "",
    }))
}

pub async fn sign_in(State(web): State<Web>, visitor: Visitor, form: Form) -> Answer {
    let next = local(form.get("next"));
    match web.app.sign_in(form.get("email"), form.get("password"), visitor.browser()).await {
        Ok(started) => {
            visitor.remember(&started.secret);
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
pub fn refused(wait: Option<u64>, status: StatusCode, template: &impl Template) -> Response {
    let Some(seconds) = wait else { return page(status, template) };
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, template);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// What is said of a sign-in that failed, and how long to wait; what is no matter of the password stops the page.
pub fn refusal(error: SignInError) -> Result<(String, Option<u64>), Halt> {
    match error {
        SignInError::Wrong => Ok(("The e-mail address or the password is wrong".to_owned(), None)),
        SignInError::TooMany(seconds) => {
            let minutes = seconds.div_ceil(60);
            let s = if minutes == 1 { "" } else { "s" };
            let sentence = format!("Too many wrong passwords. Wait {minutes} minute{s}, or ask for a reset link");
            Ok((sentence, Some(seconds)))
        }
        SignInError::Busy(busy) => Err(busy.into()),
        SignInError::Store(error) => Err(error.into()),
    }
}

/// Ends this browser's session. Without one there is nothing to end, and no fault.
pub async fn sign_out(State(web): State<Web>, visitor: Visitor) -> Answer {
    if let Some((session, person)) = visitor.session(&web).await? {
        web.app.sign_out(&person, Some(session.id), visitor.browser()).await?;
    }
    visitor.forget();
    Ok(see_other("/sign-in?signed_out=1"))
}

/// For who follows a link to it: the button is elsewhere.
pub async fn sign_out_form() -> Response {
    see_other("/account")
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    frame: Frame,
    teams: Vec<(Team, Role)>,
}

/// To the one team or the last one looked at, or to a choice of them.
pub async fn start(State(web): State<Web>, signed_in: SignedIn) -> Answer {
    let teams = web.app.teams_of(signed_in.person.id).await?;
    let last = teams.iter().find(|(team, _)| signed_in.visitor.last_team.as_deref() == Some(team.slug.as_str()));
    let only = teams.first().filter(|_| teams.len() == 1);
    if let Some((team, _)) = last.or(only) {
        return Ok(see_other(&format!("/t/{}/products", team.slug.as_str())));
    }
    let frame = Frame::personal(&signed_in, &teams, "Your teams", "start");
    Ok(ok(&StartPage { frame, teams }))
}
