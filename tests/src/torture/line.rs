//! The lines of a log under torture, and the pack that gives them a meaning that can be counted.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ravelin::event::Target;

/// The rules by which lines are counted.
pub(super) const PACK: &str = r"
pack: torture
format: syslog
programs: [torture]
events:
  mark:
    proven: true
    pattern: '^mark (?<serial>{number}) from (?<src>{ip})$'
  hit:
    proven: true
    pattern: '^hit (?<serial>{number}) from (?<src>{ip})$'
  part:
    proven: true
    pattern: '^part (?<serial>{number}) from (?<src>{ip})$'
  point:
    proven: true
    pattern: '^point (?<serial>{number}) from (?<src>{ip})$'
  noise:
    pattern: '^noise (?<text>.*)$'
rules:
  - {id: 900001, level: 8, event: mark, ban: false, description: a line that is counted}
  - {id: 900002, level: 10, event: hit, description: a line that bans}
  - {id: 900003, level: 3, event: part, description: one of five}
  - {id: 900004, level: 10, after: 900003, same: [src], count: 5, within: 1d, description: five of five}
  - {id: 900005, level: 3, event: point, score: 20.5, description: a fifth of a ban}
";

/// Lines that make a ban together, by count or by score.
pub(super) const TOGETHER: u8 = 5;

/// What a line says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Says {
    /// It is counted in the history.
    Mark,
    /// It bans.
    Hit,
    /// The fifth of these bans.
    Part,
    /// The fifth of these makes the score that bans.
    Point,
}

impl Says {
    const fn word(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Hit => "hit",
            Self::Part => "part",
            Self::Point => "point",
        }
    }
}

/// Appends a line to `text`, as rsyslog writes it.
pub(super) fn write(text: &mut Vec<u8>, says: Says, serial: u64, source: IpAddr) {
    let mut line = String::with_capacity(120);
    let now = jiff::Timestamp::now();
    // Writing into a string can't fail.
    let written = writeln!(line, "{now} web1 torture[812]: {} {serial} from {source}", says.word());
    debug_assert!(written.is_ok());
    text.extend_from_slice(line.as_bytes());
}

/// Appends a line that means nothing; some of them look as if they did.
pub(super) fn write_noise(text: &mut Vec<u8>, rng: &mut fastrand::Rng, innocent: IpAddr) {
    let now = jiff::Timestamp::now();
    let start = text.len();
    let head = match rng.u8(0..6) {
        0 => format!("{now} web1 other[1]: hit 1 from {innocent}"),
        1 => format!("{now} web1 torture[812]: noise hit 1 from {innocent}"),
        2 => format!("{now} web1 torture[812]: hit 1 from {innocent} or not"),
        3 => "hit 1 from nowhere".to_owned(),
        _ => format!("{now} web1 torture[812]: noise "),
    };
    text.extend_from_slice(head.as_bytes());
    if rng.u8(0..4) == 0 {
        let filler = rng.usize(0..400);
        text.extend((0..filler).map(|at| match at % 37 {
            13 => 0,
            29 => 0xff,
            other => b'a' + u8::try_from(other % 26).unwrap_or(0),
        }));
    }
    if text.len() > start && rng.u8(0..16) == 0 {
        text.push(b'\r');
    }
    text.push(b'\n');
}

/// The address of a writer's n-th offender: each has a ban of its own.
pub(super) fn address(writer: u8, n: u32) -> IpAddr {
    if n % 4 == 3 {
        // RFC 2544's addresses: 32,768 for each of four writers.
        let host = u32::from(writer % 4) << 15 | (n / 4) & 0x7fff;
        return Ipv4Addr::from_bits(0xc612_0000 | host).into();
    }
    let [high, low] = [n / 0xffff, n % 0xffff].map(|part| u16::try_from(part).unwrap_or(0));
    let net = 0x1000 * (u16::from(writer) + 1) + (high & 0xfff);
    Ipv6Addr::new(0x2001, 0xdb8, net, low + 1, 0, 0, 0, 1).into()
}

/// Somebody whose name only stands in lines that mean nothing.
pub(super) fn innocent(writer: u8, n: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xf000 + u16::from(writer), n + 1, 0, 0, 0, 1).into()
}

/// What a ban of an address is about.
pub(super) fn target(address: IpAddr) -> Target {
    Target::of_offender(address, 64)
}

/// The number in a line that is counted, if it has one.
pub(super) fn serial(line: &str) -> Option<u64> {
    let (_, message) = line.split_once(" torture[812]: ")?;
    let mut words = message.split(' ');
    matches!(words.next()?, "mark" | "hit" | "part" | "point").then_some(())?;
    words.next()?.parse().ok()
}

/// The offenders that a mail's text names, each once.
pub(super) fn named(text: &str) -> std::collections::BTreeSet<IpAddr> {
    let part_of_address = |char: char| char.is_ascii_hexdigit() || char == ':' || char == '.';
    text.split(|char| !part_of_address(char))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| word.starts_with("2001:db8:") || word.starts_with("198."))
        .filter(|word| !word.ends_with("::"))
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_and_found_again() {
        let all: std::collections::BTreeSet<_> = (0..4)
            .flat_map(|writer| (0..70_000).map(move |n| target(address(writer, n))))
            .collect();
        assert_eq!(all.len(), 280_000);
        let (six, four) = (address(1, 70_000), address(2, 7));
        let text = format!("[1] {six} banned\nravelin unban {}\n{four}: level 10.", target(six));
        assert_eq!(named(&text), [six, four].into());
    }

    #[test]
    fn a_line_tells_its_number() {
        let mut text = Vec::new();
        write(&mut text, Says::Hit, 77, address(0, 0));
        assert_eq!(serial(&String::from_utf8_lossy(&text)), Some(77));
        assert_eq!(serial("2026-11-24T00:00:00Z web1 other[1]: hit 1 from ::1"), None);
    }
}
