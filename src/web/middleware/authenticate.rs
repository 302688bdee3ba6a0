//! The layer over the whole `/api/v1` tree, unknown paths included: whose key is this? It runs before any route.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::{Layer, Service};

use super::client_ip::ClientAddr;
use crate::app::authenticate::AuthenticateError;
use crate::web::AppState;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::service::AccessLogFields;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::AuthError;
use keyhouse_domain::rate_limit::Quota;
use keyhouse_token::{Brand, RawToken};

/// Authenticates by the token in the named header. A tower layer rather than a middleware function: this is the one path that every call pays for.
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
            let mut noted = AccessLogFields { route: request.extensions().get::<MatchedPath>().cloned(), key: None };
            let client = request.extensions().get::<ClientAddr>().copied();
            let mut response = match authenticate(&state, token, client).await {
                Ok((key, quota)) => {
                    noted.key = Some(key.id);
                    let mut response = match quota.and_then(|quota| quota.retry_after) {
                        Some(wait) => ApiError::too_many(wait).into_response(),
                        None => {
                            request.extensions_mut().insert(key);
                            // Here too, so that the answer still tells the quota and the log whose call it was.
                            match AssertUnwindSafe(inner.call(request)).catch_unwind().await {
                                Ok(answer) => answer?,
                                Err(_) => {
                                    ApiError::new(ErrorCode::InternalError).with_source("a panic").into_response()
                                }
                            }
                        }
                    };
                    record_outcome(&state, &response);
                    if let Some(quota) = quota {
                        insert_rate_limit_headers(response.headers_mut(), &quota);
                    }
                    response
                }
                Err(error) => error.into_response(),
            };
            response.extensions_mut().insert(noted);
            Ok(response)
        })
    }
}

/// Whose key it is and what is left of its budget; or 401, 429 for whoever guesses too often, 503.
async fn authenticate(
    state: &AppState,
    token: Result<RawToken, AuthError>,
    client: Option<ClientAddr>,
) -> Result<(Arc<ApiKey>, Option<Quota>), ApiError> {
    let client =
        client.ok_or_else(|| ApiError::new(ErrorCode::InternalError).with_source("a request without a client"))?;
    let found = match token {
        Ok(token) => state.app.authenticate(token, client.0).await,
        Err(refused) => Err(refused.into()),
    };
    match found {
        Ok(key) => {
            let quota = state.app.count_call(&key, client.0).await;
            Ok((key, quota))
        }
        Err(AuthenticateError::Store(error)) => {
            state.app.metrics().refused("unavailable");
            Err(error.into())
        }
        Err(AuthenticateError::AuthError(refused)) => {
            let wait = if refused.is_failed_attempt() { state.app.count_bad_token(client.0) } else { None };
            state.app.metrics().refused(if wait.is_some() { "bad_tokens" } else { refused.as_label() });
            Err(wait.map_or_else(|| refused.into(), |wait| ApiError::too_many(wait).with_source(refused)))
        }
    }
}

/// Counts a call whose key was good, by what became of it.
fn record_outcome(state: &AppState, response: &Response) {
    let code = response.extensions().get::<Arc<ApiError>>().map(|error| error.code);
    match code {
        Some(ErrorCode::RateLimitExceeded) => state.app.metrics().refused("rate_limit"),
        Some(ErrorCode::ScopeInsufficient) => state.app.metrics().refused("scope"),
        Some(ErrorCode::InvalidToken) => state.app.metrics().refused(AuthError::Revoked.as_label()),
        Some(ErrorCode::ServiceUnavailable) => state.app.metrics().refused("unavailable"),
        _ => state.app.metrics().admitted(),
    }
}

fn insert_rate_limit_headers(headers: &mut HeaderMap, quota: &Quota) {
    headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(quota.reset));
}

/// Reads the token from the one header of that name: scheme in any case, one or more spaces, one token, nothing else.
///
/// Only in `Authorization` is the scheme required; another header may hold the bare token.
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
