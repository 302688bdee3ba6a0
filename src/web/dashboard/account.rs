//! The person's own account: name, e-mail address, password, sessions.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorize::AuthorizedForm;
use super::forms::{FieldErrors, RawForm};
use super::layout::{Layout, TimeTag};
use super::rejection::{PageResult, Rejection, see_other};
use super::responses;
use super::session::CurrentUser;
use crate::app::sessions::{ChangePasswordError, ChangeProfileError};
use crate::shell_command::quoted;
use crate::web::extract::Query;
use crate::web::{AppState, assets};
use keyhouse_domain::ids::SessionId;
use keyhouse_domain::password::Password;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::Team;

struct SessionRow {
    id: String,
    browser: String,
    client_ip: String,
    seen: TimeTag,
    since: TimeTag,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    name: String,
    email: String,
    /// The address that waits for its link; empty without one.
    pending: String,
    /// The commands that print a link for the pending address, and one to choose a password.
    set_email: String,
    reset: String,
    teams: Vec<(Team, Role)>,
    sessions: Vec<SessionRow>,
    has_password: bool,
    min: usize,
    max: usize,
    errors: FieldErrors,
}

/// `input`: name and e-mail address as they were typed, if they were.
async fn account_page(
    state: &AppState,
    user: &CurrentUser,
    input: Option<(&str, &str)>,
    message: &str,
    errors: FieldErrors,
) -> Result<AccountPage, Rejection> {
    let now = state.app.clock().now();
    let teams = state.app.queries().teams_of(user.person.id).await?;
    let account = state.app.queries().account(&user.person.email).await?;
    let pending = account.and_then(|account| account.pending_email).map_or(String::new(), |email| email.to_string());
    let sessions = state.app.sessions_of(&user.person).await?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        id: session.id.to_string(),
        seen: TimeTag::past(session.seen_at, now),
        since: TimeTag::past(session.created_at, now),
        is_current: session.id == user.session.id,
        browser: session.browser,
        client_ip: session.client_ip,
    });
    let (name, email) = input.unwrap_or((user.person.name.as_str(), user.person.email.as_str()));
    Ok(AccountPage {
        layout: Layout::of_person(user, &teams, "Your account", "account").with_message(message),
        name: name.to_owned(),
        email: email.to_owned(),
        set_email: state.shell.line(&format!(
            "person set-email {} {}",
            quoted(user.person.email.as_str()),
            quoted(&pending)
        )),
        reset: responses::reset_command(state, &user.person),
        pending,
        sessions: sessions.collect(),
        teams,
        has_password: user.person.has_password,
        min: Password::MIN,
        max: Password::MAX,
        errors,
    })
}

pub(super) async fn show(State(state): State<AppState>, user: CurrentUser, query: Query) -> PageResult {
    let message = match query.get_or_empty("done") {
        "profile" => "Saved",
        "pending" => "Saved. Your email changes once a one-time link for the new one is used",
        "password" => "Password changed. All other browsers are signed out",
        "browser" => "Signed out that browser",
        "left" => "You have left the team",
        _ => "",
    };
    Ok(responses::ok(&account_page(&state, &user, None, message, FieldErrors::default()).await?))
}

/// The forms of the page, by the value of `do`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum AccountForm {
    Profile(ProfileForm),
    Password(PasswordForm),
    SignOutOne { session: String },
    SignOutEverywhere,
}

#[derive(Deserialize)]
pub(super) struct ProfileForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    new_password: Zeroizing<String>,
}

pub(super) async fn update(
    State(state): State<AppState>,
    AuthorizedForm { access: user, form, raw }: AuthorizedForm<CurrentUser, AccountForm>,
) -> PageResult {
    match form {
        AccountForm::Profile(form) => update_profile(&state, &user, &form, &raw).await,
        AccountForm::Password(form) => update_password(&state, &user, &form).await,
        AccountForm::SignOutOne { session } => {
            let session: SessionId = session.parse().map_err(|_| Rejection::not_found())?;
            state.app.sign_out(&user.person, Some(session), user.client.info()).await?;
            Ok(see_other("/account?done=browser"))
        }
        AccountForm::SignOutEverywhere => {
            state.app.sign_out(&user.person, None, user.client.info()).await?;
            Ok((user.client.cookies.clear_session(), see_other("/sign-in?signed_out=1")).into_response())
        }
    }
}

async fn update_profile(state: &AppState, user: &CurrentUser, form: &ProfileForm, raw: &RawForm) -> PageResult {
    let mut errors = FieldErrors::default();
    let name = errors.check("name", PersonName::parse(&form.name));
    let email = errors.check("email", Email::parse(&form.email));
    let input = Some((&*form.name, &*form.email));
    let (Some(name), Some(email)) = (name, email) else {
        let page = account_page(state, user, input, "", errors).await?;
        return Ok(responses::form(&page.errors, &page));
    };
    let save = async {
        match state.app.change_profile(&user.person, &name, &email, user.client.info()).await {
            Ok(false) => Ok(see_other("/account?done=profile")),
            Ok(true) => Ok(see_other("/account?done=pending")),
            Err(ChangeProfileError::Store(error)) => Err(error.into()),
            Err(ChangeProfileError::EmailTaken) => {
                let errors = FieldErrors::one("email", "Another account uses this email");
                let page = account_page(state, user, input, "", errors).await?;
                Ok(responses::form(&page.errors, &page))
            }
        }
    };
    // The address is a part of what signs a person in.
    if email.canonical() == user.person.email.canonical() {
        save.await
    } else {
        user.with_recent_authentication(state, raw, save).await
    }
}

async fn update_password(state: &AppState, user: &CurrentUser, form: &PasswordForm) -> PageResult {
    let changed = state.app.change_password(&user.person, &form.password, &form.new_password, user.client.info()).await;
    let (errors, retry_after) = match changed {
        Ok(started) => {
            let cookie = user.client.cookies.set_session(&started.secret);
            return Ok((cookie, see_other("/account?done=password")).into_response());
        }
        Err(ChangePasswordError::Unfit(error)) => (FieldErrors::one("new_password", error), None),
        Err(ChangePasswordError::SignIn(error)) => {
            let (message, retry_after) = responses::password_error(error, "Wrong password")?;
            (FieldErrors::one("password", message), retry_after)
        }
    };
    let page = account_page(state, user, None, "", errors).await?;
    Ok(responses::password_refused(retry_after, StatusCode::UNPROCESSABLE_ENTITY, &page))
}
