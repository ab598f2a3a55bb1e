//! Why a line is taken by the pattern that takes it, or by none: for `explain`.

use std::collections::HashSet;

use super::{LogPattern, Programs, Recogniser, from_log};
use crate::event::{Body, EventKind, Record};
use crate::rules::pattern::{Room, Tried};

/// So many patterns are told.
const TOLD: usize = 3;
/// A pattern that shares less literal text with a line is about something else.
const LITERAL: usize = 3;

/// What the patterns made of a line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trace {
    /// The text of the pattern that takes it.
    pub pattern: Option<String>,
    /// The patterns that nearly took it, the nearest first: where none takes it, or one does that says
    /// little about it.
    pub near: Vec<NearMiss>,
}

/// A pattern that nearly took a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NearMiss {
    /// Its event.
    pub event: String,
    /// The event's pack.
    pub pack: String,
    /// Its text.
    pub pattern: String,
    /// The byte of the message at which it stopped; its length where only a condition doesn't hold.
    pub at: usize,
    /// What it expected there, in words.
    pub expected: String,
}

impl Recogniser {
    /// What the patterns make of a record that isn't Suricata's.
    pub(in crate::rules) fn trace(&self, kinds: &[EventKind], record: &Record<'_>) -> Trace {
        let program = record.program.unwrap_or_default();
        let (text, access): (&[u8], bool) = match &record.body {
            Body::Message(text) => (text, false),
            Body::Access(text) => (text, true),
            Body::Suricata(_) => return Trace::default(),
        };
        let reads = |programs: &Programs| match access {
            true => matches!(programs, Programs::AccessLog),
            false => programs.include(program),
        };
        let mut taken = None;
        let mut near: Vec<(usize, NearMiss)> = Vec::new();
        let packs = self.packs.iter().filter(|pack| reads(&pack.programs));
        for log in packs.flat_map(|pack| &self.patterns[pack.patterns.clone()]) {
            let LogPattern { pattern: lazy, event, when } = log;
            let Some(pattern) = lazy.pattern() else { continue };
            let kind = &kinds[*event];
            let mut room = Room::new();
            let found = pattern.find(text, &mut room);
            let (at, literal, expected) = match (pattern.try_on(text), found) {
                (Tried::Matches { literal }, Some(found)) => {
                    let event = from_log(kind, record, &found);
                    if when.iter().all(|condition| condition.holds(&event.fields)) {
                        taken = Some((literal, lazy.text().to_owned()));
                        break;
                    }
                    (text.len(), literal, "what its `when` asks for".to_owned())
                }
                (Tried::Stops(stop), None) => (stop.at, stop.literal, stop.expected),
                // A line longer than is looked at.
                _ => continue,
            };
            let (event, pack) = (kind.name.clone(), kind.pack.clone());
            let pattern = lazy.text().to_owned();
            near.push((literal, NearMiss { event, pack, pattern, at, expected }));
        }
        // What takes a line by a few words only is a catch-all.
        let least = taken.as_ref().map_or(LITERAL, |(literal, _)| LITERAL.max(2 * literal + 1));
        near.retain(|(literal, _)| *literal >= least);
        near.sort_by_key(|(literal, miss)| std::cmp::Reverse((*literal, miss.at)));
        // An event's variants often stop at the same place; once told is enough.
        let mut told = HashSet::new();
        near.retain(|(_, miss)| {
            told.insert((miss.pack.clone(), miss.event.clone(), miss.at, miss.expected.clone()))
        });
        // Far behind the nearest is another matter.
        let enough = near.first().map_or(0, |(literal, _)| literal / 2);
        let near = near.into_iter().filter(|(literal, _)| *literal > enough).take(TOLD);
        Trace { pattern: taken.map(|(_, text)| text), near: near.map(|(_, miss)| miss).collect() }
    }
}
