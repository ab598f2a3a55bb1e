//! Columns for people.

use std::io::{self, Write};
use std::time::Duration;

use super::look::{Look, Tone, columns, cut, cut_front};
use crate::event::Timestamp;

/// A column narrower than that says nothing.
const LEAST: usize = 12;

/// How a column behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// Words: from the left, whole.
    Whole,
    /// Numbers: from the right.
    Number,
    /// Words that may be cut at their end where the line has no room.
    Cut,
    /// Paths, which are cut at their beginning.
    CutFront,
}

/// A cell, and what its colour says.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A text in its tone.
    pub(super) fn new(text: impl Into<String>, tone: impl Into<Option<Tone>>) -> Self {
        Self { text: text.into(), tone: tone.into() }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, None)
    }
}

/// Writes rows under a header as [`write`] does, within the line that `look` has: columns that may be cut are.
pub(super) fn fitted(
    out: &mut impl Write,
    look: Look,
    header: &[(&str, Fit)],
    rows: &[Vec<Cell>],
) -> io::Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|(title, _)| columns(title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(&cell.text));
        }
    }
    if let Some(line) = look.width {
        for (index, (_, fit)) in header.iter().enumerate() {
            let all = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
            if matches!(fit, Fit::Cut | Fit::CutFront) && all > line {
                let over = all - line;
                widths[index] = widths[index].saturating_sub(over).max(LEAST.min(widths[index]));
            }
        }
    }
    let mut write_row = |cells: &mut dyn Iterator<Item = (&str, Option<Tone>)>| {
        let mut line = String::new();
        let mut owed = 0;
        for (((_, fit), width), (text, tone)) in header.iter().zip(&widths).zip(cells) {
            let shown =
                if *fit == Fit::CutFront { cut_front(text, *width) } else { cut(text, *width) };
            let pad = width.saturating_sub(columns(&shown));
            let before = owed + if *fit == Fit::Number { pad } else { 0 };
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(&look.paint(tone, &shown).to_string());
            owed = 2 + if *fit == Fit::Number { 0 } else { pad };
        }
        writeln!(out, "{line}")
    };
    write_row(&mut header.iter().map(|(title, _)| (*title, Some(Tone::Faint))))?;
    for row in rows {
        write_row(&mut row.iter().map(|cell| (cell.text.as_str(), cell.tone)))?;
    }
    Ok(())
}

/// Writes rows under a header, each column as wide as its widest cell; the last one isn't padded.
pub(super) fn write<const N: usize>(
    out: &mut impl Write,
    header: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_row(out, &widths, header.iter().copied())?;
    for row in rows {
        write_row(out, &widths, row.iter().map(String::as_str))?;
    }
    Ok(())
}

fn write_row<'c>(
    out: &mut impl Write,
    widths: &[usize],
    cells: impl Iterator<Item = &'c str>,
) -> io::Result<()> {
    let mut line = String::new();
    for (width, cell) in widths.iter().zip(cells) {
        line.push_str(cell);
        for _ in cell.chars().count()..*width + 2 {
            line.push(' ');
        }
    }
    writeln!(out, "{}", line.trim_end())
}

/// What is left until an RFC 3339 time.
pub(super) fn left(expires: &str, now: Timestamp) -> String {
    match expires.parse::<jiff::Timestamp>() {
        Ok(expires) => span(Timestamp::from_micros(expires.as_microsecond()).since(now)),
        Err(_) => expires.to_owned(),
    }
}

/// A span as its two largest units: `4m 12s`, `3d 1h`.
pub(super) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m {}s", secs % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A count with thin groups: `1 234 567`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that keeps them short.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = count;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns() {
        let mut out = Vec::new();
        write(&mut out, ["A", "LONG"], &[["wide cell".into(), "x".into()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A          LONG\nwide cell  x\n");
    }

    #[test]
    fn a_table_fits_the_line() {
        let header = [("SOURCE", Fit::CutFront), ("LINES", Fit::Number), ("WHY", Fit::Cut)];
        let row = |source: &str, lines: &str, why: &str| -> Vec<Cell> {
            vec![source.into(), lines.into(), Cell::new(why, Tone::Bad)]
        };
        let rows = [
            row("/var/log/suricata/eve.json", "7", "a reason that goes on and on"),
            row("journald", "1 234", "short"),
        ];
        let fit = |look| {
            let mut out = Vec::new();
            fitted(&mut out, look, &header, &rows).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            fit(Look::PLAIN),
            "SOURCE                      LINES  WHY\n\
             /var/log/suricata/eve.json      7  a reason that goes on and on\n\
             journald                    1 234  short\n"
        );
        let narrow = fit(Look { colour: false, width: Some(40) });
        assert_eq!(
            narrow,
            "SOURCE        LINES  WHY\n\
             …ta/eve.json      7  a reason that goes…\n\
             journald      1 234  short\n"
        );
        let coloured = fit(Look { colour: true, width: Some(40) });
        assert!(coloured.contains("\x1b[1;31mshort\x1b[0m\n"), "{coloured:?}");
    }

    #[test]
    fn prints_spans_counts_and_bytes() {
        for (secs, printed) in
            [(0, "0s"), (59, "59s"), (252, "4m 12s"), (3_600, "1h 0m"), (266_400, "3d 2h")]
        {
            assert_eq!(span(Duration::from_secs(secs)), printed);
        }
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
