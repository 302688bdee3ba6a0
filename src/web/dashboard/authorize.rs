//! Who may do what, as a handler's signature says it: a member with a permission, and a form that such a member sent.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::forms::{FORM_OWNER, RawForm};
use super::rejection::Rejection;
use super::responses;
use super::session::{ClientSession, CurrentUser, path_and_query};
use crate::web::AppState;
use keyhouse_domain::permission::{Membership, Permission, Permit};
use keyhouse_domain::role::Role;
use keyhouse_domain::team::{Team, TeamRef};

/// A member of the team in the path who has the permission `P`. For everybody outside the team the page does not exist; a
/// member without the permission sees who has it.
#[derive(Debug)]
pub(super) struct Authorized<P> {
    pub user: CurrentUser,
    pub membership: Membership,
    pub permit: Permit<P>,
    /// The person's teams, for the team switcher.
    pub teams: Vec<(Team, Role)>,
}

/// What a signed-in person becomes on a page: themselves, or a member with a permission.
pub(super) trait FromUser: Sized + Send {
    fn from_user(
        user: CurrentUser,
        parts: &mut Parts,
        state: &AppState,
    ) -> impl Future<Output = Result<Self, Rejection>> + Send;
}

impl FromUser for CurrentUser {
    async fn from_user(user: CurrentUser, _: &mut Parts, _: &AppState) -> Result<Self, Rejection> {
        Ok(user)
    }
}

impl<P: Permission> FromUser for Authorized<P> {
    async fn from_user(user: CurrentUser, parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let params = path_params(parts, state).await?;
        let in_path = params.into_iter().find(|(name, _)| name == "team").map(|(_, value)| value).unwrap_or_default();
        let teams = state.app.queries().teams_of(user.person.id).await?;
        let matches = |team: &Team| match in_path.parse::<TeamRef>() {
            Ok(TeamRef::Id(id)) => team.id == id,
            Ok(TeamRef::Slug(slug)) => team.slug.as_str() == slug,
        };
        let (team, role) = teams.iter().find(|(team, _)| matches(team)).cloned().ok_or_else(Rejection::not_found)?;
        let membership = Membership {
            team,
            role,
            person: user.person.clone(),
            session: user.session.id,
            client_ip: user.client.ip.to_string(),
        };
        match membership.permit() {
            Ok(permit) => Ok(Self { user, membership, permit, teams }),
            Err(_) => Err(forbidden::<P>(state, &membership).await?),
        }
    }
}

impl<P: Permission> FromRequestParts<AppState> for Authorized<P> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        Self::from_user(user, parts, state).await
    }
}

async fn path_params(parts: &mut Parts, state: &AppState) -> Result<Vec<(String, String)>, Rejection> {
    let params = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    params.map(|Path(params)| params).map_err(|_| Rejection::not_found())
}

async fn forbidden<P: Permission>(state: &AppState, membership: &Membership) -> Result<Rejection, Rejection> {
    let mut holders = state.app.queries().admins(membership.team.id).await?;
    holders.retain(|member| P::allowed_for(member.role));
    Ok(Rejection::page(responses::forbidden(membership, &holders)))
}

impl<P> Authorized<P> {
    pub(super) fn team(&self) -> &Team {
        &self.membership.team
    }

    /// A path of the team's pages.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/t/{}{rest}", self.membership.team.slug.as_str())
    }
}

impl<P: Permission> Authorized<P> {
    /// The permission was there when the request began and not at the write: the person was signed out, left the team, or
    /// has another role.
    pub(super) async fn permission_lost(&self, state: &AppState, form: &RawForm) -> Rejection {
        self.why_lost(state, form).await.unwrap_or_else(|rejection| rejection)
    }

    async fn why_lost(&self, state: &AppState, form: &RawForm) -> Result<Rejection, Rejection> {
        if self.user.client.session(state).await?.is_none_or(|(session, _)| session.id != self.user.session.id) {
            return Ok(Rejection::page(responses::sign_in_to_continue(&self.user.client.path_and_query, form)));
        }
        let teams = state.app.queries().teams_of(self.user.person.id).await?;
        match teams.into_iter().find(|(team, _)| team.id == self.membership.team.id) {
            Some((team, role)) => forbidden::<P>(state, &Membership { team, role, ..self.membership.clone() }).await,
            None => Ok(Rejection::not_found()),
        }
    }
}

/// A form and the person who sent it.
///
/// The form must say for whom it was rendered: if another person has signed in with this browser since, in another tab,
/// nothing is done. If the session has ended, the sign-in page keeps the fields.
#[derive(Debug)]
pub(super) struct AuthorizedForm<A, F> {
    pub access: A,
    pub form: F,
    /// All fields as they were sent.
    pub raw: RawForm,
}

impl<A: FromUser, F: DeserializeOwned> FromRequest<AppState> for AuthorizedForm<A, F> {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let user = match CurrentUser::from_request_parts(&mut parts, state).await {
            Ok(user) => Some(user),
            Err(rejection) if rejection.is_unauthenticated() => None,
            Err(rejection) => return Err(rejection),
        };
        let raw = RawForm::from_request(Request::from_parts(parts.clone(), body), state).await?;
        let Some(user) = user else {
            return Err(Rejection::page(responses::sign_in_to_continue(path_and_query(&parts), &raw)));
        };
        if raw.get(FORM_OWNER) != user.person.id.to_string() {
            return Err(Rejection::page(responses::not_your_form(state, &user, &user.client.path_and_query).await?));
        }
        let access = A::from_user(user, &mut parts, state).await?;
        Ok(Self { access, form: raw.parse()?, raw })
    }
}

/// The last parameter of the path.
#[derive(Debug)]
pub(super) struct LastPathParam<T>(pub T);

impl<T: std::str::FromStr> FromRequestParts<AppState> for LastPathParam<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let params = path_params(parts, state).await?;
        let last = params.last().and_then(|(_, value)| value.parse().ok());
        last.map(Self).ok_or_else(Rejection::not_found)
    }
}

/// Remembers in a cookie which team's page was opened last, so that `/` leads there.
pub(super) async fn remember_team(
    client: ClientSession,
    Path(params): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let team = params.into_iter().find(|(name, _)| name == "team").map(|(_, value)| value);
    match team.filter(|team| response.status().is_success() && client.last_team.as_ref() != Some(team)) {
        Some(team) => (client.cookies.set_last_team(&team), response).into_response(),
        None => response,
    }
}
