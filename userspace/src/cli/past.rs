//! The past, as `history` and `show` print it.

use std::io::{self, Write};

use serde::Serialize;

use super::look::{Look, Tone, columns};
use super::table;
use crate::control::ListedPorts;
use crate::event::{Target, Timestamp};
use crate::mail::visible;
use crate::store::{HistoryEntry, HistoryKind};

/// Characters of a log line or reason.
const TEXT: usize = 400;

/// One entry, as `--json` prints it. What a kind doesn't have is null.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    time: String,
    kind: &'static str,
    target: Option<Target>,
    origin: Option<String>,
    rule: Option<u32>,
    level: Option<u8>,
    reason: Option<String>,
    expires: Option<String>,
    ports: Option<ListedPorts>,
    offences: Option<u32>,
    dropped_packets: Option<u64>,
    dropped_bytes: Option<u64>,
    withheld: Option<String>,
    evidence: Vec<String>,
}

impl From<HistoryEntry> for Entry {
    fn from(entry: HistoryEntry) -> Self {
        let time = |time: Timestamp| time.to_string();
        Self {
            time: time(entry.at),
            kind: entry.kind.as_str(),
            target: entry.target,
            origin: entry.origin,
            rule: entry.rule,
            level: entry.level,
            reason: entry.reason,
            expires: entry.expires.map(time),
            ports: entry.ports.as_ref().map(ListedPorts::from),
            offences: entry.offences,
            dropped_packets: entry.packets,
            dropped_bytes: entry.bytes,
            withheld: entry.withheld,
            evidence: entry.evidence.lines().to_vec(),
        }
    }
}

/// One line of words, or as many as the terminal makes of it; `named`: with the target.
pub(super) fn write(
    out: &mut impl Write,
    entry: &HistoryEntry,
    named: bool,
    look: Look,
) -> io::Result<()> {
    let time = seconds(entry.at);
    let kind = entry.kind.as_str();
    let tone = match entry.kind {
        HistoryKind::Ban | HistoryKind::Late => Some(Tone::Bad),
        HistoryKind::Alert => entry.level.and_then(Tone::of_level),
        HistoryKind::Unban | HistoryKind::Lapse => Some(Tone::Good),
    };
    let indent = columns(&time) + 9;
    write!(out, "{}  {}", look.paint(Tone::Faint, &time), look.paint(tone, &format!("{kind:<5}")))?;
    write!(out, "  ")?;
    let mut at = indent;
    if named {
        let target = entry.target.map_or_else(|| "-".to_owned(), |target| target.to_string());
        let target = format!("{target:<18}");
        write!(out, "{}", look.paint(Tone::Strong, &target))?;
        at += columns(&target);
    }
    let facts = facts(entry);
    let facts = facts.iter().map(String::as_str);
    flow(out, look, facts, at, indent, named)
}

/// What is known of it, in words.
fn facts(entry: &HistoryEntry) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(entry.level.map(|level| format!("level {level}")));
    facts.extend(match (entry.rule, entry.origin.as_deref(), entry.kind) {
        (_, Some(by), HistoryKind::Unban) => Some(format!("by {}", visible(by, TEXT))),
        (Some(rule), _, _) => Some(format!("rule {rule}")),
        (None, Some("rule"), _) => Some("by its score".to_owned()),
        (None, Some(origin), _) => Some(format!("by {}", visible(origin, TEXT))),
        (None, None, _) => None,
    });
    if let (Some(ports), false) = (&entry.ports, is_end(entry.kind)) {
        facts.push(format!("ports {ports}"));
    }
    match entry.kind {
        HistoryKind::Ban | HistoryKind::Late => facts.push(match entry.expires {
            Some(expires) => format!("until {}", seconds(expires)),
            None => "until lifted".to_owned(),
        }),
        HistoryKind::Unban | HistoryKind::Lapse => {
            let packets = table::grouped(entry.packets.unwrap_or(0));
            facts.push(format!("{packets} packets dropped"));
        }
        HistoryKind::Alert => {}
    }
    if let (Some(reason), false) = (&entry.reason, is_end(entry.kind)) {
        facts.push(visible(reason, TEXT));
    }
    if let Some(why) = &entry.withheld {
        facts.push(format!("(not banned: {})", visible(why, TEXT)));
    }
    facts
}

/// Writes facts two spaces apart; where a line has no room for the next one it begins another.
fn flow<'f>(
    out: &mut impl Write,
    look: Look,
    facts: impl Iterator<Item = &'f str>,
    mut at: usize,
    indent: usize,
    mut apart: bool,
) -> io::Result<()> {
    let mut facts = facts.peekable();
    while let Some(fact) = facts.next() {
        let wide = columns(fact);
        match look.width {
            Some(width) if apart && at + 2 + wide > width => {
                write!(out, "\n{:indent$}", "")?;
                at = indent;
            }
            _ if apart => {
                write!(out, "  ")?;
                at += 2;
            }
            _ => {}
        }
        apart = true;
        if facts.peek().is_none() {
            // The last one is free text, and may be long.
            return look.wrap(out, fact, at, indent);
        }
        write!(out, "{fact}")?;
        at += wide;
    }
    writeln!(out)
}

/// A log line, as evidence.
pub(super) fn write_line(out: &mut impl Write, line: &str, look: Look) -> io::Result<()> {
    write!(out, "    ")?;
    look.wrap(out, &visible(line, TEXT), 4, 6)
}

const fn is_end(kind: HistoryKind) -> bool {
    matches!(kind, HistoryKind::Unban | HistoryKind::Lapse)
}

/// Microseconds are for programs.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_secs(time.as_micros().div_euclid(1_000_000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Evidence;

    fn entry(kind: HistoryKind) -> HistoryEntry {
        HistoryEntry {
            id: 1,
            at: Timestamp::from_micros(1_700_000_000_123_456),
            kind,
            target: Some("198.51.100.7".parse().unwrap()),
            origin: Some("rule".to_owned()),
            rule: Some(5720),
            level: Some(10),
            reason: Some("sshd brute force".to_owned()),
            expires: Some(Timestamp::from_secs(1_700_000_300)),
            ports: None,
            offences: Some(1),
            packets: None,
            bytes: None,
            withheld: None,
            evidence: Evidence::default(),
        }
    }

    fn written(entry: &HistoryEntry, named: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, entry, named, Look::PLAIN).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_reads_well_on_one_line() {
        assert_eq!(
            written(&entry(HistoryKind::Ban), true),
            "2023-11-14T22:13:20Z  ban    198.51.100.7/32     level 10  rule 5720  until 2023-11-14T22:18:20Z  sshd brute force\n"
        );
        let unban = HistoryEntry {
            origin: Some("hand".to_owned()),
            packets: Some(17),
            ..entry(HistoryKind::Unban)
        };
        assert_eq!(
            written(&unban, false),
            "2023-11-14T22:13:20Z  unban  level 10  by hand  17 packets dropped\n"
        );
        let score = HistoryEntry { rule: None, level: None, ..entry(HistoryKind::Ban) };
        assert!(written(&score, false).contains("by its score"));
        let alert = HistoryEntry {
            reason: Some("from \x1b[2J".to_owned()),
            withheld: Some("live-session".to_owned()),
            ..entry(HistoryKind::Alert)
        };
        let alert = written(&alert, false);
        assert!(alert.ends_with("from \\x1b[2J  (not banned: live-session)\n"), "{alert}");
    }

    #[test]
    fn on_a_terminal_it_keeps_to_its_columns() {
        let mut out = Vec::new();
        let look = Look { colour: false, width: Some(80) };
        write(&mut out, &entry(HistoryKind::Ban), true, look).unwrap();
        write_line(&mut out, "word ".repeat(20).trim_end(), look).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
2023-11-14T22:13:20Z  ban    198.51.100.7/32     level 10  rule 5720
                             until 2023-11-14T22:18:20Z  sshd brute force
    word word word word word word word word word word word word word word word
      word word word word word
"
        );
    }
}
