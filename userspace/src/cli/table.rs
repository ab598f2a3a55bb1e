//! Columns for people.

use std::io::{self, Write};
use std::time::Duration;

use crate::event::Timestamp;

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
