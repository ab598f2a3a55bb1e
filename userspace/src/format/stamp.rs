//! Stamps: the points in time that lines begin with.
//!
//! Logs linger in one minute for many lines, and the date is what costs (zone, daylight saving, the
//! missing year). So the text up to the minute is compared with the last one seen, and only the
//! seconds are read anew.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::scan::{digits, number};
use crate::event::Timestamp;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A stamp at the start of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    /// When; `None` where the text looks like a stamp and names no real moment.
    pub(super) time: Option<Timestamp>,
    /// How many bytes it takes.
    pub(super) len: usize,
}

/// Reads stamps.
#[derive(Debug)]
pub(super) struct Stamps {
    zone: TimeZone,
    /// The last minute without a zone of its own, with or without a year.
    local: Minute,
    /// The last minute that had a zone of its own, taken as UTC.
    utc: Minute,
    /// The last stamp of the most frequent form.
    last: Option<Last>,
}

/// A stamp such as `Nov 23 10:00:00 `, and what it was found to be.
#[derive(Debug)]
struct Last {
    text: [u8; 16],
    stamp: Stamp,
    /// Arrivals for which that is so.
    arrivals: Range<i64>,
}

impl Stamps {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, local: Minute::default(), utc: Minute::default(), last: None }
    }

    /// When `text` was, if it begins with the same `Nov 23 10:00:00 ` as the text before it.
    #[inline]
    pub(super) fn same_second(&self, text: &[u8], arrived: Timestamp) -> Option<Timestamp> {
        let last = self.last.as_ref()?;
        let same =
            text.first_chunk() == Some(&last.text) && last.arrivals.contains(&arrived.as_micros());
        last.stamp.time.filter(|_| same)
    }

    /// Any stamp that syslog files are known to begin with.
    pub(super) fn syslog(&mut self, text: &[u8], arrived: Timestamp) -> Option<Stamp> {
        if let Some(last) = &self.last
            && text.first_chunk() == Some(&last.text)
            && last.arrivals.contains(&arrived.as_micros())
        {
            return Some(last.stamp);
        }
        match text.first()? {
            b'A'..=b'S' => {
                let stamp = self.civil(text, arrived, month_first)?;
                if let Some(text) = text.first_chunk()
                    && (stamp.len, text[15]) == (15, b' ')
                {
                    let arrivals = self.local.arrivals.clone();
                    self.last = Some(Last { text: *text, stamp, arrivals });
                }
                Some(stamp)
            }
            b'0'..=b'9' => match text.get(4)? {
                b'-' => self.iso(text, arrived),
                b' ' => self.civil(text, arrived, year_then_month),
                _ => None,
            },
            _ => None,
        }
    }

    /// ISO 8601, with or without a zone: `2024-05-01T10:00:00.123456+0200`.
    pub(super) fn iso(&mut self, text: &[u8], arrived: Timestamp) -> Option<Stamp> {
        const DATE: usize = "2024-05-01T10:00".len();
        let (seconds, after) = seconds(text.get(DATE..)?)?;
        let Some((offset, zone_len)) = zone_offset(&text[DATE + after..]) else {
            return self.civil(text, arrived, iso_date);
        };
        let minute = self.utc.at(text, arrived, iso_date, &TimeZone::UTC)?;
        Some(Stamp {
            time: minute.map(|start| Timestamp::from_micros(start + seconds - offset)),
            len: DATE + after + zone_len,
        })
    }

    /// Suricata's `05/14/2020-22:10:17.391373`, Snort's `05/14-22:10:17.391373`.
    pub(super) fn fast(&mut self, text: &[u8], arrived: Timestamp) -> Option<Stamp> {
        self.civil(text, arrived, slashes)
    }

    /// An access log's `23/Nov/2026:10:00:00 +0100`.
    pub(super) fn access(&mut self, text: &[u8], arrived: Timestamp) -> Option<Stamp> {
        let minute = self.utc.at(text, arrived, day_first, &TimeZone::UTC)?;
        let (seconds, after) = seconds(text.get(self.utc.len..)?)?;
        let zone = text.get(self.utc.len + after..)?.strip_prefix(b" ")?;
        let (offset, zone_len) = zone_offset(zone)?;
        Some(Stamp {
            time: minute.map(|start| Timestamp::from_micros(start + seconds - offset)),
            len: self.utc.len + after + 1 + zone_len,
        })
    }

    /// A stamp in the configured zone.
    fn civil(&mut self, text: &[u8], arrived: Timestamp, layout: Layout) -> Option<Stamp> {
        let minute = self.local.at(text, arrived, layout, &self.zone)?;
        let (seconds, after) = seconds(text.get(self.local.len..)?)?;
        Some(Stamp {
            time: minute.map(|start| Timestamp::from_micros(start + seconds)),
            len: self.local.len + after,
        })
    }
}

/// The last minute that a stamp named.
#[derive(Debug, Default)]
struct Minute {
    /// The stamp's text up to the minute, and its length; 0 before the first stamp.
    text: [u8; 20],
    len: usize,
    /// When that minute began, in microseconds since the epoch.
    start: Option<i64>,
    /// Arrivals for which that is so: without a year, a text means another time a year later.
    arrivals: Range<i64>,
}

impl Minute {
    /// When the minute began that `text` starts with; the outer `None`: it starts with none.
    #[inline]
    fn at(
        &mut self,
        text: &[u8],
        arrived: Timestamp,
        layout: Layout,
        zone: &TimeZone,
    ) -> Option<Option<i64>> {
        let known = self.len > 0
            && text.get(..self.len) == Some(&self.text[..self.len])
            && self.arrivals.contains(&arrived.as_micros());
        if !known {
            self.read(text, arrived, layout, zone)?;
        }
        Some(self.start)
    }

    #[cold]
    fn read(
        &mut self,
        text: &[u8],
        arrived: Timestamp,
        layout: Layout,
        zone: &TimeZone,
    ) -> Option<()> {
        let (date, len) = layout(text)?;
        let slot = self.text.get_mut(..len)?;
        slot.copy_from_slice(text.get(..len)?);
        self.len = len;
        (self.start, self.arrivals) = date.resolve(arrived, zone);
        Some(())
    }
}

/// Reads a date up to its minute: what it says, and how many bytes that took.
type Layout = fn(&[u8]) -> Option<(Date, usize)>;

/// A minute as a stamp writes it, each part within its digits, not yet known to exist.
#[derive(Clone, Copy, Debug)]
struct Date {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
}

impl Date {
    /// The moment, and the arrivals for which it is that one.
    fn resolve(self, arrived: Timestamp, zone: &TimeZone) -> (Option<i64>, Range<i64>) {
        if let Some(year) = self.year {
            return (self.in_year(year, zone), i64::MIN..i64::MAX);
        }
        let arrived = arrived.as_micros();
        let once = arrived..arrived.saturating_add(1);
        let Ok(now) = jiff::Timestamp::from_microsecond(arrived) else { return (None, once) };
        // A stamp may be ahead by a clock's error or a zone, not by more: then it is last year's.
        // The 29th of February is up to eight years back (1896, 1904).
        let this_year = zone.to_datetime(now).year();
        let latest = arrived.saturating_add(DAY);
        let start = (-1..=8)
            .filter_map(|back| self.in_year(this_year.checked_sub(back)?, zone))
            .find(|start| *start <= latest);
        let Some(start) = start else { return (None, once) };
        let from = start.saturating_sub(DAY);
        let until = from.saturating_add(365 * DAY).max(once.end);
        (Some(start), from..until)
    }

    fn in_year(self, year: i16, zone: &TimeZone) -> Option<i64> {
        let Self { month, day, hour, minute, .. } = self;
        let civil = DateTime::new(year, month, day, hour, minute, 0, 0).ok()?;
        // A time that the clock skips or shows twice: as RFC 5545 has it, like most libcs.
        let time = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(time.as_microsecond())
    }
}

/// `Nov 23 10:00`, `Jan  5 10:00`, `Jan 5 10:00`.
fn month_first(text: &[u8]) -> Option<(Date, usize)> {
    let month = month(text.get(..3)?)?;
    let (day, day_len) = match *text.get(3..6)? {
        [b' ', b' ', ones] => (two_digits(b'0', ones)?, 3),
        [b' ', ones, b' '] => (two_digits(b'0', ones)?, 2),
        [b' ', tens, ones] => (two_digits(tens, ones)?, 3),
        _ => return None,
    };
    let clock = 3 + day_len;
    if text.get(clock)? != &b' ' {
        return None;
    }
    let (hour, minute) = hour_minute(text.get(clock + 1..clock + 6)?)?;
    Some((Date { year: None, month, day, hour, minute }, clock + 6))
}

/// `2015 Dec 29 10:00`.
fn year_then_month(text: &[u8]) -> Option<(Date, usize)> {
    let year = year(text.get(..4)?)?;
    let (date, len) = month_first(text.get(5..)?)?;
    Some((Date { year: Some(year), ..date }, 5 + len))
}

/// `2024-05-01T10:00`, `2024-05-01 10:00`.
fn iso_date(text: &[u8]) -> Option<(Date, usize)> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T' | b't' | b' ', ref clock @ ..] =
        text.get(..16)?
    else {
        return None;
    };
    let (hour, minute) = hour_minute(clock)?;
    let date = Date {
        year: Some(year(&[y0, y1, y2, y3])?),
        month: two_digits(m0, m1)?,
        day: two_digits(d0, d1)?,
        hour,
        minute,
    };
    Some((date, 16))
}

/// `23/Nov/2026:10:00`.
fn day_first(text: &[u8]) -> Option<(Date, usize)> {
    let &[d0, d1, b'/', m0, m1, m2, b'/', y0, y1, y2, y3, b':', ref clock @ ..] = text.get(..17)?
    else {
        return None;
    };
    let (hour, minute) = hour_minute(clock)?;
    let date = Date {
        year: Some(year(&[y0, y1, y2, y3])?),
        month: month(&[m0, m1, m2])?,
        day: two_digits(d0, d1)?,
        hour,
        minute,
    };
    Some((date, 17))
}

/// `05/14/2020-22:10`, `05/14/20-22:10`, `05/14-22:10`.
fn slashes(text: &[u8]) -> Option<(Date, usize)> {
    let &[m0, m1, b'/', d0, d1, ref rest @ ..] = text else { return None };
    let (year, year_len) = match *rest {
        [b'-', ..] => (None, 0),
        [b'/', y0, y1, b'-', ..] => (Some(2000 + i16::from(two_digits(y0, y1)?)), 3),
        [b'/', y0, y1, y2, y3, b'-', ..] => (Some(year(&[y0, y1, y2, y3])?), 5),
        _ => return None,
    };
    let (hour, minute) = hour_minute(rest.get(year_len + 1..year_len + 6)?)?;
    let date = Date { year, month: two_digits(m0, m1)?, day: two_digits(d0, d1)?, hour, minute };
    Some((date, 5 + year_len + 6))
}

/// `:00`, `:00.123456`, `:00,805`: microseconds into the minute, and how many bytes they took.
#[inline]
fn seconds(text: &[u8]) -> Option<(i64, usize)> {
    let &[b':', tens, ones, ref rest @ ..] = text else { return None };
    let whole = two_digits(tens, ones)?;
    // 60 is a leap second.
    if whole > 60 {
        return None;
    }
    let whole = i64::from(whole) * SECOND;
    let [b'.' | b',', rest @ ..] = rest else { return Some((whole, 3)) };
    let len = digits(rest);
    if len == 0 {
        return Some((whole, 3));
    }
    let micros = (0..6).fold(0, |sum, at| {
        let digit = if at < len { rest[at] - b'0' } else { 0 };
        sum * 10 + i64::from(digit)
    });
    Some((whole + micros, 4 + len))
}

/// `Z`, `+02:00`, `+0200`, `+02`: microseconds east of UTC, and how many bytes they took.
fn zone_offset(text: &[u8]) -> Option<(i64, usize)> {
    let (sign, rest) = match *text {
        [b'Z' | b'z', ..] => return Some((0, 1)),
        [b'+', ref rest @ ..] => (1, rest),
        [b'-', ref rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, len) = match *rest {
        [h0, h1, b':', m0, m1, ..] => (two_digits(h0, h1)?, two_digits(m0, m1)?, 6),
        [h0, h1, m0, m1, ..] if m0.is_ascii_digit() => {
            (two_digits(h0, h1)?, two_digits(m0, m1)?, 5)
        }
        [h0, h1, ..] => (two_digits(h0, h1)?, 0, 3),
        _ => return None,
    };
    Some((sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60 * SECOND, len))
}

/// `10:00`.
fn hour_minute(text: &[u8]) -> Option<(i8, i8)> {
    let &[h0, h1, b':', m0, m1] = text else { return None };
    Some((two_digits(h0, h1)?, two_digits(m0, m1)?))
}

fn year(text: &[u8]) -> Option<i16> {
    i16::try_from(number(text)?).ok()
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return None;
    }
    i8::try_from(tens * 10 + ones).ok()
}

fn month(name: &[u8]) -> Option<i8> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let index = NAMES.chunks_exact(3).position(|known| known == name)?;
    i8::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    /// What `text` means when it arrives at `arrived`, in Berlin; the rest after it is ` x`.
    fn syslog(stamps: &mut Stamps, text: &str, arrived: &str) -> String {
        let line = format!("{text} x");
        let stamp = stamps.syslog(line.as_bytes(), at(arrived)).unwrap();
        assert_eq!(&line[stamp.len..], " x", "{text}");
        stamp.time.map_or_else(|| "no moment".to_owned(), |time| time.to_string())
    }

    fn berlin() -> Stamps {
        Stamps::new(TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn every_layout_of_a_syslog_stamp() {
        let stamps = &mut berlin();
        for (text, meaning) in [
            ("Nov 23 10:00:00", "2023-11-23T09:00:00Z"),
            ("Jan  5 10:00:01", "2024-01-05T09:00:01Z"),
            ("Jan 5 10:00:02", "2024-01-05T09:00:02Z"),
            ("Jan 05 10:00:03", "2024-01-05T09:00:03Z"),
            ("Nov 23 10:00:00.25", "2023-11-23T09:00:00.25Z"),
            ("2015 Dec 29 10:00:01", "2015-12-29T09:00:01Z"),
            ("2015-04-16 21:51:02,805", "2015-04-16T19:51:02.805Z"),
            ("2024-05-01T10:00:00.123456+02:00", "2024-05-01T08:00:00.123456Z"),
            ("2024-05-01T10:00:00.123456+0200", "2024-05-01T08:00:00.123456Z"),
            ("2009-05-22T09:36:46.214994-07:00", "2009-05-22T16:36:46.214994Z"),
            ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
            ("2024-05-01T10:00:00-0330", "2024-05-01T13:30:00Z"),
            ("2024-05-01T10:00:00+02", "2024-05-01T08:00:00Z"),
            ("2024-05-01T10:00:00", "2024-05-01T08:00:00Z"),
            ("2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00.123456Z"),
            ("Feb 30 10:00:00", "no moment"),
            ("2023-02-29T10:00:00Z", "no moment"),
        ] {
            assert_eq!(syslog(stamps, text, "2024-05-02T00:00:00Z"), meaning, "{text}");
        }
        for text in [
            "",
            "Nov",
            "Nov 23",
            "Nov 23 10:00",
            "Nov 23 10:00:0",
            "Nov 23 10:00:61",
            "Nov 2310:00:00",
            "Xyz 23 10:00:00",
            "nov 23 10:00:00",
            "Nov x3 10:00:00",
            "2024",
            "2024-05-01",
            "2024x05",
            "2024-05-01X10:00:00",
            "99999",
            "May flowers",
            "2015 Dec",
            "2015 Dec 29 10:00",
            "\u{fffd}",
        ] {
            assert_eq!(stamps.syslog(text.as_bytes(), at("2024-05-02T00:00:00Z")), None, "{text}");
        }
    }

    #[test]
    fn every_layout_of_a_fast_log_stamp() {
        for (text, meaning) in [
            ("05/14/2020-22:10:17.391373", "2020-05-14T20:10:17.391373Z"),
            ("01/02/24-03:04:05.000006", "2024-01-02T02:04:05.000006Z"),
            ("10/20-20:43:32.334621", "2023-10-20T18:43:32.334621Z"),
        ] {
            let stamp = berlin().fast(text.as_bytes(), at("2024-05-02T00:00:00Z")).unwrap();
            assert_eq!(stamp.len, text.len());
            assert_eq!(stamp.time.unwrap(), at(meaning), "{text}");
        }
        for text in ["05/14", "05/14/2020 22:10:17", "5/14/2020-22:10:17", "05/14/202-22:10:17.1"] {
            assert_eq!(berlin().fast(text.as_bytes(), at("2024-05-02T00:00:00Z")), None, "{text}");
        }
    }

    #[test]
    fn the_year_is_the_one_closest_before_arrival() {
        let stamps = &mut berlin();
        for (text, arrived, meaning) in [
            // New year: the sender is a few seconds ahead, or we are behind with reading.
            ("Jan  1 00:00:05", "2023-12-31T22:59:58Z", "2023-12-31T23:00:05Z"),
            ("Dec 31 23:59:58", "2023-12-31T23:00:05Z", "2023-12-31T22:59:58Z"),
            // Up to a day ahead is this year's, more is last year's.
            ("May  2 09:59:00", "2024-05-01T08:00:00Z", "2024-05-02T07:59:00Z"),
            ("May  2 10:01:00", "2024-05-01T08:00:00Z", "2023-05-02T08:01:00Z"),
            // The same text a year later.
            ("May  2 10:01:00", "2025-05-02T08:01:00Z", "2025-05-02T08:01:00Z"),
            // A day that isn't in every year.
            ("Feb 29 12:00:00", "2024-03-01T00:00:00Z", "2024-02-29T11:00:00Z"),
            ("Feb 29 12:00:00", "2027-03-01T00:00:00Z", "2024-02-29T11:00:00Z"),
            ("Feb 29 12:00:00", "2028-03-01T00:00:00Z", "2028-02-29T11:00:00Z"),
        ] {
            assert_eq!(syslog(stamps, text, arrived), meaning, "{text} at {arrived}");
        }
    }

    #[test]
    fn daylight_saving_is_the_zones() {
        let stamps = &mut berlin();
        for (text, meaning) in [
            ("Mar 31 01:59:59", "2024-03-31T00:59:59Z"),
            // Skipped by the clock.
            ("Mar 31 02:30:00", "2024-03-31T01:30:00Z"),
            ("Mar 31 03:00:00", "2024-03-31T01:00:00Z"),
            // Shown twice: the first.
            ("Oct 27 02:30:00", "2024-10-27T00:30:00Z"),
            ("Oct 27 03:00:00", "2024-10-27T02:00:00Z"),
        ] {
            assert_eq!(syslog(stamps, text, "2024-12-01T00:00:00Z"), meaning, "{text}");
        }
    }

    #[test]
    fn a_remembered_minute_changes_nothing() {
        let stamps = &mut berlin();
        for text in [
            "Nov 23 10:00:00",
            "Nov 23 10:00:59",
            "Nov 23 10:01:00",
            "Nov 2 10:00:00",
            "2023-11-23T10:00:00Z",
            "2023-11-23T10:00:00",
            "2023-11-23T10:00:30+01:00",
            "2023-11-23T10:00:31Z",
            "Nov 23 10:00:01",
        ] {
            let arrived = "2024-05-02T00:00:00Z";
            assert_eq!(syslog(stamps, text, arrived), syslog(&mut berlin(), text, arrived));
        }
    }

    #[test]
    fn the_ends_of_time_are_no_moments() {
        for arrived in [i64::MIN, i64::MAX] {
            let stamp = berlin().syslog(b"Nov 23 10:00:00 x", Timestamp::from_micros(arrived));
            assert_eq!(stamp.unwrap().time, None);
        }
        // Later than jiff counts.
        let stamp = berlin().syslog(b"9999-12-31T23:59:60-23:59", Timestamp::from_secs(0));
        assert_eq!(stamp.unwrap().time, None);
    }
}
