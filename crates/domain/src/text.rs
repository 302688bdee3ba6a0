//! Text with a bounded length.

use super::field::{Field, FieldError, FieldInput, FieldType, FieldValue};

/// Text of `MIN` to `MAX` Unicode scalars, kept as sent. NUL is refused because PostgreSQL can't store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is shorter than the minimum.
    #[error("must not be empty")]
    Empty,
    /// It has more characters than this maximum.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// It contains U+0000.
    #[error("must not contain NUL")]
    Nul,
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Fewest characters.
    pub const MIN: usize = MIN;
    /// Most characters.
    pub const MAX: usize = MAX;

    /// Checks the length in Unicode scalars.
    ///
    /// # Errors
    ///
    /// [`TextError`] if the text is too short, too long or contains NUL.
    pub fn parse(text: String) -> Result<Self, TextError> {
        if text.contains('\0') {
            return Err(TextError::Nul);
        }
        match text.chars().count() {
            n if n < MIN => Err(TextError::Empty),
            n if n > MAX => Err(TextError::TooLong(MAX)),
            _ => Ok(Self(text)),
        }
    }

    /// The text as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Field for Text<MIN, MAX> {
    const TYPE: FieldType = FieldType::Text { min: MIN, max: MAX };

    fn read(input: FieldInput<'_>) -> Result<Self, FieldError> {
        Ok(Self::parse(input.into_text()?)?)
    }

    fn value(&self) -> FieldValue<'_> {
        FieldValue::Text(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_scalars() {
        assert!(Text::<1, 3>::parse("äöü".into()).is_ok());
        assert_eq!(Text::<1, 3>::parse("äöüß".into()), Err(TextError::TooLong(3)));
        assert_eq!(Text::<1, 3>::parse(String::new()), Err(TextError::Empty));
        assert!(Text::<0, 3>::parse(String::new()).is_ok());
        assert_eq!(Text::<0, 3>::parse("a\0".into()), Err(TextError::Nul));
    }
}
