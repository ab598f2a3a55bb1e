//! One event on its way through its program.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Fired;
use super::absence::{Absences, Expected};
use super::condition::{About, Setting, Subject, Whose};
use super::entry::{Entry, Place};
use super::ladder::{Evidence, Firings, Tick};
use super::owner::Owner;
use super::plan::{Act, Gate, GroupKind, Plan, RulePlan, Step};
use super::scope::Scope;
use super::table::{Slot, Table};
use crate::event::{Alert, Event, Offence};
use crate::rules::List;

/// Which rules' conditions hold for the event at hand, and how often.
#[derive(Debug)]
pub(super) struct Held {
    /// By rule: the event that it held for, and how often.
    by_rule: Vec<(u64, u32)>,
    event: u64,
}

impl Held {
    pub(super) fn new(rules: usize) -> Self {
        Self { by_rule: vec![(0, 0); rules], event: 0 }
    }

    pub(super) const fn clear(&mut self) {
        self.event += 1;
    }

    /// The number of the event at hand.
    pub(super) const fn event(&self) -> u64 {
        self.event
    }

    fn set(&mut self, rule: u32, times: u32) {
        self.by_rule[rule as usize] = (self.event, times);
    }

    fn times(&self, rule: u32) -> Option<u32> {
        let (event, times) = *self.by_rule.get(rule as usize)?;
        (event == self.event).then_some(times)
    }

    /// The most often that one of these held.
    pub(super) fn most(&self, rules: &[u32]) -> Option<u32> {
        rules.iter().filter_map(|rule| self.times(*rule)).max()
    }
}

/// One event, what it may touch, and what has come of it so far.
pub(super) struct Pass<'p, 'e, 'l> {
    pub(super) plan: &'p Plan,
    pub(super) table: &'p mut Table,
    pub(super) held: &'p mut Held,
    pub(super) absences: &'p mut Absences,
    pub(super) fired: &'p mut Fired,
    pub(super) event: &'e Event<'l>,
    pub(super) subject: Subject,
    /// Where days begin.
    pub(super) zone: &'p TimeZone,
    /// What lists hold.
    pub(super) lists: &'p [Option<Arc<List>>],
    pub(super) evidence: Evidence,
    /// Whether it adds to the subject's score.
    pub(super) scored: bool,
    /// How often it counts; 0 where another line told the same.
    pub(super) charge: u32,
    /// In milliseconds since the epoch.
    pub(super) now: i64,
    /// A ban of the subject stands.
    pub(super) banned: bool,
    /// The subject is on the allow list, and primes no ban of its network.
    pub(super) allowed: bool,
    /// The subject's entry.
    pub(super) own: Option<(Slot, Tick)>,
    /// Another's, the latest that was asked for.
    pub(super) other: Option<(Owner, Slot, Tick)>,
    pub(super) bannable_points: f64,
    /// Of the rules that scored.
    pub(super) scope: Scope,
}

/// Whose window, and which of theirs.
type Key = (Whose, u32);

impl<'p, 'e, 'l> Pass<'p, 'e, 'l> {
    /// Opens the subject's entry, where there is one; `known`: the caller knows whether a ban stands.
    #[inline]
    pub(super) fn begin(&mut self, known: bool) {
        let Some(target) = self.subject.target else { return };
        if let Some(slot) = self.table.find(Owner::target(target)) {
            self.table.pin(slot);
            if known {
                self.table.entry_mut(slot).under_ban(self.banned);
            }
            self.own = self.tick(slot);
        }
    }

    #[inline]
    pub(super) fn take(&mut self, step: &Step) {
        let times = match &step.after {
            None => Some(self.charge),
            Some(rules) => self.held.most(rules),
        };
        let Some(times) = times else { return };
        match step.act {
            Act::Rule(rule) => self.apply(rule, times),
            Act::Count(group) if times > 0 => self.count(group, times),
            Act::Record(group) if times > 0 => self.record(group, times),
            Act::Count(_) | Act::Record(_) => {}
            Act::Expect(group) => self.expect(group),
            Act::Came(group) => self.came(group),
        }
    }

    pub(super) fn finish(mut self, offence: &Offence) {
        if self.fired.alerts.len() > 1 {
            self.fired
                .alerts
                .sort_by_key(|alert| (std::cmp::Reverse(alert.rule.level), alert.rule.id));
        }
        if offence.offender.is_none() {
            return;
        }
        let (now, half_life) = (self.now, self.table.half_life());
        let points = self.fired.points.iter().map(|(_, points)| points).sum::<f64>();
        let (bannable, mut scope) = (self.bannable_points, self.scope);
        let entry =
            if points == 0.0 { self.known(Whose::Subject) } else { self.open(Whose::Subject) };
        if let Some((entry, _)) = entry {
            if points != 0.0 {
                scope = entry.add(points, bannable, scope, now, half_life);
            }
            (self.fired.score, self.fired.bannable_score) = entry.score(now, half_life);
            if points != 0.0 {
                self.fired.ports = self.plan.scopes().ports(scope);
            }
        }
    }

    /// A rule that doesn't count.
    #[inline]
    fn apply(&mut self, rule: u32, times: u32) {
        let plan = self.plan.rule(rule);
        if !self.conditions_hold(plan) {
            return;
        }
        let key = match plan.gate {
            Some(gate) => match self.passes(gate) {
                Some(key) => key,
                None => return,
            },
            None if self.subject.target.is_some() => (Whose::Subject, 0),
            None => (Whose::Other(Owner::shared(plan.head.id, 0)), 0),
        };
        self.answer(plan, key);
        self.held.set(rule, times);
        let bannable = if self.evidence == Evidence::Bannable { times } else { 0 };
        self.fire(plan, 1, (times, bannable), self.evidence, key);
    }

    /// Rules that count.
    #[inline]
    fn count(&mut self, group: u16, times: u32) {
        let plan = self.plan;
        let counting = plan.group(group);
        let lead = plan.rule(counting.lead);
        if !self.conditions_hold(lead) || lead.gate.is_some_and(|gate| self.passes(gate).is_none())
        {
            return;
        }
        let Some(key) = counting.key.resolve(self.about()) else { return };
        let value = match &counting.kind {
            GroupKind::Distinct(value, _) => match value.value(self.about()) {
                Some(value) => Some(value),
                None => return,
            },
            GroupKind::Ladder(_) | GroupKind::Memory { .. } | GroupKind::Absence { .. } => None,
        };
        let place = Place { group, subkey: key.1 };
        let network = counting.key.is_network();
        let evidence = if network && self.allowed { Evidence::All } else { self.evidence };
        let free = network && !self.banned;
        let Some(ladder) = counting.kind.ladder() else { return };
        let Some((entry, tick)) = self.open(key.0) else { return };
        if free {
            entry.has_one_free();
        }
        let (firings, bannable) = match value {
            Some(value) => entry.count_distinct(place, evidence, tick, value, ladder),
            None => entry.count(place, evidence, tick, times, ladder),
        };
        if firings == Firings::default() {
            return;
        }
        for ((rung, firings), bannable) in ladder.rungs.iter().zip(firings).zip(bannable) {
            if firings > 0 {
                let rule = plan.rule(rung.rule);
                let evidence = if bannable > 0 { Evidence::Bannable } else { Evidence::All };
                self.answer(rule, key);
                self.held.set(rung.rule, firings);
                self.fire(rule, u32::from(rung.count), (firings, bannable), evidence, key);
            }
        }
    }

    /// Events that another rule will ask for.
    #[inline]
    fn record(&mut self, group: u16, times: u32) {
        let memory = self.plan.group(group);
        let GroupKind::Memory { gate, .. } = &memory.kind else { return };
        let Some((whose, subkey)) = memory.key.resolve(self.about()) else { return };
        if let Some((entry, tick)) = self.open(whose) {
            entry.record(Place { group, subkey }, tick, times, gate.within, gate.count);
        }
    }

    /// Something is expected from now on.
    fn expect(&mut self, group: u16) {
        let plan = self.plan;
        let GroupKind::Absence { of, within } = &plan.group(group).kind else { return };
        if self.conditions_hold(plan.rule(plan.group(group).lead))
            && let Some(what) = self.expected(group)
        {
            self.absences.expect(what, self.now, *within, of.is_none(), self.subject.target);
        }
    }

    /// Something may have been expected.
    fn came(&mut self, group: u16) {
        if let Some(what) = self.expected(group) {
            self.absences.came(what, self.now);
        }
    }

    fn expected(&self, group: u16) -> Option<Expected> {
        let (whose, subkey) = self.plan.group(group).key.resolve(self.about())?;
        let owner = match whose {
            Whose::Subject => Owner::target(self.subject.target?),
            Whose::Other(owner) => owner,
        };
        Some((group, owner, subkey))
    }

    #[inline]
    fn about(&self) -> About<'p, 'e, 'l> {
        About {
            event: self.event,
            number: self.held.event(),
            subject: self.subject,
            fields: self.plan.keys(),
        }
    }

    #[inline]
    fn conditions_hold(&self, rule: &RulePlan) -> bool {
        let setting = Setting { now: self.now, zone: self.zone, lists: self.lists };
        rule.when.iter().all(|test| test.holds(self.event, setting))
    }

    /// The key under which enough came before, if it did.
    fn passes(&mut self, gate: Gate) -> Option<Key> {
        let memory = self.plan.group(gate.group);
        let key = memory.key.resolve(self.about())?;
        let (entry, tick) = self.known(key.0)?;
        let place = Place { group: gate.group, subkey: key.1 };
        (entry.seen(place, tick, gate.within) >= usize::from(gate.count)).then_some(key)
    }

    /// A rule with a gate holds: what came before has had its answer.
    fn answer(&mut self, rule: &RulePlan, (whose, subkey): Key) {
        if let Some(gate) = rule.gate
            && let Some((entry, _)) = self.known(whose)
        {
            entry.answered(Place { group: gate.group, subkey });
        }
    }

    /// A rule's conditions held `times` times, so many of them on evidence that may ban.
    fn fire(
        &mut self,
        rule: &'p RulePlan,
        count: u32,
        (times, bannable): (u32, u32),
        evidence: Evidence,
        (whose, subkey): Key,
    ) {
        if rule.silent {
            return;
        }
        let id = rule.head.id;
        if self.scored && times > 0 && rule.score != 0.0 {
            self.fired.points.push((id, rule.score * f64::from(times)));
            self.scope |= rule.scope;
            if !rule.head.observe {
                self.bannable_points += rule.score * f64::from(bannable);
            }
        }
        if rule.ignore > 0
            && let Some((entry, tick)) = self.open(whose)
            && entry.quiet(id, subkey, evidence, tick, rule.ignore)
        {
            self.fired.swallowed.push(id);
            return;
        }
        if evidence == Evidence::All {
            self.fired.tainted.push(id);
        }
        self.fired.alerts.push(Alert { rule: Arc::clone(&rule.head), count });
    }

    /// The owner's entry, made where there is none.
    #[inline]
    fn open(&mut self, whose: Whose) -> Option<(&mut Entry, Tick)> {
        // Nearly always it is the subject's, and known.
        match (whose, self.own) {
            (Whose::Subject, Some((slot, tick))) => Some((self.table.entry_mut(slot), tick)),
            _ => self.open_new(whose),
        }
    }

    fn open_new(&mut self, whose: Whose) -> Option<(&mut Entry, Tick)> {
        match whose {
            Whose::Subject if self.own.is_none() => {
                let owner = Owner::target(self.subject.target?);
                let slot = self.table.find_or_insert(owner, self.now);
                self.table.pin(slot);
                if self.banned {
                    self.table.entry_mut(slot).under_ban(true);
                }
                self.own = self.tick(slot);
            }
            Whose::Other(owner) if self.other.is_none_or(|(other, ..)| other != owner) => {
                let slot = self.table.find_or_insert(owner, self.now);
                self.table.pin(slot);
                self.other = self.tick(slot).map(|(slot, tick)| (owner, slot, tick));
            }
            Whose::Subject | Whose::Other(_) => {}
        }
        self.known(whose)
    }

    /// The owner's entry, if there is one.
    #[inline]
    fn known(&mut self, whose: Whose) -> Option<(&mut Entry, Tick)> {
        let (slot, tick) = match (whose, self.other) {
            (Whose::Subject, _) => self.own?,
            (Whose::Other(owner), Some((other, slot, tick))) if other == owner => (slot, tick),
            (Whose::Other(owner), _) => {
                let slot = self.table.find(owner)?;
                self.table.pin(slot);
                self.tick(slot)?
            }
        };
        Some((self.table.entry_mut(slot), tick))
    }

    /// Now, as a pinned entry counts it; `None` where the event is weeks before what it knows.
    #[inline]
    fn tick(&mut self, slot: Slot) -> Option<(Slot, Tick)> {
        self.table.entry_mut(slot).tick(self.now).map(|tick| (slot, tick))
    }
}
