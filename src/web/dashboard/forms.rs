//! Forms as browsers send them, and what is wrong with them, field by field.

use askama::Template;
use axum::extract::{FromRequest, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, MapDeserializer};
use zeroize::Zeroizing;

use super::rejection::Rejection;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::extract::{is_media_type, read};

/// The field that holds the id of the person for whom the form was rendered.
pub(super) const FORM_OWNER: &str = "for";

/// A form's fields in their order. Values may be secrets, and are zeroed on drop.
///
/// Handlers read a typed form; the raw fields are kept so that a form can be sent again after a password was asked for.
#[derive(Debug)]
pub(super) struct RawForm(Vec<(String, Zeroizing<String>)>);

impl<S: Sync> FromRequest<S> for RawForm {
    type Rejection = Rejection;

    async fn from_request(request: Request, _: &S) -> Result<Self, Rejection> {
        let is_form = is_media_type(request.headers(), "application/x-www-form-urlencoded");
        let bytes = Zeroizing::new(read(request.into_body()).await?);
        if !is_form && !bytes.is_empty() {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType)
                .with_message("A form must be sent as application/x-www-form-urlencoded")
                .into());
        }
        let fields = form_urlencoded::parse(&bytes);
        Ok(Self(fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect()))
    }
}

impl RawForm {
    /// The first value of a field; empty if the form has no such field.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The form as a page's own type. Unknown fields are ignored.
    ///
    /// # Errors
    /// 400 if a field is repeated, or if a required one is missing: no page of ours sends that.
    pub(super) fn parse<F: DeserializeOwned>(&self) -> Result<F, Rejection> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        F::deserialize(MapDeserializer::<_, ValueError>::new(pairs)).map_err(|error| {
            let error = ApiError::new(ErrorCode::BadRequest)
                .with_message("This form does not belong to this page, so nothing was changed")
                .with_source(error);
            error.into()
        })
    }

    /// The fields that a page may send back to the browser: no passwords and no tokens, and none of the re-authentication
    /// form itself.
    pub(super) fn resendable(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(|(name, _)| !is_secret(name) && !name.starts_with("confirm_")).collect()
    }

    /// Whether a part of the form can't be sent back.
    pub(super) fn has_secrets(&self) -> bool {
        self.0.iter().any(|(name, value)| is_secret(name) && !name.starts_with("confirm_") && !value.is_empty())
    }

    /// The fields whose name begins with `prefix`, without it.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> Vec<(&'a str, &'a str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str()))).collect()
    }
}

fn is_secret(field: &str) -> bool {
    ["password", "token", "secret"].iter().any(|word| field.contains(word))
}

/// A form of which only the button counts.
#[derive(Debug, Deserialize)]
pub(super) struct EmptyForm {}

/// What is wrong with a form: a sentence per field, by the field's name.
#[derive(Debug, Default)]
pub(super) struct FieldErrors(Vec<(&'static str, String)>);

impl FieldErrors {
    pub(super) fn one(field: &'static str, message: impl ToString) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    pub(super) fn add(&mut self, field: &'static str, message: impl ToString) {
        self.0.push((field, capitalize(&message.to_string())));
    }

    /// The value; or `None`, after noting the error.
    pub(super) fn check<T, E: ToString>(&mut self, field: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields have an error.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is wrong with a field; empty if nothing is.
    pub(super) fn of(&self, field: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == field).map_or("", |(_, message)| message)
    }

    /// The message beside a field; empty if nothing is wrong with it. Escaped already.
    pub(super) fn error_html<'a>(&'a self, field: &'a str) -> ErrorHtml<'a> {
        ErrorHtml { field, message: self.of(field) }
    }

    /// The attributes that connect a field with its hint, if it has one, and with its error. Escaped already.
    pub(super) fn aria_attrs<'a>(&self, field: &'a str, hint: &'a str) -> AriaAttrs<'a> {
        AriaAttrs { field, hint, is_invalid: !self.of(field).is_empty() }
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if !message.is_empty() %}<p class="fault" id="{{ field }}-fault" role="alert">{{ message }}.</p>{% endif %}"#
)]
pub(super) struct ErrorHtml<'a> {
    field: &'a str,
    message: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if is_invalid %} aria-invalid="true" aria-describedby="{% if !hint.is_empty() %}{{ hint }} {% endif %}{{ field }}-fault"{% elif !hint.is_empty() %} aria-describedby="{{ hint }}"{% endif %}"#
)]
pub(super) struct AriaAttrs<'a> {
    field: &'a str,
    hint: &'a str,
    is_invalid: bool,
}

/// Error messages are lower-case; a page shows them as sentences.
pub(super) fn capitalize(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
