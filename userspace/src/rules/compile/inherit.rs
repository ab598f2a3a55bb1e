//! Rules that build on others: inheriting, overriding, disabling.
//!
//! What comes out is every rule that is to run, complete, with the place where it stands. An override takes
//! the place of what it overrides, so that `after` and `preceded_by` go on meaning it.

use std::collections::{BTreeMap, HashSet};

use serde_yaml::{Location, Spanned};

use super::Complaints;
use crate::rules::error::Problem;
use crate::rules::pack::{RawPack, RawRule, Text};

/// A rule with nothing left unsaid, and where it stands.
#[derive(Clone)]
pub(super) struct Site<'a> {
    pub(super) text: &'a Text<'a>,
    /// The pack that it stands in.
    pub(super) raw: &'a RawPack,
    /// The pack whose events it names: it may have inherited them.
    pub(super) events: &'a RawPack,
    pub(super) rule: RawRule,
    pub(super) at: Location,
    /// It says nothing itself; rules that come after it still do.
    pub(super) disabled: bool,
}

/// A rule as it is written.
#[derive(Clone, Copy)]
struct Written<'a> {
    text: &'a Text<'a>,
    raw: &'a RawPack,
    rule: &'a Spanned<RawRule>,
}

impl Written<'_> {
    fn id(&self) -> u32 {
        self.rule.value.id
    }
}

/// The rules of all packs, in order of definition.
pub(super) fn sites<'a>(
    raws: &'a [(&'a Text<'a>, RawPack)],
    complaints: &mut Complaints,
) -> Vec<Site<'a>> {
    let all: Vec<Written<'a>> = raws
        .iter()
        .flat_map(|(text, raw)| raw.rules.iter().map(move |rule| Written { text, raw, rule }))
        .collect();
    let bases = by_id(&all, false, complaints);
    let overrides = by_id(&all, true, complaints);
    for (id, at) in &overrides {
        if !bases.contains_key(id) {
            complain(complaints, &all[*at], Problem::NothingToOverride { id: *id });
        }
    }
    let disabled = disabled(raws, &bases, complaints);
    let family = Family { all: &all, bases: &bases, overrides: &overrides };
    let mut order: Vec<usize> = bases.values().copied().collect();
    order.sort_unstable();
    let sites = order.iter().filter_map(|base| {
        let id = all[*base].id();
        let own = overrides.get(&id).copied().unwrap_or(*base);
        let written = all[own];
        match family.complete(own, &mut HashSet::new()) {
            Ok((rule, events)) => Some(Site {
                text: written.text,
                raw: written.raw,
                events,
                rule,
                at: written.rule.referenced,
                disabled: disabled.contains(&id)
                    || disabled_pack(raws, written.raw.pack.value.as_str()),
            }),
            Err(problem) => {
                complain(complaints, &written, problem);
                None
            }
        }
    });
    sites.collect()
}

fn complain(complaints: &mut Complaints, written: &Written<'_>, problem: Problem) {
    complaints.add(written.text, written.rule.referenced, problem);
}

/// Rules by id: those that override, or the others.
fn by_id(
    all: &[Written<'_>],
    overriding: bool,
    complaints: &mut Complaints,
) -> BTreeMap<u32, usize> {
    let mut known: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, written) in all.iter().enumerate() {
        if written.rule.value.overrides != overriding {
            continue;
        }
        let id = written.id();
        if let Some(first) = known.get(&id) {
            let first = Box::new(all[*first].text.place(all[*first].rule.referenced));
            let problem = if overriding {
                Problem::DuplicateOverride { id, first }
            } else {
                Problem::DuplicateRule { id, first }
            };
            complain(complaints, written, problem);
        } else {
            known.insert(id, at);
        }
    }
    known
}

/// The ids in all `disable`.
fn disabled(
    raws: &[(&Text<'_>, RawPack)],
    bases: &BTreeMap<u32, usize>,
    complaints: &mut Complaints,
) -> HashSet<u32> {
    let names: Vec<String> = raws.iter().map(|(_, raw)| raw.pack.value.clone()).collect();
    let mut ids = HashSet::new();
    for (text, raw) in raws {
        for what in &raw.disable {
            let name = what.value.0.as_str();
            match name.parse::<u32>() {
                Ok(id) if bases.contains_key(&id) => {
                    ids.insert(id);
                }
                Ok(id) => complaints.add(text, what.referenced, Problem::UnknownRule { id }),
                Err(_) if names.iter().any(|known| known == name) => {}
                Err(_) => {
                    let problem =
                        Problem::UnknownPack { name: name.to_owned(), known: names.clone() };
                    complaints.add(text, what.referenced, problem);
                }
            }
        }
    }
    ids
}

fn disabled_pack(raws: &[(&Text<'_>, RawPack)], pack: &str) -> bool {
    raws.iter().any(|(_, raw)| raw.disable.iter().any(|what| what.value.0 == pack))
}

/// Who inherits from whom.
struct Family<'f, 'a> {
    all: &'f [Written<'a>],
    bases: &'f BTreeMap<u32, usize>,
    overrides: &'f BTreeMap<u32, usize>,
}

impl<'a> Family<'_, 'a> {
    /// The rule with what it doesn't say itself, and the pack whose events it names.
    fn complete(
        &self,
        at: usize,
        visited: &mut HashSet<usize>,
    ) -> Result<(RawRule, &'a RawPack), Problem> {
        let Written { raw, rule, .. } = self.all[at];
        let mut own = rule.value.clone();
        if own.count.is_some() && own.frequency_semantics.is_none() {
            own.frequency_semantics = Some(raw.frequency_semantics);
        }
        if !visited.insert(at) {
            return Err(Problem::InheritCircle { id: own.id });
        }
        let parent = match own.inherit {
            Some(id) => {
                let known = self.overrides.get(&id).or_else(|| self.bases.get(&id));
                Some(*known.ok_or(Problem::UnknownRule { id })?)
            }
            // An override without one builds on what it overrides.
            None if own.overrides => self.bases.get(&own.id).copied(),
            None => None,
        };
        let Some(parent) = parent else { return Ok((own, raw)) };
        let (inherited, events) = self.complete(parent, visited)?;
        let events = if own.event.is_some() || own.after.is_some() { raw } else { events };
        Ok((own.inheriting(inherited), events))
    }
}
