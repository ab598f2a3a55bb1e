//! What is allowed in an admin's own pack and hardly meant; the shipped ones' tests hold them to it too.

use std::collections::BTreeSet;

use serde_yaml::{Location, Spanned};

use super::events::Events;
use crate::event::EventKind;
use crate::rules::pack::{RawEvent, RawPack, Text};
use crate::rules::pattern::{LazyPattern, Room};
use crate::rules::rule::{Rule, RuleSet, Trigger};
use crate::rules::warning::{By, Doubt, FREE, Meant, PackWarning};

/// Lines that have nothing in common.
const UNLIKE: [&[u8]; 3] = [b"x", b"% 1.2.3.4 [a]: \"b\"", b"Zebra=(7)"];

/// Of all packs that aren't trusted.
pub(super) fn doubts(
    raws: &[(&Text<'_>, RawPack)],
    events: &Events,
    rules: &RuleSet,
) -> Vec<PackWarning> {
    if raws.iter().all(|(text, _)| text.is_shipped()) {
        return Vec::new();
    }
    let reach: Vec<BTreeSet<u32>> =
        (0..rules.rules.len()).map(|index| reaching(rules, index)).collect();
    let mut doubts = Doubts { events, rules, reach, found: Vec::new() };
    for (text, raw) in raws.iter().filter(|(text, _)| !text.is_shipped()) {
        doubts.pack(text, raw);
    }
    doubts.found
}

/// The events that can reach a rule, through rules before it.
fn reaching(rules: &RuleSet, index: usize) -> BTreeSet<u32> {
    let (mut events, mut seen) = (BTreeSet::new(), BTreeSet::from([index]));
    let mut next = vec![index];
    while let Some(index) = next.pop() {
        match &rules.rules[index].trigger {
            Trigger::Events(own) => events.extend(own),
            Trigger::After(before) => next.extend(before.iter().filter(|rule| seen.insert(**rule))),
        }
    }
    events
}

struct Doubts<'d> {
    events: &'d Events,
    rules: &'d RuleSet,
    /// By rule: the events that can reach it.
    reach: Vec<BTreeSet<u32>>,
    found: Vec<PackWarning>,
}

impl Doubts<'_> {
    fn pack(&mut self, text: &Text<'_>, raw: &RawPack) {
        let name = &raw.pack.value;
        self.programs(text, raw);
        for (at, (event, body)) in raw.events.0.iter().enumerate() {
            self.unproven(text, name, event, body);
            self.patterns(text, raw, body);
            let behind = raw.events.0[at + 1..].iter().map(|(event, _)| event.clone());
            let hidden: Vec<String> = behind.collect();
            if !hidden.is_empty() && body.value.when.is_empty() && takes_all(&body.value) {
                let event = event.clone();
                self.add(text, body.referenced, Doubt::CatchAll { event, hidden });
            }
        }
        for written in &raw.rules {
            self.rule(text, written.referenced, written.value.id, raw);
            let id = written.value.id;
            if id < FREE && !written.value.overrides {
                self.add(text, written.referenced, Doubt::ShippedId { rule: id });
            }
            if written.value.preceded_by.as_ref().is_some_and(|it| it.same.is_none()) {
                self.add(text, written.referenced, Doubt::Everybody { rule: id });
            }
        }
        if raw.tests.is_empty() && !(raw.events.0.is_empty() && raw.rules.is_empty()) {
            self.add(text, raw.pack.referenced, Doubt::Untested { pack: name.clone() });
        }
    }

    fn add(&mut self, text: &Text<'_>, at: Location, doubt: Doubt) {
        self.found.push(PackWarning { place: Box::new(text.place(at)), doubt });
    }

    fn programs(&mut self, text: &Text<'_>, raw: &RawPack) {
        let Some(programs) = &raw.programs else { return };
        for program in &programs.value {
            let inner = program.strip_suffix('*').unwrap_or(program);
            let inner = inner.strip_prefix('*').unwrap_or(inner);
            let name = inner.split(['[', ':', ' ']).next().unwrap_or_default();
            let remedy = if inner.contains('*') || (program.len() > inner.len() + 1) {
                "a `*` stands for the rest of a name, at its end or at its beginning".to_owned()
            } else if name.len() < inner.len() && inner.ends_with([']', ':']) {
                format!("what follows the name isn't a part of it; write `{name}`")
            } else if inner.contains(' ') {
                "a name has no space in it".to_owned()
            } else {
                continue;
            };
            let program = program.clone();
            self.add(text, programs.referenced, Doubt::Program { program, remedy });
        }
    }

    fn unproven(&mut self, text: &Text<'_>, pack: &str, name: &str, event: &Spanned<RawEvent>) {
        let Some(number) = self.events.number(pack, name) else { return };
        let body = &event.value;
        if body.proven.is_some() || body.success || !self.names_source(number) {
            return;
        }
        let touched = self.rules.rules.iter().zip(&self.reach);
        let meant: Vec<Meant> = touched
            .filter(|(_, reach)| reach.contains(&number))
            .filter_map(|(rule, _)| meant(rule))
            .collect();
        if !meant.is_empty() {
            self.add(text, event.referenced, Doubt::Unproven { event: name.to_owned(), meant });
        }
    }

    /// Whether it is an event of log lines with a field `src`.
    fn names_source(&self, event: u32) -> bool {
        self.events.has_field(event, "src") && !self.events.is_suricata_s(event)
    }

    fn patterns(&mut self, text: &Text<'_>, raw: &RawPack, event: &Spanned<RawEvent>) {
        for pattern in event.value.all_patterns() {
            if pattern.value.contains('\n') {
                self.add(text, pattern.referenced, Doubt::LineBreak);
            }
            if let Some(program) = raw.program_in(&pattern.value, &["\\["]) {
                self.add(text, pattern.referenced, Doubt::Header { program: program.to_owned() });
            }
        }
    }

    /// A rule that is meant to ban and can't.
    fn rule(&mut self, text: &Text<'_>, at: Location, id: u32, raw: &RawPack) {
        let Some(index) = self.rules.rules.iter().position(|rule| rule.head.id == id) else {
            return;
        };
        let Some(meant) = meant(&self.rules.rules[index]) else { return };
        let kinds: Vec<&EventKind> =
            self.reach[index].iter().filter_map(|event| self.events.kind(*event)).collect();
        if kinds.is_empty() || kinds.iter().any(|kind| self.events.is_suricata_s(kind.index)) {
            return;
        }
        let names = || kinds.iter().map(|kind| kind.name.clone()).collect();
        if kinds.iter().all(|kind| kind.success) {
            // A grave alert about a success is nothing odd.
            if !matches!(meant.by, By::Level(_)) {
                self.add(text, at, Doubt::Success { meant, events: names() });
            }
        } else if kinds.iter().all(|kind| !self.events.has_field(kind.index, "src")) {
            // By its level alone it may well be about nobody, unless there is an address.
            let addressed = kinds.iter().any(|kind| {
                let own = raw
                    .events
                    .0
                    .iter()
                    .find(|(name, _)| kind.pack == raw.pack.value && *name == kind.name);
                own.is_some_and(|(_, event)| {
                    event.value.all_patterns().any(|pattern| pattern.value.contains("{ip}"))
                })
            });
            if addressed || !matches!(meant.by, By::Level(_)) {
                self.add(text, at, Doubt::NoSource { meant, events: names() });
            }
        }
    }
}

/// What a rule is meant to do to somebody, if anything.
fn meant(rule: &Rule) -> Option<Meant> {
    if rule.silent || rule.absence.is_some() {
        return None;
    }
    let by = match rule.head.ban {
        Some(true) => By::Word,
        None if rule.head.level > 0 => By::Level(rule.head.level),
        _ => By::Score,
    };
    let by = if rule.score > 0.0 && by != By::Word { By::Score } else { by };
    (by != By::Score || rule.score > 0.0).then_some(Meant { rule: rule.head.id, by })
}

/// Whether one of its patterns takes any line.
fn takes_all(event: &RawEvent) -> bool {
    event.all_patterns().any(|pattern| {
        let Ok(lazy) = LazyPattern::checked(&pattern.value) else { return false };
        lazy.pattern().is_some_and(|pattern| {
            UNLIKE.iter().all(|line| pattern.find(line, &mut Room::new()).is_some())
        })
    })
}

impl RawEvent {
    fn all_patterns(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.pattern.iter().chain(self.patterns.iter().flatten())
    }
}

impl RawPack {
    /// A program of this pack whose name stands in a pattern, with one of these behind it.
    pub(super) fn program_in(&self, pattern: &str, behind: &[&str]) -> Option<&str> {
        let programs = self.programs.as_ref()?.value.iter();
        let names = programs.map(|program| program.trim_matches('*')).filter(|name| name.len() > 2);
        names.map(|name| name.split('[').next().unwrap_or(name)).find(|name| {
            let after = |at: usize| &pattern[at + name.len()..];
            pattern
                .match_indices(name)
                .any(|(at, _)| behind.iter().any(|it| after(at).starts_with(it)))
        })
    }
}
