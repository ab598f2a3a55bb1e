//! From a record to an event: which pattern takes the line, and what its captures become.

use std::borrow::Cow;

use super::condition;
use super::pack::yaml::Wanted;
use super::pattern::{CaptureKind, Found, Pattern, Room, parse_ip};
use super::rule::Condition;
use crate::event::{Blame, Body, Event, EventKind, Fields, Record, SuricataAlert, Value};
use crate::seeded::HashMap;

/// The fields of a Suricata alert, in order.
pub(super) const SURICATA_FIELDS: [&str; 12] = [
    "gid",
    "sid",
    "rev",
    "signature",
    "category",
    "priority",
    "action",
    "proto",
    "src",
    "src_port",
    "dst",
    "dst_port",
];

/// All patterns of all packs, by the programs whose lines they read.
#[derive(Debug, Default)]
pub(super) struct Recogniser {
    /// In order of definition: the first that matches takes the line.
    patterns: Vec<LogPattern>,
    packs: Vec<LogPack>,
    /// The programs that are named in full, each with all that reads its lines.
    programs: HashMap<Box<[u8]>, Table>,
    /// The packs that name programs in part.
    wild: Vec<usize>,
    /// What reads the lines of programs that nobody names.
    others: Table,
    /// What reads access logs.
    access: Table,
    alerts: Vec<AlertEvent>,
}

#[derive(Debug)]
struct LogPattern {
    pattern: Pattern,
    event: usize,
    when: Vec<Condition>,
}

#[derive(Debug)]
struct LogPack {
    programs: Programs,
    table: Table,
}

#[derive(Debug)]
struct AlertEvent {
    event: usize,
    when: Vec<Condition>,
}

/// Whose lines a pack reads.
#[derive(Debug)]
pub(super) enum Programs {
    /// No program's: the lines of access logs.
    AccessLog,
    /// Everybody's.
    Any,
    /// Those of programs with these names.
    Named(Vec<ProgramName>),
}

/// A program, or a group of them.
#[derive(Debug)]
pub(super) enum ProgramName {
    Exactly(Box<[u8]>),
    /// `prefix*`
    Begins(Box<[u8]>),
    /// `*suffix`
    Ends(Box<[u8]>),
}

impl ProgramName {
    /// Reads `name`, `prefix*` or `*suffix`.
    pub(super) fn new(text: &str) -> Self {
        if let Some(prefix) = text.strip_suffix('*') {
            Self::Begins(prefix.as_bytes().into())
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Ends(suffix.as_bytes().into())
        } else {
            Self::Exactly(text.as_bytes().into())
        }
    }

    fn is(&self, program: &[u8]) -> bool {
        match self {
            Self::Exactly(name) => **name == *program,
            Self::Begins(prefix) => program.starts_with(prefix),
            Self::Ends(suffix) => program.ends_with(suffix),
        }
    }
}

impl Programs {
    fn include(&self, program: &[u8]) -> bool {
        match self {
            Self::AccessLog => false,
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| name.is(program)),
        }
    }
}

impl Recogniser {
    /// Adds a pack of log patterns: for each its event's index, and the event's condition.
    pub(super) fn add_pack(
        &mut self,
        programs: Programs,
        patterns: impl IntoIterator<Item = (Pattern, usize, Vec<Condition>)>,
    ) {
        let from = self.patterns.len();
        self.patterns.extend(patterns.into_iter().map(|(pattern, event, when)| LogPattern {
            pattern,
            event,
            when,
        }));
        let table = Table::new(&self.patterns, from..self.patterns.len());
        self.packs.push(LogPack { programs, table });
    }

    /// Adds an event of Suricata's.
    pub(super) fn add_alert(
        &mut self,
        event: usize,
        when: &std::collections::BTreeMap<String, Wanted>,
    ) {
        self.alerts.push(AlertEvent { event, when: condition::compile(when) });
    }

    /// Joins, for each program that is named in full, the packs that read it.
    pub(super) fn finish(&mut self) {
        let joined = |reads: &dyn Fn(&Programs) -> bool| {
            let packs = self.packs.iter().filter(|pack| reads(&pack.programs));
            Table::join(&packs.map(|pack| &pack.table).collect::<Vec<_>>())
        };
        self.others = joined(&|programs| matches!(programs, Programs::Any));
        self.access = joined(&|programs| matches!(programs, Programs::AccessLog));
        for (at, pack) in self.packs.iter().enumerate() {
            let Programs::Named(names) = &pack.programs else { continue };
            for name in names {
                if let ProgramName::Exactly(name) = name {
                    let table = joined(&|programs| programs.include(name));
                    self.programs.insert(name.clone(), table);
                } else if self.wild.last() != Some(&at) {
                    self.wild.push(at);
                }
            }
        }
    }

    /// The first event that takes the record.
    pub(super) fn recognise<'l>(
        &'l self,
        kinds: &'l [EventKind],
        record: &'l Record<'l>,
    ) -> Option<Event<'l>> {
        match &record.body {
            Body::Message(text) => self.message(kinds, record, text),
            Body::Access(text) => self.first_of(&self.access, kinds, record, text),
            Body::Suricata(alert) => self.alert(kinds, record, alert),
        }
    }

    /// Whether a pack names this program.
    ///
    /// No pack answers for the lines without a program, though some read them: they are everybody's.
    pub(super) fn knows(&self, program: &[u8]) -> bool {
        !program.is_empty()
            && self.packs.iter().any(|pack| match &pack.programs {
                Programs::AccessLog | Programs::Any => false,
                named @ Programs::Named(_) => named.include(program),
            })
    }

    /// Patterns that need the regex engine for every line.
    #[cfg(test)]
    pub(super) fn slow_patterns(&self) -> usize {
        self.patterns.iter().filter(|it| !it.pattern.is_simple()).count()
    }

    /// By pattern: its event.
    #[cfg(test)]
    pub(super) fn pattern_events(&self) -> impl Iterator<Item = usize> {
        self.patterns.iter().map(|it| it.event)
    }

    /// The pattern that takes a record's message.
    #[cfg(test)]
    pub(super) fn taken_by(&self, kinds: &[EventKind], record: &Record<'_>) -> Option<usize> {
        let program = record.program.unwrap_or_default();
        let (text, reads): (_, &dyn Fn(&Programs) -> bool) = match record.body {
            Body::Message(text) => (text, &|programs| programs.include(program)),
            Body::Access(text) => (text, &|programs| matches!(programs, Programs::AccessLog)),
            Body::Suricata(_) => return None,
        };
        self.packs
            .iter()
            .filter(|pack| reads(&pack.programs))
            .flat_map(|pack| pack.table.candidates(text))
            .map(|candidate| candidate.pattern)
            .find(|&at| {
                let LogPattern { pattern, when, .. } = &self.patterns[at];
                let mut room = Room::new();
                pattern.find(text, &mut room).is_some_and(|found| {
                    let event = from_log(&kinds[self.patterns[at].event], record, pattern, &found);
                    when.iter().all(|condition| condition.holds(&event.fields))
                })
            })
    }

    fn message<'l>(
        &'l self,
        kinds: &'l [EventKind],
        record: &Record<'l>,
        text: &'l [u8],
    ) -> Option<Event<'l>> {
        let program = record.program.unwrap_or_default();
        if let Some(table) = self.programs.get(program) {
            return self.first_of(table, kinds, record, text);
        }
        if self.wild.iter().all(|&pack| !self.packs[pack].programs.include(program)) {
            return self.first_of(&self.others, kinds, record, text);
        }
        let packs = self.packs.iter().filter(|pack| pack.programs.include(program));
        packs.map(|pack| &pack.table).find_map(|table| self.first_of(table, kinds, record, text))
    }

    /// The event of the first pattern in a table that matches.
    fn first_of<'l>(
        &'l self,
        table: &Table,
        kinds: &'l [EventKind],
        record: &Record<'l>,
        text: &'l [u8],
    ) -> Option<Event<'l>> {
        let head = Head::of(text);
        let mut room = Room::new();
        for candidate in table.candidates(text) {
            if !candidate.prefix.begins(head) {
                continue;
            }
            let LogPattern { pattern, event, when } = &self.patterns[candidate.pattern];
            let Some(found) = pattern.find(text, &mut room) else { continue };
            if when.is_empty() {
                return Some(from_log(&kinds[*event], record, pattern, &found));
            }
            let event = from_log(&kinds[*event], record, pattern, &found);
            if when.iter().all(|condition| condition.holds(&event.fields)) {
                return Some(event);
            }
        }
        None
    }

    fn alert<'l>(
        &'l self,
        kinds: &'l [EventKind],
        record: &Record<'l>,
        alert: &'l SuricataAlert<'l>,
    ) -> Option<Event<'l>> {
        let fields = alert_fields(alert);
        let AlertEvent { event, .. } = self
            .alerts
            .iter()
            .find(|event| event.when.iter().all(|condition| condition.holds(&fields)))?;
        Some(Event {
            kind: &kinds[*event],
            fields,
            pid: record.pid,
            repeated: record.repeated,
            address: Blame::Nobody,
            suricata: Some(alert),
        })
    }
}

fn from_log<'l>(
    kind: &'l EventKind,
    record: &Record<'l>,
    pattern: &'l Pattern,
    found: &Found<'_, 'l>,
) -> Event<'l> {
    let mut event = Event {
        kind,
        fields: Fields::new(),
        pid: record.pid,
        repeated: record.repeated,
        address: Blame::Nobody,
        suricata: None,
    };
    for (index, capture) in pattern.captures().iter().enumerate() {
        let Some(text) = found.text(index) else { continue };
        let value = match capture.kind {
            CaptureKind::Number => number(text).map(Value::Number),
            CaptureKind::Address => match parse_ip(text) {
                Some(source) if pattern.source() == Some(index) => {
                    let ambiguous = found.is_ambiguous(source);
                    event.address = match ambiguous {
                        _ if kind.success => Blame::Nobody,
                        true => Blame::Ambiguous,
                        false => Blame::Address(source),
                    };
                    // What may be the wrong address is text, so that nothing counts by it.
                    (!ambiguous).then_some(Value::Addr(source))
                }
                other => other.map(Value::Addr),
            },
            CaptureKind::Text => None,
        };
        event.fields.push((&capture.name, value.unwrap_or(Value::Text(Cow::Borrowed(text)))));
    }
    event
}

/// Decimal digits as a number; `None` where there are none, or too many.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 19 {
        // Too few to overflow.
        let digits = digits.iter().map(|digit| u64::from(digit.wrapping_sub(b'0')));
        return Some(
            digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(digit)),
        );
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

fn alert_fields<'l>(alert: &'l SuricataAlert<'l>) -> Fields<'l> {
    let number = |number: u32| Value::Number(u64::from(number));
    let text = |text: &'l str| Value::Text(Cow::Borrowed(text.as_bytes()));
    let port = |port: Option<u16>| port.map(|port| Value::Number(u64::from(port)));
    let present = |word: &'l str| (!word.is_empty()).then(|| text(word));
    let values = [
        Some(number(alert.gid)),
        Some(number(alert.sid)),
        Some(number(alert.rev)),
        Some(text(&alert.signature)),
        alert.category.as_deref().map(text),
        Some(number(u32::from(alert.priority))),
        Some(text(alert.action)),
        present(&alert.proto),
        alert.src.map(|addr| Value::Addr(crate::event::canonical(addr))),
        port(alert.src_port),
        alert.dst.map(|addr| Value::Addr(crate::event::canonical(addr))),
        port(alert.dst_port),
    ];
    SURICATA_FIELDS
        .into_iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// The first eight bytes of a line, with zeros where it is shorter.
#[derive(Clone, Copy, Debug)]
struct Head(u64);

impl Head {
    fn of(text: &[u8]) -> Self {
        let head = text.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut head = [0; 8];
            head[..text.len()].copy_from_slice(text);
            head
        });
        Self(u64::from_ne_bytes(head))
    }
}

/// What a line must begin with to be worth a try, as far as its head shows it.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    head: u64,
    mask: u64,
}

impl Prefix {
    fn of(pattern: &Pattern) -> Self {
        let prefix = pattern.prefix();
        let shown = prefix.len().min(8);
        let mut mask = [0; 8];
        mask[..shown].fill(u8::MAX);
        Self { head: Head::of(&prefix[..shown]).0, mask: u64::from_ne_bytes(mask) }
    }

    const fn begins(self, head: Head) -> bool {
        (head.0 ^ self.head) & self.mask == 0
    }
}

/// A pattern that can take a line with a certain first byte.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    prefix: Prefix,
    /// Index into [`Recogniser::patterns`].
    pattern: usize,
}

/// For each first byte, the patterns that can take a line that begins with it.
#[derive(Debug)]
struct Table {
    /// For each byte, then for the empty line: where its patterns begin in `candidates`.
    starts: Box<[u32; 258]>,
    /// In order of definition for each byte.
    candidates: Vec<Candidate>,
}

impl Default for Table {
    fn default() -> Self {
        Self { starts: Box::new([0; 258]), candidates: Vec::new() }
    }
}

impl Table {
    fn new(all: &[LogPattern], range: std::ops::Range<usize>) -> Self {
        let candidates: Vec<Candidate> = range
            .map(|at| Candidate { prefix: Prefix::of(&all[at].pattern), pattern: at })
            .collect();
        Self::build(|byte, row| {
            row.extend(candidates.iter().filter(|candidate| {
                let pattern = &all[candidate.pattern].pattern;
                byte.map_or_else(|| pattern.can_be_empty(), |byte| pattern.can_begin_with(byte))
            }));
        })
    }

    fn join(tables: &[&Self]) -> Self {
        Self::build(|byte, row| tables.iter().for_each(|table| row.extend(table.of(byte))))
    }

    fn build(add_row: impl Fn(Option<u8>, &mut Vec<Candidate>)) -> Self {
        let mut table = Self::default();
        for slot in 0..257 {
            add_row(u8::try_from(slot).ok(), &mut table.candidates);
            table.starts[slot + 1] = u32::try_from(table.candidates.len()).unwrap_or(u32::MAX);
        }
        table
    }

    fn candidates(&self, text: &[u8]) -> &[Candidate] {
        self.of(text.first().copied())
    }

    fn of(&self, byte: Option<u8>) -> &[Candidate] {
        let slot = byte.map_or(256, usize::from);
        let [from, to] = [self.starts[slot], self.starts[slot + 1]];
        &self.candidates[from as usize..to as usize]
    }
}
