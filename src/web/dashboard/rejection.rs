//! The response in place of the page that was requested: sign in first, not allowed, not found, or an error.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, IntoResponseParts, Response};

use crate::app::search::SearchError;
use crate::app::sessions::Overloaded;
use crate::web::error::{ApiError, ErrorCode};
use keyhouse_store::StoreError;

/// The response in place of a page. Boxed, so that the results of handlers stay small.
#[derive(Debug)]
pub(super) struct Rejection(Box<Response>);

#[derive(Debug, Clone, Copy)]
struct Unauthenticated;

pub(super) type PageResult = Result<Response, Rejection>;

/// Longest `Location`, in bytes. With it the header block of every page stays below 3 KiB, which proxies accept as
/// installed (nginx buffers 4 KiB).
pub(super) const LOCATION_MAX: usize = 1536;

impl Rejection {
    /// There is no such page, or none for this person: one answer for both.
    pub(super) fn not_found() -> Self {
        ApiError::new(ErrorCode::RouteNotFound).with_message("It doesn’t exist, or you don’t have access to it").into()
    }

    /// The request has no valid session.
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

    /// The same response with more headers, for example a cookie.
    pub(super) fn with(self, parts: impl IntoResponseParts) -> Self {
        Self::page((parts, *self.0).into_response())
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

impl From<SearchError> for Rejection {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Busy => ApiError::too_many(1)
                .with_message("Your previous search is still running; try again in a moment")
                .with_source(error)
                .into(),
            SearchError::Store(error) => error.into(),
        }
    }
}

impl From<Overloaded> for Rejection {
    fn from(overloaded: Overloaded) -> Self {
        ApiError::new(ErrorCode::ServiceUnavailable)
            .with_message("More people are signing in than can be served at once; try again in a moment")
            .with_header(header::RETRY_AFTER, "2")
            .with_source(overloaded)
            .into()
    }
}

/// Redirects to another page of this dashboard, which is requested with GET: 303. A path that is too long for a header, or
/// that can't be one, becomes `/`.
pub(super) fn see_other(path: &str) -> Response {
    let fits = path.len() <= LOCATION_MAX;
    let location = HeaderValue::from_str(path).ok().filter(|_| fits).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
