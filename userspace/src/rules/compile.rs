//! From packs as written to what runs: events numbered, patterns compiled, rules tied to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_yaml::{Location, Spanned};

use super::Packs;
use super::condition;
use super::error::{PackError, PackErrors, Place, Problem};
use super::expect::PackTest;
use super::pack::yaml::OneOrMany;
use super::pack::{PackFormat, PackMode, RawEvent, RawPack, RawRule, Text};
use super::pattern::Pattern;
use super::recognise::{ProgramName, Programs, Recogniser, SURICATA_FIELDS};
use super::rule::{Condition, Key, Preceded, Rule, RuleSet, Trigger, Window};
use crate::event::{EventKind, RuleHead};

/// The field that holds an address; as a key it means the offender.
const SOURCE: &str = "src";

/// Compiles all packs; what is wrong is collected, so that one run shows it all.
pub(super) fn compile(texts: &[Text<'_>]) -> Result<Packs, PackErrors> {
    let mut compiler = Compiler::default();
    let mut raws = Vec::new();
    for text in texts {
        match text.read() {
            Ok(raw) => raws.push((text, raw)),
            Err(error) => compiler.errors.push(error),
        }
    }
    compiler.pack_names(&raws);
    for (text, raw) in &raws {
        compiler.events(text, raw);
    }
    compiler.recogniser.finish();
    compiler.rules(&raws);
    for (text, raw) in raws {
        for test in raw.tests {
            let place = text.place(test.referenced);
            match PackTest::new(&raw.pack.value, raw.format.value, place, test.value) {
                Some(test) => compiler.tests.push(test),
                None => compiler.problem(text, test.referenced, Problem::WantsLine),
            }
        }
    }
    if !compiler.errors.is_empty() {
        return Err(PackErrors { errors: compiler.errors });
    }
    let rules = compiler.rule_set();
    Ok(Packs {
        events: compiler.kinds,
        recogniser: compiler.recogniser,
        rules,
        tests: compiler.tests,
    })
}

#[derive(Default)]
struct Compiler {
    errors: Vec<PackError>,
    kinds: Vec<EventKind>,
    /// By event: what else the rules need to know of it.
    facts: Vec<EventFacts>,
    /// By pack and name.
    event_names: HashMap<(String, String), usize>,
    recogniser: Recogniser,
    rules: Vec<Rule>,
    tests: Vec<PackTest>,
}

struct EventFacts {
    suricata: bool,
    fields: BTreeSet<String>,
    /// All its patterns compiled, so that a field that isn't among these doesn't exist.
    complete: bool,
}

impl Compiler {
    fn problem(&mut self, text: &Text<'_>, location: Location, problem: Problem) {
        self.errors.push(text.problem(location, problem));
    }

    fn pack_names(&mut self, raws: &[(&Text<'_>, RawPack)]) {
        let mut seen: HashMap<&str, Box<Place>> = HashMap::new();
        for (text, raw) in raws {
            let name = raw.pack.value.as_str();
            let here = Box::new(text.place(raw.pack.referenced));
            if !is_name(name) {
                let problem = Problem::BadName { name: name.to_owned() };
                self.problem(text, raw.pack.referenced, problem);
            }
            if let Some(first) = seen.insert(name, here) {
                let problem = Problem::DuplicatePack { name: name.to_owned(), first };
                self.problem(text, raw.pack.referenced, problem);
            }
        }
    }

    fn events(&mut self, text: &Text<'_>, raw: &RawPack) {
        let suricata = raw.format.value == PackFormat::Suricata;
        let mut patterns = Vec::new();
        for (name, event) in &raw.events.0 {
            if !is_name(name) {
                self.problem(text, event.referenced, Problem::BadName { name: name.clone() });
            }
            let index = self.kinds.len();
            let RawEvent { proven, attempt, success, .. } = event.value;
            self.kinds.push(EventKind {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                name: name.clone(),
                pack: raw.pack.value.clone(),
                proven,
                attempt,
                success,
            });
            self.event_names.insert((raw.pack.value.clone(), name.clone()), index);
            let errors = self.errors.len();
            let fields = if suricata {
                self.alert_event(text, index, event);
                SURICATA_FIELDS.iter().map(|&field| field.to_owned()).collect()
            } else {
                self.log_event(text, index, event, &mut patterns)
            };
            let complete = self.errors.len() == errors;
            for field in event.value.when.keys() {
                if complete && !fields.contains(field) {
                    self.unknown_field(text, event.referenced, field, &fields);
                }
            }
            self.facts.push(EventFacts { suricata, fields, complete });
        }
        if suricata {
            if let Some(programs) = &raw.programs {
                let problem = Problem::NotForSuricata { key: "programs" };
                self.problem(text, programs.referenced, problem);
            }
            return;
        }
        let programs = match &raw.programs {
            None => Programs::Any,
            Some(names) => {
                Programs::Named(names.value.iter().map(|name| ProgramName::new(name)).collect())
            }
        };
        self.recogniser.add_pack(programs, patterns);
    }

    fn alert_event(&mut self, text: &Text<'_>, index: usize, event: &Spanned<RawEvent>) {
        let RawEvent { pattern, patterns, proven, attempt, success, when } = &event.value;
        let misplaced = [
            ("pattern", pattern.is_some()),
            ("patterns", patterns.is_some()),
            ("proven", *proven),
            ("attempt", *attempt),
            ("success", *success),
        ];
        for (key, there) in misplaced {
            if there {
                self.problem(text, event.referenced, Problem::NotForSuricata { key });
            }
        }
        self.recogniser.add_alert(index, when);
    }

    /// Compiles an event's patterns; returns the fields that they give.
    fn log_event(
        &mut self,
        text: &Text<'_>,
        index: usize,
        event: &Spanned<RawEvent>,
        compiled: &mut Vec<(Pattern, usize, Vec<Condition>)>,
    ) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        let patterns: Vec<&Spanned<String>> = match (&event.value.pattern, &event.value.patterns) {
            (Some(pattern), None) => vec![pattern],
            (None, Some(patterns)) if !patterns.is_empty() => patterns.iter().collect(),
            _ => {
                self.problem(text, event.referenced, Problem::WantsPattern);
                return fields;
            }
        };
        let when = condition::compile(&event.value.when);
        for pattern in patterns {
            match Pattern::new(&pattern.value) {
                Ok(done) => {
                    fields.extend(done.captures().iter().map(|it| it.name.to_string()));
                    compiled.push((done, index, when.clone()));
                }
                Err(source) => {
                    self.problem(text, pattern.referenced, Problem::Pattern { source });
                }
            }
        }
        fields
    }

    fn unknown_field(
        &mut self,
        text: &Text<'_>,
        location: Location,
        name: &str,
        fields: &BTreeSet<String>,
    ) {
        let known = fields.iter().cloned().collect();
        self.problem(text, location, Problem::UnknownField { name: name.to_owned(), known });
    }

    fn rules(&mut self, raws: &[(&Text<'_>, RawPack)]) {
        let all: Vec<(&Text<'_>, &RawPack, &Spanned<RawRule>)> = raws
            .iter()
            .flat_map(|(text, raw)| raw.rules.iter().map(move |rule| (*text, raw, rule)))
            .collect();
        let mut by_id: HashMap<u32, usize> = HashMap::new();
        for (index, (text, _, rule)) in all.iter().enumerate() {
            if let Some(&first) = by_id.get(&rule.value.id) {
                let (first_text, _, first_rule) = all[first];
                let first = Box::new(first_text.place(first_rule.referenced));
                let problem = Problem::DuplicateRule { id: rule.value.id, first };
                self.problem(text, rule.referenced, problem);
            } else {
                by_id.insert(rule.value.id, index);
            }
        }
        let mut triggers = Vec::with_capacity(all.len());
        for (text, raw, rule) in &all {
            let trigger = self.trigger(text, raw, rule, &by_id);
            triggers.push(trigger);
        }
        let bases = bases(&triggers);
        for (index, (text, raw, rule)) in all.iter().enumerate() {
            let Some(base) = &bases[index] else {
                self.problem(text, rule.referenced, Problem::Circle { id: rule.value.id });
                continue;
            };
            let trigger = std::mem::replace(&mut triggers[index], Trigger::Events(Vec::new()));
            self.rule(Site { text, raw, rule, base, bases: &bases, by_id: &by_id }, trigger);
        }
    }

    fn trigger(
        &mut self,
        text: &Text<'_>,
        raw: &RawPack,
        rule: &Spanned<RawRule>,
        by_id: &HashMap<u32, usize>,
    ) -> Trigger {
        match (&rule.value.event, &rule.value.after) {
            (Some(OneOrMany(names)), None) if !names.is_empty() => {
                let mut events = Vec::new();
                for name in names {
                    let key = (raw.pack.value.clone(), name.clone());
                    match self.event_names.get(&key) {
                        Some(&event) => events.push(self.kinds[event].index),
                        None => {
                            let known = raw.events.0.iter().map(|(name, _)| name.clone()).collect();
                            let problem = Problem::UnknownEvent { name: name.clone(), known };
                            self.problem(text, rule.referenced, problem);
                        }
                    }
                }
                Trigger::Events(events)
            }
            (None, Some(OneOrMany(ids))) if !ids.is_empty() => {
                Trigger::After(self.rule_indices(text, rule, ids, by_id))
            }
            _ => {
                self.problem(text, rule.referenced, Problem::WantsTrigger);
                Trigger::Events(Vec::new())
            }
        }
    }

    fn rule_indices(
        &mut self,
        text: &Text<'_>,
        rule: &Spanned<RawRule>,
        ids: &[u32],
        by_id: &HashMap<u32, usize>,
    ) -> Vec<usize> {
        let mut indices = Vec::new();
        for &id in ids {
            match by_id.get(&id) {
                Some(&index) => indices.push(index),
                None => self.problem(text, rule.referenced, Problem::UnknownRule { id }),
            }
        }
        indices
    }

    fn rule(&mut self, site: Site<'_>, trigger: Trigger) {
        let raw = &site.rule.value;
        self.ranges(&site);
        let fields = self.fields_of(site.base);
        for field in raw.when.keys() {
            if !fields.contains(field) && self.complete(site.base) {
                self.unknown_field(site.text, site.rule.referenced, field, &fields);
            }
        }
        let window = self.window(&site, &fields);
        let preceded = self.preceded(&site, &fields);
        self.rules.push(Rule {
            head: Arc::new(RuleHead {
                id: raw.id,
                level: raw.level,
                description: raw.description.clone(),
                pack: site.raw.pack.value.clone(),
                ban: raw.ban,
                mail: raw.mail,
                ttl: raw.ttl.map(|ttl| ttl.0),
                observe: site.raw.mode == PackMode::Observe,
            }),
            trigger,
            when: condition::compile(&raw.when),
            score: raw.score,
            window,
            preceded,
            ignore: raw.ignore.map_or(Duration::ZERO, |ignore| ignore.0),
        });
    }

    fn ranges(&mut self, site: &Site<'_>) {
        let raw = &site.rule.value;
        let count = f64::from(raw.count.unwrap_or(2));
        let preceded = raw.preceded_by.as_ref().map_or(1.0, |it| f64::from(it.count));
        for (key, min, max, got) in [
            ("level", 0.0, 15.0, f64::from(raw.level)),
            ("score", 0.0, 1000.0, raw.score),
            ("count", 2.0, 10_000.0, count),
            ("preceded_by.count", 1.0, 10_000.0, preceded),
        ] {
            // A score may be NaN, which is in no range.
            if !(min..=max).contains(&got) {
                let problem = Problem::Range { key, min, max, got };
                self.problem(site.text, site.rule.referenced, problem);
            }
        }
    }

    fn window(&mut self, site: &Site<'_>, fields: &BTreeSet<String>) -> Option<Window> {
        let raw = &site.rule.value;
        let location = site.rule.referenced;
        let Some(count) = raw.count else {
            for (key, there) in [
                ("within", raw.within.is_some()),
                ("distinct", raw.distinct.is_some()),
                ("same", raw.same.is_some()),
            ] {
                if there {
                    self.problem(site.text, location, Problem::WantsCount { key });
                }
            }
            return None;
        };
        let same = raw.same.as_ref().map_or(&[][..], |OneOrMany(names)| names);
        if !same.iter().any(|name| name == SOURCE) && raw.ban.is_none() {
            self.problem(site.text, location, Problem::Crowd);
        }
        let keys = self.keys(site, same, site.base, fields);
        let distinct = raw
            .distinct
            .as_ref()
            .and_then(|name| self.keys(site, std::slice::from_ref(name), site.base, fields).pop());
        let Some(within) = raw.within else {
            self.problem(site.text, location, Problem::WantsWithin);
            return None;
        };
        Some(Window { count, within: within.0, same: keys, distinct })
    }

    fn preceded(&mut self, site: &Site<'_>, fields: &BTreeSet<String>) -> Option<Preceded> {
        let raw = site.rule.value.preceded_by.as_ref()?;
        let rules = self.rule_indices(site.text, site.rule, &raw.rules.0, site.by_id);
        let mut base = site.base.clone();
        let mut all = fields.clone();
        for &rule in &rules {
            if let Some(events) = &site.bases[rule] {
                base.extend(events);
                // A key must be there on both sides.
                let theirs = self.fields_of(events);
                all.retain(|field| theirs.contains(field));
            }
        }
        let names = raw.same.as_ref().map_or(&[][..], |OneOrMany(names)| names);
        let same = self.keys(site, names, &base, &all);
        Some(Preceded { rules, count: raw.count, within: raw.within.0, same })
    }

    /// `src` means the offender, except among events of which one is a success and so has none: there it
    /// is the field, which counts as its target and so gives the same key.
    fn keys(
        &mut self,
        site: &Site<'_>,
        names: &[String],
        base: &BTreeSet<usize>,
        fields: &BTreeSet<String>,
    ) -> Vec<Key> {
        let success = base.iter().any(|&event| self.kinds[event].success);
        let suricata = base.iter().any(|&event| self.facts[event].suricata);
        let mut keys = Vec::new();
        for name in names {
            if !fields.contains(name) {
                if self.complete(base) {
                    self.unknown_field(site.text, site.rule.referenced, name, fields);
                }
                continue;
            }
            keys.push(match (name.as_str(), success) {
                (SOURCE, true) if suricata => {
                    self.problem(site.text, site.rule.referenced, Problem::MixedSource);
                    Key::Field(name.clone())
                }
                (SOURCE, false) => Key::Offender,
                _ => Key::Field(name.clone()),
            });
        }
        keys
    }

    fn complete(&self, events: &BTreeSet<usize>) -> bool {
        events.iter().all(|&event| self.facts[event].complete)
    }

    fn fields_of(&self, events: &BTreeSet<usize>) -> BTreeSet<String> {
        events.iter().flat_map(|&event| self.facts[event].fields.iter().cloned()).collect()
    }

    fn rule_set(&mut self) -> RuleSet {
        let rules = std::mem::take(&mut self.rules);
        let mut by_event = vec![Vec::new(); self.kinds.len()];
        let mut children = vec![Vec::new(); rules.len()];
        for (index, rule) in rules.iter().enumerate() {
            match &rule.trigger {
                Trigger::Events(events) => {
                    for event in events {
                        if let Some(listeners) =
                            usize::try_from(*event).ok().and_then(|event| by_event.get_mut(event))
                        {
                            listeners.push(index);
                        }
                    }
                }
                Trigger::After(parents) => {
                    for &parent in parents {
                        children[parent].push(index);
                    }
                }
            }
        }
        RuleSet { rules, by_event, children }
    }
}

/// A rule, and what surrounds it.
struct Site<'a> {
    text: &'a Text<'a>,
    raw: &'a RawPack,
    rule: &'a Spanned<RawRule>,
    /// The events that can reach it.
    base: &'a BTreeSet<usize>,
    bases: &'a [Option<BTreeSet<usize>>],
    by_id: &'a HashMap<u32, usize>,
}

/// For each rule the events that can reach it, through rules before it; `None` for one in a circle.
fn bases(triggers: &[Trigger]) -> Vec<Option<BTreeSet<usize>>> {
    let mut known: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    // Each round settles at least one more rule, or none that is left ever will be.
    loop {
        let before = known.len();
        for (index, trigger) in triggers.iter().enumerate() {
            let events = match trigger {
                Trigger::Events(events) => {
                    Some(events.iter().filter_map(|&event| usize::try_from(event).ok()).collect())
                }
                Trigger::After(parents) => parents
                    .iter()
                    .map(|parent| known.get(parent))
                    .collect::<Option<Vec<_>>>()
                    .map(|sets| sets.into_iter().flatten().copied().collect()),
            };
            if let Some(events) = events {
                known.insert(index, events);
            }
        }
        if known.len() == before {
            break;
        }
    }
    (0..triggers.len()).map(|index| known.remove(&index)).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
