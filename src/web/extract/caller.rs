//! The API key of a request, with the access that its route declares.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::{AuthError, Grant, Tenant};
use keyhouse_domain::scope::Access;

use crate::app::infra::metrics::ApiOutcome;
use crate::web::context::RequestContext;
use crate::web::error::{ApiError, ErrorCode};

/// What a route does with its team's data, as a type: `Caller<Reads>` or `Caller<Writes>`.
pub trait RequiredAccess: Send + 'static {
    const ACCESS: Access;
}

#[derive(Debug)]
pub struct Reads;

#[derive(Debug)]
pub struct Writes;

impl RequiredAccess for Reads {
    const ACCESS: Access = Access::Read;
}

impl RequiredAccess for Writes {
    const ACCESS: Access = Access::Write;
}

/// An authenticated key whose scope allows the access `A`. A handler gets a tenant from nothing else, so none can omit
/// the check of the scope.
#[derive(Debug)]
pub struct Caller<A> {
    pub key: Arc<ApiKey>,
    pub grant: Grant,
    context: RequestContext,
    access: PhantomData<A>,
}

impl<A> Caller<A> {
    pub fn tenant(&self) -> &Tenant {
        self.grant.tenant()
    }

    /// The answer for a key that lost its right to act after authentication and before the commit of its write.
    pub fn refused_at_commit(&self, error: AuthError) -> ApiError {
        self.context.refuse(error.into());
        error.into()
    }
}

impl<A: RequiredAccess, S: Sync> FromRequestParts<S> for Caller<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        let (key, grant) = caller_for(&context, A::ACCESS)?;
        Ok(Self { key, grant, context, access: PhantomData })
    }
}

/// The key that the request was authenticated with, and its grant for `access`.
///
/// # Errors
///
/// `scope_insufficient` if the scope of the key does not permit `access`.
pub(in crate::web) fn caller_for(context: &RequestContext, access: Access) -> Result<(Arc<ApiKey>, Grant), ApiError> {
    // Every route that extracts a caller is authenticated, so a missing key is a bug.
    let missing = || ApiError::new(ErrorCode::InternalError).with_source("a route without authentication");
    let key = context.key().cloned().ok_or_else(missing)?;
    let grant = key.grant(access, context.client_ip()).map_err(|error| {
        context.refuse(ApiOutcome::Scope);
        ApiError::new(ErrorCode::ScopeInsufficient)
            .with_header(header::WWW_AUTHENTICATE, r#"Bearer realm="api", error="insufficient_scope""#)
            .with_source(error)
    })?;
    Ok((key, grant))
}
