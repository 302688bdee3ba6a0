//! Authentication: over the whole `/api/v1` tree, unknown paths included, and over the forward-auth routes, before any
//! router.
//!
//! Order of decisions: 401 or 503, then 429. The scope (403) is checked where a handler asks for its caller.

use axum::http::{HeaderMap, HeaderName, header};

use crate::app::App;
use crate::app::authenticate::AuthenticateError;
use crate::app::infra::metrics::ApiOutcome;
use crate::web::context::RequestContext;
use crate::web::error::ApiError;
use keyhouse_domain::auth::AuthError;
use keyhouse_token::TokenHash;

/// Authenticates a request by the token in the named header, and counts it against its key's rate limit. The key is then in
/// the request's context.
///
/// # Errors
///
/// 401 for a refused credential, 503 if the key's record can't be read, 429 over the key's limit or, for a refused
/// credential, over its network's limit of refused credentials.
pub(in crate::web) async fn authenticate(
    app: &App,
    context: &RequestContext,
    headers: &HeaderMap,
    key_header: &HeaderName,
) -> Result<(), ApiError> {
    let client = context.client_ip();
    let hash = credential_in(headers, key_header)
        .and_then(|token| TokenHash::of_token(token, app.brand()).map_err(AuthError::Malformed));
    let found = match hash {
        Ok(hash) => app.authenticate_hash(&hash, client).await,
        Err(refused) => Err(refused.into()),
    };
    let refused = match found {
        Ok(key) => {
            app.note_token_use(&key, client);
            let quota = app.count_call(&key).await;
            context.set_key(key);
            let Some(quota) = quota else { return Ok(()) };
            context.set_quota(quota);
            let Some(wait) = quota.retry_after else { return Ok(()) };
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
    let wait = if refused.is_failed_attempt() { app.count_bad_token(client) } else { None };
    context.refuse(if wait.is_some() { ApiOutcome::BadTokens } else { refused.into() });
    Err(wait.map_or_else(|| refused.into(), |wait| ApiError::too_many(wait).with_source(refused)))
}

/// Finds the credential in the one header of that name: the scheme in any case, one or more spaces, then what should be a
/// token and nothing else. It is not copied.
///
/// Only in `Authorization` is the scheme required; another header may hold the bare token. By hand rather than by `TypedHeader`, which takes the first of two headers: the contract refuses both.
///
/// # Errors
///
/// No header, more than one, another scheme.
pub(in crate::web) fn credential_in<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a [u8], AuthError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Replayed);
    }
    let value = value.as_bytes();
    let end = value.iter().position(|&b| b == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Ok(rest.iter().position(|&b| b != b' ').map_or(&[][..], |start| &rest[start..]))
    } else if name == header::AUTHORIZATION {
        Err(AuthError::Scheme)
    } else {
        Ok(value)
    }
}
