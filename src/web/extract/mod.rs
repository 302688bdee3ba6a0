//! What a handler asks for in its signature: who calls, what the path, the query and the body say.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::web::error::{ApiError, ErrorCode};
use crate::web::json::Object;
use keyhouse_domain::api_key::ApiKey;
use keyhouse_domain::auth::{Grant, Tenant};
use keyhouse_domain::idempotency::{IdempotencyKey, IdempotentRequest};
use keyhouse_domain::ids::ProductId;
use keyhouse_domain::scope::Access;

/// Longest body, in bytes; a longer one is 413.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// How long a whole body may take to arrive: slower than 6.4 KiB a second is too slow.
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// What a route does with its team's data, as a type: `Caller<Reads>`, `Caller<Writes>`.
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

/// An entitled caller. It can't be had without a declared access, so no handler forgets the scope.
#[derive(Debug)]
pub struct Caller<A> {
    pub key: Arc<ApiKey>,
    pub grant: Grant,
    access: PhantomData<A>,
}

impl<A> Caller<A> {
    pub fn tenant(&self) -> &Tenant {
        self.grant.tenant()
    }
}

impl<A: RequiredAccess, S: Sync> FromRequestParts<S> for Caller<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (key, grant) = caller_for(&parts.extensions, A::ACCESS)?;
        Ok(Self { key, grant, access: PhantomData })
    }
}

/// The key that the authentication layer put on the request, and its grant for `access`.
///
/// # Errors
///
/// 403 if the scope of the key does not permit `access`.
pub(super) fn caller_for(extensions: &Extensions, access: Access) -> Result<(Arc<ApiKey>, Grant), ApiError> {
    // Every route with a caller is inside the authentication layer: a request without a key is a fault of the router.
    let missing = || ApiError::new(ErrorCode::InternalError).with_source("a route outside the authentication layer");
    let key = extensions.get::<Arc<ApiKey>>().cloned().ok_or_else(missing)?;
    let grant = key.grant(access).map_err(|error| {
        ApiError::new(ErrorCode::ScopeInsufficient)
            .with_header(header::WWW_AUTHENTICATE, r#"Bearer realm="api", error="insufficient_scope""#)
            .with_source(error)
    })?;
    Ok((key, grant))
}

/// The `{id}` of the path. Whether it is the id of anything is judged after the body, as the contract has it.
#[derive(Debug)]
pub struct PathId(Option<ProductId>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.ok().and_then(|Path(text)| text.parse().ok())))
    }
}

impl PathId {
    /// A malformed id is the id of no product: the same answer as for one that is absent or somebody else's.
    pub fn product(self) -> Result<ProductId, ApiError> {
        self.0.ok_or_else(|| ApiError::new(ErrorCode::ProductNotFound))
    }
}

/// The query's known parameters, each at most once; unknown ones are ignored.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::from_text(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub fn from_text(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of a parameter, read by `parse`; absent is the default.
    pub fn parse<T: Default>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ApiError> {
        Ok(self
            .get(name)?
            .map(|text| parse(text).ok_or_else(|| fault(name, expected)))
            .transpose()?
            .unwrap_or_default())
    }

    /// The text of a parameter as it stands first; empty if it is not there. For pages, whose addresses people edit.
    pub fn get_or_empty(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The text of a parameter. Twice is a fault: which one counts?
    pub fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut found = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() { Err(fault(name, "given once")) } else { Ok(first) }
    }
}

fn fault(name: &str, expected: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter).with_message(format!("The query parameter `{name}` must be {expected}"))
}

/// Whether, and by which value, a call is to be done once. Judged only when the body has been: [`IdempotencyKeyHeader::call`].
#[derive(Debug)]
pub struct IdempotencyKeyHeader {
    /// `None`: not sent. `Some(None)`: sent, but no value or several.
    value: Option<Option<IdempotencyKey>>,
    method: Method,
    path: String,
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKeyHeader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let value = values.next().map(|first| match values.next() {
            Some(_) => None,
            None => IdempotencyKey::parse(first.as_bytes()),
        });
        Ok(Self { value, method: parts.method.clone(), path: parts.uri.path().to_owned() })
    }
}

impl IdempotencyKeyHeader {
    pub fn call(self, caller: &Caller<Writes>, body: &[u8]) -> Result<Option<IdempotentRequest>, ApiError> {
        let Some(value) = self.value else { return Ok(None) };
        let value = value.ok_or_else(|| ApiError::new(ErrorCode::InvalidIdempotencyKey))?;
        Ok(Some(IdempotentRequest::new(caller.key.id, self.method.as_str(), self.path, value, body)))
    }
}

/// A body of `application/json` that holds one object. Judged in the contract's order: 415, 413, 400.
#[derive(Debug)]
pub struct JsonBody {
    pub object: Object,
    /// The body's own bytes.
    pub bytes: Vec<u8>,
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_media_type(request.headers())?;
        let bytes = read(request.into_body()).await?;
        let object = Object::parse(&bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson).with_source(error))?;
        Ok(Self { object, bytes })
    }
}

/// A body of whatever kind, for a call that needs none.
#[derive(Debug)]
pub struct RawBody(pub Vec<u8>);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read(request.into_body()).await.map(Self)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let single = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let is_json = single(header::CONTENT_TYPE).and_then(|text| text.parse::<mime::Mime>().ok()).is_some_and(|media| {
        media.essence_str() == mime::APPLICATION_JSON.essence_str()
            && media.params().filter(|(name, _)| *name == mime::CHARSET).all(|(_, charset)| charset == mime::UTF_8)
    });
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING)
        || single(header::CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("identity"));
    let is_plain = is_plain
        && (!headers.contains_key(header::TRANSFER_ENCODING)
            || single(header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")));
    let error = || ApiError::new(ErrorCode::UnsupportedMediaType);
    match (is_json, is_plain) {
        (true, true) => Ok(()),
        (false, _) => Err(error().with_header(header::ACCEPT, "application/json")),
        (true, false) => Err(error()
            .with_header(header::ACCEPT, "application/json")
            .with_header(header::ACCEPT_ENCODING, "identity")),
    }
}

/// Reads a body to its end: 413 beyond [`BODY_MAX`], 400 if it does not arrive.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    // A body that says it is too long is not read at all.
    if axum::body::HttpBody::size_hint(&body).lower() > BODY_MAX as u64 {
        return Err(ApiError::new(ErrorCode::PayloadTooLarge));
    }
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::new(ErrorCode::PayloadTooLarge))
        }
        Ok(Err(error)) => Err(ApiError::new(ErrorCode::BadRequest)
            .with_message("The request body could not be read to its end")
            .with_source(error)),
        Err(_) => Err(ApiError::new(ErrorCode::BadRequest)
            .with_message("The request body did not arrive within 10 seconds")
            .with_header(header::CONNECTION, "close")),
    }
}
