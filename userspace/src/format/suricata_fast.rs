//! `suricata-fast`: Suricata's fast.log (src/alert-fastlog.c), and Snort's look-alike.
//!
//! ```text
//! ts  [action] [**] [gid:sid:rev] msg [**] [Classification: class] [Priority: n] {proto} src:n -> dst:n
//! ts  [action] [**] [gid:sid:rev] msg [**] [Classification: class] [Priority: n] [**] [Raw pkt: hex ]
//! ```
//!
//! `msg` and `class` are free text that may hold any of these brackets, so the head is read from the
//! left, the tail from the right, and they are what remains between.

use std::borrow::Cow;
use std::net::IpAddr;

use super::Undecodable;
use super::scan::{digits, number, rfind, skip_spaces};
use super::stamp::Stamps;
use crate::config::Format;
use crate::event::{Body, Line, Record, SuricataAlert, canonical, parse_ipv4};

/// What Suricata writes where it can't format the time.
const NO_STAMP: &[u8] = b"ts-error";
const CLASS: &[u8] = b" [**] [Classification: ";
const PRIORITY: &[u8] = b" [Priority: ";
const RAW: &[u8] = b" [**] [Raw pkt: ";

/// Whether a line is of this format, by its first bytes.
pub(super) fn looks_like(text: &[u8]) -> bool {
    match text {
        [m0, m1, b'/', d0, d1, b'/' | b'-', digit, ..] => {
            [m0, m1, d0, d1, digit].into_iter().all(u8::is_ascii_digit)
        }
        _ => text.starts_with(NO_STAMP),
    }
}

/// The alert of a line.
pub(super) fn decode<'l>(stamps: &mut Stamps, line: Line<'l>) -> Result<Record<'l>, Undecodable> {
    let text = line.bytes.trim_ascii_end();
    let mut at = line.bytes.len() - line.bytes.trim_ascii_start().len();
    let refuse =
        |expected, at| Undecodable::Malformed { format: Format::SuricataFast, expected, at };

    // From the left: stamp, action, ids.
    let (time, has_year) = if text[at..].starts_with(NO_STAMP) {
        at += NO_STAMP.len();
        (None, true)
    } else {
        let stamp = stamps
            .fast(&text[at..], line.arrived)
            .ok_or_else(|| refuse("a stamp such as 05/14/2020-22:10:17.391373", at))?;
        let has_year = text.get(at + 5) == Some(&b'/');
        at += stamp.len;
        (stamp.time, has_year)
    };
    at = text.len() - skip_spaces(&text[at..]).len();
    let mut action = "allowed";
    for (mark, meaning) in [(&b"[Drop] "[..], "drop"), (b"[wDrop] ", "wdrop")] {
        if text[at..].starts_with(mark) {
            at += mark.len();
            action = meaning;
        }
    }
    let ids = text[at..].strip_prefix(b"[**] [").and_then(ids);
    let ([gid, sid, rev], ids_len) = ids.ok_or_else(|| refuse("[**] [gid:sid:rev]", at))?;
    at += "[**] [".len() + ids_len;

    // From the right: addresses or a raw packet, priority, classification.
    let rest = &text[at..];
    let (rest, packet) = match packet(rest, has_year) {
        Some((before, packet)) => (before, packet),
        None => match without_raw(rest) {
            Some(before) => (before, Packet::default()),
            None => {
                return Err(refuse("{proto} addr:port -> addr:port at its end", text.len()));
            }
        },
    };
    let end = at + rest.len();
    let (rest, priority) =
        priority(rest).ok_or_else(|| refuse("[Priority: n] before the addresses", end))?;
    let (signature, category) = names(rest)
        .ok_or_else(|| refuse("[**] between the message and [Priority: n]", at + rest.len()))?;

    Ok(Record {
        time,
        host: None,
        program: None,
        pid: None,
        repeated: 1,
        body: Body::Suricata(Box::new(SuricataAlert {
            gid,
            sid,
            rev,
            signature,
            category,
            priority,
            action,
            proto: packet.proto,
            src: packet.src.map(|end| end.0),
            src_port: packet.src.and_then(|end| end.1),
            dst: packet.dst.map(|end| end.0),
            dst_port: packet.dst.and_then(|end| end.1),
            eve: None,
        })),
    })
}

/// `1:2024364:3]` and the space after it.
fn ids(text: &[u8]) -> Option<([u32; 3], usize)> {
    let mut numbers = [0; 3];
    let mut at = 0;
    for (index, slot) in numbers.iter_mut().enumerate() {
        let len = digits(&text[at..]);
        *slot = number(&text[at..at + len])?;
        at += len;
        if text.get(at) != Some(if index < 2 { &b':' } else { &b']' }) {
            return None;
        }
        at += 1;
    }
    // The message's own space stays when the message is empty and shares it with `[**]`.
    Some((numbers, at))
}

/// What a line says about its packet.
#[derive(Debug, Default)]
struct Packet<'l> {
    proto: Cow<'l, str>,
    src: Option<End>,
    dst: Option<End>,
}

/// An address, with its port where the protocol has ports.
type End = (IpAddr, Option<u16>);

/// ` {proto} addr:n -> addr:n` at the end, and what stands before it.
fn packet(text: &[u8], has_year: bool) -> Option<(&[u8], Packet<'_>)> {
    let arrow = rfind(text, b" -> ", 2)?;
    let (before, dst) = (&text[..arrow], &text[arrow + 4..]);
    let brace = rfind(before, b"} ", 0)?;
    let (before, src) = (&before[..brace], &before[brace + 2..]);
    let brace = rfind(before, b" {", 1)?;
    let (before, proto) = (&before[..brace], &before[brace + 2..]);
    let proto = protocol(proto)?;
    let has_ports = matches!(proto.as_ref(), "TCP" | "UDP" | "SCTP");
    let end = |text: &[u8]| {
        let (addr, n) = address(text, has_ports || has_year)?;
        Some((canonical(addr), n.filter(|_| has_ports)))
    };
    let (src, dst) = (end(src)?, end(dst)?);
    Some((before, Packet { proto, src: Some(src), dst: Some(dst) }))
}

/// A protocol's name; the script that ships as an example for Lua writes its number.
fn protocol(text: &[u8]) -> Option<Cow<'_, str>> {
    Some(match text {
        b"" => return None,
        b"1" => "ICMP".into(),
        b"6" => "TCP".into(),
        b"17" => "UDP".into(),
        b"58" => "IPv6-ICMP".into(),
        b"132" => "SCTP".into(),
        b"TCP" => "TCP".into(),
        b"UDP" => "UDP".into(),
        _ => String::from_utf8_lossy(text),
    })
}

/// `addr:n`, IPv6 without brackets as well: the last colon separates.
///
/// Snort writes no `:n` where the protocol has no ports; there `has_number` is false, and a whole
/// address is preferred.
fn address(text: &[u8], has_number: bool) -> Option<(IpAddr, Option<u16>)> {
    let whole = || Some((parse_ip(text)?, None));
    let split = || {
        let colon = memchr::memrchr(b':', text)?;
        let n = u16::try_from(number(&text[colon + 1..])?).ok()?;
        Some((parse_ip(&text[..colon])?, Some(n)))
    };
    if has_number { split() } else { whole().or_else(split) }
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = parse_ipv4(text) {
        return Some(IpAddr::V4(v4));
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What stands before ` [**] [Raw pkt: 00 0C ] [pcap file packet: 5]`: a packet without an IP header.
fn without_raw(text: &[u8]) -> Option<&[u8]> {
    let raw = rfind(text, RAW, 6)?;
    let rest = &text[raw + RAW.len()..];
    let hex = rest.iter().take_while(|byte| byte.is_ascii_hexdigit() || **byte == b' ').count();
    let rest = rest[hex..].strip_prefix(b"]")?;
    let packet =
        rest.strip_prefix(b" [pcap file packet: ").and_then(|rest| rest.strip_suffix(b"]"));
    match packet {
        Some(packet) if !packet.is_empty() && digits(packet) == packet.len() => {}
        None if rest.is_empty() => {}
        _ => return None,
    }
    Some(&text[..raw])
}

/// ` [Priority: n]` at the end, and what stands before it.
fn priority(text: &[u8]) -> Option<(&[u8], u8)> {
    let inner = text.strip_suffix(b"]")?;
    let start = rfind(inner, PRIORITY, 1)?;
    let priority = u8::try_from(number(&inner[start + PRIORITY.len()..])?).ok()?;
    Some((&text[..start], priority))
}

/// Message and classification out of ` msg [**] [Classification: class]`, or, as Snort writes it
/// where there is no class, ` msg [**]`.
fn names(text: &[u8]) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let (message, class) = match text.strip_suffix(b"]").and_then(|inner| {
        let start = rfind(inner, CLASS, 6)?;
        Some((&text[..start], &inner[start + CLASS.len()..]))
    }) {
        Some((message, class)) => (message, Some(class)),
        None => (text.strip_suffix(b" [**]")?, None),
    };
    let message = message.strip_prefix(b" ").unwrap_or(message);
    Some((printed(message).unwrap_or_default(), class.and_then(printed)))
}

/// Text as printf's `%s` writes it: `(null)` is none.
fn printed(text: &[u8]) -> Option<Cow<'_, str>> {
    // Checking is several times faster than looking for what has to be replaced.
    let text = (text != b"(null)").then_some(text)?;
    Some(match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::event::Timestamp;

    fn decoded(text: &str) -> Result<(Option<Timestamp>, SuricataAlert<'_>), Undecodable> {
        // 2024-05-01T12:00:00Z
        let line = Line { bytes: text.as_bytes(), arrived: Timestamp::from_secs(1_714_564_800) };
        let mut stamps = Stamps::new(TimeZone::UTC);
        decode(&mut stamps, line).map(|record| match record.body {
            Body::Suricata(alert) => (record.time, *alert),
            Body::Message(_) | Body::Access(_) => panic!("not an alert"),
        })
    }

    fn alert(text: &str) -> SuricataAlert<'_> {
        decoded(text).unwrap_or_else(|error| panic!("{error}: {text}")).1
    }

    /// A line with this between the ids and the end.
    fn line(head: &str, middle: &str, tail: &str) -> String {
        format!("01/02/2024-03:04:05.000006  {head}[**] [1:2:3] {middle} [Priority: 3]{tail}")
    }

    /// `proto src src_port dst dst_port`
    fn ends(alert: &SuricataAlert<'_>) -> String {
        let SuricataAlert { proto, src, src_port, dst, dst_port, .. } = alert;
        let addr = |addr: &Option<IpAddr>| addr.map_or("-".to_owned(), |addr| addr.to_string());
        let port = |port: &Option<u16>| port.map_or("-".to_owned(), |port| port.to_string());
        format!("{proto} {} {} {} {}", addr(src), port(src_port), addr(dst), port(dst_port))
    }

    #[test]
    fn the_reference_mails_line() {
        let (time, alert) = decoded(
            "05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap User-Agent \
             Observed [**] [Classification: Web Application Attack] [Priority: 1] {TCP} \
             198.51.100.7:41234 -> 203.0.113.9:80",
        )
        .unwrap();
        assert_eq!(time.unwrap().to_string(), "2020-05-14T22:10:17.391373Z");
        assert_eq!((alert.gid, alert.sid, alert.rev), (1, 2_024_364, 3));
        assert_eq!(alert.signature, "ET SCAN Possible Nmap User-Agent Observed");
        assert_eq!(alert.category.as_deref(), Some("Web Application Attack"));
        assert_eq!((alert.priority, alert.action), (1, "allowed"));
        assert_eq!(ends(&alert), "TCP 198.51.100.7 41234 203.0.113.9 80");
        assert!(alert.eve.is_none());
    }

    #[test]
    fn every_kind_of_tail() {
        const LONG: &str = "2001:0db8:0000:0000:0000:0000:0000:000";
        for (tail, expected) in [
            (
                " {UDP} 198.51.100.7:53 -> 203.0.113.9:5353".to_owned(),
                "UDP 198.51.100.7 53 203.0.113.9 5353",
            ),
            (format!(" {{TCP}} {LONG}1:3000 -> {LONG}2:22"), "TCP 2001:db8::1 3000 2001:db8::2 22"),
            // fast.ipv6-compress.
            (" {TCP} ::1:3000 -> 2001:db8::2:22".to_owned(), "TCP ::1 3000 2001:db8::2 22"),
            (
                " {TCP} ::ffff:198.51.100.7:1 -> 203.0.113.9:80".to_owned(),
                "TCP 198.51.100.7 1 203.0.113.9 80",
            ),
            // Type and code, or zeros, in the ports' place.
            (
                " {ICMP} 198.51.100.7:8 -> 203.0.113.9:0".to_owned(),
                "ICMP 198.51.100.7 - 203.0.113.9 -",
            ),
            (
                format!(" {{IPv6-ICMP}} {LONG}1:128 -> {LONG}2:0"),
                "IPv6-ICMP 2001:db8::1 - 2001:db8::2 -",
            ),
            (
                " {GRE} 198.51.100.7:0 -> 203.0.113.9:0".to_owned(),
                "GRE 198.51.100.7 - 203.0.113.9 -",
            ),
            (
                " {PROTO:253} 198.51.100.7:0 -> 203.0.113.9:0".to_owned(),
                "PROTO:253 198.51.100.7 - 203.0.113.9 -",
            ),
            (
                " {SCTP} 198.51.100.7:5 -> 203.0.113.9:6".to_owned(),
                "SCTP 198.51.100.7 5 203.0.113.9 6",
            ),
            // The Lua example's numbers.
            (" {6} 198.51.100.7:5 -> 203.0.113.9:6".to_owned(), "TCP 198.51.100.7 5 203.0.113.9 6"),
            (" {47} 198.51.100.7:0 -> 203.0.113.9:0".to_owned(), "47 198.51.100.7 - 203.0.113.9 -"),
            // No IP header: no addresses.
            (" [**] [Raw pkt: 00 0C 29 0F ]".to_owned(), " - - - -"),
            (" [**] [Raw pkt: 00 0C 29 0F ] [pcap file packet: 5]".to_owned(), " - - - -"),
            (" [**] [Raw pkt: ]".to_owned(), " - - - -"),
        ] {
            for action in ["", "[Drop] ", "[wDrop] "] {
                let line = line(action, "x [**] [Classification: Misc activity]", &tail);
                assert_eq!(ends(&alert(&line)), expected, "{line}");
            }
        }
    }

    #[test]
    fn actions_and_nulls() {
        const TAIL: &str = " {TCP} 198.51.100.7:1 -> 203.0.113.9:2";
        for (head, action) in [("", "allowed"), ("[Drop] ", "drop"), ("[wDrop] ", "wdrop")] {
            let line = line(head, "(null) [**] [Classification: (null)]", TAIL);
            let alert = alert(&line);
            assert_eq!(alert.action, action);
            assert_eq!((alert.signature.as_ref(), alert.category), ("", None));
        }
        let empty = line("", "[**] [Classification: x]", TAIL);
        assert_eq!(alert(&empty).signature, "");
    }

    #[test]
    fn free_text_may_hold_brackets_arrows_and_whole_lines() {
        const TAIL: &str = " {TCP} 198.51.100.7:1 -> 203.0.113.9:2";
        for message in [
            "a [b] {c} -> d",
            "a [**] [Classification: x] [Priority: 1] {TCP} 192.0.2.1:1 -> 192.0.2.2:2",
            "a [**] [Raw pkt: 00 ]",
            "a [**]",
            "[Drop] [**] [9:9:9] a",
        ] {
            let line = line("", &format!("{message} [**] [Classification: a [b] (c)]"), TAIL);
            let alert = alert(&line);
            assert_eq!(alert.signature, message);
            assert_eq!(alert.category.as_deref(), Some("a [b] (c)"));
            assert_eq!((alert.sid, alert.priority), (2, 3));
            assert_eq!(ends(&alert), "TCP 198.51.100.7 1 203.0.113.9 2");
        }
    }

    #[test]
    fn snorts_lines() {
        let (time, alert) = decoded(
            "10/20-20:43:32.334621  [**] [1:10000001:0] /etc/x detected [**] [Priority: 0] {TCP} \
             198.51.100.7:59240 -> 203.0.113.9:80",
        )
        .unwrap();
        assert_eq!(time.unwrap().to_string(), "2023-10-20T20:43:32.334621Z");
        assert_eq!((alert.signature.as_ref(), alert.category), ("/etc/x detected", None));
        assert_eq!(alert.priority, 0);
        for (tail, expected) in [
            ("{ICMP} 198.51.100.7 -> 203.0.113.9", "ICMP 198.51.100.7 - 203.0.113.9 -"),
            ("{IPV6-ICMP} 2001:db8::1:7 -> 2001:db8::2", "IPV6-ICMP 2001:db8::1:7 - 2001:db8::2 -"),
        ] {
            let line = format!("10/20-20:43:32.334621  [**] [1:1:0] x [**] [Priority: 0] {tail}");
            assert_eq!(ends(&self::alert(&line)), expected);
        }
    }

    #[test]
    fn a_stamp_that_suricata_could_not_make_is_no_time() {
        let (time, alert) =
            decoded("ts-error  [**] [1:2:3] x [**] [Classification: y] [Priority: 3] {UDP} 198.51.100.7:1 -> 203.0.113.9:2")
                .unwrap();
        assert_eq!((time, alert.sid), (None, 2));
    }

    #[test]
    fn cut_off_at_any_byte_is_refused_or_lacks_only_the_port() {
        let whole = line(
            "[Drop] ",
            "a [**] b [**] [Classification: c]",
            " {TCP} 198.51.100.7:41234 -> 203.0.113.9:80",
        );
        for len in 0..whole.len() {
            match decoded(&whole[..len]) {
                Ok((_, alert)) => {
                    assert_eq!(&whole[..len], whole.strip_suffix('0').unwrap());
                    assert_eq!(alert.src, Some("198.51.100.7".parse().unwrap()));
                }
                Err(error) => assert!(error.is_malformed()),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        const TAIL: &str = " {TCP} 198.51.100.7:1 -> 203.0.113.9:2";
        for (line, said) in [
            (
                "nonsense".to_owned(),
                "expected a stamp such as 05/14/2020-22:10:17.391373 at byte 0 of a suricata-fast line",
            ),
            (
                "05/14/2020-22:10:17.391373  x".to_owned(),
                "expected [**] [gid:sid:rev] at byte 28 of a suricata-fast line",
            ),
            (
                line("", "x [**] [Classification: y]", TAIL).replace("1:2:3]", "1:2]"),
                "expected [**] [gid:sid:rev]",
            ),
            (line("", "x [**] [Classification: y]", &TAIL.replace("7:1", "7:65536")), "addr:port"),
            (line("", "x [**] [Classification: y]", &TAIL.replace(".7:", ".777:")), "addr:port"),
            (line("", "x [**] [Classification: y]", " [**] [Raw pkt: XY ]"), "addr:port"),
            (line("", "x", TAIL), "expected [**] between the message and [Priority: n]"),
            (line("", "x [**]", TAIL).replace("Priority: 3", "Priority: 256"), "[Priority: n]"),
            (line("", "x [**]", TAIL).replace("1:2:3", "1:4294967296:3"), "[gid:sid:rev]"),
        ] {
            let error = decoded(&line).unwrap_err().to_string();
            assert!(error.contains(said), "{error}: {line}");
        }
    }
}
