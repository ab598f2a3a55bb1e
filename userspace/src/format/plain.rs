//! `plain`: access logs as nginx and Apache write them (NCSA common and combined).
//!
//! ```text
//! client ident user [23/Nov/2026:10:00:00 +0100] "request" status bytes "referer" "user agent"
//! ```
//!
//! The line is the message, whole: who the client is stands in its first field, and a pack's patterns take
//! it from there. Only the time is read here. Apache's `vhost_combined` has `site:port` in front of the
//! client; that is a header, and its site the record's host.

use std::net::IpAddr;

use super::Undecodable;
use super::scan::{position, split_word};
use super::stamp::Stamps;
use crate::config::Format;
use crate::event::{Body, Line, Record};

/// `[23/Nov/2026:10:00:00 +0100] `
const STAMP: usize = "[23/Nov/2026:10:00:00 +0100]".len();

/// Whether a line is of this format: a client's address in front, and a stamp in brackets.
pub(super) fn looks_like(text: &[u8]) -> bool {
    // Nearly all lines of other formats end here.
    let may_be = |byte: &u8| matches!(byte, b'.' | b':');
    if !text.iter().take_while(|byte| **byte != b' ').any(may_be) {
        return false;
    }
    let text = site_and_rest(text).map_or(text, |(_, rest)| rest);
    let (client, rest) = split_word(text);
    is_address(client) && find_stamp(rest).is_some()
}

/// The record of a line.
pub(super) fn decode<'l>(stamps: &mut Stamps, line: Line<'l>) -> Result<Record<'l>, Undecodable> {
    let whole = line.bytes.trim_ascii();
    let (site, text) = site_and_rest(whole).unzip();
    let text = text.unwrap_or(whole);
    let refuse = |expected| Undecodable::Malformed { format: Format::Plain, expected, at: 0 };
    let at =
        find_stamp(text).ok_or_else(|| refuse("a stamp such as [23/Nov/2026:10:00:00 +0100]"))?;
    let time = stamps.access(&text[at + 1..], line.arrived).and_then(|stamp| stamp.time);
    Ok(Record { time, host: site, program: None, pid: None, repeated: 1, body: Body::Access(text) })
}

/// `site:port ` and what follows, where that begins with the client's address.
fn site_and_rest(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (site, rest) = split_word(text);
    let colon = memchr::memrchr(b':', site)?;
    let port = &site[colon + 1..];
    let is_port = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    (is_port && !is_address(site) && is_address(split_word(rest).0))
        .then_some((&site[..colon], rest))
}

fn is_address(text: &[u8]) -> bool {
    // The longest is 45 bytes.
    text.len() <= 45 && std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Where the stamp's bracket opens.
///
/// The user's name stands in front of it, and it may hold brackets; one that holds a whole stamp moves
/// the time of its own line, to no earlier than the line's arrival would have it.
fn find_stamp(text: &[u8]) -> Option<usize> {
    // The request begins with the first quote, and everything from there is the client's.
    let head = &text[..position(text, b'"').unwrap_or(text.len())];
    let mut end = head.len();
    loop {
        let at = memchr::memrchr(b'[', &head[..end])?;
        if is_stamp(&head[at..]) {
            return Some(at);
        }
        end = at;
    }
}

fn is_stamp(text: &[u8]) -> bool {
    let Some(text) = text.get(..STAMP) else { return false };
    let shape = b"[00/AAA/0000:00:00:00 +0000]";
    text.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_alphabetic(),
        b'+' => matches!(byte, b'+' | b'-'),
        _ => byte == wanted,
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::event::Timestamp;

    const LINE: &str =
        r#"198.51.100.7 - - [23/Nov/2026:11:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "x""#;

    fn time(line: &str) -> Option<String> {
        let mut stamps = Stamps::new(TimeZone::UTC);
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::from_secs(1_800_000_000) };
        Some(decode(&mut stamps, line).ok()?.time?.to_string())
    }

    #[test]
    fn the_whole_line_is_the_message_and_its_stamp_the_time() {
        assert_eq!(time(LINE).as_deref(), Some("2026-11-23T10:00:00Z"));
        // A user with brackets, one who brings a stamp, and stamps where only the client writes.
        for (from, to, expected) in [
            ("- -", "- a [b] c", Some("2026-11-23T10:00:00Z")),
            ("- -", "- [01/Jan/2020:00:00:00 +0000]", Some("2026-11-23T10:00:00Z")),
            ("GET /", "GET /[01/Jan/2020:00:00:00 +0000]", Some("2026-11-23T10:00:00Z")),
            ("+0100", "-0130", Some("2026-11-23T12:30:00Z")),
            ("23/Nov", "31/Nov", None),
            ("23/Nov", "23/Xyz", None),
        ] {
            let line = LINE.replace(from, to);
            assert_eq!(time(&line).as_deref(), expected, "{line}");
        }
        let mut stamps = Stamps::new(TimeZone::UTC);
        let line = format!("www.example:443 {LINE}");
        let line = Line { bytes: line.as_bytes(), arrived: Timestamp::from_secs(0) };
        let record = decode(&mut stamps, line).unwrap();
        assert_eq!(record.host, Some(&b"www.example"[..]));
        assert!(matches!(record.body, Body::Access(text) if text == LINE.as_bytes()));
        let line = Line { bytes: b"198.51.100.7 - -", arrived: Timestamp::from_secs(0) };
        assert!(decode(&mut stamps, line).is_err_and(Undecodable::is_malformed));
    }

    #[test]
    fn it_is_told_by_the_client_in_front() {
        for line in [LINE.to_owned(), LINE.replace("198.51.100.7", "2001:db8::7")] {
            assert!(looks_like(line.as_bytes()), "{line}");
            assert!(looks_like(format!("www.example:443 {line}").as_bytes()), "{line}");
            assert!(!looks_like(format!("Nov 23 10:00:00 web1 sshd[1]: {line}").as_bytes()));
            assert!(!looks_like(format!("2026-11-23T10:00:00Z web1 sshd[1]: {line}").as_bytes()));
            assert!(!looks_like(format!("www.example {line}").as_bytes()));
        }
        for line in ["", "198.51.100.7", "abc [", "198.51.100.7 - - [23/Nov/2026:11:00:00"] {
            assert!(!looks_like(line.as_bytes()), "{line}");
        }
    }
}
