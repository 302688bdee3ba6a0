//! `/link/{code}`: set-up, invitations, new passwords. Looking at a link does not use it: mail programs look too.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::form::{Faults, Form};
use super::halt::{Answer, Halt, see_other};
use super::pages::message;
use super::sign_in::{refusal, refused};
use super::visitor::{Rest, Visitor};
use crate::app::links::{Invitee, UseLinkError};
use crate::domain::password::Password;
use crate::domain::person::{Email, PersonName};
use crate::domain::secret::Secret;
use crate::domain::session::{Link, Person, Purpose};
use crate::domain::team::{TeamName, TeamRef};
use crate::web::{Web, assets};

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
    faults: Faults,
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

fn gone() -> Halt {
    Halt::page(message(
        StatusCode::NOT_FOUND,
        "This link can’t be used",
        "It has been used, was withdrawn, or is older than 7 days. Ask whoever sent it for a new one.",
        ("Sign in", "/sign-in"),
    ))
}

async fn open(web: &Web, visitor: &Visitor, code: Option<&Secret>) -> Result<Opened, Halt> {
    let Some(code) = code else { return Err(gone()) };
    let link = web.app.link(code).await?.ok_or_else(gone)?;
    let mut team_name = String::new();
    let (step, person) = match &link.purpose {
        Purpose::SetUp => (Step::SetUp, None),
        Purpose::Reset { person } => (Step::Reset, web.app.person(*person).await?),
        Purpose::SignIn { person } => (Step::SignIn, web.app.person(*person).await?),
        Purpose::Invite { team, email, .. } => {
            let team = web.app.team(&TeamRef::Id(*team)).await?.ok_or_else(gone)?;
            team.name.as_str().clone_into(&mut team_name);
            let session =
                visitor.session(web).await?.filter(|(_, person)| person.email.canonical() == email.canonical());
            match (session, web.app.invitee(email).await?) {
                (Some((_, person)), _) => (Step::Join, Some(person)),
                (None, Invitee::New) => (Step::JoinAsNew, None),
                (None, Invitee::Known(person)) => (Step::JoinByPassword, Some(person)),
                (None, Invitee::Unproved) => {
                    return Err(Halt::page(message(
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

fn show(opened: &Opened, typed: (&str, &str, &str), faults: Faults) -> Answer {
    show_and_wait(opened, typed, faults, None)
}

fn show_and_wait(opened: &Opened, typed: (&str, &str, &str), faults: Faults, wait: Option<u64>) -> Answer {
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

pub async fn look(State(web): State<Web>, visitor: Visitor, Rest(code): Rest<String>) -> Answer {
    let opened = open(&web, &visitor, Secret::parse(&code).as_ref()).await?;
    show(&opened, ("", "", ""), Faults::default())
}

pub async fn enter(State(web): State<Web>, visitor: Visitor, Rest(code): Rest<String>, form: Form) -> Answer {
    let code = Secret::parse(&code);
    let opened = open(&web, &visitor, code.as_ref()).await?;
    let Some(code) = code else { return Err(gone()) };
    let typed = (form.get("name"), form.get("email"), form.get("team"));
    let password = form.get("password");
    let mut faults = Faults::default();
    let browser = visitor.browser();
    let done = match (opened.step, &opened.person, &opened.link.purpose) {
        (Step::SetUp, ..) => {
            let name = faults.check("name", PersonName::parse(typed.0));
            let email = faults.check("email", Email::parse(typed.1));
            let team = faults.check("team", TeamName::parse(typed.2));
            let (Some(name), Some(email), Some(team)) = (name, email, team) else {
                return show(&opened, typed, faults);
            };
            let done = web.app.set_up(&code, (&name, &email, password), &team, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinAsNew, _, Purpose::Invite { email, .. }) => {
            let Some(name) = faults.check("name", PersonName::parse(typed.0)) else {
                return show(&opened, typed, faults);
            };
            let done = web.app.accept_as_new(&code, email, &name, password, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::JoinByPassword, _, Purpose::Invite { email, .. }) => {
            let done = web.app.accept_by_password(&code, email, password, browser).await;
            done.map(|(started, team)| (Some(started), Some(team)))
        }
        (Step::Join, Some(person), _) => web.app.accept(&code, person, browser).await.map(|team| (None, Some(team))),
        (Step::Reset, Some(person), _) => {
            web.app.reset_password(&code, person, password, browser).await.map(|started| (Some(started), None))
        }
        (Step::SignIn, Some(person), _) => {
            web.app.sign_in_by_link(&code, person, browser).await.map(|started| (Some(started), None))
        }
        _ => return Err(gone()),
    };
    match done {
        Ok((started, team)) => {
            if let Some(started) = started {
                visitor.remember(&started.secret);
            }
            Ok(see_other(&team.map_or("/".to_owned(), |team| format!("/t/{}/products", team.slug.as_str()))))
        }
        Err(UseLinkError::Gone) => Err(gone()),
        Err(UseLinkError::Taken) => Err(Halt::page(message(
            StatusCode::CONFLICT,
            "You are in already",
            "There is an account with this address, or it is in the team by now. Sign in with it.",
            ("Sign in", "/sign-in"),
        ))),
        Err(UseLinkError::Unfit(fault)) => show(&opened, typed, Faults::one("password", fault)),
        Err(UseLinkError::SignIn(error)) => {
            let (sentence, wait) = refusal(error)?;
            show_and_wait(&opened, typed, Faults::one("password", sentence), wait)
        }
    }
}
