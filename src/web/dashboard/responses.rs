//! Rendering, and the pages that stand in for others: not allowed, confirm your password, sign in to continue, errors.

use askama::Template;
use axum::body::Bytes;
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error_frame::ErrorFrame;
use super::forms::{FieldErrors, RawForm};
use super::layout::Layout;
use super::rejection::{PageResult, Rejection};
use super::session::CurrentUser;
use crate::app::sessions::SignInError;
use crate::shell_command::quoted;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::{AppState, assets};
use keyhouse_domain::ids::RequestId;
use keyhouse_domain::permission::Membership;
use keyhouse_domain::person::Person;
use keyhouse_domain::team::Member;

/// A page, or the error that occurred while rendering it.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => ApiError::new(ErrorCode::InternalError).with_source(error).into_response(),
    }
}

pub(super) fn ok(template: &impl Template) -> Response {
    page(StatusCode::OK, template)
}

/// A page with a form: 422 if something is wrong with the form.
pub(super) fn form(errors: &FieldErrors, template: &impl Template) -> Response {
    page(if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, template)
}

/// A page after a failed password check: `status`; or 429 with `Retry-After`, if there were too many.
///
/// Not 401: that requires `WWW-Authenticate`, and would open the browser's basic-auth dialog.
pub(super) fn password_refused(retry_after: Option<u64>, status: StatusCode, template: &impl Template) -> Response {
    let Some(seconds) = retry_after else { return page(status, template) };
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, template);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The message for a failed password check, and the seconds to wait. `wrong` is the message for a wrong password.
///
/// # Errors
/// What is not about the password: the database is away, or the hashing queue is full.
pub(super) fn password_error(error: SignInError, wrong: &str) -> Result<(String, Option<u64>), Rejection> {
    match error {
        SignInError::InvalidCredentials => Ok((wrong.to_owned(), None)),
        SignInError::RateLimited(seconds) => {
            let minutes = seconds.div_ceil(60);
            let s = if minutes == 1 { "" } else { "s" };
            let message = format!("Too many wrong passwords. Wait {minutes} minute{s}, or ask for a reset link");
            Ok((message, Some(seconds)))
        }
        SignInError::Overloaded(overloaded) => Err(overloaded.into()),
        SignInError::Store(error) => Err(error.into()),
    }
}

/// A path with a query; empty values are left out.
pub(super) fn url<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    message: &'a str,
    request_id: String,
    status: u16,
}

#[derive(Template)]
#[template(path = "error_framed.html")]
struct FramedErrorPage<'a> {
    layout: &'a Layout,
    title: &'a str,
    message: &'a str,
    request_id: String,
    status: u16,
}

/// An error as a page, for browsers, with the sidebar if the response carries one. Programs get the JSON envelope.
pub fn error_page(error: &ApiError, id: RequestId, extensions: &Extensions) -> Bytes {
    let title = match error.code.status() {
        404 => "Page not found",
        405 => "This page doesn’t support that request",
        429 => "Too many requests",
        500 => "Something went wrong",
        503 => "Keyhouse is temporarily unavailable",
        _ => "The request failed",
    };
    // The API's message is about paths of the API.
    let message = match error.message() {
        path if path == ErrorCode::RouteNotFound.message() => "It doesn’t exist, or you don’t have access to it",
        message => message,
    };
    let (request_id, status) = (id.to_string(), error.code.status());
    let page = match extensions.get::<ErrorFrame>() {
        Some(ErrorFrame(layout)) => {
            FramedErrorPage { layout: layout.as_ref(), title, message, request_id, status }.render()
        }
        None => ErrorPage { title, message, request_id, status }.render(),
    };
    page.map_or_else(|_| error.to_body(id), Bytes::from)
}

#[derive(Template)]
#[template(path = "forbidden.html")]
struct ForbiddenPage<'a> {
    layout: Layout,
    team: &'a str,
    base: String,
    role: &'static str,
    holders: &'a [Member],
}

/// The person's role does not have the permission; `holders` are members who have it.
pub(super) fn forbidden(membership: &Membership, holders: &[Member]) -> Response {
    let team = &membership.team;
    let template = ForbiddenPage {
        layout: Layout::for_member(membership, "No access"),
        team: team.name.as_str(),
        base: format!("/t/{}", team.slug.as_str()),
        role: membership.role.label(),
        holders,
    };
    page(StatusCode::FORBIDDEN, &template)
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    layout: Layout,
    action: &'a str,
    /// The page with the form.
    path: &'a str,
    email: &'a str,
    has_password: bool,
    /// The command that prints a link to choose a password.
    reset: String,
    fields: Vec<(&'a str, &'a str)>,
    error: &'a str,
}

/// The command by which the operator prints a link for choosing a password.
pub(super) fn reset_command(state: &AppState, person: &Person) -> String {
    state.shell.line(&format!("person reset {}", quoted(person.email.as_str())))
}

/// Asks for the password before a form is processed; the form's fields are kept in hidden fields.
///
/// # Errors
/// The database is away.
pub(super) async fn confirm_password(
    state: &AppState,
    user: &CurrentUser,
    form: &RawForm,
    (error, retry_after): (&str, Option<u64>),
) -> PageResult {
    let (person, path_and_query) = (&user.person, user.client.path_and_query.as_str());
    let template = ConfirmPage {
        layout: Layout::of_person(user, &state.app.queries().teams_of(person.id).await?, "Confirm it’s you", ""),
        action: path_and_query,
        path: path_and_query.split('?').next().unwrap_or("/"),
        email: person.email.as_str(),
        has_password: person.has_password,
        reset: reset_command(state, person),
        fields: form.resendable(),
        error,
    };
    Ok(password_refused(retry_after, StatusCode::FORBIDDEN, &template))
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
    action: &'a str,
    href: &'a str,
}

/// A page with one message and one link.
pub(super) fn message(status: StatusCode, title: &str, message: &str, (action, href): (&str, &str)) -> Response {
    page(status, &MessagePage { title, message, action, href })
}

#[derive(Template)]
#[template(path = "message_framed.html")]
struct FramedMessagePage<'a> {
    layout: Layout,
    title: &'a str,
    message: &'a str,
    action: &'a str,
    href: &'a str,
}

/// The form was rendered for another person than the one who is signed in now: nothing was done.
///
/// # Errors
/// The database is away.
pub(super) async fn not_your_form(state: &AppState, user: &CurrentUser, path: &str) -> PageResult {
    let title = format!("You are signed in as {}", user.person.name);
    let template = FramedMessagePage {
        layout: Layout::of_person(user, &state.app.queries().teams_of(user.person.id).await?, &title, ""),
        title: &title,
        message: "This form was opened under another account, so nothing was changed. Open the page again to continue as yourself.",
        action: "Open the page again",
        href: path,
    };
    Ok(page(StatusCode::CONFLICT, &template))
}

/// What the sign-in page shows.
#[derive(Default)]
pub(super) struct SignIn<'a> {
    pub email: &'a str,
    /// The page to go to afterwards; with `kept` fields, the form's action.
    pub next: &'a str,
    pub signed_out: bool,
    /// The session ended before this form was processed; its fields are kept here.
    pub interrupted: bool,
    pub kept: Vec<(&'a str, &'a str)>,
    /// A part of the form is secret and was not kept: the page must be opened again.
    pub is_incomplete: bool,
    /// Where people can sign in, if they can't at the host of the request.
    pub elsewhere: &'a str,
    pub has_no_accounts: bool,
    pub error: &'a str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    page: SignIn<'a>,
}

pub(super) fn sign_in(status: StatusCode, retry_after: Option<u64>, content: SignIn<'_>) -> Response {
    password_refused(retry_after, status, &SignInPage { page: content })
}

/// The session ended before a form was processed: the sign-in page, which keeps the fields in its body.
pub(super) fn sign_in_to_continue(path_and_query: &str, form: &RawForm) -> Response {
    let content = SignIn {
        next: path_and_query,
        interrupted: true,
        kept: form.resendable(),
        is_incomplete: form.has_secrets(),
        ..SignIn::default()
    };
    sign_in(StatusCode::FORBIDDEN, None, content)
}
