//! One's own account: name, e-mail address, password, browsers, and leaving a team.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::forms::{FieldErrors, Form};
use super::layout::{self, Layout, TimeTag};
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{Authorized, AuthorizedForm, CurrentUser};
use crate::app::members::ChangeMemberError;
use crate::app::sessions::ChangePasswordError;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::password::Password;
use keyhouse_domain::permission::ViewTeam;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;

struct BrowserRow {
    id: String,
    name: String,
    client_ip: String,
    seen: TimeTag,
    since: TimeTag,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Layout,
    name: String,
    email: String,
    teams: Vec<(Team, Role)>,
    browsers: Vec<BrowserRow>,
    has_password: bool,
    min: usize,
    max: usize,
    faults: FieldErrors,
}

async fn show(
    state: &AppState,
    who: &CurrentUser,
    typed: Option<&Form>,
    done: &str,
    faults: FieldErrors,
) -> PageResult {
    let (page, status) = account_page(state, who, typed, done, faults).await?;
    Ok(layout::page(status, &page))
}

async fn account_page(
    state: &AppState,
    who: &CurrentUser,
    typed: Option<&Form>,
    done: &str,
    faults: FieldErrors,
) -> Result<(AccountPage, StatusCode), Rejection> {
    let now = state.app.clock().now();
    let teams = state.app.teams_of(who.person.id).await?;
    let sessions = state.app.sessions_of(&who.person).await?;
    let browsers = sessions.into_iter().map(|session| BrowserRow {
        id: session.id.to_string(),
        seen: TimeTag::past(session.seen_at, now),
        since: TimeTag::past(session.created_at, now),
        is_this: session.id == who.session.id,
        name: session.browser,
        client_ip: session.client_ip,
    });
    let typed = |name: &str, own: &str| typed.map_or(own, |form| form.get(name)).to_owned();
    let page = AccountPage {
        frame: Layout::personal(who, &teams, "Your account", "account").with_message(done),
        name: typed("name", who.person.name.as_str()),
        email: typed("email", who.person.email.as_str()),
        browsers: browsers.collect(),
        teams,
        has_password: who.person.has_password,
        min: Password::MIN,
        max: Password::MAX,
        faults,
    };
    let status = if page.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((page, status))
}

pub(super) async fn account(State(state): State<AppState>, who: CurrentUser, query: Query) -> PageResult {
    let done = match query.get_or_empty("done") {
        "profile" => "Saved",
        "password" => "Password changed. All other browsers are signed out",
        "browser" => "Signed out that browser",
        "left" => "You have left the team",
        _ => "",
    };
    show(&state, &who, None, done, FieldErrors::default()).await
}

pub(super) async fn change(
    State(state): State<AppState>,
    AuthorizedForm { who, form }: AuthorizedForm<CurrentUser>,
) -> PageResult {
    match form.get("do") {
        "profile" => profile(&state, who, &form).await,
        "password" => password(&state, who, &form).await,
        "sign_out_one" => {
            let Ok(one) = form.get("session").parse() else { return Err(Rejection::not_found()) };
            state.app.sign_out(&who.person, Some(one), who.client.browser()).await?;
            Ok(see_other("/account?done=browser"))
        }
        "sign_out_everywhere" => {
            state.app.sign_out(&who.person, None, who.client.browser()).await?;
            who.client.clear_session_cookie();
            Ok(see_other("/sign-in?signed_out=1"))
        }
        _ => Err(Rejection::not_found()),
    }
}

async fn profile(state: &AppState, mut who: CurrentUser, form: &Form) -> PageResult {
    let mut faults = FieldErrors::default();
    let name = faults.check("name", PersonName::parse(form.get("name")));
    let email = faults.check("email", Email::parse(form.get("email")));
    let (Some(name), Some(email)) = (name, email) else { return show(state, &who, Some(form), "", faults).await };
    // The address is half of what signs one in.
    if email.canonical() != who.person.email.canonical() {
        who.reauthenticate(state, form).await?;
    }
    match state.app.change_profile(&who.person, &name, &email, who.client.browser()).await? {
        Ok(()) => Ok(see_other("/account?done=profile")),
        Err(_taken) => {
            let faults = FieldErrors::one("email", "Another person here has this address");
            show(state, &who, Some(form), "", faults).await
        }
    }
}

async fn password(state: &AppState, who: CurrentUser, form: &Form) -> PageResult {
    let (old, new) = (form.get("password"), form.get("new_password"));
    match state.app.change_password(&who.person, old, new, who.client.browser()).await {
        Ok(started) => {
            who.client.set_session_cookie(&started.secret);
            Ok(see_other("/account?done=password"))
        }
        Err(ChangePasswordError::Unfit(fault)) => {
            show(state, &who, None, "", FieldErrors::one("new_password", fault)).await
        }
        Err(ChangePasswordError::SignIn(crate::app::sessions::SignInError::InvalidCredentials)) => {
            show(state, &who, None, "", FieldErrors::one("password", "This is not your password")).await
        }
        Err(ChangePasswordError::SignIn(error)) => {
            let (sentence, wait) = super::sign_in::refusal(error)?;
            let (page, status) = account_page(state, &who, None, "", FieldErrors::one("password", sentence)).await?;
            Ok(super::sign_in::refused(wait, status, &page))
        }
    }
}

#[derive(Template)]
#[template(path = "leave.html")]
struct LeavePage {
    frame: Layout,
    base: String,
    team: String,
    is_owner: bool,
    fault: &'static str,
}

fn leave_page(authorized: &Authorized<ViewTeam>, fault: &'static str) -> PageResult {
    let team = authorized.team().name.as_str().to_owned();
    let frame = Layout::of(authorized, &format!("Leave {team}?"), "account");
    let page = LeavePage { frame, base: authorized.at(""), team, is_owner: authorized.seat.role == Role::Owner, fault };
    Ok(layout::ok(&page))
}

pub(super) async fn leave_form(authorized: Authorized<ViewTeam>) -> PageResult {
    leave_page(&authorized, "")
}

pub(super) async fn leave(
    State(state): State<AppState>,
    AuthorizedForm { who: authorized, .. }: AuthorizedForm<Authorized<ViewTeam>>,
) -> PageResult {
    match state.app.leave_team(&authorized.permit, authorized.seat.person.id).await {
        Ok(()) => Ok(see_other("/account?done=left")),
        Err(ChangeMemberError::IsOwner) => leave_page(&authorized, "The owner can’t leave"),
        Err(ChangeMemberError::NoSuchMember | ChangeMemberError::Forbidden) => Err(Rejection::not_found()),
        Err(ChangeMemberError::Store(error)) => Err(error.into()),
    }
}
