//! The browser that sent a request, and the person who is signed in with it.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum_extra::extract::CookieJar;

use super::cookies::Cookies;
use super::forms::RawForm;
use super::rejection::{LOCATION_MAX, PageResult, Rejection, see_other};
use super::{responses, user_agent};
use crate::app::sessions::{ClientInfo, StartedSession};
use crate::web::AppState;
use crate::web::base_url::BaseUrl;
use crate::web::context::RequestContext;
use crate::web::error::ApiError;
use keyhouse_domain::person::Person;
use keyhouse_domain::public_url::PublicUrl;
use keyhouse_domain::secret::Secret;
use keyhouse_domain::session::Session;

/// The browser that sent the request, signed in or not.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub ip: IpAddr,
    user_agent: &'static str,
    secret: Option<Secret>,
    pub cookies: Cookies,
    /// The slug or id of the team whose pages this browser opened last.
    pub last_team: Option<String>,
    /// The slugs of the teams whose checklist was dismissed in this browser.
    pub without_checklist: Vec<String>,
    /// The path and query of the request.
    pub path_and_query: String,
    /// The scheme and host at which browsers reach this installation.
    pub base_url: String,
    /// The configured public URL, if it is HTTPS and the request came by another host: the session cookie is for HTTPS
    /// alone, so signing in fails here.
    pub elsewhere: Option<String>,
}

impl FromRequestParts<AppState> for ClientSession {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let ip = RequestContext::from_request_parts(parts, state).await?.client_ip();
        let Ok(base_url) = BaseUrl::from_request_parts(parts, state).await;
        let user_agent = header_text(&parts.headers, header::USER_AGENT).unwrap_or_default();
        let is_https = state.public_url.as_ref().is_some_and(PublicUrl::is_https);
        let cookies = Cookies::new(state.app.instance_tag().await?, is_https);
        let jar = CookieJar::from_headers(&parts.headers);
        Ok(Self {
            ip,
            user_agent: user_agent::describe(user_agent),
            secret: cookies.session_secret(&jar),
            last_team: cookies.last_team(&jar).map(str::to_owned),
            without_checklist: cookies
                .without_checklist(&jar)
                .map_or_else(Vec::new, |teams| teams.split('.').map(str::to_owned).collect()),
            cookies,
            path_and_query: path_and_query(parts).to_owned(),
            base_url: base_url.to_string(),
            elsewhere: elsewhere(&parts.headers, state.public_url.as_ref()),
        })
    }
}

pub(super) fn path_and_query(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn elsewhere(headers: &HeaderMap, public_url: Option<&PublicUrl>) -> Option<String> {
    let url = public_url.filter(|url| url.is_https())?;
    let host = header_text(headers, header::HOST)?;
    let is_here = url.as_str().strip_prefix("https://").is_some_and(|public| public.eq_ignore_ascii_case(host));
    (!is_here).then(|| url.to_string())
}

impl ClientSession {
    /// The URL of a one-time link.
    pub(super) fn link(&self, code: &Secret) -> String {
        format!("{}/link/{}", self.base_url, code.expose())
    }

    pub(super) fn info(&self) -> ClientInfo<'_> {
        ClientInfo { addr: self.ip, name: self.user_agent }
    }

    /// A cookie with the secret of a new session. Ends the session that this browser had before: it could not be ended on
    /// purpose any more, since no browser holds its secret.
    pub(super) async fn replace_session(
        &self,
        state: &AppState,
        started: &StartedSession,
    ) -> Result<CookieJar, Rejection> {
        if let Some((former, person)) = self.session(state).await? {
            state.app.sign_out(&person, Some(former.id), self.info()).await?;
        }
        Ok(self.cookies.set_session(&started.secret))
    }

    /// The valid session of this browser, if there is one.
    pub(super) async fn session(&self, state: &AppState) -> Result<Option<(Session, Person)>, Rejection> {
        match &self.secret {
            Some(secret) => Ok(state.app.session(secret).await?),
            None => Ok(None),
        }
    }
}

/// A person with a valid session. Without one the response is a redirect to the sign-in page.
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
            Some((session, person)) => {
                RequestContext::from_request_parts(parts, state).await?.set_person(person.id);
                if !parts.method.is_safe() {
                    state.app.count_unsafe_call(session.id).map_err(ApiError::too_many)?;
                }
                Ok(Self { client, session, person })
            }
            None => Err(Rejection::unauthenticated(see_other(&sign_in_path(&client.path_and_query)))),
        }
    }
}

/// The path of the sign-in page, which leads back to `next`; without `next`, if that is too long for a header.
fn sign_in_path(next: &str) -> String {
    let path = responses::url("/sign-in", [("next", if next == "/" { "" } else { next })]);
    if path.len() <= LOCATION_MAX { path } else { "/sign-in".to_owned() }
}

/// A path to redirect to, from an untrusted parameter: one of this dashboard's, or `/`.
pub(super) fn safe_redirect_path(path: &str) -> &str {
    let is_path = path.starts_with('/') && !path.starts_with("//");
    let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_path && is_plain { path } else { "/" }
}

impl CurrentUser {
    /// Runs `action` if the person authenticated within the last 15 minutes, or sent their password with this very form.
    /// Otherwise asks for the password, and keeps the form's fields.
    ///
    /// A password check gives the session a new secret. Its cookie is set on the response whatever `action` returns:
    /// otherwise an action that fails would also sign the person out.
    pub(super) async fn with_recent_authentication(
        &self,
        state: &AppState,
        form: &RawForm,
        action: impl Future<Output = PageResult>,
    ) -> PageResult {
        if state.app.is_fresh(&self.session) {
            return action.await;
        }
        let password = form.get("confirm_password");
        if password.is_empty() {
            return Err(Rejection::page(responses::confirm_password(state, self, form, ("", None)).await?));
        }
        match state.app.reauthenticate(&self.session, &self.person, password, self.client.info()).await {
            Ok(secret) => {
                let cookie = self.client.cookies.set_session(&secret);
                match action.await {
                    Ok(response) => Ok((cookie, response).into_response()),
                    Err(rejection) => Err(rejection.with(cookie)),
                }
            }
            Err(error) => {
                let (message, retry_after) = responses::password_error(error, "Wrong password")?;
                let page = responses::confirm_password(state, self, form, (&message, retry_after)).await?;
                Err(Rejection::page(page))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_dashboard_are_redirected_to() {
        for path in ["/", "/t/acme/products?mode=test", "/account"] {
            assert_eq!(safe_redirect_path(path), path);
        }
        for path in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "javascript:1", "/ä"]
        {
            assert_eq!(safe_redirect_path(path), "/", "{path}");
        }
    }
}
