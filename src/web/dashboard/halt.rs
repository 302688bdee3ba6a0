//! Why a page is not what was asked for: sign in first, not allowed, not there, or an error.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::sign_in::Busy;
use crate::store::StoreError;
use crate::web::error::{ApiError, ErrorCode};

/// The answer in place of the page. Boxed, so that handlers' results stay small.
#[derive(Debug)]
pub struct Halt(Box<Response>);

#[derive(Debug, Clone, Copy)]
struct NotSignedIn;

pub type Answer = Result<Response, Halt>;

impl Halt {
    /// There is no such page, or none for this person: one answer.
    pub fn absent() -> Self {
        ApiError::new(ErrorCode::RouteNotFound).saying("There is no such page, or not for you").into()
    }

    /// The way to the sign-in page.
    pub fn not_signed_in(mut response: Response) -> Self {
        response.extensions_mut().insert(NotSignedIn);
        Self::page(response)
    }

    pub fn is_not_signed_in(&self) -> bool {
        self.0.extensions().get::<NotSignedIn>().is_some()
    }

    pub fn page(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Halt {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::page(error.into_response())
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<Busy> for Halt {
    fn from(busy: Busy) -> Self {
        ApiError::new(ErrorCode::ServiceUnavailable)
            .saying("More people are signing in than can be served at once; try again in a moment")
            .with_header(header::RETRY_AFTER, "2")
            .because(busy)
            .into()
    }
}

/// After a form: to another page, as a GET.
pub fn see_other(place: &str) -> Response {
    // An address of ours is ASCII; what a person typed into it was encoded.
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}
