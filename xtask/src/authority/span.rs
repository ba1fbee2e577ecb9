//! Spans of time as they are written on the command line: `50ms`, `20s`, `5m`, `12h`, `365d`.

use std::time::Duration;

use jiff::SignedDuration;

/// The longest span, in days: a hundred years.
const DAYS_MAX: u64 = 36_525;

/// Reads a number and a unit (`ms`, `s`, `m`, `h`, `d`).
pub(crate) fn parse(text: &str) -> Result<Duration, NotASpan> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotASpan::NoUnit)?;
    let (number, unit) = text.split_at(unit_at);
    let millis_each = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => DAY_MILLIS,
        _ => return Err(NotASpan::NoUnit),
    };
    let number: u64 = number.parse().map_err(|_| NotASpan::NoNumber)?;
    match number.checked_mul(millis_each) {
        Some(millis) if millis <= DAYS_MAX * DAY_MILLIS => Ok(Duration::from_millis(millis)),
        Some(_) | None => Err(NotASpan::TooLong),
    }
}

/// Reads a span with an optional sign.
#[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
pub(crate) fn parse_signed(text: &str) -> Result<SignedDuration, NotASpan> {
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let span = SignedDuration::try_from(parse(digits)?).map_err(|_| NotASpan::TooLong)?;
    Ok(span * sign)
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Why a text is not a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotASpan {
    /// There is no unit, or an unknown one.
    #[error("write a number and a unit: `ms`, `s`, `m`, `h` or `d`, as in `50ms` or `365d`")]
    NoUnit,
    /// There is no number before the unit, or it is far too large.
    #[error("write a whole number before the unit, as in `50ms` or `365d`")]
    NoNumber,
    /// It is too long.
    #[error("it is longer than {DAYS_MAX} days")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        let rows = [
            ("50ms", Ok(50)),
            ("20s", Ok(20_000)),
            ("5m", Ok(300_000)),
            ("12h", Ok(43_200_000)),
            ("365d", Ok(31_536_000_000)),
            ("0s", Ok(0)),
            ("", Err(NotASpan::NoUnit)),
            ("5", Err(NotASpan::NoUnit)),
            ("5w", Err(NotASpan::NoUnit)),
            ("5 s", Err(NotASpan::NoUnit)),
            ("-5s", Err(NotASpan::NoUnit)),
            ("1.5s", Err(NotASpan::NoUnit)),
            ("s", Err(NotASpan::NoNumber)),
            ("99999999999999999999s", Err(NotASpan::NoNumber)),
            ("36526d", Err(NotASpan::TooLong)),
            ("9999999999999999999d", Err(NotASpan::TooLong)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_signed_span_may_lie_in_the_past() {
        for (text, hours) in [("1d", 24), ("+1d", 24), ("-1d", -24)] {
            assert_eq!(parse_signed(text), Ok(SignedDuration::from_hours(hours)), "{text}");
        }
        assert_eq!(parse_signed("--1d"), Err(NotASpan::NoUnit));
    }
}
