//! The `Idempotency-Key` header.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::Method;
use axum::http::request::Parts;
use keyhouse_domain::idempotency::{IdempotencyKey, IdempotentRequest};
use keyhouse_domain::ids::ProductId;

use super::{Caller, Writes};
use crate::web::error::{ApiError, ErrorCode};

/// The header of a request, unvalidated: its error comes after those of the body. See [`IdempotencyKeyHeader::request`].
#[derive(Debug)]
pub struct IdempotencyKeyHeader {
    value: Header,
    method: Method,
    /// The template of the matched route, such as `/api/v1/products/{id}`.
    route: String,
}

#[derive(Debug)]
enum Header {
    Absent,
    /// Given more than once, or with a value that is no idempotency key.
    Invalid,
    Valid(IdempotencyKey),
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKeyHeader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let value = match (values.next(), values.next()) {
            (None, _) => Header::Absent,
            (Some(value), None) => IdempotencyKey::parse(value.as_bytes()).map_or(Header::Invalid, Header::Valid),
            (Some(_), Some(_)) => Header::Invalid,
        };
        let route = parts.extensions.get::<MatchedPath>().ok_or_else(|| {
            ApiError::new(ErrorCode::InternalError).with_source("an idempotent handler outside the router")
        })?;
        Ok(Self { value, method: parts.method.clone(), route: route.as_str().to_owned() })
    }
}

impl IdempotencyKeyHeader {
    /// Identifies the request by its route and the parsed id in it, so that two spellings of one path (an id in capitals
    /// or percent-encoded) are the same request. `None` if the header is absent.
    ///
    /// # Errors
    ///
    /// `invalid_idempotency_key` if the header is repeated or its value is invalid.
    pub fn request(
        self,
        caller: &Caller<Writes>,
        id: Option<ProductId>,
        body: &[u8],
    ) -> Result<Option<IdempotentRequest>, ApiError> {
        let key = match self.value {
            Header::Absent => return Ok(None),
            Header::Invalid => return Err(ApiError::new(ErrorCode::InvalidIdempotencyKey)),
            Header::Valid(key) => key,
        };
        let path = match id {
            Some(id) => self.route.replace("{id}", &id.to_string()),
            None => self.route,
        };
        Ok(Some(IdempotentRequest::new(caller.key.id, self.method.as_str(), path, key, body)))
    }
}
