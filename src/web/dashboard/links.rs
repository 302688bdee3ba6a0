//! `/link/{code}`: set-up, invitations, new passwords. Looking at a link does not use it: mail programs look too.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::forms::{FieldErrors, Form};
use super::layout::message;
use super::rejection::{PageResult, Rejection, see_other};
use super::session::{ClientSession, LastPathParam};
use super::sign_in::{refusal, refused};
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
    /// Given by the link; or typed, at set-up.
    email: String,
    name: &'a str,
    team_name: &'a str,
    min: usize,
    max: usize,
    faults: FieldErrors,
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
}

/// A usable link, with whom and what it is about.
struct Opened {
    link: Link,
    step: Step,
    person: Option<Person>,
    team: String,
}

fn gone() -> Rejection {
    Rejection::page(message(
        StatusCode::NOT_FOUND,
        "This link can’t be used",
        "It has been used, was withdrawn, or is older than 7 days. Ask whoever sent it for a new one.",
        ("Sign in", "/sign-in"),
    ))
}

async fn open(state: &AppState, client: &ClientSession, code: Option<&Secret>) -> Result<Opened, Rejection> {
    let Some(code) = code else { return Err(gone()) };
    let link = state.app.link(code).await?.ok_or_else(gone)?;
    let mut team_name = String::new();
    let (step, person) = match &link.purpose {
        Purpose::SetUp => (Step::SetUp, None),
        Purpose::Reset { person } => (Step::Reset, state.app.person(*person).await?),
        Purpose::SignIn { person } => (Step::SignIn, state.app.person(*person).await?),
        Purpose::Invite { team, email, .. } => {
            let team = state.app.team(&TeamRef::Id(*team)).await?.ok_or_else(gone)?;
            team.name.as_str().clone_into(&mut team_name);
            let session =
                client.session(state).await?.filter(|(_, person)| person.email.canonical() == email.canonical());
            match (session, state.app.invitee(email).await?) {
                (Some((_, person)), _) => (Step::Join, Some(person)),
                (None, Invitee::New) => (Step::JoinAsNew, None),
                (None, Invitee::Known(person)) => (Step::JoinByPassword, Some(person)),
                (None, Invitee::NoPasswordSet) => {
                    return Err(Rejection::page(message(
                        StatusCode::CONFLICT,
                        "Choose a password first",
                        &format!(
                            "{email} has an account without a password yet. Ask whoever runs this Keyhouse for a link \
                             (keyhouse person reset {email}), choose a password by it, then open this invitation again."
                        ),
                        ("Sign in", "/sign-in"),
                    )));
                }
            }
        }
    };
    Ok(Opened { link, step, person, team: team_name })
}

fn show(opened: &Opened, typed: (&str, &str, &str), faults: FieldErrors) -> PageResult {
    show_and_wait(opened, typed, faults, None)
}

fn show_and_wait(opened: &Opened, typed: (&str, &str, &str), faults: FieldErrors, wait: Option<u64>) -> PageResult {
    let (email, role) = match (&opened.link.purpose, &opened.person) {
        (Purpose::Invite { email, role, .. }, _) => (email.to_string(), role.label()),
        (_, Some(person)) => (person.email.to_string(), ""),
        (_, None) => (typed.1.to_owned(), ""),
    };
    let shown = LinkPage {
        step: opened.step,
        team: opened.team.clone(),
        role,
        made_by: opened.link.made_by.clone(),
        email,
        name: typed.0,
        team_name: typed.2,
        min: Password::MIN,
        max: Password::MAX,
        faults,
    };
    let status = if shown.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(refused(wait, status, &shown))
}

pub(super) async fn look(
    State(state): State<AppState>,
    client: ClientSession,
    LastPathParam(code): LastPathParam<String>,
) -> PageResult {
    let opened = open(&state, &client, Secret::parse(&code).as_ref()).await?;
    show(&opened, ("", "", ""), FieldErrors::default())
}

pub(super) async fn enter(
    State(state): State<AppState>,
    client: ClientSession,
    LastPathParam(code): LastPathParam<String>,
    form: Form,
) -> PageResult {
    let code = Secret::parse(&code);
    let opened = open(&state, &client, code.as_ref()).await?;
    let Some(code) = code else { return Err(gone()) };
    let typed = (form.get("name"), form.get("email"), form.get("team"));
    let password = form.get("password");
    let mut faults = FieldErrors::default();
    let browser = client.browser();
    let done = match (opened.step, &opened.person, &opened.link.purpose) {
        (Step::SetUp, ..) => {
            let name = faults.check("name", PersonName::parse(typed.0));
            let email = faults.check("email", Email::parse(typed.1));
            let team = faults.check("team", TeamName::parse(typed.2));
            let (Some(name), Some(email), Some(team)) = (name, email, team) else {
                return show(&opened, typed, faults);
            };
            let done = state.app.set_up(&code, (&name, &email, password), &team, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinAsNew, _, Purpose::Invite { email, .. }) => {
            let Some(name) = faults.check("name", PersonName::parse(typed.0)) else {
                return show(&opened, typed, faults);
            };
            let done = state.app.accept_as_new(&code, email, &name, password, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinByPassword, _, Purpose::Invite { email, .. }) => {
            let done = state.app.accept_by_password(&code, email, password, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::Join, Some(person), _) => state.app.accept(&code, person, browser).await.map(|team| (None, Some(team))),
        (Step::Reset, Some(person), _) => {
            state.app.reset_password(&code, person, password, browser).await.map(|started| (Some(started), None))
        }
        (Step::SignIn, Some(person), _) => {
            state.app.sign_in_by_link(&code, person, browser).await.map(|started| (Some(started), None))
        }
        _ => return Err(gone()),
    };
    match done {
        Ok((started, team)) => {
            if let Some(started) = started {
                client.set_session_cookie(&started.secret);
            }
            Ok(see_other(&team.map_or("/".to_owned(), |team| format!("/t/{}/products", team.slug.as_str()))))
        }
        Err(UseLinkError::Gone) => Err(gone()),
        Err(UseLinkError::AlreadyExists) => Err(Rejection::page(message(
            StatusCode::CONFLICT,
            "You are in already",
            "There is an account with this address, or it is in the team by now. Sign in with it.",
            ("Sign in", "/sign-in"),
        ))),
        Err(UseLinkError::InvalidPassword(fault)) => show(&opened, typed, FieldErrors::one("password", fault)),
        Err(UseLinkError::SignIn(error)) => {
            let (sentence, wait) = refusal(error)?;
            show_and_wait(&opened, typed, FieldErrors::one("password", sentence), wait)
        }
    }
}
