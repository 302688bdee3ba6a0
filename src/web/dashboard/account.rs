//! One's own account: name, e-mail address, password, browsers, and leaving a team.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::form::{Faults, Form};
use super::halt::{Answer, Halt, see_other};
use super::pages::{self, Frame, Moment};
use super::visitor::{Holds, Posted, SignedIn};
use crate::app::members::ChangeMemberError;
use crate::app::sign_in::ChangePasswordError;
use crate::domain::password::Password;
use crate::domain::person::{Email, PersonName};
use crate::domain::role::{Role, TakePart};
use crate::domain::team::Team;
use crate::web::extract::Query;
use crate::web::{Web, assets};

struct BrowserRow {
    id: String,
    name: String,
    origin: String,
    seen: Moment,
    since: Moment,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    email: String,
    teams: Vec<(Team, Role)>,
    browsers: Vec<BrowserRow>,
    has_password: bool,
    min: usize,
    max: usize,
    faults: Faults,
}

async fn show(web: &Web, who: &SignedIn, typed: Option<&Form>, done: &str, faults: Faults) -> Answer {
    let (page, status) = account_page(web, who, typed, done, faults).await?;
    Ok(pages::page(status, &page))
}

async fn account_page(
    web: &Web,
    who: &SignedIn,
    typed: Option<&Form>,
    done: &str,
    faults: Faults,
) -> Result<(AccountPage, StatusCode), Halt> {
    let now = web.app.clock().now();
    let teams = web.app.teams_of(who.person.id).await?;
    let sessions = web.app.sessions_of(&who.person).await?;
    let browsers = sessions.into_iter().map(|session| BrowserRow {
        id: session.id.to_string(),
        seen: Moment::past(session.seen_at, now),
        since: Moment::past(session.created_at, now),
        is_this: session.id == who.session.id,
        name: session.browser,
        origin: session.origin,
    });
    let typed = |name: &str, own: &str| typed.map_or(own, |form| form.get(name)).to_owned();
    let page = AccountPage {
        frame: Frame::personal(who, &teams, "Your account", "account").saying(done),
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

pub async fn account(State(web): State<Web>, who: SignedIn, query: Query) -> Answer {
    let done = match query.text("done") {
        "profile" => "Saved",
        "password" => "Password changed. All other browsers are signed out",
        "browser" => "Signed out that browser",
        "left" => "You have left the team",
        _ => "",
    };
    show(&web, &who, None, done, Faults::default()).await
}

pub async fn change(State(web): State<Web>, Posted { who, form }: Posted<SignedIn>) -> Answer {
    match form.get("do") {
        "profile" => profile(&web, who, &form).await,
        "password" => password(&web, who, &form).await,
        "sign_out_one" => {
            let Ok(one) = form.get("session").parse() else { return Err(Halt::absent()) };
            web.app.sign_out(&who.person, Some(one), who.visitor.browser()).await?;
            Ok(see_other("/account?done=browser"))
        }
        "sign_out_everywhere" => {
            web.app.sign_out(&who.person, None, who.visitor.browser()).await?;
            who.visitor.forget();
            Ok(see_other("/sign-in?signed_out=1"))
        }
        _ => Err(Halt::absent()),
    }
}

async fn profile(web: &Web, mut who: SignedIn, form: &Form) -> Answer {
    let mut faults = Faults::default();
    let name = faults.check("name", PersonName::parse(form.get("name")));
    let email = faults.check("email", Email::parse(form.get("email")));
    let (Some(name), Some(email)) = (name, email) else { return show(web, &who, Some(form), "", faults).await };
    // The address is half of what signs one in.
    if email.canonical() != who.person.email.canonical() {
        who.prove(web, form).await?;
    }
    match web.app.change_profile(&who.person, &name, &email, who.visitor.browser()).await? {
        Ok(()) => Ok(see_other("/account?done=profile")),
        Err(_taken) => {
            let faults = Faults::one("email", "Another person here has this address");
            show(web, &who, Some(form), "", faults).await
        }
    }
}

async fn password(web: &Web, who: SignedIn, form: &Form) -> Answer {
    let (old, new) = (form.get("password"), form.get("new_password"));
    match web.app.change_password(&who.person, old, new, who.visitor.browser()).await {
        Ok(started) => {
            who.visitor.remember(&started.secret);
            Ok(see_other("/account?done=password"))
        }
        Err(ChangePasswordError::Unfit(fault)) => show(web, &who, None, "", Faults::one("new_password", fault)).await,
        Err(ChangePasswordError::SignIn(crate::app::sign_in::SignInError::Wrong)) => {
            show(web, &who, None, "", Faults::one("password", "This is not your password")).await
        }
        Err(ChangePasswordError::SignIn(error)) => {
            let (sentence, wait) = super::sign_in::refusal(error)?;
            let (page, status) = account_page(web, &who, None, "", Faults::one("password", sentence)).await?;
            Ok(super::sign_in::refused(wait, status, &page))
        }
    }
}

#[derive(Template)]
#[template(path = "leave.html")]
struct LeavePage {
    frame: Frame,
    base: String,
    team: String,
    is_owner: bool,
    fault: &'static str,
}

fn leave_page(holds: &Holds<TakePart>, fault: &'static str) -> Answer {
    let team = holds.team().name.as_str().to_owned();
    let frame = Frame::of(holds, &format!("Leave {team}?"), "account");
    let page = LeavePage { frame, base: holds.at(""), team, is_owner: holds.seat.role == Role::Owner, fault };
    Ok(pages::ok(&page))
}

pub async fn leave_form(holds: Holds<TakePart>) -> Answer {
    leave_page(&holds, "")
}

pub async fn leave(State(web): State<Web>, Posted { who: holds, .. }: Posted<Holds<TakePart>>) -> Answer {
    match web.app.leave_team(&holds.permit, holds.seat.person.id).await {
        Ok(()) => Ok(see_other("/account?done=left")),
        Err(ChangeMemberError::IsOwner) => leave_page(&holds, "The owner can’t leave"),
        Err(ChangeMemberError::NoSuchMember | ChangeMemberError::NotAllowed) => Err(Halt::absent()),
        Err(ChangeMemberError::Store(error)) => Err(error.into()),
    }
}
