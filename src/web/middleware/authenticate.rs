//! The authentication layer: over the whole `/api/v1` tree, unknown paths included, before any route.
//!
//! Order of decisions: 401 or 503, then 429. The scope (403) is checked where a handler asks for its caller.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use super::record_route;
use crate::app::authenticate::AuthenticateError;
use crate::app::infra::metrics::ApiOutcome;
use crate::web::AppState;
use crate::web::context::{CallerId, RequestContext};
use crate::web::error::{ApiError, ErrorCode};
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::AuthError;
use keyhouse_token::{Brand, RawToken};

/// Authenticates by the token in the named header. A tower layer rather than an axum middleware function, which would cost every call a boxed service more.
#[derive(Debug, Clone)]
pub(in crate::web) struct AuthLayer(pub AppState, pub HeaderName);

#[derive(Debug, Clone)]
pub(in crate::web) struct AuthService<S> {
    state: AppState,
    key_header: HeaderName,
    inner: S,
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { state: self.0.clone(), key_header: self.1.clone(), inner }
    }
}

impl<S> Service<Request> for AuthService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // The service that was polled ready is the one to call; its clone waits for the next request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let state = self.state.clone();
        let token = token_in(request.headers(), &self.key_header, state.app.brand());
        Box::pin(async move {
            record_route::record(&request);
            let context = request.extensions().get::<RequestContext>().cloned();
            match authenticate(&state, context, token).await {
                Ok(key) => {
                    request.extensions_mut().insert(key);
                    inner.call(request).await
                }
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}

/// Authenticates a request and counts it against its key's rate limit.
///
/// # Errors
///
/// 401 for a refused credential, 503 if the key's record can't be read, 429 over the key's limit or, for a refused
/// credential, over its network's limit of refused credentials.
async fn authenticate(
    state: &AppState,
    context: Option<RequestContext>,
    token: Result<RawToken, AuthError>,
) -> Result<Arc<ApiKey>, ApiError> {
    let outside = || ApiError::new(ErrorCode::InternalError).with_source("a request outside the root service");
    let context = context.ok_or_else(outside)?;
    let client = context.client_ip();
    let found = match token {
        Ok(token) => state.app.authenticate(token, client).await,
        Err(refused) => Err(refused.into()),
    };
    let refused = match found {
        Ok(key) => {
            context.set_caller(CallerId::Key(key.id));
            let Some(quota) = state.app.count_call(&key).await else { return Ok(key) };
            context.set_quota(quota);
            let Some(wait) = quota.retry_after else { return Ok(key) };
            context.refuse(ApiOutcome::RateLimit);
            return Err(ApiError::too_many(wait));
        }
        Err(AuthenticateError::Store(error)) => {
            context.refuse(ApiOutcome::Unavailable);
            return Err(error.into());
        }
        Err(AuthenticateError::KeyRefused { key, error }) => {
            context.set_refused_key(key.id, error);
            error
        }
        Err(AuthenticateError::AuthError(refused)) => refused,
    };
    let wait = if refused.is_failed_attempt() { state.app.count_bad_token(client) } else { None };
    context.refuse(if wait.is_some() { ApiOutcome::BadTokens } else { refused.into() });
    Err(wait.map_or_else(|| refused.into(), |wait| ApiError::too_many(wait).with_source(refused)))
}

/// Reads the token from the one header of that name: the scheme in any case, one or more spaces, one token, nothing else.
///
/// Only in `Authorization` is the scheme required; another header may hold the bare token. By hand rather than by `TypedHeader`, which takes the first of two headers: the contract refuses both.
///
/// # Errors
///
/// No header, more than one, another scheme, or text that is not a well-formed token.
pub(in crate::web) fn token_in(headers: &HeaderMap, name: &HeaderName, brand: &Brand) -> Result<RawToken, AuthError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Replayed);
    }
    let value = value.as_bytes();
    let end = value.iter().position(|&b| b == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let token = if scheme.eq_ignore_ascii_case(b"bearer") {
        rest.iter().position(|&b| b != b' ').map_or(&[][..], |start| &rest[start..])
    } else if name == header::AUTHORIZATION {
        return Err(AuthError::Scheme);
    } else {
        value
    };
    Ok(RawToken::parse(token, brand)?)
}
