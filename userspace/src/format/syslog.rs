//! `syslog`: what syslogd, rsyslog, syslog-ng, BSD's and Solaris' syslogd and journalctl write to
//! files, in all the shapes that grew since 1983.
//!
//! ```text
//! [<PRI>] [stamp] [<facility.level>] [host] [program[pid]:] [[ID n facility.level]] message
//! ```
//!
//! RFC 5424 has its own header ([`super::ietf`]). A line that has none of it is all message.

use super::ietf;
use super::scan::{digits, leading_number, number, position, skip_spaces, split_word};
use super::stamp::Stamps;
use crate::event::{Body, Line, Record};

/// More repetitions than any window counts; a forged line can't claim more.
const MAX_REPEATED: u32 = u16::MAX as u32;

/// Any bytes decode: what isn't a header is message.
#[inline]
pub(super) fn decode<'l>(stamps: &mut Stamps, line: Line<'l>) -> Record<'l> {
    frequent(stamps, line).unwrap_or_else(|| of_any_shape(stamps, line))
}

/// A line like the one before: `Nov 23 10:00:00 web1 sshd[812]: Connection closed`, with the same second, in
/// that very shape. It is what [`of_any_shape`] makes of it, for a third of the time.
#[inline]
fn frequent<'l>(stamps: &Stamps, line: Line<'l>) -> Option<Record<'l>> {
    let time = stamps.same_second(line.bytes, line.arrived)?;
    let text = &line.bytes[STAMP..];
    // Neither a tag nor a facility.
    let host = &text[..position(text, b' ')?];
    let plain_end = host.last()?.is_ascii_alphanumeric() && host[0].is_ascii_alphanumeric();
    let text = &text[host.len() + 1..];
    let (program, text) = text.split_at(position(&text[..text.len().min(LONGEST_NAME)], b'[')?);
    let plain_name = program.iter().all(|byte| PLAIN[usize::from(*byte)]);
    let (pid, text) = leading_number(&text[1..])?;
    let [b']', b':', b' ', message @ ..] = text else { return None };
    let lettered = program.first()?.is_ascii_alphabetic();
    let proper = !matches!(message.first()?, b' ' | b'[' | b'm');
    (plain_end && plain_name && lettered && proper).then_some(())?;
    Some(Record {
        time: Some(time),
        host: Some(host),
        program: Some(program),
        pid: Some(pid),
        repeated: 1,
        body: Body::Message(message),
    })
}

/// Length of the most frequent stamp, with the space behind it.
const STAMP: usize = "Nov 23 10:00:00 ".len();
/// Programs' names are mostly shorter.
const LONGEST_NAME: usize = 32;

/// What most programs' names are made of.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 0x80_u8 {
        plain[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        byte += 1;
    }
    plain
};

fn of_any_shape<'l>(stamps: &mut Stamps, line: Line<'l>) -> Record<'l> {
    let (has_priority, text) = skip_priority(skip_spaces(line.bytes));
    if let Some(record) = ietf::decode(stamps, text, line.arrived) {
        let Body::Message(message) = record.body else { return record };
        let (repeated, message) = message_proper(record.program, message);
        return Record { repeated, body: Body::Message(message), ..record };
    }
    let stamp = stamps.syslog(text, line.arrived).filter(|stamp| {
        // A stamp is a word or several, not the beginning of one.
        text.get(stamp.len).is_none_or(|byte| *byte == b' ')
    });
    let (host, tag, message) = match stamp {
        Some(stamp) => {
            let after = &text[stamp.len..];
            match after_stamp(after) {
                // `2024-05-01 10:00:00 text`, as exim, OpenVPN and others stamp files of their own: its first
                // word is no host.
                (_, Tag { program: None, .. }, _) if has_spaced_date(text) => {
                    (None, Tag::default(), skip_spaces(after))
                }
                parts => parts,
            }
        }
        None => {
            let (tag, message) = without_stamp(text, has_priority);
            (None, tag, message)
        }
    };
    let (repeated, message) = message_proper(tag.program, message);
    Record {
        time: stamp.and_then(|stamp| stamp.time),
        host,
        program: tag.program,
        pid: tag.pid,
        repeated,
        body: Body::Message(message),
    }
}

/// Whether a stamp is `2024-05-01 10:00:00`, which no syslogd writes by itself.
fn has_spaced_date(stamp: &[u8]) -> bool {
    stamp.get(4) == Some(&b'-') && stamp.get(10) == Some(&b' ')
}

/// `<38>`: facility times eight plus severity, at most 191.
fn skip_priority(text: &[u8]) -> (bool, &[u8]) {
    let [b'<', rest @ ..] = text else { return (false, text) };
    let len = digits(rest).min(4);
    match (number(&rest[..len]), &rest[len..]) {
        (Some(0..=191), [b'>', rest @ ..]) => (true, rest),
        _ => (false, text),
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tag<'l> {
    program: Option<&'l [u8]>,
    pid: Option<u32>,
}

/// Host, tag and message after a stamp, each but the message where it is there.
fn after_stamp(text: &[u8]) -> (Option<&[u8]>, Tag<'_>, &[u8]) {
    let mut text = skip_spaces(text);
    let (mut word, mut rest) = split_word(text);
    // BSD's `syslogd -v` and `-vv`: `<4.6>`, `<auth.info>`.
    if let [b'<', .., b'>'] = word {
        text = skip_spaces(rest);
        (word, rest) = split_word(text);
    }
    // No host: `Jun 25 23:53:34 [sshd] ...`, `Jun 25 23:53:34 sshd[1]: ...`.
    if let Some(tag) = tag(word) {
        return (None, tag, rest);
    }
    let host = (!word.is_empty() && word != b"-").then_some(word);
    let text = skip_spaces(rest);
    let (word, rest) = split_word(text);
    match tag(word) {
        Some(tag) => (host, tag, rest),
        // `last message repeated 3 times`, `-- MARK --`.
        None => (host, Tag::default(), text),
    }
}

/// Tag and message of a line without a stamp.
///
/// Here a bare `word:` is a tag only behind a priority, as syslog(3) sends it: the messages
/// themselves begin with `error:` and the like.
fn without_stamp(text: &[u8], has_priority: bool) -> (Tag<'_>, &[u8]) {
    let (word, rest) = split_word(text);
    match tag(word) {
        Some(tag) if has_priority || (tag.pid.is_some() && word.ends_with(b"]:")) => (tag, rest),
        _ => (Tag::default(), text),
    }
}

/// `sshd[812]:`, `sshd[812]`, `sshd:`, `[sshd]:`, `[sshd]`, and with PAM's old `sshd(pam_unix)[812]:`.
fn tag(word: &[u8]) -> Option<Tag<'_>> {
    let (word, colon) = match word {
        [word @ .., b':'] => (word, true),
        _ => (word, false),
    };
    let [before @ .., b']'] = word else {
        return if colon { named(word, None) } else { None };
    };
    let open = position(before, b'[')?;
    let (name, inner) = (&before[..open], &before[open + 1..]);
    if name.is_empty() {
        return named(inner, None);
    }
    match number(inner) {
        Some(pid) => named(name, Some(pid)),
        // Something that isn't a number (`postfix[smtpd]:`) says nothing about the process.
        None if colon => named(name, None),
        None => None,
    }
}

/// A tag of that name, if it can be a program's: a letter in it, no colon.
fn named(name: &[u8], pid: Option<u32>) -> Option<Tag<'_>> {
    // `(sd-pam)`, `(systemd)`: systemd's name for a process before its exec.
    let name = match name {
        [b'(', inner @ .., b')'] => inner,
        // `sshd(pam_unix)`: the program, and which module spoke in it.
        [.., b')'] => &name[..position(name, b'(').unwrap_or(name.len())],
        _ => name,
    };
    let fits = name.iter().any(u8::is_ascii_alphabetic) && position(name, b':').is_none();
    fits.then_some(Tag { program: Some(name), pid })
}

/// What remains without what stands between the header and the message proper, and how often it is said.
fn message_proper<'l>(program: Option<&[u8]>, message: &'l [u8]) -> (u32, &'l [u8]) {
    // sudo pads the user's name: `sudo:     alice : TTY=...`.
    let mut message = skip_spaces(message);
    match message {
        [b'[', ..] if program == Some(b"kernel") => message = skip_uptime(message),
        [b'[', b'I', b'D', b' ', ..] => message = skip_solaris_id(message),
        _ => {}
    }
    unwrap_repeated(message)
}

/// The kernel's `[  970.699396] `.
fn skip_uptime(message: &[u8]) -> &[u8] {
    let Some(close) = memchr::memchr(b']', message) else { return message };
    let inner = skip_spaces(&message[1..close]);
    let seconds = digits(inner);
    match &inner[seconds..] {
        [b'.', micros @ ..] if seconds > 0 && digits(micros) == micros.len() => {
            skip_spaces(&message[close + 1..])
        }
        _ => message,
    }
}

/// Solaris' `[ID 800047 auth.info] `.
fn skip_solaris_id(message: &[u8]) -> &[u8] {
    let Some(close) = memchr::memchr(b']', message) else { return message };
    let (id, facility) = split_word(&message[4..close]);
    if number(id).is_some() && memchr::memchr(b'.', facility).is_some() {
        skip_spaces(&message[close + 1..])
    } else {
        message
    }
}

/// rsyslog's `message repeated 3 times: [ msg]`. It cuts `msg` off at 800 bytes and closes the
/// bracket behind it.
fn unwrap_repeated(message: &[u8]) -> (u32, &[u8]) {
    let wrapped = || {
        if message.first() != Some(&b'm') {
            return None;
        }
        let rest = message.strip_prefix(b"message repeated ")?;
        let count = digits(rest);
        let inner = rest[count..].strip_prefix(b" times: [")?;
        let repeated = number(&rest[..count])?;
        Some((
            repeated.clamp(1, MAX_REPEATED),
            skip_spaces(inner.strip_suffix(b"]").unwrap_or(inner)),
        ))
    };
    wrapped().unwrap_or((1, message))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::event::Timestamp;

    proptest! {
        /// The short way gives what the long one gives, or nothing.
        #[test]
        fn the_frequent_shape_is_read_alike(
            parts in proptest::collection::vec(prop_oneof![
                Just("web1"), Just("sshd"), Just("[812]"), Just(":"), Just(" "), Just("[]"), Just("]"),
                Just("["), Just("(sd-pam)"), Just("kernel"), Just("[ 9.6]"), Just("7"), Just("-"),
                Just("<4.6>"), Just("message repeated 3 times: [ "), Just("[ID 1 auth.info] "),
                Just("99999999999"), Just("a/b_c.d-e"), Just("\u{e9}"), Just("x(pam)"), Just(""),
            ], 0..9),
            usual in "(web1|a:|-|<a>|)( ?)(sshd|CRON|7|a-b|)(\\[[0-9]{0,11}\\]|)(: |:|  |)( |\\[|m|x|)",
            which in any::<bool>(),
        ) {
            let rest = if which { usual } else { parts.concat() };
            let text = format!("Nov 23 10:00:00 {rest}");
            let mut stamps = Stamps::new(TimeZone::UTC);
            let line = Line { bytes: text.as_bytes(), arrived: ARRIVED };
            let long = format!("{:?}", of_any_shape(&mut stamps, line));
            if let Some(short) = frequent(&stamps, line) {
                prop_assert_eq!(format!("{short:?}"), long);
            }
        }
    }

    #[test]
    fn the_frequent_shape_goes_the_short_way() {
        let mut stamps = Stamps::new(TimeZone::UTC);
        let line = |text: &'static str| Line { bytes: text.as_bytes(), arrived: ARRIVED };
        of_any_shape(&mut stamps, line("Nov 23 10:00:00 web1 sshd[812]: x"));
        assert!(frequent(&stamps, line("Nov 23 10:00:00 web2 CRON[9]: y z")).is_some());
        assert!(frequent(&stamps, line("Nov 23 10:00:01 web2 CRON[9]: y z")).is_none());
    }

    /// 2024-05-01T12:00:00Z
    const ARRIVED: Timestamp = Timestamp::from_secs(1_714_564_800);

    /// `time host program pid repeated | message`, `-` for what isn't there.
    fn decoded(text: &str) -> String {
        let line = Line { bytes: text.as_bytes(), arrived: ARRIVED };
        let record = decode(&mut Stamps::new(TimeZone::UTC), line);
        let Body::Message(message) = record.body else { panic!("not a message") };
        let text = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| "-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into())
        };
        format!(
            "{} {} {} {} {} | {}",
            record.time.map_or_else(|| "-".to_owned(), |time| time.to_string()),
            text(record.host),
            text(record.program),
            record.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            record.repeated,
            text(Some(message)),
        )
    }

    #[test]
    fn every_header_of_the_catalogue() {
        for (line, expected) in [
            // RFC 3164, with the day padded by a space, a zero, or not at all.
            (
                "Nov 23 10:00:00 web1 sshd[812]: Invalid user a from 198.51.100.7 port 1",
                "2023-11-23T10:00:00Z web1 sshd 812 1 | Invalid user a from 198.51.100.7 port 1",
            ),
            ("Jan  5 10:00:00 web1 sshd[812]: x", "2024-01-05T10:00:00Z web1 sshd 812 1 | x"),
            ("Jan 5 10:00:00 web1 sshd[812]: x", "2024-01-05T10:00:00Z web1 sshd 812 1 | x"),
            ("Jan 05 10:00:00 web1 sshd[812]: x", "2024-01-05T10:00:00Z web1 sshd 812 1 | x"),
            ("Nov 23 10:00:00 web1.example su: x", "2023-11-23T10:00:00Z web1.example su - 1 | x"),
            (
                "Nov 23 10:00:00 198.51.100.7 sshd-session[9]: x",
                "2023-11-23T10:00:00Z 198.51.100.7 sshd-session 9 1 | x",
            ),
            (
                "Nov 23 10:00:00 2001:db8::7 sshd[9]: x",
                "2023-11-23T10:00:00Z 2001:db8::7 sshd 9 1 | x",
            ),
            (
                "Nov 23 10:00:00 web1 postfix/smtpd[9]: x",
                "2023-11-23T10:00:00Z web1 postfix/smtpd 9 1 | x",
            ),
            // A tag without its colon.
            ("Nov 23 10:00:00 web1 sshd[812] x y", "2023-11-23T10:00:00Z web1 sshd 812 1 | x y"),
            // Padded by sudo, empty, and without a program.
            (
                "Nov 23 10:00:00 web1 sudo:     mike : 3 incorrect password attempts",
                "2023-11-23T10:00:00Z web1 sudo - 1 | mike : 3 incorrect password attempts",
            ),
            ("Nov 23 10:00:00 web1 sshd[812]:", "2023-11-23T10:00:00Z web1 sshd 812 1 | "),
            (
                "Nov 23 10:00:00 web1 last message repeated 3 times",
                "2023-11-23T10:00:00Z web1 - - 1 | last message repeated 3 times",
            ),
            ("Nov 23 10:00:00 web1 -- MARK --", "2023-11-23T10:00:00Z web1 - - 1 | -- MARK --"),
            ("Nov 23 10:00:00", "2023-11-23T10:00:00Z - - - 1 | "),
            // Without a host.
            ("Jun 25 23:53:34 [sshd] User root", "2023-06-25T23:53:34Z - sshd - 1 | User root"),
            ("Jun 25 23:53:34 [sshd]: User root", "2023-06-25T23:53:34Z - sshd - 1 | User root"),
            ("Jun 25 23:53:34 sshd[1]: x", "2023-06-25T23:53:34Z - sshd 1 1 | x"),
            ("Jun 25 23:53:34 sshd[1] x", "2023-06-25T23:53:34Z - sshd 1 1 | x"),
            ("Jun 25 23:53:34 sshd: x", "2023-06-25T23:53:34Z - sshd - 1 | x"),
            // PAM's old prefix, systemd's names.
            (
                "Nov 11 22:46:29 web1 sshd(pam_unix)[15794]: authentication failure; logname=",
                "2023-11-11T22:46:29Z web1 sshd 15794 1 | authentication failure; logname=",
            ),
            (
                "Nov 11 22:46:29 web1 sshd[15794]: (pam_unix) authentication failure",
                "2023-11-11T22:46:29Z web1 sshd 15794 1 | (pam_unix) authentication failure",
            ),
            ("Nov 11 22:46:29 web1 (sd-pam)[7]: x", "2023-11-11T22:46:29Z web1 sd-pam 7 1 | x"),
            // Kernel, Solaris, BSD.
            (
                "Nov 23 10:00:00 web1 kernel: [  970.699396] eth0: up",
                "2023-11-23T10:00:00Z web1 kernel - 1 | eth0: up",
            ),
            (
                "Nov 23 10:00:00 web1 kernel: [drm] up",
                "2023-11-23T10:00:00Z web1 kernel - 1 | [drm] up",
            ),
            (
                "Aug 18 07:30:25 web1 sshd[20247]: [ID 800047 auth.info] Failed",
                "2023-08-18T07:30:25Z web1 sshd 20247 1 | Failed",
            ),
            (
                "Aug 18 07:30:25 web1 sshd[20247]: [ID is no number]",
                "2023-08-18T07:30:25Z web1 sshd 20247 1 | [ID is no number]",
            ),
            (
                "Mar 19 23:48:18 <auth.info> web1 sshd[1000]: x",
                "2024-03-19T23:48:18Z web1 sshd 1000 1 | x",
            ),
            (
                "Mar 19 23:48:18 <4.6> web1 sshd[1000]: x",
                "2024-03-19T23:48:18Z web1 sshd 1000 1 | x",
            ),
            ("Mar 19 23:48:18 <auth.info> sshd[1000]: x", "2024-03-19T23:48:18Z - sshd 1000 1 | x"),
            // ISO 8601, as rsyslog's default template and journalctl -o short-iso write it.
            (
                "2024-05-01T10:00:00.123456+02:00 web1 sshd[1]: x",
                "2024-05-01T08:00:00.123456Z web1 sshd 1 1 | x",
            ),
            ("2024-05-01T10:00:00+0200 web1 sshd[1]: x", "2024-05-01T08:00:00Z web1 sshd 1 1 | x"),
            ("2024-05-01T10:00:00Z web1 sshd[1]: x", "2024-05-01T10:00:00Z web1 sshd 1 1 | x"),
            (
                "2015-04-16 21:51:02,805 web1 sshd[1]: x",
                "2015-04-16T21:51:02.805Z web1 sshd 1 1 | x",
            ),
            ("2015 Dec 29 10:00:01 web1 sshd[1]: x", "2015-12-29T10:00:01Z web1 sshd 1 1 | x"),
            // A file of a program's own: no host, no tag.
            (
                "2024-05-01 10:00:00 198.51.100.7:4711 TLS Error: x",
                "2024-05-01T10:00:00Z - - - 1 | 198.51.100.7:4711 TLS Error: x",
            ),
            (
                "2024-05-01 10:00:00 login authenticator failed",
                "2024-05-01T10:00:00Z - - - 1 | login authenticator failed",
            ),
            ("2024-05-01T10:00:00Z web1 x", "2024-05-01T10:00:00Z web1 - - 1 | x"),
            // journalctl -o short-precise.
            (
                "Nov 23 10:00:00.123456 web1 sshd[1]: x",
                "2023-11-23T10:00:00.123456Z web1 sshd 1 1 | x",
            ),
            // A priority in front.
            ("<38>Jun 25 23:53:34 web1 sshd[1]: x", "2023-06-25T23:53:34Z web1 sshd 1 1 | x"),
            ("<38>sshd[1]: x", "- - sshd 1 1 | x"),
            ("<38>sshd: x", "- - sshd - 1 | x"),
            ("<38>x y", "- - - - 1 | x y"),
            ("<192>sshd: x", "- - - - 1 | <192>sshd: x"),
            // Bare.
            (
                "Failed none for root from 198.51.100.7 port 1 ssh2",
                "- - - - 1 | Failed none for root from 198.51.100.7 port 1 ssh2",
            ),
            (
                "error: PAM: Authentication failure",
                "- - - - 1 | error: PAM: Authentication failure",
            ),
            ("sshd[812]: x", "- - sshd 812 1 | x"),
            ("Nova 23 is no stamp", "- - - - 1 | Nova 23 is no stamp"),
            ("-- Logs begin at Mon --", "- - - - 1 | -- Logs begin at Mon --"),
            // A day that no year has: no time, but the header is one.
            ("Feb 30 10:00:00 web1 sshd[1]: x", "- web1 sshd 1 1 | x"),
        ] {
            assert_eq!(decoded(line), expected, "{line}");
        }
    }

    #[test]
    fn rsyslogs_repetitions_are_unwrapped() {
        for (message, expected) in [
            (
                "message repeated 2 times: [ Failed password for root from 198.51.100.7 port 1 ssh2]",
                "2 | Failed password for root from 198.51.100.7 port 1 ssh2",
            ),
            ("message repeated 1 times: [x]]", "1 | x]"),
            ("message repeated 0 times: [ x]", "1 | x"),
            // Cut off.
            ("message repeated 3 times: [ Failed", "3 | Failed"),
            ("message repeated 4294967295 times: [ x]", "65535 | x"),
            (
                "message repeated 99999999999 times: [ x]",
                "1 | message repeated 99999999999 times: [ x]",
            ),
            ("message repeated often: [ x]", "1 | message repeated often: [ x]"),
            ("x message repeated 2 times: [ x]", "1 | x message repeated 2 times: [ x]"),
        ] {
            let line = format!("Nov 23 10:00:00 web1 sshd[1]: {message}");
            assert_eq!(
                decoded(&line),
                format!("2023-11-23T10:00:00Z web1 sshd 1 {expected}"),
                "{message}"
            );
        }
    }

    #[test]
    fn rfc5424_lines_are_known_by_their_version() {
        for (line, expected) in [
            (
                "<38>1 2019-07-08T17:40:16.954167-04:00 web1 sshd 57915 - [sd a=\"b\"] x y",
                "2019-07-08T21:40:16.954167Z web1 sshd 57915 1 | x y",
            ),
            (
                "1 2019-07-08T17:40:16.954167-04:00 web1 sshd 57915 - - message repeated 2 times: [ x]",
                "2019-07-08T21:40:16.954167Z web1 sshd 57915 2 | x",
            ),
            ("<38>1 of many", "- - - - 1 | 1 of many"),
        ] {
            assert_eq!(decoded(line), expected, "{line}");
        }
    }

    #[test]
    fn bytes_need_not_be_text() {
        let bytes = b"Nov 23 10:00:00 web1 sshd[1]: Invalid user \xff\xfe from 198.51.100.7";
        let record = decode(&mut Stamps::new(TimeZone::UTC), Line { bytes, arrived: ARRIVED });
        assert!(matches!(record.body, Body::Message(b"Invalid user \xff\xfe from 198.51.100.7")));
    }
}
