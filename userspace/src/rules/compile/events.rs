//! The events of packs: numbered, with their patterns compiled and handed to the recogniser.

use std::collections::{BTreeSet, HashMap};

use serde_yaml::Spanned;

use super::{Complaints, is_name};
use crate::event::{EventKind, SURICATA_FIELDS};
use crate::rules::condition::{self, Condition};
use crate::rules::error::{PackError, Problem};
use crate::rules::pack::{PackFormat, RawEvent, RawPack, Text};
use crate::rules::pattern::{LazyPattern, PatternError};
use crate::rules::recognise::{ProgramName, Programs, Recogniser};

/// All events of all packs.
#[derive(Default)]
pub(super) struct Events {
    kinds: Vec<EventKind>,
    /// By event: what else the rules need to know of it.
    facts: Vec<Facts>,
    /// By pack and name.
    names: HashMap<(String, String), usize>,
    recogniser: Recogniser,
}

struct Facts {
    suricata: bool,
    fields: BTreeSet<String>,
    /// All its patterns compiled, so that a field that isn't among these doesn't exist.
    complete: bool,
}

impl Events {
    /// Numbers the events of a pack and compiles what recognises them.
    pub(super) fn add_pack(&mut self, text: &Text<'_>, raw: &RawPack, complaints: &mut Complaints) {
        let suricata = raw.format.value == PackFormat::Suricata;
        let plain = raw.format.value == PackFormat::Plain;
        let web = plain || raw.web.as_ref().is_some_and(|web| web.value);
        let mut patterns = Vec::new();
        for (name, event) in &raw.events.0 {
            if !is_name(name) {
                complaints.add(text, event.referenced, Problem::BadName { name: name.clone() });
            }
            let index = self.kinds.len();
            let RawEvent { proven, attempt, success, .. } = event.value;
            let proven = proven.unwrap_or(false);
            self.kinds.push(EventKind {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                name: name.clone(),
                pack: raw.pack.value.clone(),
                proven,
                attempt,
                success,
                web,
            });
            self.names.insert((raw.pack.value.clone(), name.clone()), index);
            let errors = complaints.errors.len();
            let fields = if suricata {
                let fields = SURICATA_FIELDS.iter().map(|&field| field.to_owned()).collect();
                self.alert_event(text, index, event, &fields, complaints);
                fields
            } else {
                log_event(text, raw, index, event, &mut patterns, complaints)
            };
            let complete = complaints.errors.len() == errors;
            for field in event.value.when.keys() {
                if complete && !fields.contains(field) {
                    let problem = unknown_field(field, &fields);
                    complaints.add(text, event.referenced, problem);
                }
            }
            self.facts.push(Facts { suricata, fields, complete });
        }
        let programs = raw.programs.as_ref().map(|programs| ("programs", programs.referenced));
        let said = raw.web.as_ref().map(|web| ("web", web.referenced));
        for (key, at) in programs.into_iter().chain(said).filter(|_| suricata || plain) {
            let format = if plain { "plain" } else { "suricata" };
            complaints.add(text, at, Problem::OnlyForSyslog { key, format });
        }
        if suricata {
            return;
        }
        let programs = match &raw.programs {
            _ if plain => Programs::AccessLog,
            None => Programs::Any,
            Some(names) => {
                Programs::Named(names.value.iter().map(|name| ProgramName::new(name)).collect())
            }
        };
        self.recogniser.add_pack(programs, patterns);
    }

    fn alert_event(
        &mut self,
        text: &Text<'_>,
        index: usize,
        event: &Spanned<RawEvent>,
        fields: &BTreeSet<String>,
        complaints: &mut Complaints,
    ) {
        let RawEvent { pattern, patterns, proven, attempt, success, when: _ } = &event.value;
        let misplaced = [
            ("pattern", pattern.is_some()),
            ("patterns", patterns.is_some()),
            ("proven", proven.is_some()),
            ("attempt", *attempt),
            ("success", *success),
        ];
        for (key, there) in misplaced {
            if there {
                complaints.add(text, event.referenced, Problem::NotForSuricata { key });
            }
        }
        let when = conditions(text, event, fields, complaints);
        self.recogniser.add_alert(index, when);
    }

    /// The number of a pack's event.
    pub(super) fn number(&self, pack: &str, name: &str) -> Option<u32> {
        let index = self.names.get(&(pack.to_owned(), name.to_owned()))?;
        Some(self.kinds[*index].index)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.kinds.len()
    }

    /// The fields that at least one of these events gives.
    pub(super) fn fields(&self, events: &BTreeSet<usize>) -> BTreeSet<String> {
        events.iter().flat_map(|&event| self.facts[event].fields.iter().cloned()).collect()
    }

    /// Whether all their fields are known; without an event nothing is, since what should have led to one is
    /// complained about already.
    pub(super) fn complete(&self, events: &BTreeSet<usize>) -> bool {
        !events.is_empty() && events.iter().all(|&event| self.facts[event].complete)
    }

    /// An event by its number.
    pub(super) fn kind(&self, event: u32) -> Option<&EventKind> {
        self.kinds.get(usize::try_from(event).ok()?)
    }

    /// Whether an event has a field of this name.
    pub(super) fn has_field(&self, event: u32, name: &str) -> bool {
        self.facts_of(event).is_some_and(|facts| facts.fields.contains(name))
    }

    /// Whether an event is Suricata's.
    pub(super) fn is_suricata_s(&self, event: u32) -> bool {
        self.facts_of(event).is_some_and(|facts| facts.suricata)
    }

    fn facts_of(&self, event: u32) -> Option<&Facts> {
        self.facts.get(usize::try_from(event).ok()?)
    }

    /// Whether one of them is a success.
    pub(super) fn succeed(&self, events: &BTreeSet<usize>) -> bool {
        events.iter().any(|&event| self.kinds[event].success)
    }

    /// Whether one of them is Suricata's.
    pub(super) fn are_suricata_s(&self, events: &BTreeSet<usize>) -> bool {
        events.iter().any(|&event| self.facts[event].suricata)
    }

    /// What runs.
    pub(super) fn finish(mut self) -> (Vec<EventKind>, Recogniser) {
        self.recogniser.finish();
        (self.kinds, self.recogniser)
    }
}

/// A field that none of `fields` is.
pub(super) fn unknown_field(name: &str, fields: &BTreeSet<String>) -> Problem {
    Problem::UnknownField { name: name.to_owned(), known: fields.iter().cloned().collect() }
}

/// Compiles an event's patterns; returns the fields that they give.
fn log_event(
    text: &Text<'_>,
    raw: &RawPack,
    index: usize,
    event: &Spanned<RawEvent>,
    compiled: &mut Vec<(LazyPattern, usize, Vec<Condition>)>,
    complaints: &mut Complaints,
) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let patterns: Vec<&Spanned<String>> = match (&event.value.pattern, &event.value.patterns) {
        (Some(pattern), None) => vec![pattern],
        (None, Some(patterns)) if !patterns.is_empty() => patterns.iter().collect(),
        _ => {
            complaints.add(text, event.referenced, Problem::WantsPattern);
            return fields;
        }
    };
    let mut sound = Vec::new();
    for pattern in patterns {
        let done = if text.is_shipped() {
            Ok(LazyPattern::trusted(&pattern.value))
        } else {
            LazyPattern::checked(&pattern.value)
        };
        match done {
            Ok(done) => {
                fields.extend(done.names());
                sound.push(done);
            }
            Err(source) => complaints.errors.push(wrong_pattern(text, raw, pattern, source)),
        }
    }
    let when = conditions(text, event, &fields, complaints);
    compiled.extend(sound.into_iter().map(|pattern| (pattern, index, when.clone())));
    fields
}

/// What is wrong with a pattern: where in it, if that is known.
fn wrong_pattern(
    text: &Text<'_>,
    raw: &RawPack,
    pattern: &Spanned<String>,
    source: PatternError,
) -> PackError {
    let Spanned { value, referenced, .. } = pattern;
    let place = match source {
        PatternError::Syntax { at: Some(at), .. } => text.place_within(*referenced, value, at),
        _ => text.place(*referenced),
    };
    let header = matches!(source, PatternError::Forgery { .. })
        .then(|| raw.program_in(value, &[".*", "\\[", "[", ":", "{"]))
        .flatten()
        .filter(|_| OPENINGS.iter().any(|opening| value.starts_with(opening)));
    let problem = match header {
        Some(program) => Problem::Header { program: program.to_owned() },
        None => Problem::Pattern { source },
    };
    PackError::Problem { place: Box::new(place), problem }
}

/// How a pattern begins that is to skip what stands in front of a message.
const OPENINGS: [&str; 5] = ["^{text}", "^.*", "^.+", "^(?:.*", "^(?:{text}"];

/// Conditions on an event's fields; what is none of them is complained about elsewhere.
fn conditions(
    text: &Text<'_>,
    event: &Spanned<RawEvent>,
    fields: &BTreeSet<String>,
    complaints: &mut Complaints,
) -> Vec<Condition> {
    let mut when = event.value.when.clone();
    when.retain(|field, _| fields.contains(field));
    condition::compile(&when, fields, None).unwrap_or_else(|problem| {
        complaints.add(text, event.referenced, problem);
        Vec::new()
    })
}
