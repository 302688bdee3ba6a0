//! Exact decimal numbers. No value passes through a float, so a response shows exactly what was sent.

use std::fmt;

use super::field::{Field, FieldError, FieldInput, FieldType, FieldValue};

/// Decimal places that are kept; more are refused, not rounded.
pub const PLACES: u32 = 4;
const UNIT: i64 = 10_i64.pow(PLACES);
/// Longest value in ten-thousandths, in digits: ten to this power fits an `i64` and is above every maximum.
const DIGITS_MAX: i64 = 18;

/// A decimal number of at most [`PLACES`] places, in ten-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal(i64);

/// A unit price: 0 to 999999999.9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(Decimal);

/// A tax rate in percent: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaxRate(Decimal);

/// Why a number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a JSON number.
    #[error("must be a number")]
    NotANumber,
    /// It has more than [`PLACES`] decimal places.
    #[error("must have at most {PLACES} decimal places")]
    TooManyPlaces,
    /// It is below 0.
    #[error("must not be negative")]
    Negative,
    /// It is above this maximum.
    #[error("must be at most {0}")]
    TooLarge(&'static str),
}

impl Decimal {
    /// Reads the text of a JSON number: `1e2` and `120.0` are whole numbers, `0.00001` has five places.
    ///
    /// One pass over the digits, without arithmetic on more than [`DIGITS_MAX`] of them: the time is linear in the length
    /// of the text, whatever number a client writes (a body may hold one of 64 KiB).
    fn parse(text: &str, max: Self, max_text: &'static str) -> Result<Self, DecimalError> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = sign(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if mantissa.len() == usize::from(mantissa.contains('.')) || !digits().all(|digit| digit.is_ascii_digit()) {
            return Err(DecimalError::NotANumber);
        }
        let exponent = parse_exponent(exponent)?;
        let Some(first) = digits().position(|digit| digit != b'0') else { return Ok(Self(0)) };
        let trailing = digits().rev().take_while(|&digit| digit == b'0').count();
        let count = whole.len() + fraction.len() - first - trailing;
        // The value is `count` digits times ten to the power of `-places`.
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let places = (length(fraction.len()) - length(trailing)).saturating_sub(exponent);
        if places > i64::from(PLACES) {
            return Err(DecimalError::TooManyPlaces);
        }
        if negative {
            return Err(DecimalError::Negative);
        }
        let zeros = i64::from(PLACES).saturating_sub(places);
        if length(count).saturating_add(zeros) > DIGITS_MAX {
            return Err(DecimalError::TooLarge(max_text));
        }
        let significant = digits().skip(first).take(count).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        let value = Self((0..zeros).fold(significant, |value, _| value * 10));
        if value > max { Err(DecimalError::TooLarge(max_text)) } else { Ok(value) }
    }
}

/// Splits an optional sign off; `true` is negative.
fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    }
}

/// The exponent of a number; one that does not fit an `i64` saturates.
fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(DecimalError::NotANumber);
    }
    Ok(text.parse().unwrap_or(if negative { i64::MIN } else { i64::MAX }))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / UNIT, self.0 % UNIT);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0width$}", width = PLACES as usize);
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

macro_rules! decimal {
    ($name:ident, $max:expr, $text:literal) => {
        impl $name {
            /// The greatest value, as documents quote it.
            pub const MAX: &str = $text;

            /// Reads the text of a JSON number.
            ///
            /// # Errors
            ///
            /// [`DecimalError`] if the text is no number, or one that is out of range or has too many places.
            pub fn parse(text: &str) -> Result<Self, DecimalError> {
                Decimal::parse(text, Decimal($max), $text).map(Self)
            }

            /// In ten-thousandths, as the database keeps it; `None` outside the range.
            pub fn from_stored(value: i64) -> Option<Self> {
                (0..=$max).contains(&value).then_some(Self(Decimal(value)))
            }

            /// In ten-thousandths, for the database.
            pub fn stored(self) -> i64 {
                self.0.0
            }
        }

        /// Without trailing zeros: the text of a JSON number.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Field for $name {
            const TYPE: FieldType = FieldType::Decimal { max: $text, places: PLACES };

            fn read(input: FieldInput<'_>) -> Result<Self, FieldError> {
                match input {
                    FieldInput::Number(text) => Ok(Self::parse(text)?),
                    FieldInput::Null => Err(FieldError::Null),
                    FieldInput::Text(_) | FieldInput::InvalidText | FieldInput::Other => {
                        Err(DecimalError::NotANumber.into())
                    }
                }
            }

            fn value(&self) -> FieldValue<'_> {
                FieldValue::Number(self.to_string())
            }
        }
    };
}

decimal!(Price, 9_999_999_999_999, "999999999.9999");
decimal!(TaxRate, 1_000_000, "100");

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use bigdecimal::BigDecimal;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_numbers_own_text() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0e7", "0"),
            ("1e2", "100"),
            ("120.0", "120"),
            ("1.50", "1.5"),
            ("0.0001", "0.0001"),
            ("12345E-4", "1.2345"),
            ("999999999.9999", "999999999.9999"),
            ("100000000000000000000000000000e-27", "100"),
            ("1.00000000000000000000000000000000000000000000000000", "1"),
            ("0e-99999999", "0"),
            ("0e99999999999999999999", "0"),
            ("0.000e-99999999999999999999", "0"),
            ("1e+2", "100"),
            (".5", "0.5"),
            ("5.", "5"),
        ] {
            assert_eq!(Price::parse(text).map(|p| p.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_keep_exactly() {
        for (text, fault) in [
            ("0.00001", DecimalError::TooManyPlaces),
            ("1e-5", DecimalError::TooManyPlaces),
            ("1e-99999999", DecimalError::TooManyPlaces),
            ("-1", DecimalError::Negative),
            ("1000000000", DecimalError::TooLarge("999999999.9999")),
            ("1e999999999", DecimalError::TooLarge("999999999.9999")),
            ("9007199254740993", DecimalError::TooLarge("999999999.9999")),
            ("1e9223372036854775807", DecimalError::TooLarge("999999999.9999")),
            ("10e9223372036854775808", DecimalError::TooLarge("999999999.9999")),
            ("1e-9223372036854775808", DecimalError::TooManyPlaces),
            ("0.1e-99999999999999999999", DecimalError::TooManyPlaces),
            ("1e99999999999999999999999", DecimalError::TooLarge("999999999.9999")),
            ("1e", DecimalError::NotANumber),
            ("1e1.5", DecimalError::NotANumber),
            ("1e2e3", DecimalError::NotANumber),
            ("", DecimalError::NotANumber),
            (".", DecimalError::NotANumber),
            ("1.2.3", DecimalError::NotANumber),
            ("--1", DecimalError::NotANumber),
            ("1_000", DecimalError::NotANumber),
            ("NaN", DecimalError::NotANumber),
        ] {
            assert_eq!(Price::parse(text), Err(fault), "{text}");
        }
        assert_eq!(TaxRate::parse("100.0001"), Err(DecimalError::TooLarge("100")));
        assert!(TaxRate::parse("100").is_ok());
    }

    #[test]
    fn a_number_as_long_as_a_body_is_read_in_linear_time() {
        let long = |text: &str| text.repeat(64 * 1024);
        for (text, expected) in [
            (long("9"), Err(DecimalError::TooLarge("999999999.9999"))),
            (format!("0.{}", long("3")), Err(DecimalError::TooManyPlaces)),
            (format!("1{}e-65536", long("0")), Ok("1".to_owned())),
            (format!("0.{}1e65537", long("0")), Ok("1".to_owned())),
            (format!("1e{}", long("9")), Err(DecimalError::TooLarge("999999999.9999"))),
        ] {
            // A big-integer parser needs minutes for these, more than a test's time limit.
            for _ in 0..30 {
                assert_eq!(Price::parse(&text).map(|price| price.to_string()), expected.clone());
            }
        }
    }

    proptest! {
        #[test]
        fn what_comes_back_equals_what_was_sent(units in 0i64..=9_999_999_999_999) {
            let price = Price::from_stored(units).unwrap();
            let text = price.to_string();
            prop_assert_eq!(Price::parse(&text), Ok(price));
            prop_assert!(!text.contains('.') || !text.ends_with('0'));
            prop_assert_eq!(BigDecimal::from_str(&text).unwrap(), BigDecimal::new(units.into(), 4));
        }

        #[test]
        fn any_text_is_read_as_a_decimal_library_reads_it(text in "[-+]?[0-9]{0,12}[.]?[0-9]{0,12}([eE][-+]?[0-9]{1,2})?") {
            let exact = BigDecimal::from_str(&text).ok();
            match Price::parse(&text) {
                Ok(price) => prop_assert_eq!(exact, Some(BigDecimal::new(price.stored().into(), PLACES.into()))),
                Err(DecimalError::NotANumber) => prop_assert!(!text.bytes().any(|byte| byte.is_ascii_digit()) || exact.is_none()),
                Err(DecimalError::TooManyPlaces) => {
                    let exact = exact.unwrap();
                    prop_assert_ne!(exact.with_scale(PLACES.into()), exact);
                }
                Err(DecimalError::Negative) => prop_assert!(exact.unwrap() < 0),
                Err(DecimalError::TooLarge(max)) => prop_assert!(exact.unwrap() > BigDecimal::from_str(max).unwrap()),
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "[-+0-9.eE]{0,40}") {
            let _ = Price::parse(&text);
        }
    }
}
