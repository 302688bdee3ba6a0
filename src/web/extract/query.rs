//! Query parameters.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::web::error::{ApiError, ErrorCode};

/// The parameters of a query string, decoded. Unknown ones are ignored; known ones may be given once.
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

    /// A parameter read by `parse`; the type's default if it is absent. `expected` completes "must be …".
    ///
    /// # Errors
    ///
    /// `invalid_parameter` if the parameter is repeated or `parse` returns `None`.
    pub fn parse<T: Default>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ApiError> {
        Ok(self
            .get(name)?
            .map(|text| parse(text).ok_or_else(|| invalid(name, expected)))
            .transpose()?
            .unwrap_or_default())
    }

    /// The first value of a parameter; empty if it is absent. For pages, whose addresses people edit.
    pub fn get_or_empty(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The text of a parameter; `None` if it is absent.
    ///
    /// # Errors
    ///
    /// `invalid_parameter` if the parameter is repeated, because it is ambiguous which value counts.
    pub fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut found = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() { Err(invalid(name, "given once")) } else { Ok(first) }
    }
}

fn invalid(name: &str, expected: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter).with_message(format!("The query parameter `{name}` must be {expected}"))
}
