//! Lengths of time as people type them: `90d`, `24h`, `30m`

use std::time::Duration;

/// Why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time span is a whole number and a unit: s, m, h, d or w, as in 24h or 90d")]
pub struct TimeSpanError;

/// Reads a whole number with a unit: `s`, `m` (minutes), `h`, `d` (24 hours) or `w` (7 days). `0` needs no unit.
///
/// # Errors
///
/// [`TimeSpanError`] for any other text, and for more seconds than a `u64` holds.
pub fn parse_time_span(text: &str) -> Result<Duration, TimeSpanError> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(TimeSpanError)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(TimeSpanError),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeSpanError);
    }
    let number: u64 = number.parse().map_err(|_| TimeSpanError)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(TimeSpanError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_is_a_number_and_a_unit() {
        for (text, seconds) in [("0", 0), ("0h", 0), ("45s", 45), ("30m", 1800), ("24h", 86_400), (" 90d ", 7_776_000)]
        {
            assert_eq!(parse_time_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "h", "1", "-1h", "+1h", "1.5h", "1 h", "1y", "1H", "1hour", "٣h", "1é", "99999999999999999999d"]
        {
            assert_eq!(parse_time_span(text), Err(TimeSpanError), "{text}");
        }
    }
}
