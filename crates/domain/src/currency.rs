//! Currencies, as ISO 4217 lists them.

use iso_currency::Currency as Iso;

use super::field::{Field, FieldError, FieldInput, FieldType, FieldValue};

/// An alphabetic code of ISO 4217 in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(Iso);

/// The text is not an alphabetic code of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code")]
pub struct CurrencyError;

impl Currency {
    /// Reads a code in either case.
    ///
    /// # Errors
    ///
    /// [`CurrencyError`] if the text is no alphabetic code of ISO 4217.
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        Iso::from_code(&text.to_ascii_uppercase()).map(Self).ok_or(CurrencyError)
    }

    /// The code, in upper case.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal places amounts usually have: 2 for EUR, 0 for JPY.
    pub fn decimals(self) -> usize {
        usize::from(self.0.exponent().unwrap_or(0))
    }

    /// Every currency, ordered by code.
    pub fn all() -> Vec<Self> {
        let letters = || 'A'..='Z';
        let codes =
            letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c]))));
        codes.filter_map(|code| Self::parse(&code).ok()).collect()
    }
}

impl Field for Currency {
    const TYPE: FieldType = FieldType::Currency;

    fn read(input: FieldInput<'_>) -> Result<Self, FieldError> {
        Ok(Self::parse(&input.into_text()?)?)
    }

    fn value(&self) -> FieldValue<'_> {
        FieldValue::Text(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_iso_4217_in_either_case() {
        assert_eq!(Currency::parse("eur").unwrap().code(), "EUR");
        assert_eq!(Currency::parse("Jpy").unwrap().code(), "JPY");
        for text in ["", "EU", "EURO", "XYZ", " EUR", "978", "\u{212a}RW"] {
            assert_eq!(Currency::parse(text), Err(CurrencyError), "{text}");
        }
    }
}
