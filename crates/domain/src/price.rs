//! Exact decimals: what comes back equals what was sent, because no float ever holds it.

use std::fmt;
use std::str::FromStr;

use bigdecimal::{BigDecimal, ToPrimitive};

/// Decimal places that are kept; more are refused, not rounded.
const PLACES: i64 = 4;
const UNIT: i64 = 10_000;

/// A decimal number of at most four places, in ten-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal(i64);

/// A unit price: 0 to 999999999.9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(Decimal);

/// A tax rate in percent: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaxRate(Decimal);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("must be a number")]
    NotANumber,
    #[error("must have at most 4 decimal places")]
    TooManyPlaces,
    #[error("must not be negative")]
    Negative,
    #[error("must be at most {0}")]
    TooLarge(&'static str),
}

impl Decimal {
    /// Reads a JSON number's own text, so `1e2` and `120.0` are whole numbers and `0.00001` has five places.
    fn parse(text: &str, max: Self, max_text: &'static str) -> Result<Self, DecimalError> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (digits, scale) = BigDecimal::from_str(mantissa)
            .map_err(|_| DecimalError::NotANumber)?
            .normalized()
            .into_bigint_and_exponent();
        let scale = scale.saturating_sub(power(exponent)?);
        if digits.sign() == bigdecimal::num_bigint::Sign::NoSign {
            return Ok(Self(0));
        }
        if scale > PLACES {
            return Err(DecimalError::TooManyPlaces);
        }
        if digits.sign() == bigdecimal::num_bigint::Sign::Minus {
            return Err(DecimalError::Negative);
        }
        // Ten powers of ten beyond the unit are over every limit; so 1e999999999 is never written out.
        let value = digits
            .to_i64()
            .zip(u32::try_from(PLACES.saturating_sub(scale)).ok().filter(|&p| p <= 14))
            .and_then(|(digits, power)| digits.checked_mul(10i64.pow(power)))
            .map(Self)
            .filter(|&value| value <= max);
        value.ok_or(DecimalError::TooLarge(max_text))
    }
}

/// The power of ten behind an `e`. One that no integer holds is as good as the greatest that one does.
fn power(text: &str) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
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
        let part = format!("{part:04}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

macro_rules! decimal {
    ($name:ident, $max:expr, $text:literal) => {
        impl $name {
            /// The greatest value, as documents quote it.
            pub const MAX: &str = $text;

            /// Reads the text of a JSON number.
            pub fn parse(text: &str) -> Result<Self, DecimalError> {
                Decimal::parse(text, Decimal($max), $text).map(Self)
            }

            /// In ten-thousandths, as the database keeps it; `None` outside the range.
            pub fn from_stored(value: i64) -> Option<Self> {
                (0..=$max).contains(&value).then_some(Self(Decimal(value)))
            }

            pub fn stored(self) -> i64 {
                self.0.0
            }
        }

        /// Without trailing zeros: a JSON number as it stands.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

decimal!(Price, 9_999_999_999_999, "999999999.9999");
decimal!(TaxRate, 1_000_000, "100");

#[cfg(test)]
mod tests {
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
            ("NaN", DecimalError::NotANumber),
        ] {
            assert_eq!(Price::parse(text), Err(fault), "{text}");
        }
        assert_eq!(TaxRate::parse("100.0001"), Err(DecimalError::TooLarge("100")));
        assert!(TaxRate::parse("100").is_ok());
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
        fn any_text_is_judged_without_a_panic(text in "[-+0-9.eE]{0,40}") {
            let _ = Price::parse(&text);
        }
    }
}
