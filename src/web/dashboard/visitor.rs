//! Who asks for a page, as a handler's signature says it: anybody, somebody signed in, a member who holds a right.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};

use super::form::Form;
use super::halt::{Halt, see_other};
use super::pages;
use crate::app::sign_in::Browser;
use crate::domain::role::{Permit, Right, Role, Seat};
use crate::domain::secret::Secret;
use crate::domain::session::{Person, Session};
use crate::domain::site::PublicUrl;
use crate::domain::team::{Team, TeamRef};
use crate::web::Web;
use crate::web::client::ClientAddr;
use crate::web::error::{ApiError, ErrorCode};

/// Over https the name itself makes browsers insist on `Secure`, on `/` and on this very host.
const COOKIE: &str = "keyhouse_session";
const COOKIE_HTTPS: &str = "__Host-keyhouse_session";

/// Which team was looked at last: where the start leads. No secret.
const COOKIE_TEAM: &str = "keyhouse_team";

/// The cookies that an answer is to set, whatever becomes of the answer: a session's new secret must reach its browser.
#[derive(Debug, Clone, Default)]
pub struct Jar(Arc<Mutex<Vec<Cookie<'static>>>>);

/// Puts a jar on each request, and what is in it on the answer.
pub async fn carry_cookies(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let jar = Jar::default();
    request.extensions_mut().insert(jar.clone());
    let mut response = next.run(request).await;
    let cookies = std::mem::take(&mut *jar.0.lock().unwrap_or_else(PoisonError::into_inner));
    let https = is_https(&web);
    for mut cookie in cookies {
        if https && cookie.name() == COOKIE {
            cookie.set_name(COOKIE_HTTPS);
        }
        cookie.set_secure(https);
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_same_site(SameSite::Lax);
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn is_https(web: &Web) -> bool {
    web.public_url.as_ref().is_some_and(PublicUrl::is_https)
}

/// Whoever asks, signed in or not.
#[derive(Debug)]
pub struct Visitor {
    pub addr: IpAddr,
    browser: String,
    secret: Option<Secret>,
    jar: Jar,
    /// The slug of the team that this browser looked at last.
    pub last_team: Option<String>,
    /// The path and query that were asked for.
    pub place: String,
    /// Where this Keyhouse is reached, as the operator says, or else the browser.
    pub reached: String,
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Halt> {
        let missing = || ApiError::new(ErrorCode::InternalError).because("a page outside its layers");
        let ClientAddr(addr) = *parts.extensions.get().ok_or_else(missing)?;
        let jar = parts.extensions.get::<Jar>().cloned().ok_or_else(missing)?;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = if is_https(web) { COOKIE_HTTPS } else { COOKIE };
        Ok(Self {
            addr,
            browser: browser(agent).to_owned(),
            secret: cookie_of(&parts.headers, name).and_then(|text| Secret::parse(&text)),
            last_team: cookie_of(&parts.headers, COOKIE_TEAM),
            jar,
            reached: match (&web.public_url, parts.headers.get(header::HOST).and_then(|host| host.to_str().ok())) {
                (Some(url), _) => url.to_string(),
                (None, host) => format!("http://{}", host.unwrap_or("localhost")),
            },
            place: parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned(),
        })
    }
}

fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| Cookie::split_parse(line.to_owned()))
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

impl Visitor {
    pub fn browser(&self) -> Browser<'_> {
        Browser { addr: self.addr, name: &self.browser }
    }

    /// Gives the browser a session's secret. It keeps it as long as a session can last.
    pub fn remember(&self, secret: &Secret) {
        let mut cookie = Cookie::new(COOKIE, secret.expose().to_owned());
        cookie.set_max_age(Duration::days(30));
        self.set(cookie);
    }

    /// Takes it away.
    pub fn forget(&self) {
        let mut cookie = Cookie::new(COOKIE, "");
        cookie.make_removal();
        self.set(cookie);
    }

    fn set(&self, cookie: Cookie<'static>) {
        self.jar.0.lock().unwrap_or_else(PoisonError::into_inner).push(cookie);
    }

    /// Who has signed in with this browser, if anybody.
    pub async fn session(&self, web: &Web) -> Result<Option<(Session, Person)>, Halt> {
        match &self.secret {
            Some(secret) => Ok(web.app.session(secret).await?),
            None => Ok(None),
        }
    }
}

/// Somebody signed in. Without a session the answer is the way to the sign-in page and back.
#[derive(Debug)]
pub struct SignedIn {
    pub visitor: Visitor,
    pub session: Session,
    pub person: Person,
}

impl FromRequestParts<Web> for SignedIn {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Halt> {
        let visitor = Visitor::from_request_parts(parts, web).await?;
        match visitor.session(web).await? {
            Some((session, person)) => Ok(Self { visitor, session, person }),
            None => Err(Halt::not_signed_in(see_other(&sign_in_page(&visitor.place, false)))),
        }
    }
}

/// The sign-in page, with the way back. `cut_off`: somebody was about to change something.
pub fn sign_in_page(place: &str, cut_off: bool) -> String {
    let next = if place == "/" { "" } else { place };
    pages::address("/sign-in", [("next", next), ("cut_off", if cut_off { "1" } else { "" })])
}

impl SignedIn {
    /// Goes on if the person has lately proved who they are, or does so in this very form; else asks for the password, and
    /// keeps what the form holds.
    pub async fn prove(&mut self, web: &Web, form: &Form) -> Result<(), Halt> {
        if web.app.is_fresh(&self.session) {
            return Ok(());
        }
        let typed = form.get("confirm_password");
        if typed.is_empty() {
            return Err(Halt::page(pages::confirm(self, form, "", None)));
        }
        match web.app.prove(&self.session, &self.person, typed, self.visitor.browser()).await {
            Ok(secret) => {
                self.visitor.remember(&secret);
                Ok(())
            }
            Err(error) => {
                let (sentence, wait) = super::sign_in::refusal(error)?;
                Err(Halt::page(pages::confirm(self, form, &sentence, wait)))
            }
        }
    }
}

/// A member of the team in the path who holds the right. To whoever is not in the team it does not exist; a member without
/// the right reads whom to ask.
#[derive(Debug)]
pub struct Holds<R> {
    pub signed_in: SignedIn,
    pub seat: Seat,
    pub permit: Permit<R>,
    /// The person's teams, for the switcher.
    pub teams: Vec<(Team, Role)>,
}

impl<R: Right> FromRequestParts<Web> for Holds<R> {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Halt> {
        let signed_in = SignedIn::from_request_parts(parts, web).await?;
        let named = Path::<Vec<(String, String)>>::from_request_parts(parts, web).await.map_err(|_| Halt::absent())?.0;
        let named = named.into_iter().find(|(name, _)| name == "team").map(|(_, text)| text).unwrap_or_default();
        let teams = web.app.teams_of(signed_in.person.id).await?;
        let is_it = |team: &Team| match named.parse::<TeamRef>() {
            Ok(TeamRef::Id(id)) => team.id == id,
            Ok(TeamRef::Slug(slug)) => team.slug.as_str() == slug,
        };
        let (team, role) = teams.iter().find(|(team, _)| is_it(team)).cloned().ok_or_else(Halt::absent)?;
        let seat = Seat {
            team,
            role,
            person: signed_in.person.clone(),
            session: signed_in.session.id,
            origin: signed_in.visitor.addr.to_string(),
        };
        match seat.permit() {
            Ok(permit) => {
                if signed_in.visitor.last_team.as_deref() != Some(seat.team.slug.as_str()) {
                    let mut cookie = Cookie::new(COOKIE_TEAM, seat.team.slug.as_str().to_owned());
                    cookie.set_max_age(Duration::days(30));
                    signed_in.visitor.set(cookie);
                }
                Ok(Self { signed_in, seat, permit, teams })
            }
            Err(_) => {
                let admins = web.app.admins_of(&seat.team).await?;
                Err(Halt::page(pages::forbidden(&seat, &admins)))
            }
        }
    }
}

impl<R> Holds<R> {
    pub fn team(&self) -> &Team {
        &self.seat.team
    }

    /// An address within the team.
    pub fn at(&self, rest: &str) -> String {
        format!("/t/{}{rest}", self.seat.team.slug.as_str())
    }

    /// The right was there when the request began and not at the write: signed out, out of the team, or in another role.
    pub async fn lost(&self, web: &Web) -> Halt {
        self.what_is_left(web).await.unwrap_or_else(|halt| halt)
    }

    async fn what_is_left(&self, web: &Web) -> Result<Halt, Halt> {
        let sessions = web.app.sessions_of(&self.seat.person).await?;
        if sessions.iter().all(|session| session.id != self.seat.session) {
            return Ok(Halt::page(see_other(&sign_in_page(&self.signed_in.visitor.place, true))));
        }
        let teams = web.app.teams_of(self.seat.person.id).await?;
        let Some((_, role)) = teams.into_iter().find(|(team, _)| team.id == self.seat.team.id) else {
            return Ok(Halt::absent());
        };
        let admins = web.app.admins_of(&self.seat.team).await?;
        Ok(Halt::page(pages::forbidden(&Seat { role, ..self.seat.clone() }, &admins)))
    }
}

/// A form, and who sent it. If their session has ended, what they typed comes back after signing in again.
#[derive(Debug)]
pub struct Posted<W> {
    pub who: W,
    pub form: Form,
}

impl<W: FromRequestParts<Web, Rejection = Halt> + Send> FromRequest<Web> for Posted<W> {
    type Rejection = Halt;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Halt> {
        let (mut parts, body) = request.into_parts();
        let who = match W::from_request_parts(&mut parts, web).await {
            Ok(who) => Some(who),
            Err(halt) if halt.is_not_signed_in() => None,
            Err(halt) => return Err(halt),
        };
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let form = Form::from_request(Request::from_parts(parts, body), web).await?;
        match who {
            Some(who) => Ok(Self { who, form }),
            None => {
                // Back to where the form was read, its own query first: that says of which mode it is.
                let fields = form.as_query();
                let join = if place.contains('?') { '&' } else { '?' };
                let place = if fields.is_empty() { place } else { format!("{place}{join}{fields}") };
                Err(Halt::page(see_other(&sign_in_page(&place, true))))
            }
        }
    }
}

/// The part of the path that comes after the team.
#[derive(Debug)]
pub struct Rest<T>(pub T);

impl<T: std::str::FromStr> FromRequestParts<Web> for Rest<T> {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Halt> {
        let named = Path::<Vec<(String, String)>>::from_request_parts(parts, web).await.map_err(|_| Halt::absent())?.0;
        let last = named.last().and_then(|(_, text)| text.parse().ok());
        last.map(Self).ok_or_else(Halt::absent)
    }
}

/// A place to go on to that somebody else may have written: one of ours, or the start.
pub fn local(place: &str) -> &str {
    let is_path = place.starts_with('/') && !place.starts_with("//");
    let is_plain = place.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_path && is_plain { place } else { "/" }
}

/// A browser's name in a few words, from what it says of itself. For people to know their own by, and for nothing else.
fn browser(agent: &str) -> &'static str {
    macro_rules! named {
        ($($says:literal => $name:literal),* $(,)?) => {
            &[$(($says, [
                concat!($name, " on Windows"), concat!($name, " on Android"), concat!($name, " on iPhone"),
                concat!($name, " on iPad"), concat!($name, " on Mac"), concat!($name, " on Linux"), $name,
            ])),*]
        };
    }
    // The order matters: most say that they are Chrome and Safari too.
    const BROWSERS: &[(&str, [&str; 7])] = named! {
        "Edg" => "Edge", "OPR/" => "Opera", "Firefox/" => "Firefox", "Chrome/" => "Chrome", "Safari/" => "Safari", "curl/" => "curl",
        "" => "A browser",
    };
    let systems = ["Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux"];
    let system = systems.iter().position(|system| agent.contains(system)).unwrap_or(systems.len());
    BROWSERS.iter().find(|(says, _)| agent.contains(says)).map_or("A browser", |(_, names)| names[system])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_places_are_gone_on_to() {
        for place in ["/", "/t/acme/products?mode=test", "/account"] {
            assert_eq!(local(place), place);
        }
        for place in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "javascript:1", "/ä"]
        {
            assert_eq!(local(place), "/", "{place}");
        }
    }

    #[test]
    fn browsers_are_told_apart() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36", "Chrome on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0",
                "Edge on Windows",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) Version/19 Safari/605", "Safari on Mac"),
            ("curl/8.14", "curl"),
            ("", "A browser"),
        ] {
            assert_eq!(browser(agent), name);
        }
    }
}
