//! Times of day and days of the week.

use jiff::civil::{Time, Weekday};

use crate::rules::error::Problem;
use crate::rules::nearest;
use crate::rules::pack::yaml::Term;

/// From one minute of a day, inclusive, to another, exclusive; across midnight where that is earlier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DaySpan {
    from: u16,
    to: u16,
}

impl DaySpan {
    /// Whether a time of day lies in it.
    pub fn contains(self, time: Time) -> bool {
        let minute = u16::try_from(60 * i32::from(time.hour()) + i32::from(time.minute()));
        minute.is_ok_and(|minute| {
            let (begun, over) = (minute >= self.from, minute >= self.to);
            if self.from < self.to { begun && !over } else { begun || !over }
        })
    }

    /// Reads `22:00-06:00`.
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from.trim())?, minute(to.trim())?);
        (from != to && from < DAY).then_some(Self { from, to })
    }
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Reads `06:00`; up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, digits: &[usize]| {
        let well = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if well { text.parse::<u16>().ok() } else { None }
    };
    let (hour, minute) = (number(hour, &[1, 2])?, number(minute, &[2])?);
    let minutes = 60 * hour + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

/// Some days of the week.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// Whether a day is one of them.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads the values of `time`.
pub(super) fn spans(terms: &[Term]) -> Result<Vec<DaySpan>, Problem> {
    let spans = terms.iter().map(|term| match term {
        Term::Text(text) => {
            DaySpan::parse(text).ok_or_else(|| Problem::BadTime { text: text.clone() })
        }
        Term::Within { .. } | Term::In(_) => Err(Problem::NoRange { key: "time" }),
    });
    spans.collect()
}

/// Reads the values of `weekday`: `sat`, or `mon-fri`.
pub(super) fn weekdays(terms: &[Term]) -> Result<Weekdays, Problem> {
    let mut days = 0;
    for term in terms {
        let Term::Text(text) = term else { return Err(Problem::NoRange { key: "weekday" }) };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (day(from.trim())?, day(to.trim())?);
        let mut at = from;
        days |= 1 << at;
        while at != to {
            at = (at + 1) % DAYS.len();
            days |= 1 << at;
        }
    }
    Ok(Weekdays(days))
}

fn day(name: &str) -> Result<usize, Problem> {
    let hint = || nearest::hint(name, DAYS);
    let at = DAYS.iter().position(|day| *day == name);
    at.ok_or_else(|| Problem::BadWeekday { name: name.to_owned(), hint: hint() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_in_spans_also_across_midnight() {
        let lies = |span: &str, hour, minute| {
            DaySpan::parse(span).unwrap().contains(Time::constant(hour, minute, 59, 0))
        };
        assert!(lies("22:00-06:00", 22, 0) && lies("22:00-06:00", 0, 0));
        assert!(lies("22:00-06:00", 5, 59));
        assert!(!lies("22:00-06:00", 6, 0) && !lies("22:00-06:00", 21, 59));
        assert!(lies("8:00-18:30", 18, 29) && !lies("8:00-18:30", 18, 30));
        assert!(lies("12:00-24:00", 23, 59) && !lies("12:00-24:00", 11, 59));
        assert!(lies("22:00-00:00", 23, 59) && !lies("22:00-00:00", 0, 0));
        for wrong in ["22:00", "22-06", "22:00-22:00", "24:00-06:00", "25:00-1:00", "1:60-2:00"] {
            assert_eq!(DaySpan::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn weekdays_are_named_or_from_to() {
        let days = |terms: &[&str]| {
            let terms: Vec<Term> = terms.iter().map(|it| Term::Text((*it).to_owned())).collect();
            weekdays(&terms).unwrap()
        };
        assert_eq!(days(&["sat", "sun"]), days(&["sat-sun"]));
        let night = days(&["fri-mon"]);
        assert!(night.contains(Weekday::Sunday) && night.contains(Weekday::Monday));
        assert!(!night.contains(Weekday::Tuesday) && !night.contains(Weekday::Thursday));
        assert!(day("sun").is_ok() && day("sunday").is_err());
    }
}
