//! Request bodies: size, time, encoding and syntax.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::is_media_type;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::json::RawObject;

/// Longest body, in bytes; a longer one is 413.
pub(in crate::web) const BODY_MAX: usize = 64 * 1024;
/// Time in which a whole body must arrive: a client that needs more sends less than 6.4 KiB a second.
pub(in crate::web) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";

/// A body of `application/json` that holds one object. Errors come in the contract's order: 415, 413, 400.
#[derive(Debug)]
pub struct JsonBody {
    pub object: RawObject,
    /// The body as sent.
    pub bytes: Vec<u8>,
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_encoding(request.method(), request.headers())?;
        let bytes = read(request.into_body()).await?;
        let object =
            RawObject::parse(&bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson).with_source(error))?;
        Ok(Self { object, bytes })
    }
}

/// A body of any media type, for a request that needs none.
#[derive(Debug)]
pub struct RawBody(pub Vec<u8>);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read(request.into_body()).await.map(Self)
    }
}

/// 415 unless the body is uncompressed JSON; the response says what would be accepted (RFC 9110 section 15.5.16, and RFC
/// 5789 section 2.2 for `Accept-Patch`).
fn check_encoding(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_json = is_media_type(headers, JSON);
    if is_json
        && is_only(headers, &header::CONTENT_ENCODING, "identity")
        && is_only(headers, &header::TRANSFER_ENCODING, "chunked")
    {
        return Ok(());
    }
    let mut error = ApiError::new(ErrorCode::UnsupportedMediaType).with_header(header::ACCEPT, JSON);
    if method == Method::PATCH {
        error = error.with_header(header::HeaderName::from_static("accept-patch"), JSON);
    }
    if is_json {
        error = error.with_header(header::ACCEPT_ENCODING, "identity");
    }
    Err(error)
}

/// Whether a header is absent, or given once with this value.
fn is_only(headers: &HeaderMap, name: &header::HeaderName, value: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(value.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// Reads a body to its end.
///
/// # Errors
///
/// `payload_too_large` beyond [`BODY_MAX`]; `bad_request` if the body breaks off or needs more than [`BODY_TIMEOUT`].
pub(in crate::web) async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    read_up_to(body, BODY_MAX).await
}

/// As [`read`], with another limit in bytes.
pub(in crate::web) async fn read_up_to(body: Body, max: usize) -> Result<Vec<u8>, ApiError> {
    // A declared length beyond the limit is refused before a byte is read.
    if axum::body::HttpBody::size_hint(&body).lower() > max as u64 {
        return Err(ApiError::new(ErrorCode::PayloadTooLarge));
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, max).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::new(ErrorCode::PayloadTooLarge))
        }
        Ok(Err(error)) => Err(ApiError::new(ErrorCode::BadRequest)
            .with_message("The request body could not be read to its end")
            .with_source(error)),
        Err(_) => Err(ApiError::new(ErrorCode::BadRequest)
            .with_message(format!("The request body did not arrive within {} seconds", BODY_TIMEOUT.as_secs()))
            .with_header(header::CONNECTION, "close")),
    }
}
