//! The id in a request's path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use keyhouse_domain::ids::ProductId;

use crate::web::error::{ApiError, ErrorCode};

/// The `{id}` of the path; `None` inside if it is malformed. The 404 comes after the errors of the body, so extraction
/// itself never fails.
#[derive(Debug, Clone, Copy)]
pub struct PathId(Option<ProductId>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.ok().and_then(|Path(text)| text.parse().ok())))
    }
}

impl PathId {
    /// # Errors
    ///
    /// `product_not_found` if the id is malformed: the same answer as for one that is absent or another team's.
    pub fn product(self) -> Result<ProductId, ApiError> {
        self.0.ok_or_else(|| ApiError::new(ErrorCode::ProductNotFound))
    }
}
