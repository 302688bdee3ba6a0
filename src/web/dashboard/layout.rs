//! What all pages share: the frame around them, moments, and the pages that stand in for others.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::forms::{FieldErrors, Form};
use super::session::{Authorized, CurrentUser};
use super::sign_in::refused;
use crate::web::assets;
use crate::web::error::{ApiError, ErrorCode};
use keyhouse_domain::audit::AuditActor;
use keyhouse_domain::ids::RequestId;
use keyhouse_domain::permission::Membership;
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Member, Team};
use keyhouse_domain::timestamp::Timestamp;

/// What stands around a page of somebody signed in.
pub(super) struct Layout {
    /// The specific part first: "API keys · Acme".
    pub title: String,
    /// Which entry of the side bar this is.
    pub section: &'static str,
    pub person: String,
    pub team: Option<FrameTeam>,
    /// The person's other teams: name and address.
    pub others: Vec<(String, String)>,
    /// What has just been done.
    pub done: String,
}

pub(super) struct FrameTeam {
    pub name: String,
    /// `/t/acme`
    pub base: String,
    pub administers: bool,
}

impl Layout {
    /// Within a team.
    pub(super) fn of<R>(authorized: &Authorized<R>, title: &str, section: &'static str) -> Self {
        let team = &authorized.seat.team;
        let others = authorized.teams.iter().filter(|(other, _)| other.id != team.id);
        Self {
            title: format!("{title} · {}", team.name.as_str()),
            section,
            person: authorized.seat.person.name.as_str().to_owned(),
            team: Some(FrameTeam {
                name: team.name.as_str().to_owned(),
                base: authorized.at(""),
                administers: authorized.seat.role.administers(),
            }),
            others: others.map(|(team, _)| entry(team)).collect(),
            done: String::new(),
        }
    }

    /// Outside any.
    pub(super) fn personal(
        signed_in: &CurrentUser,
        teams: &[(Team, Role)],
        title: &str,
        section: &'static str,
    ) -> Self {
        Self {
            title: title.to_owned(),
            section,
            person: signed_in.person.name.as_str().to_owned(),
            team: None,
            others: teams.iter().map(|(team, _)| entry(team)).collect(),
            done: String::new(),
        }
    }

    pub(super) fn with_message(self, done: impl Into<String>) -> Self {
        Self { done: done.into(), ..self }
    }
}

fn entry(team: &Team) -> (String, String) {
    (team.name.as_str().to_owned(), format!("/t/{}", team.slug.as_str()))
}

/// A time as pages tell it: in words, with the exact one to be had. Escaped already.
#[derive(Template)]
#[template(ext = "html", source = r#"<time datetime="{{ iso }}" title="{{ exact }}">{{ words }}</time>"#)]
pub(super) struct TimeTag {
    words: String,
    iso: String,
    exact: String,
}

impl TimeTag {
    pub(super) fn past(at: Timestamp, now: Timestamp) -> Self {
        Self { words: at.ago(now), iso: at.to_string(), exact: at.exact() }
    }

    pub(super) fn future(at: Timestamp, now: Timestamp) -> Self {
        Self { words: at.ahead(now), iso: at.to_string(), exact: at.exact() }
    }
}

/// A page, or the error that kept it from being made.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => ApiError::new(ErrorCode::InternalError).with_source(error).into_response(),
    }
}

pub(super) fn ok(template: &impl Template) -> Response {
    page(StatusCode::OK, template)
}

/// A form again, with what is wrong with it.
pub(super) fn form(faults: &FieldErrors, template: &impl Template) -> Response {
    page(if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, template)
}

/// A path with a query; what is empty is left out of it.
pub(super) fn address<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Who did it, as lists show it.
pub(super) fn name_of(by: &AuditActor, has_left: bool) -> String {
    if has_left { format!("{} (no longer in the team)", by.name) } else { by.name.clone() }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    message: &'a str,
    request_id: String,
    status: u16,
}

/// What people read where programs read the envelope.
pub fn error_page(error: &ApiError, id: RequestId) -> Vec<u8> {
    let title = match error.code.status() {
        404 => "There is nothing here",
        405 => "This page can’t be used like that",
        429 => "Too many requests",
        500 => "Something went wrong on our side",
        503 => "Keyhouse can’t answer right now",
        _ => "This did not work",
    };
    // What the API says of its paths is of no use to who follows a link.
    let message = match error.message() {
        path if path == ErrorCode::RouteNotFound.message() => "There is no such page, or not for you",
        message => message,
    };
    let page = ErrorPage { title, message, request_id: id.to_string(), status: error.code.status() };
    page.render().map_or_else(|_| error.to_body(id), String::into_bytes)
}

#[derive(Template)]
#[template(path = "forbidden.html")]
struct ForbiddenPage<'a> {
    team: &'a str,
    base: String,
    role: &'static str,
    admins: &'a [Member],
}

/// The page belongs to those with another role: whom to ask.
pub(super) fn forbidden(seat: &Membership, admins: &[Member]) -> Response {
    let base = format!("/t/{}", seat.team.slug.as_str());
    let page_of = ForbiddenPage { team: seat.team.name.as_str(), base, role: seat.role.label(), admins };
    page(StatusCode::FORBIDDEN, &page_of)
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    action: &'a str,
    /// Where the form was read.
    path: &'a str,
    email: &'a str,
    has_password: bool,
    fields: Vec<(&'a str, &'a str)>,
    fault: &'a str,
}

/// Asks for the password before a form goes on; what the form holds goes along.
pub(super) fn confirm(signed_in: &CurrentUser, form: &Form, fault: &str, wait: Option<u64>) -> Response {
    let page_of = ConfirmPage {
        action: &signed_in.client.place,
        path: signed_in.client.place.split('?').next().unwrap_or("/"),
        email: signed_in.person.email.as_str(),
        has_password: signed_in.person.has_password,
        fields: form.repeatable(),
        fault,
    };
    refused(wait, StatusCode::FORBIDDEN, &page_of)
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
    action: &'a str,
    href: &'a str,
}

/// One thing to say, and where to go on.
pub(super) fn message(status: StatusCode, title: &str, message: &str, (action, href): (&str, &str)) -> Response {
    page(status, &MessagePage { title, message, action, href })
}
