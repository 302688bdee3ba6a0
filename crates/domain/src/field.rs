//! Fields of a resource that clients write: how a value is read, what it may hold, and how it is shown.

use super::currency::CurrencyError;
use super::price::DecimalError;
use super::text::TextError;

/// A field's value as a client sent it.
#[derive(Debug)]
pub enum FieldInput<'a> {
    /// JSON `null`, or a field that a form leaves empty.
    Null,
    /// A JSON string, or a form field's text.
    Text(String),
    /// A JSON string with an escape that is no Unicode scalar, such as a lone surrogate.
    InvalidText,
    /// The text of a JSON number, so that no digit is lost to a float.
    Number(&'a str),
    /// A boolean, an array or an object.
    Other,
}

/// A field's value as responses and forms show it.
#[derive(Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// No value.
    Null,
    /// A text.
    Text(&'a str),
    /// The text of a JSON number.
    Number(String),
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text of `min` to `max` Unicode scalars without NUL.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// A number from 0 to `max` with at most `places` decimal places.
    Decimal {
        /// The largest value, as text.
        max: &'static str,
        /// Most decimal places.
        places: u32,
    },
    /// An alphabetic code of ISO 4217, in either case.
    Currency,
}

/// What an absent field means when a resource is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A value must be given.
    Required,
    /// An absent field is `null`.
    Nullable,
    /// The text that an absent field stands for.
    Default(&'static str),
}

/// The form control that edits a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A single line as wide as the form.
    Line,
    /// A single line at half the form's width.
    Half,
    /// As [`Control::Half`], in a fixed-width font.
    HalfCode,
    /// Several lines.
    Lines,
}

/// Why a field's value is refused. The message continues the field's name: "name must not be empty".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The field is absent.
    #[error("is required")]
    Missing,
    /// The field must have a value.
    #[error("must not be null")]
    Null,
    /// The value has another JSON type.
    #[error("must be a string")]
    NotText,
    /// The string has an escape that is no Unicode scalar.
    #[error("must be valid Unicode text")]
    NotUnicode,
    /// The text is too short, too long or contains NUL.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The number is out of range.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    /// The code is not one of ISO 4217.
    #[error(transparent)]
    Currency(#[from] CurrencyError),
}

/// A type that a field can have.
pub trait Field: Sized {
    /// What the field may hold.
    const TYPE: FieldType;
    /// Whether `null` is a value of the field.
    const NULLABLE: bool = false;

    /// Reads what a client sent.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the input has another JSON type or is outside the limits of [`Field::TYPE`].
    fn read(input: FieldInput<'_>) -> Result<Self, FieldError>;

    /// The value as responses and forms show it.
    fn value(&self) -> FieldValue<'_>;
}

impl<T: Field> Field for Option<T> {
    const TYPE: FieldType = T::TYPE;
    const NULLABLE: bool = true;

    fn read(input: FieldInput<'_>) -> Result<Self, FieldError> {
        match input {
            FieldInput::Null => Ok(None),
            input => T::read(input).map(Some),
        }
    }

    fn value(&self) -> FieldValue<'_> {
        self.as_ref().map_or(FieldValue::Null, T::value)
    }
}

impl FieldInput<'_> {
    /// The text of a string.
    ///
    /// # Errors
    ///
    /// [`FieldError`] for anything but a string of Unicode text.
    pub fn into_text(self) -> Result<String, FieldError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::InvalidText => Err(FieldError::NotUnicode),
            Self::Null => Err(FieldError::Null),
            Self::Number(_) | Self::Other => Err(FieldError::NotText),
        }
    }
}

impl FieldValue<'_> {
    /// The value as a form shows it; null is empty.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Text(text) => text,
            Self::Number(digits) => digits,
        }
    }
}

impl FieldType {
    /// The limits in words, as the guide's table of fields has them.
    pub fn limits(self) -> String {
        match self {
            Self::Text { min, max } => format!("{min} to {max} characters"),
            Self::Decimal { max, places } => format!("a number from 0 to {max}, at most {places} decimal places"),
            Self::Currency => "an ISO 4217 code".to_owned(),
        }
    }

    /// Reads what a form or a file holds, where every value is text.
    pub fn input(self, text: &str) -> FieldInput<'_> {
        match self {
            Self::Decimal { .. } => FieldInput::Number(text),
            Self::Text { .. } | Self::Currency => FieldInput::Text(text.to_owned()),
        }
    }
}
