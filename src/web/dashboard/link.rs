//! `/link/{code}`: set-up, invitations, password resets, sign-in links. Opening a link does not use it up: mail scanners
//! open links too.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorize::LastPathParam;
use super::forms::{FORM_OWNER, FieldErrors, RawForm};
use super::rejection::{PageResult, Rejection, see_other};
use super::responses::{self, message};
use super::session::ClientSession;
use crate::app::links::{Invitee, UseLinkError};
use crate::web::{AppState, assets};
use keyhouse_domain::link::{Link, Purpose};
use keyhouse_domain::password::Password;
use keyhouse_domain::person::Person;
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::secret::Secret;
use keyhouse_domain::team::{TeamName, TeamRef};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    step: Step,
    /// The team that one is invited to.
    team: String,
    role: &'static str,
    made_by: String,
    /// The name and the address of the person whose link it is, if there is one.
    account: String,
    /// Given by the link; or typed, at set-up.
    email: String,
    name: &'a str,
    team_name: &'a str,
    /// The person who is signed in with this browser, if the link is for another one; and their id, which the form carries.
    signed_in_as: String,
    current_person: String,
    min: usize,
    max: usize,
    errors: FieldErrors,
}

/// What the holder of a link is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    SetUp,
    /// Choose a name and a password, and join.
    JoinAsNew,
    /// Type the password of the account there is, and join.
    JoinByPassword,
    /// Signed in already: join.
    Join,
    Reset,
    SignIn,
    /// Confirm a new address.
    ChangeEmail,
}

/// A usable link, with whom and what it is about.
struct Opened {
    link: Link,
    step: Step,
    person: Option<Person>,
    team: String,
    /// The person who is signed in with this browser.
    current: Option<Person>,
}

/// The code of a link. Characters after it that can't belong to it are ignored: mail programs and chats add a full stop or
/// a bracket to a link.
fn parse_code(text: &str) -> Option<Secret> {
    Secret::parse(text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
}

fn gone() -> Rejection {
    Rejection::page(message(
        StatusCode::NOT_FOUND,
        "This link can’t be used",
        "It was used or withdrawn, is incomplete, or is older than 7 days. Ask the person who sent it for a new one.",
        ("Sign in", "/sign-in"),
    ))
}

async fn open(state: &AppState, client: &ClientSession, code: Option<&Secret>) -> Result<Opened, Rejection> {
    let Some(code) = code else { return Err(gone()) };
    let link = state.app.link(code).await?.ok_or_else(gone)?;
    let current = client.session(state).await?.map(|(_, person)| person);
    let mut team_name = String::new();
    let (step, person) = match &link.purpose {
        Purpose::SetUp => (Step::SetUp, None),
        Purpose::Reset { person } => (Step::Reset, state.app.person(*person).await?),
        Purpose::SignIn { person } => (Step::SignIn, state.app.person(*person).await?),
        Purpose::ChangeEmail { person, .. } => (Step::ChangeEmail, state.app.person(*person).await?),
        Purpose::Invite { team, email, .. } => {
            let team = state.app.queries().team(&TeamRef::Id(*team)).await?.ok_or_else(gone)?;
            team.name.as_str().clone_into(&mut team_name);
            let invited = current.clone().filter(|person| person.email.canonical() == email.canonical());
            match (invited, state.app.invitee(email).await?) {
                (Some(person), _) => (Step::Join, Some(person)),
                (None, Invitee::New) => (Step::JoinAsNew, None),
                (None, Invitee::Known(person)) => (Step::JoinByPassword, Some(person)),
                (None, Invitee::NoPasswordSet) => {
                    return Err(Rejection::page(message(
                        StatusCode::CONFLICT,
                        "Choose a password first",
                        &format!(
                            "{email} has an account without a password. Ask your administrator for a link to choose one, \
                             then open this invitation again."
                        ),
                        ("Sign in", "/sign-in"),
                    )));
                }
            }
        }
    };
    Ok(Opened { link, step, person, team: team_name, current })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkForm {
    name: String,
    email: String,
    team: String,
    password: Zeroizing<String>,
}

fn link_page(opened: &Opened, form: &LinkForm, errors: FieldErrors, retry_after: Option<u64>) -> PageResult {
    let account = opened.person.as_ref().map(|person| format!("{} ({})", person.name, person.email));
    let (email, role) = match (&opened.link.purpose, &opened.person) {
        (Purpose::ChangeEmail { email, .. }, _) => (email.to_string(), ""),
        (Purpose::Invite { email, role, .. }, _) => (email.to_string(), role.label()),
        (_, Some(person)) => (person.email.to_string(), ""),
        (_, None) => (form.email.clone(), ""),
    };
    let page = LinkPage {
        step: opened.step,
        team: opened.team.clone(),
        role,
        made_by: opened.link.made_by.clone(),
        account: account.unwrap_or_default(),
        email,
        name: &form.name,
        team_name: &form.team,
        signed_in_as: opened
            .current
            .as_ref()
            .filter(|current| opened.person.as_ref().is_none_or(|person| person.id != current.id))
            .map_or_else(String::new, |current| current.name.to_string()),
        current_person: opened.current.as_ref().map_or_else(String::new, |current| current.id.to_string()),
        min: Password::MIN,
        max: Password::MAX,
        errors,
    };
    let status = if page.errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(responses::password_refused(retry_after, status, &page))
}

pub(super) async fn show(
    State(state): State<AppState>,
    client: ClientSession,
    LastPathParam(code): LastPathParam<String>,
) -> PageResult {
    let opened = open(&state, &client, parse_code(&code).as_ref()).await?;
    link_page(&opened, &LinkForm::default(), FieldErrors::default(), None)
}

pub(super) async fn update(
    State(state): State<AppState>,
    client: ClientSession,
    LastPathParam(code): LastPathParam<String>,
    raw: RawForm,
) -> PageResult {
    let form: LinkForm = raw.parse()?;
    let code = parse_code(&code);
    let opened = open(&state, &client, code.as_ref()).await?;
    let Some(code) = code else { return Err(gone()) };
    // Another person has signed in with this browser since the page was opened: show whom it would sign out.
    if raw.get(FORM_OWNER) != opened.current.as_ref().map_or_else(String::new, |person| person.id.to_string()) {
        return link_page(&opened, &form, FieldErrors::default(), None);
    }
    let (app, info) = (&state.app, client.info());
    let mut errors = FieldErrors::default();
    let used = match (opened.step, &opened.person, &opened.link.purpose) {
        (Step::SetUp, ..) => {
            let name = errors.check("name", PersonName::parse(&form.name));
            let email = errors.check("email", Email::parse(&form.email));
            let team = errors.check("team", TeamName::parse(&form.team));
            let (Some(name), Some(email), Some(team)) = (name, email, team) else {
                return link_page(&opened, &form, errors, None);
            };
            let started = app.set_up(&code, (&name, &email, &form.password), &team, info).await;
            started.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinAsNew, _, Purpose::Invite { email, .. }) => {
            let Some(name) = errors.check("name", PersonName::parse(&form.name)) else {
                return link_page(&opened, &form, errors, None);
            };
            let started = app.accept_as_new(&code, email, &name, &form.password, info).await;
            started.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinByPassword, _, Purpose::Invite { email, .. }) => {
            let started = app.accept_by_password(&code, email, &form.password, info).await;
            started.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::Join, Some(person), _) => app.accept(&code, person, info).await.map(|team| (None, Some(team))),
        (Step::Reset, Some(person), _) => {
            app.reset_password(&code, person, &form.password, info).await.map(|started| (Some(started), None))
        }
        (Step::SignIn, Some(person), _) => {
            app.sign_in_by_link(&code, person, info).await.map(|started| (Some(started), None))
        }
        (Step::ChangeEmail, Some(person), _) => app.confirm_email(&code, person, info).await.map(|()| (None, None)),
        _ => return Err(gone()),
    };
    match used {
        Ok((started, team)) => {
            let path = team.map_or("/".to_owned(), |team| format!("/t/{}/products", team.slug.as_str()));
            let cookie = match started {
                Some(started) => client.replace_session(&state, &started).await?,
                None => CookieJar::default(),
            };
            Ok((cookie, see_other(&path)).into_response())
        }
        Err(UseLinkError::Gone) => Err(gone()),
        Err(UseLinkError::AlreadyExists) => Err(Rejection::page(message(
            StatusCode::CONFLICT,
            "Already a member",
            "This address already has an account or is in the team. Sign in with it.",
            ("Sign in", "/sign-in"),
        ))),
        Err(UseLinkError::InvalidPassword(error)) => {
            link_page(&opened, &form, FieldErrors::one("password", error), None)
        }
        Err(UseLinkError::SignIn(error)) => {
            let (message, retry_after) = responses::password_error(error, "Wrong password")?;
            link_page(&opened, &form, FieldErrors::one("password", message), retry_after)
        }
    }
}
