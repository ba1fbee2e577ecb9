//! Lengths of time as `license.toml` writes them: one whole number and one unit.

use std::{fmt, time::Duration};

/// Reads `30s`, `2m`, `24h` or `30d`; nothing else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit = text.bytes().next_back()?;
    let secs_per_unit = match unit {
        b's' => 1,
        b'm' => 60,
        b'h' => 60 * 60,
        b'd' => 24 * 60 * 60,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(secs_per_unit).map(Duration::from_secs)
}

/// Shows a whole number of seconds in the largest unit that fits.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let units = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')];
        // A day is shown as `24h`: limits read better in the unit in which they are thought of.
        match units.into_iter().find(|(length, unit)| secs.is_multiple_of(*length) && (*unit != 'd' || secs > *length))
        {
            Some((length, unit)) => write!(f, "{}{unit}", secs / length),
            None => write!(f, "{secs}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_one_unit_make_a_length_of_time() {
        for (text, secs) in [("1s", 1), ("30s", 30), ("2m", 120), ("24h", 86_400), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Some(Duration::from_secs(secs)), "{text}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for text in [
            "",
            "s",
            "5",
            "0s",
            "05s",
            "-5s",
            "+5s",
            "5 s",
            " 5s",
            "5s ",
            "5S",
            "1.5h",
            "1h30m",
            "5ms",
            "5w",
            "٣s",
            "5é",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_shown_in_its_largest_unit() {
        for text in ["1s", "90s", "2m", "1h", "24h", "30d"] {
            assert_eq!(parse(text).map(|time| Shown(time).to_string()).as_deref(), Some(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_is_read_without_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
