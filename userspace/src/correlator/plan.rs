//! A [`RuleSet`] turned into one short program for each kind of event.
//!
//! A program is the list of rules that such an event can reach, in an order in which a rule comes after
//! those it listens to. Rules that count the same events are one step: they share a [`Ladder`].

use std::sync::Arc;
use std::time::Duration;

use super::condition::{DistinctPlan, KeyFields, KeyPlan, Test};
use super::ladder::{Ladder, RUNGS, Rung, Tick};
use super::scope::{Scope, Scopes};
use crate::event::{Event, RuleHead};
use crate::rules::{Key, Rule, RuleSet, Trigger};

/// Longest window and cooldown: 24 days in milliseconds, half of what ticks can tell.
const LONGEST: Tick = Tick::MAX / 2;

/// All programs, and what their steps refer to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By the event's index.
    programs: Vec<Box<[Step]>>,
    /// By the rule's index.
    rules: Vec<RulePlan>,
    groups: Vec<Group>,
    keys: KeyFields,
    /// By the event's index.
    networks: Box<[bool]>,
    scopes: Scopes,
    horizon: Tick,
}

/// What to do next with an event.
#[derive(Debug)]
pub(super) struct Step {
    /// Of the rules that are listened to, those that this kind of event can reach; `None`: one of them holds
    /// for each such event, as often as it counts, or it is the event itself that is listened to.
    pub(super) after: Option<Box<[u32]>>,
    pub(super) act: Act,
}

/// What a step does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// A rule that doesn't count.
    Rule(u32),
    /// The rules of a counting group.
    Count(u16),
    /// Events that another rule will ask for.
    Record(u16),
    /// Events after which something is expected.
    Expect(u16),
    /// Events that were expected.
    Came(u16),
}

/// A rule, without its window.
#[derive(Debug)]
pub(super) struct RulePlan {
    pub(super) head: Arc<RuleHead>,
    pub(super) when: Box<[Test]>,
    pub(super) score: f64,
    /// What a ban by this score would be about.
    pub(super) scope: Scope,
    pub(super) ignore: Tick,
    /// It is disabled: only rules that come after it hear of it.
    pub(super) silent: bool,
    /// What must have come before.
    pub(super) gate: Option<Gate>,
}

/// A rule's demand for earlier events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// The group that records them.
    pub(super) group: u16,
    /// At least so many.
    pub(super) count: u16,
    /// At most so old.
    pub(super) within: Tick,
}

/// Windows with one key.
#[derive(Debug)]
pub(super) struct Group {
    /// The first rule in it: its trigger and conditions are those of all.
    pub(super) lead: u32,
    pub(super) key: KeyPlan,
    pub(super) kind: GroupKind,
}

#[derive(Debug)]
pub(super) enum GroupKind {
    /// Counts events.
    Ladder(Ladder),
    /// Counts different values.
    Distinct(DistinctPlan, Ladder),
    /// Remembers when these rules held, for the lead rule's gate.
    Memory { of: Box<[u32]>, gate: Gate },
    /// Waits for these rules, or for the lead rule's own events, so many milliseconds.
    Absence { of: Option<Box<[u32]>>, within: i64 },
}

impl GroupKind {
    /// What it counts by, if it counts.
    pub(super) const fn ladder(&self) -> Option<&Ladder> {
        match self {
            Self::Ladder(ladder) | Self::Distinct(_, ladder) => Some(ladder),
            Self::Memory { .. } | Self::Absence { .. } => None,
        }
    }
}

impl Plan {
    pub(super) fn new(set: &RuleSet) -> Self {
        let mut scopes = Scopes::default();
        let rules = set.rules.iter().map(|rule| RulePlan::new(rule, &mut scopes)).collect();
        let mut plan = Self { rules, scopes, ..Self::default() };
        for (at, rule) in set.rules.iter().enumerate() {
            if let Some(preceded) = &rule.preceded {
                let group = plan.next_group();
                let gate =
                    Gate { group, count: count(preceded.count), within: ticks(preceded.within) };
                let of = preceded.rules.iter().map(|rule| index(*rule)).collect();
                plan.add_group(at, rule, &preceded.same, GroupKind::Memory { of, gate });
                plan.rules[at].gate = Some(gate);
            }
        }
        let mut absent_by = vec![None; set.rules.len()];
        for (at, rule) in set.rules.iter().enumerate() {
            if let Some(absence) = &rule.absence {
                absent_by[at] = Some(plan.next_group());
                let by = absence.by.as_ref();
                let of = by.map(|by| by.iter().map(|rule| index(*rule)).collect());
                let within = i64::from(ticks(absence.within));
                plan.add_group(at, rule, &absence.same, GroupKind::Absence { of, within });
            }
        }
        let mut counted_by = vec![None; set.rules.len()];
        for (at, rule) in set.rules.iter().enumerate() {
            let Some(window) = &rule.window else { continue };
            if counted_by[at].is_some() {
                continue;
            }
            let mates: Vec<usize> = (at..set.rules.len())
                .filter(|mate| counted_by[*mate].is_none())
                .filter(|mate| *mate == at || count_together(rule, &set.rules[*mate]))
                .take(RUNGS)
                .collect();
            let rungs = mates.iter().filter_map(|mate| {
                let window = set.rules[*mate].window.as_ref()?;
                let (count, within) = (count(window.count), ticks(window.within));
                Some(Rung { rule: index(*mate), count, within })
            });
            let ladder = Ladder::new(rungs.collect());
            let group = plan.next_group();
            let kind = match &window.distinct {
                Some(distinct) => {
                    GroupKind::Distinct(DistinctPlan::new(distinct, &mut plan.keys), ladder)
                }
                None => GroupKind::Ladder(ladder),
            };
            plan.add_group(at, rule, &window.same, kind);
            mates.iter().for_each(|mate| counted_by[*mate] = Some(group));
        }
        plan.horizon = set.rules.iter().map(reach).max().unwrap_or(0);
        plan.programs = programs(set, &plan, &counted_by, &absent_by);
        let networks = plan.programs.iter().map(|steps| {
            let counts = |step: &Step| match step.act {
                Act::Count(group) => plan.group(group).key.is_network(),
                Act::Rule(_) | Act::Record(_) | Act::Expect(_) | Act::Came(_) => false,
            };
            steps.iter().any(counts)
        });
        plan.networks = networks.collect();
        plan
    }

    /// What to do with an event of this index.
    pub(super) fn program(&self, kind: u32) -> &[Step] {
        self.programs.get(kind as usize).map_or(&[], |steps| steps)
    }

    /// Whether an event of this index counts for its offender's network.
    pub(super) fn counts_networks(&self, kind: u32) -> bool {
        self.networks.get(kind as usize).is_some_and(|counts| *counts)
    }

    pub(super) fn rule(&self, rule: u32) -> &RulePlan {
        &self.rules[rule as usize]
    }

    pub(super) fn rules(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn group(&self, group: u16) -> &Group {
        &self.groups[usize::from(group)]
    }

    /// The groups that wait for something, by index.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u16, &Group)> {
        (0..).zip(&self.groups)
    }

    /// The fields that the groups' keys are made of.
    pub(super) const fn keys(&self) -> &KeyFields {
        &self.keys
    }

    /// What the rules' scopes mean.
    pub(super) const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The longest window or cooldown, in milliseconds.
    pub(super) const fn horizon(&self) -> i64 {
        self.horizon as i64
    }

    /// Where each group is in a later plan: it counts in the same way for the same rule.
    pub(super) fn moved_to(&self, new: &Self) -> Vec<Option<u16>> {
        let name = |plan: &Self, group: &Group| {
            (plan.rule(group.lead).head.id, std::mem::discriminant(&group.kind))
        };
        let places = self.groups.iter().map(|old| {
            let place = new.groups.iter().position(|group| name(new, group) == name(self, old));
            place.and_then(|place| u16::try_from(place).ok())
        });
        places.collect()
    }

    fn next_group(&self) -> u16 {
        u16::try_from(self.groups.len()).unwrap_or(u16::MAX)
    }

    fn add_group(&mut self, lead: usize, rule: &Rule, same: &[Key], kind: GroupKind) {
        // 65,535 counting rules are more than anybody has; the rest would count with the last.
        if self.groups.len() < usize::from(u16::MAX) {
            let key = KeyPlan::new(same, rule.head.id, &mut self.keys);
            self.groups.push(Group { lead: index(lead), key, kind });
        }
    }
}

impl RulePlan {
    fn new(rule: &Rule, scopes: &mut Scopes) -> Self {
        Self {
            head: Arc::clone(&rule.head),
            when: rule.when.iter().map(Test::new).collect(),
            score: if rule.score.is_finite() { rule.score } else { 0.0 },
            scope: match rule.score {
                0.0 => Scope::NONE,
                _ => scopes.intern(rule.head.ports.as_ref()),
            },
            ignore: ticks(rule.ignore),
            silent: rule.silent,
            gate: None,
        }
    }

    /// Whether its conditions don't hold for this event, nor ever for one with the same fields.
    pub(super) fn never_holds(&self, event: &Event<'_>) -> bool {
        self.when.iter().any(|test| test.never_holds(event))
    }
}

/// Whether two counting rules differ only in their numbers.
fn count_together(one: &Rule, other: &Rule) -> bool {
    let (Some(a), Some(b)) = (&one.window, &other.window) else { return false };
    one.trigger == other.trigger
        && one.when == other.when
        && a.same == b.same
        && a.distinct.is_none()
        && b.distinct.is_none()
        && one.preceded.is_none()
        && other.preceded.is_none()
}

fn programs(
    set: &RuleSet,
    plan: &Plan,
    counted_by: &[Option<u16>],
    absent_by: &[Option<u16>],
) -> Vec<Box<[Step]>> {
    let events = set.rules.iter().flat_map(|rule| match &rule.trigger {
        Trigger::Events(events) => events.as_slice(),
        Trigger::After(_) => &[],
    });
    let kinds = events.max().map_or(0, |last| last.saturating_add(1));
    let order = order(set);
    (0..kinds).map(|kind| program(set, plan, (counted_by, absent_by), &order, kind)).collect()
}

fn program(
    set: &RuleSet,
    plan: &Plan,
    (counted_by, absent_by): (&[Option<u16>], &[Option<u16>]),
    order: &[usize],
    kind: u32,
) -> Box<[Step]> {
    let mut reached = vec![false; set.rules.len()];
    // What holds for each event of this kind, whatever it says.
    let mut certain = vec![false; set.rules.len()];
    let mut steps = Vec::new();
    let among = |flags: &[bool], rule: usize| flags.get(rule).copied().unwrap_or(false);
    for at in order {
        let rule = &set.rules[*at];
        let (reaches, after) = match &rule.trigger {
            Trigger::Events(events) => (events.contains(&kind), None),
            Trigger::After(rules) => (
                rules.iter().any(|rule| among(&reached, *rule)),
                listened(rules.iter().copied(), &reached, &certain),
            ),
        };
        if !reaches {
            continue;
        }
        reached[*at] = true;
        let act = match (counted_by[*at], absent_by[*at]) {
            (None, Some(group)) => Act::Expect(group),
            (None, None) => {
                certain[*at] = after.is_none() && rule.when.is_empty() && rule.preceded.is_none();
                Act::Rule(index(*at))
            }
            (Some(group), _) if plan.group(group).lead == index(*at) => Act::Count(group),
            (Some(_), _) => continue,
        };
        steps.push(Step { after, act });
    }
    // An event doesn't come before itself.
    for (at, group) in plan.groups.iter().enumerate() {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        let (of, act) = match &group.kind {
            GroupKind::Memory { of, .. } => (of, Act::Record(at)),
            GroupKind::Absence { of: Some(of), .. } => (of, Act::Came(at)),
            GroupKind::Absence { .. } | GroupKind::Ladder(_) | GroupKind::Distinct(..) => continue,
        };
        let of = || of.iter().map(|rule| *rule as usize);
        if of().any(|rule| among(&reached, rule)) {
            steps.push(Step { after: listened(of(), &reached, &certain), act });
        }
    }
    steps.into()
}

/// See [`Step::after`]. (A rule that holds holds as often as the event counts at most: who listens to one that
/// holds for each event needn't ask the others.)
fn listened(
    rules: impl Iterator<Item = usize> + Clone,
    reached: &[bool],
    certain: &[bool],
) -> Option<Box<[u32]>> {
    if rules.clone().any(|rule| certain.get(rule).copied().unwrap_or(false)) {
        return None;
    }
    Some(rules.filter(|rule| reached.get(*rule).copied().unwrap_or(false)).map(index).collect())
}

/// Rules in an order in which each comes after those it listens to. (The loader refuses circles; a rule
/// in one would just never be reached.)
fn order(set: &RuleSet) -> Vec<usize> {
    let mut depth = vec![0_usize; set.rules.len()];
    for _ in 0..set.rules.len() {
        let mut settled = true;
        for (at, rule) in set.rules.iter().enumerate() {
            if let Trigger::After(rules) = &rule.trigger {
                let below = rules.iter().filter_map(|rule| depth.get(*rule)).max();
                let above = below.map_or(0, |below| below + 1).min(set.rules.len());
                if above > depth[at] {
                    depth[at] = above;
                    settled = false;
                }
            }
        }
        if settled {
            break;
        }
    }
    let mut order: Vec<usize> = (0..set.rules.len()).collect();
    order.sort_by_key(|at| (depth[*at], *at));
    order
}

/// How long what a rule remembers can matter.
fn reach(rule: &Rule) -> Tick {
    let window = rule.window.as_ref().map(|window| window.within);
    let gate = rule.preceded.as_ref().map(|preceded| preceded.within);
    [window, gate, Some(rule.ignore)].into_iter().flatten().map(ticks).max().unwrap_or(0)
}

fn ticks(duration: Duration) -> Tick {
    // Upwards: what is exactly as old as `within` still counts.
    let millis = duration.as_micros().div_ceil(1_000);
    Tick::try_from(millis).unwrap_or(LONGEST).min(LONGEST)
}

fn count(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).max(1)
}

fn index(rule: usize) -> u32 {
    u32::try_from(rule).unwrap_or(u32::MAX)
}
