//! Durations as people write them: `90s`, `5m`, `2h`, `1d`, and together `1h30m`.

use std::fmt;
use std::time::Duration;

/// The units, longest first, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Ten years. Everything in Ravelin that lasts longer lasts forever and is said to.
const LONGEST: u64 = 3_650 * 86_400;

/// Why a text is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DurationError {
    /// No number with a unit.
    #[error("expected a duration such as 90s, 5m, 2h, 1d or 1h30m, got `{text}`")]
    NotADuration {
        /// What was given.
        text: String,
    },
    /// More than ten years.
    #[error("expected a duration of at most 3650d, got `{text}`")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// Reads `90s`, `5m`, `2h`, `1d`, or several of them from the longest unit to the shortest: `1h30m`.
///
/// A number without a unit is refused: seconds to one reader are minutes to the next.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let not_a_duration = || DurationError::NotADuration { text: text.to_owned() };
    let mut seconds = 0u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = rest.split_at(digits);
        let unit = unit.chars().next().ok_or_else(not_a_duration)?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(not_a_duration)?;
        if number.is_empty() {
            return Err(not_a_duration());
        }
        // All digits, so only too many of them can fail.
        seconds = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length))
            .and_then(|part| seconds.checked_add(part))
            .filter(|sum| *sum <= LONGEST)
            .ok_or_else(|| DurationError::TooLong { text: text.to_owned() })?;
        rest = &rest[digits + unit.len_utf8()..];
        if rest.is_empty() {
            return Ok(Duration::from_secs(seconds));
        }
    }
}

/// A duration that prints as [`parse_duration`] reads it: `5m`, `1h30m`, `0s`; parts of a second are
/// left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shown(pub Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, length) in UNITS {
            if rest >= length {
                write!(f, "{}{name}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_contracts_units_and_their_sums() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("2h", 7_200),
            ("1d", 86_400),
            ("1h30m", 5_400),
            ("1d2h3m4s", 93_784),
            ("3650d", LONGEST),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_mean_something_else() {
        for text in [
            "", "5", "m", "5 m", " 5m", "5m ", "-5m", "+5m", "1.5h", "5M", "5min", "30m1h", "1m1m",
            "5µ", "1w",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.to_string().ends_with(&format!("`{text}`")), "{error}");
            assert!(matches!(error, DurationError::NotADuration { .. }), "{text}");
        }
        for text in ["3651d", "3650d1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(matches!(parse_duration(text), Err(DurationError::TooLong { .. })), "{text}");
        }
    }

    #[test]
    fn prints_the_shortest_sum() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (300, "5m"), (5_400, "1h30m"), (86_401, "1d1s")]
        {
            assert_eq!(Shown(Duration::from_secs(seconds)).to_string(), text);
        }
        assert_eq!(Shown(Duration::from_millis(1_999)).to_string(), "1s");
    }

    proptest! {
        #[test]
        fn reads_what_it_prints(seconds in 0..=LONGEST) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&Shown(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}|[0-9]{0,25}[smhd]{0,2}") {
            let _outcome = parse_duration(&text);
        }
    }
}
