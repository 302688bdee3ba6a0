//! Why a page is not what was asked for: sign in first, not allowed, not there, or an error.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::sessions::Overloaded;
use crate::web::error::{ApiError, ErrorCode};
use keyhouse_store::StoreError;

/// The answer in place of the page. Boxed, so that handlers' results stay small.
#[derive(Debug)]
pub(super) struct Rejection(Box<Response>);

#[derive(Debug, Clone, Copy)]
struct Unauthenticated;

pub(super) type PageResult = Result<Response, Rejection>;

impl Rejection {
    /// There is no such page, or none for this person: one answer.
    pub(super) fn not_found() -> Self {
        ApiError::new(ErrorCode::RouteNotFound).with_message("There is no such page, or not for you").into()
    }

    /// The way to the sign-in page.
    pub(super) fn unauthenticated(mut response: Response) -> Self {
        response.extensions_mut().insert(Unauthenticated);
        Self::page(response)
    }

    pub(super) fn is_unauthenticated(&self) -> bool {
        self.0.extensions().get::<Unauthenticated>().is_some()
    }

    pub(super) fn page(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<ApiError> for Rejection {
    fn from(error: ApiError) -> Self {
        Self::page(error.into_response())
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<Overloaded> for Rejection {
    fn from(busy: Overloaded) -> Self {
        ApiError::new(ErrorCode::ServiceUnavailable)
            .with_message("More people are signing in than can be served at once; try again in a moment")
            .with_header(header::RETRY_AFTER, "2")
            .with_source(busy)
            .into()
    }
}

/// After a form: to another page, as a GET.
pub(super) fn see_other(place: &str) -> Response {
    // An address of ours is ASCII; what a person typed into it was encoded.
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}
