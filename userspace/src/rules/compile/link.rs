//! Rules, tied to their events and to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Complaints;
use super::events::{Events, unknown_field};
use super::inherit::{Site, sites};
use super::lists::{self, names};
use crate::event::{Prefixes, RuleHead};
use crate::rules::condition::{self, ListNames};
use crate::rules::error::Problem;
use crate::rules::pack::yaml::OneOrMany;
use crate::rules::pack::{BanSwitch, Frequency, PackMode, RawPack, Text};
use crate::rules::rule::{Absence, Key, Preceded, Rule, RuleSet, Trigger, Window};

/// The field that holds an address; as a key it means the offender.
const SOURCE: &str = "src";

/// Compiles the rules of all packs.
pub(super) fn link(
    raws: &[(&Text<'_>, RawPack)],
    events: &Events,
    complaints: &mut Complaints,
) -> RuleSet {
    let all = sites(raws, complaints);
    let lists = lists::lists(raws, complaints);
    let mut linker = Linker {
        events,
        complaints,
        by_id: HashMap::new(),
        absences: BTreeSet::new(),
        bases: Vec::new(),
        lists: names(&lists),
    };
    linker.by_id = all.iter().enumerate().map(|(index, site)| (site.rule.id, index)).collect();
    let absences = all
        .iter()
        .filter(|site| site.rule.not_followed_by.is_some() || site.rule.not_seen_for.is_some());
    linker.absences = absences.map(|site| site.rule.id).collect();
    let mut triggers: Vec<Trigger> = all.iter().map(|site| linker.trigger(site)).collect();
    linker.bases = bases(&triggers);
    linker.unreach(&all, &mut triggers);
    let mut rules = Vec::with_capacity(all.len());
    for (index, (site, trigger)) in all.iter().zip(triggers).enumerate() {
        match linker.bases[index].clone() {
            Some(base) => rules.push(linker.rule(site, &base, trigger)),
            None => linker.complain(site, Problem::Circle { id: site.rule.id }),
        }
    }
    // With one left out the indices would be off; the complaint ends it anyway.
    if rules.len() == all.len() {
        RuleSet { lists, ..rule_set(rules, events.count()) }
    } else {
        RuleSet::default()
    }
}

struct Linker<'a> {
    events: &'a Events,
    complaints: &'a mut Complaints,
    by_id: HashMap<u32, usize>,
    /// The ids of rules about what doesn't come.
    absences: BTreeSet<u32>,
    /// By rule: the events that can reach it; `None` for one in a circle.
    bases: Vec<Option<BTreeSet<usize>>>,
    lists: ListNames,
}

impl Linker<'_> {
    fn complain(&mut self, site: &Site<'_>, problem: Problem) {
        self.complaints.add(site.text, site.at, problem);
    }

    /// Nothing listens to a disabled rule that nobody comes after, so nothing need reach it.
    fn unreach(&self, all: &[Site<'_>], triggers: &mut [Trigger]) {
        let mut needed: Vec<bool> = all.iter().map(|site| !site.disabled).collect();
        loop {
            let mut settled = true;
            for (index, site) in all.iter().enumerate() {
                let preceding = site.rule.preceded_by.iter().flat_map(|it| &it.rules.0);
                let following = site.rule.not_followed_by.iter().flat_map(|it| &it.rules.0);
                let preceding = preceding.chain(following);
                let before = site.rule.after.iter().flat_map(|OneOrMany(ids)| ids);
                let asked = before.chain(preceding).filter_map(|id| self.by_id.get(id));
                for asked in asked.filter(|_| needed[index]).copied().collect::<Vec<_>>() {
                    settled &= std::mem::replace(&mut needed[asked], true);
                }
            }
            if settled {
                break;
            }
        }
        for (trigger, needed) in triggers.iter_mut().zip(needed) {
            if !needed {
                *trigger = Trigger::Events(Vec::new());
            }
        }
    }

    fn trigger(&mut self, site: &Site<'_>) -> Trigger {
        match (&site.rule.event, &site.rule.after) {
            (Some(OneOrMany(names)), None) if !names.is_empty() => {
                let mut events = Vec::new();
                for name in names {
                    match self.events.number(&site.events.pack.value, name) {
                        Some(event) => events.push(event),
                        None => {
                            let all = &site.events.events.0;
                            let known = all.iter().map(|(name, _)| name.clone()).collect();
                            self.complain(
                                site,
                                Problem::UnknownEvent { name: name.clone(), known },
                            );
                        }
                    }
                }
                Trigger::Events(events)
            }
            (None, Some(OneOrMany(ids))) if !ids.is_empty() => {
                Trigger::After(self.indices(site, ids))
            }
            _ => {
                self.complain(site, Problem::WantsTrigger);
                Trigger::Events(Vec::new())
            }
        }
    }

    /// The rules of these ids.
    fn indices(&mut self, site: &Site<'_>, ids: &[u32]) -> Vec<usize> {
        let mut indices = Vec::new();
        for &id in ids {
            match self.by_id.get(&id) {
                Some(&index) => {
                    if self.absences.contains(&id) {
                        self.complain(site, Problem::AfterAbsence { id });
                    }
                    indices.push(index);
                }
                None => self.complain(site, Problem::UnknownRule { id }),
            }
        }
        indices
    }

    /// `base`: the events that can reach it.
    fn rule(&mut self, site: &Site<'_>, base: &BTreeSet<usize>, trigger: Trigger) -> Rule {
        let raw = &site.rule;
        self.ranges(site);
        let fields = self.events.fields(base);
        for (key, said) in
            [("level", raw.level.is_some()), ("description", raw.description.is_some())]
        {
            if !said {
                self.complain(site, Problem::Missing { key });
            }
        }
        let no_conditions = BTreeMap::new();
        let when = raw.when.as_ref().unwrap_or(&no_conditions);
        for field in when.keys() {
            let known = fields.contains(field) || condition::is_lines_own(field);
            if !known && self.events.complete(base) {
                self.complain(site, unknown_field(field, &fields));
            }
        }
        let when = condition::compile(when, &fields, Some(&self.lists)).unwrap_or_else(|problem| {
            self.complain(site, problem);
            Vec::new()
        });
        let absence = self.absence(site, base, &fields);
        let window = if absence.is_some() { None } else { self.window(site, base, &fields) };
        let preceded = self.preceded(site, base, &fields);
        Rule {
            head: Arc::new(RuleHead {
                id: raw.id,
                level: raw.level.unwrap_or(0),
                description: raw.description.clone().unwrap_or_default(),
                pack: site.raw.pack.value.clone(),
                // Many offenders of a network alert; they ban only by the rule's word.
                ban: match (raw.ban, raw.aggregate) {
                    (None, None) => None,
                    (None, Some(_)) | (Some(BanSwitch::Never), _) => Some(false),
                    (Some(BanSwitch::Offender | BanSwitch::Prefix), _) => Some(true),
                },
                mail: raw.mail,
                ttl: raw.ttl.map(|ttl| ttl.0),
                ports: raw.ports.as_ref().map(|ports| ports.0.clone()),
                observe: site.raw.mode == PackMode::Observe,
                network: networks(site).filter(|_| raw.ban == Some(BanSwitch::Prefix)),
            }),
            trigger,
            when,
            score: raw.score.unwrap_or(0.0),
            window,
            preceded,
            absence,
            ignore: raw.ignore.map_or(Duration::ZERO, |ignore| ignore.0),
            silent: site.disabled,
        }
    }

    fn ranges(&mut self, site: &Site<'_>) {
        let raw = &site.rule;
        let count = f64::from(raw.count.unwrap_or(2));
        let frequency = raw.frequency_semantics.unwrap_or_default();
        let fewest = if frequency == Frequency::Ossec { 1.0 } else { 2.0 };
        let preceded = raw.preceded_by.as_ref().map_or(1.0, |it| f64::from(it.count));
        for (key, min, max, got) in [
            ("level", 0.0, 15.0, f64::from(raw.level.unwrap_or(0))),
            ("score", 0.0, 1000.0, raw.score.unwrap_or(0.0)),
            ("count", fewest, 10_000.0, count),
            ("aggregate.v4", 8.0, 31.0, raw.aggregate.map_or(24.0, |by| f64::from(by.v4))),
            ("aggregate.v6", 32.0, 63.0, raw.aggregate.map_or(56.0, |by| f64::from(by.v6))),
            ("preceded_by.count", 1.0, 10_000.0, preceded),
        ] {
            // A score may be NaN, which is in no range.
            if !(min..=max).contains(&got) {
                self.complain(site, Problem::Range { key, min, max, got });
            }
        }
    }

    fn window(
        &mut self,
        site: &Site<'_>,
        base: &BTreeSet<usize>,
        fields: &BTreeSet<String>,
    ) -> Option<Window> {
        let raw = &site.rule;
        let Some(count) = raw.count else {
            if raw.ban == Some(BanSwitch::Prefix) {
                self.complain(site, Problem::PrefixOfWhat);
            }
            for (key, there) in [
                ("within", raw.within.is_some()),
                ("distinct", raw.distinct.is_some()),
                ("same", raw.same.is_some()),
                ("frequency_semantics", raw.frequency_semantics.is_some()),
                ("aggregate", raw.aggregate.is_some()),
            ] {
                if there {
                    self.complain(site, Problem::WantsCount { key });
                }
            }
            return None;
        };
        let same = raw.same.as_ref().map_or(&[][..], |OneOrMany(names)| names);
        let mut keys = self.keys(site, same, base, fields);
        let mut distinct = raw
            .distinct
            .as_ref()
            .and_then(|name| self.keys(site, std::slice::from_ref(name), base, fields).pop());
        if let Some(networks) = networks(site) {
            // A success has no offender, and so no network that could be to blame.
            if raw.ban == Some(BanSwitch::Offender)
                || raw.distinct.is_some()
                || same.iter().any(|name| name == SOURCE)
                || self.events.succeed(base)
            {
                self.complain(site, Problem::Aggregate);
            }
            keys.insert(0, Key::Network(networks));
            distinct = Some(Key::Offender);
        } else if raw.ban == Some(BanSwitch::Prefix) {
            self.complain(site, Problem::PrefixOfWhat);
        } else if !same.iter().any(|name| name == SOURCE) && raw.ban.is_none() {
            self.complain(site, Problem::Crowd);
        }
        let Some(within) = raw.within else {
            self.complain(site, Problem::WantsWithin);
            return None;
        };
        let count = raw.frequency_semantics.unwrap_or_default().nth(count);
        Some(Window { count, within: within.0, same: keys, distinct })
    }

    fn absence(
        &mut self,
        site: &Site<'_>,
        base: &BTreeSet<usize>,
        fields: &BTreeSet<String>,
    ) -> Option<Absence> {
        let raw = &site.rule;
        if !self.absences.contains(&raw.id) {
            return None;
        }
        for (key, there) in [
            ("count", raw.count.is_some()),
            ("within", raw.within.is_some()),
            ("distinct", raw.distinct.is_some()),
            ("aggregate", raw.aggregate.is_some()),
            ("frequency_semantics", raw.frequency_semantics.is_some()),
            ("preceded_by", raw.preceded_by.is_some()),
            ("ignore", raw.ignore.is_some()),
            ("score", raw.score.is_some()),
            ("ttl", raw.ttl.is_some()),
            ("ban", raw.ban.is_some_and(|ban| ban != BanSwitch::Never)),
            ("same", raw.same.is_some() && raw.not_followed_by.is_some()),
            ("not_seen_for", raw.not_seen_for.is_some() && raw.not_followed_by.is_some()),
        ] {
            if there {
                self.complain(site, Problem::NotWithAbsence { key });
            }
        }
        match (&raw.not_followed_by, raw.not_seen_for) {
            (Some(followed), _) => {
                let names = followed.same.as_ref();
                let (rules, same) = self.meeting(site, &followed.rules.0, names, base, fields);
                Some(Absence { by: Some(rules), within: followed.within.0, same })
            }
            (None, Some(within)) => {
                let same = raw.same.as_ref().map_or(&[][..], |OneOrMany(names)| names);
                let same = self.keys(site, same, base, fields);
                Some(Absence { by: None, within: within.0, same })
            }
            (None, None) => None,
        }
    }

    fn preceded(
        &mut self,
        site: &Site<'_>,
        base: &BTreeSet<usize>,
        fields: &BTreeSet<String>,
    ) -> Option<Preceded> {
        let raw = site.rule.preceded_by.as_ref()?;
        let (rules, same) = self.meeting(site, &raw.rules.0, raw.same.as_ref(), base, fields);
        Some(Preceded { rules, count: raw.count, within: raw.within.0, same })
    }

    /// Other rules, and what their events have in common with this one's.
    fn meeting(
        &mut self,
        site: &Site<'_>,
        ids: &[u32],
        names: Option<&OneOrMany<String>>,
        base: &BTreeSet<usize>,
        fields: &BTreeSet<String>,
    ) -> (Vec<usize>, Vec<Key>) {
        let rules = self.indices(site, ids);
        let mut base = base.clone();
        let mut all = fields.clone();
        for &rule in &rules {
            if let Some(events) = &self.bases[rule] {
                base.extend(events);
                // A key must be there on both sides.
                let theirs = self.events.fields(events);
                all.retain(|field| theirs.contains(field));
            }
        }
        let names = names.map_or(&[][..], |OneOrMany(names)| names);
        let same = self.keys(site, names, &base, &all);
        (rules, same)
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
        let success = self.events.succeed(base);
        let suricata = self.events.are_suricata_s(base);
        let mut keys = Vec::new();
        for name in names {
            if !fields.contains(name) {
                if self.events.complete(base) {
                    self.complain(site, unknown_field(name, fields));
                }
                continue;
            }
            keys.push(match (name.as_str(), success) {
                (SOURCE, true) if suricata => {
                    self.complain(site, Problem::MixedSource);
                    Key::Field(name.clone())
                }
                (SOURCE, false) => Key::Offender,
                _ => Key::Field(name.clone()),
            });
        }
        keys
    }
}

/// What `aggregate` counts by.
fn networks(site: &Site<'_>) -> Option<Prefixes> {
    site.rule.aggregate.map(|by| Prefixes { v4: by.v4, v6: by.v6 })
}

fn rule_set(rules: Vec<Rule>, events: usize) -> RuleSet {
    let mut by_event = vec![Vec::new(); events];
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
    RuleSet { rules, by_event, children, lists: Vec::new() }
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
