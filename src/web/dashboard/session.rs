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

use super::forms::Form;
use super::layout;
use super::rejection::{Rejection, see_other};
use crate::app::sessions::ClientInfo;
use crate::web::AppState;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::middleware::client_ip::ClientAddr;
use keyhouse_domain::permission::{Membership, Permission, Permit};
use keyhouse_domain::person::Person;
use keyhouse_domain::public_url::PublicUrl;
use keyhouse_domain::role::Role;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::session::Session;
use keyhouse_domain::team::{Team, TeamRef};

/// Over https the name itself makes browsers insist on `Secure`, on `/` and on this very host.
const COOKIE: &str = "keyhouse_session";
const COOKIE_HTTPS: &str = "__Host-keyhouse_session";

/// Which team was looked at last: where the start leads. No secret.
const COOKIE_TEAM: &str = "keyhouse_team";

/// The cookies that an answer is to set, whatever becomes of the answer: a session's new secret must reach its browser.
#[derive(Debug, Clone, Default)]
pub(super) struct CookieJar(Arc<Mutex<Vec<Cookie<'static>>>>);

/// Puts a jar on each request, and what is in it on the answer.
pub(super) async fn write_cookies(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let jar = CookieJar::default();
    request.extensions_mut().insert(jar.clone());
    let mut response = next.run(request).await;
    let cookies = std::mem::take(&mut *jar.0.lock().unwrap_or_else(PoisonError::into_inner));
    let https = is_https(&state);
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

fn is_https(state: &AppState) -> bool {
    state.public_url.as_ref().is_some_and(PublicUrl::is_https)
}

/// Whoever asks, signed in or not.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub addr: IpAddr,
    browser: String,
    secret: Option<Secret>,
    jar: CookieJar,
    /// The slug of the team that this browser looked at last.
    pub last_team: Option<String>,
    /// The path and query that were asked for.
    pub place: String,
    /// Where this Keyhouse is reached, as the operator says, or else the browser.
    pub reached: String,
}

impl FromRequestParts<AppState> for ClientSession {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let missing = || ApiError::new(ErrorCode::InternalError).with_source("a page outside its layers");
        let ClientAddr(addr) = *parts.extensions.get().ok_or_else(missing)?;
        let jar = parts.extensions.get::<CookieJar>().cloned().ok_or_else(missing)?;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = if is_https(state) { COOKIE_HTTPS } else { COOKIE };
        Ok(Self {
            addr,
            browser: browser(agent).to_owned(),
            secret: cookie_of(&parts.headers, name).and_then(|text| Secret::parse(&text)),
            last_team: cookie_of(&parts.headers, COOKIE_TEAM),
            jar,
            reached: match (&state.public_url, parts.headers.get(header::HOST).and_then(|host| host.to_str().ok())) {
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

impl ClientSession {
    pub(super) fn browser(&self) -> ClientInfo<'_> {
        ClientInfo { addr: self.addr, name: &self.browser }
    }

    /// Gives the browser a session's secret. It keeps it as long as a session can last.
    pub(super) fn set_session_cookie(&self, secret: &Secret) {
        let mut cookie = Cookie::new(COOKIE, secret.expose().to_owned());
        cookie.set_max_age(Duration::days(30));
        self.set(cookie);
    }

    /// Takes it away.
    pub(super) fn clear_session_cookie(&self) {
        let mut cookie = Cookie::new(COOKIE, "");
        cookie.make_removal();
        self.set(cookie);
    }

    fn set(&self, cookie: Cookie<'static>) {
        self.jar.0.lock().unwrap_or_else(PoisonError::into_inner).push(cookie);
    }

    /// Who has signed in with this browser, if anybody.
    pub(super) async fn session(&self, state: &AppState) -> Result<Option<(Session, Person)>, Rejection> {
        match &self.secret {
            Some(secret) => Ok(state.app.session(secret).await?),
            None => Ok(None),
        }
    }
}

/// Somebody signed in. Without a session the answer is the way to the sign-in page and back.
#[derive(Debug)]
pub(super) struct CurrentUser {
    pub client: ClientSession,
    pub session: Session,
    pub person: Person,
}

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let client = ClientSession::from_request_parts(parts, state).await?;
        match client.session(state).await? {
            Some((session, person)) => Ok(Self { client, session, person }),
            None => Err(Rejection::unauthenticated(see_other(&sign_in_page(&client.place, false)))),
        }
    }
}

/// The sign-in page, with the way back. `cut_off`: somebody was about to change something.
pub(super) fn sign_in_page(place: &str, cut_off: bool) -> String {
    let next = if place == "/" { "" } else { place };
    layout::address("/sign-in", [("next", next), ("cut_off", if cut_off { "1" } else { "" })])
}

impl CurrentUser {
    /// Goes on if the person has lately proved who they are, or does so in this very form; else asks for the password, and
    /// keeps what the form holds.
    pub(super) async fn reauthenticate(&mut self, state: &AppState, form: &Form) -> Result<(), Rejection> {
        if state.app.is_fresh(&self.session) {
            return Ok(());
        }
        let typed = form.get("confirm_password");
        if typed.is_empty() {
            return Err(Rejection::page(layout::confirm(self, form, "", None)));
        }
        match state.app.reauthenticate(&self.session, &self.person, typed, self.client.browser()).await {
            Ok(secret) => {
                self.client.set_session_cookie(&secret);
                Ok(())
            }
            Err(error) => {
                let (sentence, wait) = super::sign_in::refusal(error)?;
                Err(Rejection::page(layout::confirm(self, form, &sentence, wait)))
            }
        }
    }
}

/// A member of the team in the path who holds the right. To whoever is not in the team it does not exist; a member without
/// the right reads whom to ask.
#[derive(Debug)]
pub(super) struct Authorized<R> {
    pub signed_in: CurrentUser,
    pub seat: Membership,
    pub permit: Permit<R>,
    /// The person's teams, for the switcher.
    pub teams: Vec<(Team, Role)>,
}

impl<R: Permission> FromRequestParts<AppState> for Authorized<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let signed_in = CurrentUser::from_request_parts(parts, state).await?;
        let named = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Rejection::not_found())?
            .0;
        let named = named.into_iter().find(|(name, _)| name == "team").map(|(_, text)| text).unwrap_or_default();
        let teams = state.app.teams_of(signed_in.person.id).await?;
        let is_it = |team: &Team| match named.parse::<TeamRef>() {
            Ok(TeamRef::Id(id)) => team.id == id,
            Ok(TeamRef::Slug(slug)) => team.slug.as_str() == slug,
        };
        let (team, role) = teams.iter().find(|(team, _)| is_it(team)).cloned().ok_or_else(Rejection::not_found)?;
        let seat = Membership {
            team,
            role,
            person: signed_in.person.clone(),
            session: signed_in.session.id,
            client_ip: signed_in.client.addr.to_string(),
        };
        match seat.permit() {
            Ok(permit) => {
                if signed_in.client.last_team.as_deref() != Some(seat.team.slug.as_str()) {
                    let mut cookie = Cookie::new(COOKIE_TEAM, seat.team.slug.as_str().to_owned());
                    cookie.set_max_age(Duration::days(30));
                    signed_in.client.set(cookie);
                }
                Ok(Self { signed_in, seat, permit, teams })
            }
            Err(_) => {
                let admins = state.app.admins_of(&seat.team).await?;
                Err(Rejection::page(layout::forbidden(&seat, &admins)))
            }
        }
    }
}

impl<R> Authorized<R> {
    pub(super) fn team(&self) -> &Team {
        &self.seat.team
    }

    /// An address within the team.
    pub(super) fn at(&self, rest: &str) -> String {
        format!("/t/{}{rest}", self.seat.team.slug.as_str())
    }

    /// The right was there when the request began and not at the write: signed out, out of the team, or in another role.
    pub(super) async fn permission_lost(&self, state: &AppState) -> Rejection {
        self.find_why_lost(state).await.unwrap_or_else(|halt| halt)
    }

    async fn find_why_lost(&self, state: &AppState) -> Result<Rejection, Rejection> {
        let sessions = state.app.sessions_of(&self.seat.person).await?;
        if sessions.iter().all(|session| session.id != self.seat.session) {
            return Ok(Rejection::page(see_other(&sign_in_page(&self.signed_in.client.place, true))));
        }
        let teams = state.app.teams_of(self.seat.person.id).await?;
        let Some((_, role)) = teams.into_iter().find(|(team, _)| team.id == self.seat.team.id) else {
            return Ok(Rejection::not_found());
        };
        let admins = state.app.admins_of(&self.seat.team).await?;
        Ok(Rejection::page(layout::forbidden(&Membership { role, ..self.seat.clone() }, &admins)))
    }
}

/// A form, and who sent it. If their session has ended, what they typed comes back after signing in again.
#[derive(Debug)]
pub(super) struct AuthorizedForm<W> {
    pub who: W,
    pub form: Form,
}

impl<W: FromRequestParts<AppState, Rejection = Rejection> + Send> FromRequest<AppState> for AuthorizedForm<W> {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let who = match W::from_request_parts(&mut parts, state).await {
            Ok(who) => Some(who),
            Err(halt) if halt.is_unauthenticated() => None,
            Err(halt) => return Err(halt),
        };
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let form = Form::from_request(Request::from_parts(parts, body), state).await?;
        match who {
            Some(who) => Ok(Self { who, form }),
            None => {
                // Back to where the form was read, its own query first: that says of which mode it is.
                let fields = form.as_query();
                let join = if place.contains('?') { '&' } else { '?' };
                let place = if fields.is_empty() { place } else { format!("{place}{join}{fields}") };
                Err(Rejection::page(see_other(&sign_in_page(&place, true))))
            }
        }
    }
}

/// The part of the path that comes after the team.
#[derive(Debug)]
pub(super) struct LastPathParam<T>(pub T);

impl<T: std::str::FromStr> FromRequestParts<AppState> for LastPathParam<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let named = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Rejection::not_found())?
            .0;
        let last = named.last().and_then(|(_, text)| text.parse().ok());
        last.map(Self).ok_or_else(Rejection::not_found)
    }
}

/// A place to go on to that somebody else may have written: one of ours, or the start.
pub(super) fn safe_redirect_path(place: &str) -> &str {
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
            assert_eq!(safe_redirect_path(place), place);
        }
        for place in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "javascript:1", "/ä"]
        {
            assert_eq!(safe_redirect_path(place), "/", "{place}");
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
