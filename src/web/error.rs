//! The table of API errors, and the error type that handlers return.
//!
//! `code` and `message` are for the client; the source of an error goes to the log only.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::extract::BODY_MAX;
use super::json::{AsText, HEADERS};
use super::middleware::http_check::TARGET_MAX;
use super::small_bytes;
use keyhouse_domain::auth::AuthError;
use keyhouse_domain::idempotency::IdempotencyKey;
use keyhouse_domain::ids::RequestId;
use keyhouse_store::StoreError;

macro_rules! codes {
    ($($variant:ident = $code:literal, $error_type:literal, $status:literal, $message:expr;)*) => {
        /// What can go wrong, as clients of the public API see it: code, type, status and message, one line each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($variant),*
        }

        impl ErrorCode {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            pub const fn error_type(self) -> &'static str {
                match self { $(Self::$variant => $error_type),* }
            }

            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            pub fn message(self) -> &'static str {
                static MESSAGES: LazyLock<Vec<Cow<'static, str>>> = LazyLock::new(|| vec![$(Cow::from($message)),*]);
                &MESSAGES[self as usize]
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", "invalid_request_error", 400, "The request is not valid HTTP for this server";
    InvalidJson = "invalid_json", "invalid_request_error", 400, "The request body is not a valid JSON object";
    ValidationFailed = "validation_failed", "invalid_request_error", 400, "Some fields are not valid; see details";
    InvalidCursor = "invalid_cursor", "invalid_request_error", 400, "The cursor in `after` is not from this list; start again without it";
    InvalidParameter = "invalid_parameter", "invalid_request_error", 400, "A query parameter is not valid";
    InvalidIdempotencyKey = "invalid_idempotency_key", "invalid_request_error", 400, format!("Idempotency-Key must be given once, with 1 to {} visible ASCII characters", IdempotencyKey::MAX);
    InvalidToken = "invalid_token", "authentication_error", 401, "Invalid or missing API token";
    ScopeInsufficient = "scope_insufficient", "permission_error", 403, "This key is read-only; use a Read & Write key for this call";
    ProductNotFound = "product_not_found", "not_found_error", 404, "No such product";
    RouteNotFound = "route_not_found", "not_found_error", 404, "No such path; see /docs for the list of endpoints";
    MethodNotAllowed = "method_not_allowed", "invalid_request_error", 405, "This path does not support this method; see the Allow header";
    SkuAlreadyExists = "sku_already_exists", "conflict_error", 409, "Another product has this SKU; SKUs are unique within a team and mode, archived products included";
    IdempotencyKeyInUse = "idempotency_key_in_use", "idempotency_error", 409, "A call with this Idempotency-Key is still running; try again shortly";
    IdempotencyKeyReused = "idempotency_key_reused", "idempotency_error", 422, "This Idempotency-Key was used for a call with another body";
    PreconditionFailed = "precondition_failed", "invalid_request_error", 412, "The product has changed: its ETag does not match If-Match";
    PayloadTooLarge = "payload_too_large", "invalid_request_error", 413, format!("The request body is larger than {} KiB", BODY_MAX / 1024);
    UriTooLong = "bad_request", "invalid_request_error", 414, format!("The request target is longer than {} KiB", TARGET_MAX / 1024);
    UnsupportedMediaType = "unsupported_media_type", "invalid_request_error", 415, "The request body must be uncompressed application/json in UTF-8";
    RateLimitExceeded = "rate_limit_exceeded", "rate_limit_error", 429, "Too many requests; retry after the number of seconds in Retry-After";
    InternalError = "internal_error", "api_error", 500, "Internal server error; it is logged with this request id";
    ServiceUnavailable = "service_unavailable", "api_error", 503, "The service can't answer right now; try again shortly";
}

/// What is wrong with one field of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    field: String,
    message: String,
}

impl ErrorDetail {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An error response. It travels as an extension of a response without a body; the root service renders it as JSON or as
/// a page once the request id is known ([`ApiError::to_body`]).
#[derive(Debug)]
pub struct ApiError {
    pub code: ErrorCode,
    /// Replaces the code's message where a more specific one helps the client.
    message: Option<Cow<'static, str>>,
    details: Vec<ErrorDetail>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log only.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub fn new(code: ErrorCode) -> Self {
        Self { code, message: None, details: Vec::new(), headers: Vec::new(), cause: None }
    }

    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(message.into());
        self
    }

    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// 429, with the whole seconds to wait.
    pub fn too_many(retry_after: u64) -> Self {
        let mut error = Self::new(ErrorCode::RateLimitExceeded);
        error.headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after)));
        error
    }

    pub fn with_source(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// `validation_failed`, with every error of a body.
    pub fn fields(details: Vec<ErrorDetail>) -> Self {
        Self { details, ..Self::new(ErrorCode::ValidationFailed) }
    }

    /// The message for the client.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or(self.code.message())
    }

    /// The response without its body.
    pub(super) fn head(&self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(self.code.status()).expect("the table holds valid HTTP statuses");
        *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }

    /// The JSON body.
    pub(super) fn to_body(&self, request_id: RequestId) -> Bytes {
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: Body<'a>,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            code: &'static str,
            message: &'a str,
            request_id: AsText<RequestId>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            details: &'a [ErrorDetail],
        }
        let body = Body {
            r#type: self.code.error_type(),
            code: self.code.code(),
            message: self.message(),
            request_id: AsText(request_id),
            details: &self.details,
        };
        small_bytes::json(&Envelope { error: body })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.code())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.head();
        // Extensions must be `Clone`, which the source of an error is not.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(refused: AuthError) -> Self {
        let challenge = match refused.is_failed_attempt() {
            false => r#"Bearer realm="api""#,
            true => r#"Bearer realm="api", error="invalid_token""#,
        };
        Self::new(ErrorCode::InvalidToken).with_header(header::WWW_AUTHENTICATE, challenge).with_source(refused)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        match *error {
            // After a change of the schema another node, of the newer version, can answer.
            StoreError::Unavailable(_) | StoreError::FileReplaced | StoreError::SchemaChanged(_) => {
                Self::new(ErrorCode::ServiceUnavailable).with_header(header::RETRY_AFTER, "1").with_source(error)
            }
            StoreError::Conflict(_) | StoreError::Corrupt { .. } | StoreError::Rejected(_) => {
                Self::new(ErrorCode::InternalError).with_source(error)
            }
        }
    }
}
