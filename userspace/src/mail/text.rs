//! Foreign text made safe to show, and times and durations as people read them.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::event::Timestamp;

/// On one line, at most `max` characters, with everything visible that could move the cursor, hide or
/// reorder text: as `\x1b`, `\u{202e}`.
pub fn visible(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * max));
    for (count, char) in text.chars().enumerate() {
        if count == max {
            shown.push_str("...");
            break;
        }
        match char {
            '\t' => shown.push(' '),
            // Writing to a String can't fail.
            _ if char.is_ascii_control() => drop(write!(shown, "\\x{:02x}", u32::from(char))),
            _ if is_deceptive(char) => drop(write!(shown, "\\u{{{:x}}}", u32::from(char))),
            _ => shown.push(char),
        }
    }
    shown
}

/// Controls, line separators, and what is drawn without being seen: zero-width characters, tags and
/// bidirectional overrides.
const fn is_deceptive(char: char) -> bool {
    matches!(char,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A header's value: visible on one line, at most `max` characters.
pub(super) fn header(text: &str, max: usize) -> String {
    let plain: String = text
        .chars()
        .map(|char| if char.is_control() || is_deceptive(char) { '?' } else { char })
        .collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= max {
        return words;
    }
    let kept: String = words.chars().take(max.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// `2026-11-24 03:45:12 CET`.
pub(super) fn local(time: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(utc) => utc.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => time.to_string(),
    }
}

/// `5m`, `1h30m`, `2d`: the two largest units.
pub(super) fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units =
        [(secs / 86_400, 'd'), (secs / 3_600 % 24, 'h'), (secs / 60 % 60, 'm'), (secs % 60, 's')];
    let text: String = units
        .iter()
        .skip_while(|(number, _)| *number == 0)
        .take(2)
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `1 alert`, `2 alerts`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_acts() {
        for (text, shown) in [
            ("Failed password for root", "Failed password for root"),
            ("a\r\nBcc: x\0\x1b[2J\x7f", "a\\x0d\\x0aBcc: x\\x00\\x1b[2J\\x7f"),
            ("\u{202e}gnp.exe\u{200b}\u{2028}", "\\u{202e}gnp.exe\\u{200b}\\u{2028}"),
            ("tab\tJürgen 山", "tab Jürgen 山"),
        ] {
            assert_eq!(visible(text, 99), shown);
        }
        assert_eq!(visible("ääääää", 3), "äää...");
        assert_eq!(header("we\r\nBcc: ü  b", 40), "we??Bcc: ü b");
        assert_eq!(header(&"x".repeat(99), 20), format!("{}...", "x".repeat(17)));
    }

    #[test]
    fn times_and_spans() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(local(Timestamp::from_secs(1_700_000_000), &zone), "2023-11-14 23:13:20 CET");
        for (secs, text) in [
            (0, "0s"),
            (8, "8s"),
            (300, "5m"),
            (90, "1m30s"),
            (5400, "1h30m"),
            (86_400, "1d"),
            (86_400 + 61, "1d"),
            (93_600, "1d2h"),
        ] {
            assert_eq!(span(Duration::from_secs(secs)), text);
        }
    }
}
