//! Forms as browsers send them, and what was wrong with them, field by field.

use askama::Template;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use zeroize::Zeroizing;

use super::rejection::Rejection;
use crate::web::error::{ApiError, ErrorCode};
use crate::web::extract::read;

/// A form's fields in their order. Values may be secrets, and are wiped when dropped.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Rejection;

    async fn from_request(request: Request, _: &S) -> Result<Self, Rejection> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_form =
            kind.parse::<mime::Mime>().is_ok_and(|kind| kind.essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED);
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

impl Form {
    /// The first value of a field; empty if it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All fields but those that must not be sent back, and those of the question for a password itself.
    pub(super) fn repeatable(&self) -> Vec<(&str, &str)> {
        let secret = |name: &str| ["password", "token", "secret", "confirm_"].iter().any(|word| name.contains(word));
        self.0.iter().filter(|(name, _)| !secret(name)).map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Those fields as the query of an address, where they fit into one.
    pub(super) fn as_query(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(self.repeatable()).finish();
        if query.len() <= 4096 { query } else { String::new() }
    }
}

/// What is wrong with a form: a sentence per field, by the field's name.
#[derive(Debug, Default)]
pub(super) struct FieldErrors(Vec<(&'static str, String)>);

impl FieldErrors {
    pub(super) fn one(field: &'static str, sentence: impl ToString) -> Self {
        let mut faults = Self::default();
        faults.add(field, sentence);
        faults
    }

    pub(super) fn add(&mut self, field: &'static str, sentence: impl ToString) {
        self.0.push((field, capitalize(&sentence.to_string())));
    }

    /// The value, or `None` and a fault noted.
    pub(super) fn check<T, E: ToString>(&mut self, field: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, field: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == field).map_or("", |(_, sentence)| sentence)
    }

    /// What stands beside the field; nothing if nothing is wrong with it. Escaped already.
    pub(super) fn error_html<'a>(&'a self, field: &'a str) -> Note<'a> {
        Note { field, sentence: self.of(field) }
    }

    /// The attributes that tie the field to its hint, if it has one, and to what is wrong with it. Escaped already.
    pub(super) fn aria_attrs<'a>(&self, field: &'a str, hint: &'a str) -> Tie<'a> {
        Tie { field, hint, wrong: !self.of(field).is_empty() }
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if !sentence.is_empty() %}<p class="fault" id="{{ field }}-fault" role="alert">{{ sentence }}.</p>{% endif %}"#
)]
pub(super) struct Note<'a> {
    field: &'a str,
    sentence: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if wrong %} aria-invalid="true" aria-describedby="{% if !hint.is_empty() %}{{ hint }} {% endif %}{{ field }}-fault"{% elif !hint.is_empty() %} aria-describedby="{{ hint }}"{% endif %}"#
)]
pub(super) struct Tie<'a> {
    field: &'a str,
    hint: &'a str,
    wrong: bool,
}

/// Sentences of the other rooms begin small; on a page they stand alone.
pub(super) fn capitalize(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
