//! RFC 5424's header: `<38>1 2019-07-08T17:40:16.954167-04:00 host sshd 57915 - [id a="b"] message`.

use super::scan::{number, split_word};
use super::stamp::Stamps;
use crate::event::{Body, Record, Timestamp};

/// The record of `text`, a line without its priority; `None` where it isn't of this format.
pub(super) fn decode<'l>(
    stamps: &mut Stamps,
    text: &'l [u8],
    arrived: Timestamp,
) -> Option<Record<'l>> {
    let rest = text.strip_prefix(b"1 ")?;
    let (stamp, rest) = split_word(rest);
    let time = match stamp {
        b"-" => None,
        _ => stamps.iso(stamp, arrived).filter(|read| read.len == stamp.len())?.time,
    };
    let (host, rest) = split_word(rest);
    let (program, rest) = split_word(rest);
    let (process, rest) = split_word(rest);
    let (message_id, rest) = split_word(rest);
    if message_id.is_empty() {
        return None;
    }
    Some(Record {
        time,
        host: present(host),
        program: present(program),
        pid: number(process),
        repeated: 1,
        body: Body::Message(message(rest)),
    })
}

/// `-` stands for what isn't there.
fn present(word: &[u8]) -> Option<&[u8]> {
    (!matches!(word, b"" | b"-")).then_some(word)
}

/// What follows the structured data, without its byte order mark.
fn message(text: &[u8]) -> &[u8] {
    let rest = match text {
        [b'-', rest @ ..] => rest,
        _ => skip_elements(text),
    };
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest)
}

/// What follows `[id name="value" ...][id ...]`. Within a value `\` escapes `"`, `\` and `]`. An
/// element that doesn't end is message: better too much of it than none.
fn skip_elements(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let [b'[', element @ ..] = rest {
        match element_len(element) {
            Some(len) => rest = &element[len..],
            None => break,
        }
    }
    rest
}

/// Length of an element after its `[`, with its `]`.
fn element_len(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn message_of(text: &str) -> Option<String> {
        let mut stamps = Stamps::new(TimeZone::UTC);
        let record = decode(&mut stamps, text.as_bytes(), Timestamp::from_secs(0))?;
        match record.body {
            Body::Message(message) => Some(String::from_utf8_lossy(message).into_owned()),
            Body::Access(_) | Body::Suricata(_) => None,
        }
    }

    #[test]
    fn structured_data_ends_where_it_ends() {
        const HEAD: &str = "1 2019-07-08T17:40:16Z web1 sshd 57915 ID47";
        for (rest, message) in [
            ("- x y", "x y"),
            ("-", ""),
            ("- ", ""),
            ("", ""),
            ("[a b=\"c\"] x", "x"),
            ("[a b=\"c\"][d@1 e=\"f\" g=\"\"] x", "x"),
            ("[a b=\"c\"]", ""),
            (r#"[a b="] \" \\"] x"#, "x"),
            (r#"[a b="\]"] [not data]"#, "[not data]"),
            ("- \u{feff}x", "x"),
            ("[a] \u{feff}x", "x"),
            // Unended.
            ("[a b=\"c] x", "[a b=\"c] x"),
        ] {
            assert_eq!(message_of(&format!("{HEAD} {rest}")).as_deref(), Some(message), "{rest}");
        }
    }

    #[test]
    fn what_is_absent_is_a_dash() {
        let mut stamps = Stamps::new(TimeZone::UTC);
        let record = decode(&mut stamps, b"1 - - - - - - x", Timestamp::from_secs(0)).unwrap();
        assert_eq!(
            (record.time, record.host, record.program, record.pid),
            (None, None, None, None)
        );
    }

    #[test]
    fn other_lines_are_not_of_this_format() {
        for text in [
            "",
            "1",
            "1 ",
            "2 2019-07-08T17:40:16Z web1 sshd 57915 - - x",
            "1 yesterday web1 sshd 57915 - - x",
            "1 2019-07-08T17:40:16Zx web1 sshd 57915 - - x",
            "1 2019-07-08T17:40:16Z web1 sshd 57915",
        ] {
            assert_eq!(message_of(text), None, "{text}");
        }
    }
}
