//! From a record to an event: which pattern takes the line, and what its captures become.

mod by_name;
mod memo;
mod near;

use std::ops::Range;
use std::sync::OnceLock;

use self::by_name::ByName;
pub(crate) use self::memo::{Memo, Taken};
pub use self::near::{NearMiss, Trace};
use super::condition::Condition;
use super::pattern::{Found, LazyPattern, Room, Source};
use crate::event::{Blame, Body, Event, EventKind, Fields, Record, SuricataAlert};

/// All patterns of all packs, by the programs whose lines they read.
#[derive(Debug, Default)]
pub(super) struct Recogniser {
    /// In order of definition: the first that matches takes the line.
    patterns: Vec<LogPattern>,
    packs: Vec<LogPack>,
    /// The programs that are named in full, each with all that reads its lines.
    programs: ByName<LazyTable>,
    /// The packs that name programs in part.
    wild: Vec<usize>,
    /// What reads the lines of programs that nobody names.
    others: LazyTable,
    /// What reads access logs.
    access: LazyTable,
    alerts: Vec<AlertEvent>,
}

#[derive(Debug)]
struct LogPattern {
    pattern: LazyPattern,
    event: usize,
    when: Vec<Condition>,
}

#[derive(Debug)]
struct LogPack {
    programs: Programs,
    /// Which of the patterns are its own.
    patterns: Range<usize>,
    table: OnceLock<Table>,
}

/// The packs that read a program's lines, and their table, made when the first such line comes.
#[derive(Debug, Default)]
struct LazyTable {
    packs: Vec<usize>,
    table: OnceLock<Table>,
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
        patterns: impl IntoIterator<Item = (LazyPattern, usize, Vec<Condition>)>,
    ) {
        let from = self.patterns.len();
        self.patterns.extend(patterns.into_iter().map(|(pattern, event, when)| LogPattern {
            pattern,
            event,
            when,
        }));
        let patterns = from..self.patterns.len();
        self.packs.push(LogPack { programs, patterns, table: OnceLock::new() });
    }

    /// Adds an event of Suricata's.
    pub(super) fn add_alert(&mut self, event: usize, when: Vec<Condition>) {
        self.alerts.push(AlertEvent { event, when });
    }

    /// Finds, for each program that is named in full, the packs that read it.
    pub(super) fn finish(&mut self) {
        let joined = |reads: &dyn Fn(&Programs) -> bool| {
            let packs = (0..self.packs.len()).filter(|pack| reads(&self.packs[*pack].programs));
            LazyTable { packs: packs.collect(), table: OnceLock::new() }
        };
        self.others = joined(&|programs| matches!(programs, Programs::Any));
        self.access = joined(&|programs| matches!(programs, Programs::AccessLog));
        for (at, pack) in self.packs.iter().enumerate() {
            let Programs::Named(names) = &pack.programs else { continue };
            for name in names {
                if let ProgramName::Exactly(name) = name {
                    let table = joined(&|programs| programs.include(name));
                    self.programs.insert(name, table);
                } else if self.wild.last() != Some(&at) {
                    self.wild.push(at);
                }
            }
        }
    }

    /// A pack's own table.
    fn table_of<'s>(&'s self, pack: &'s LogPack) -> &'s Table {
        pack.table.get_or_init(|| Table::new(&self.patterns, pack.patterns.clone()))
    }

    /// That of all packs that read a program.
    #[inline]
    fn table<'s>(&'s self, lazy: &'s LazyTable) -> &'s Table {
        lazy.table.get_or_init(|| {
            let packs = lazy.packs.iter().map(|pack| self.packs[*pack].patterns.clone());
            Table::new(&self.patterns, packs.flatten())
        })
    }

    /// The first event that takes the record.
    pub(super) fn recognise<'l>(
        &'l self,
        kinds: &'l [EventKind],
        record: &'l Record<'l>,
    ) -> Option<Event<'l>> {
        match &record.body {
            Body::Message(text) => self.message(kinds, record, text),
            Body::Access(text) => self.first_of(self.table(&self.access), kinds, record, text),
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
        self.patterns
            .iter()
            .filter(|it| !it.pattern.pattern().is_some_and(super::pattern::Pattern::is_simple))
            .count()
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
            .flat_map(|pack| self.table_of(pack).candidates(text))
            .map(|candidate| candidate.pattern)
            .find(|&at| {
                let LogPattern { pattern, when, event } = &self.patterns[at];
                let mut room = Room::new();
                pattern.pattern().and_then(|it| it.find(text, &mut room)).is_some_and(|found| {
                    let event = from_log(&kinds[*event], record, &found);
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
            return self.first_of(self.table(table), kinds, record, text);
        }
        if self.wild.iter().all(|&pack| !self.packs[pack].programs.include(program)) {
            return self.first_of(self.table(&self.others), kinds, record, text);
        }
        let packs = self.packs.iter().filter(|pack| pack.programs.include(program));
        packs
            .map(|pack| self.table_of(pack))
            .find_map(|table| self.first_of(table, kinds, record, text))
    }

    /// What it was recognised as; `recognised` is what came of that.
    pub(super) fn taken(&self, recognised: Option<&Event<'_>>) -> Option<Taken> {
        let Some(event) = recognised else { return Some(Taken::Nothing) };
        let (names, slots) = event.fields.captures()?;
        let pattern = self.patterns.iter().position(|it| {
            it.event == event.kind.index as usize
                && it.pattern.pattern().is_some_and(|it| std::ptr::eq(it.captures(), names))
        })?;
        Some(Taken::By { pattern, slots })
    }

    /// The event of a record that was taken so before.
    pub(super) fn recall<'l>(
        &'l self,
        kinds: &'l [EventKind],
        record: &Record<'l>,
        taken: &Taken,
    ) -> Option<Event<'l>> {
        let (Taken::By { pattern, slots }, Body::Message(text)) = (taken, &record.body) else {
            return None;
        };
        let LogPattern { pattern, event, .. } = &self.patterns[*pattern];
        let found = pattern.pattern()?.found(text, slots);
        Some(from_log(&kinds[*event], record, &found))
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
            let Some(found) = pattern.pattern().and_then(|it| it.find(text, &mut room)) else {
                continue;
            };
            if when.is_empty() {
                return Some(from_log(&kinds[*event], record, &found));
            }
            let event = from_log(&kinds[*event], record, &found);
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
        let fields = Fields::of_alert(alert);
        let AlertEvent { event, .. } = self
            .alerts
            .iter()
            .find(|event| event.when.iter().all(|condition| condition.holds(&fields)))?;
        Some(Event {
            kind: &kinds[*event],
            fields,
            program: record.program,
            pid: record.pid,
            repeated: record.repeated,
            address: Blame::Nobody,
            suricata: Some(alert),
        })
    }
}

fn from_log<'l>(kind: &'l EventKind, record: &Record<'l>, found: &Found<'l, '_>) -> Event<'l> {
    let (captures, source) = found.captures();
    Event {
        kind,
        fields: Fields::captured(captures),
        program: record.program,
        pid: record.pid,
        repeated: record.repeated,
        address: match source {
            Some(Source::Address(addr)) if !kind.success => Blame::Address(addr),
            Some(Source::Ambiguous) if !kind.success => Blame::Ambiguous,
            _ => Blame::Nobody,
        },
        suricata: None,
    }
}

/// The first eight bytes of a line, with zeros where it is shorter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    fn of(pattern: &LazyPattern) -> Self {
        let prefix = pattern.opening().prefix();
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
    /// Of some of the patterns, in this order.
    fn new(all: &[LogPattern], which: impl Iterator<Item = usize>) -> Self {
        let candidates: Vec<Candidate> = which
            .map(|at| Candidate { prefix: Prefix::of(&all[at].pattern), pattern: at })
            .collect();
        Self::build(|byte, row| {
            row.extend(candidates.iter().filter(|candidate| {
                let opening = all[candidate.pattern].pattern.opening();
                byte.map_or_else(|| opening.may_be_empty(), |byte| opening.admits(byte))
            }));
        })
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
