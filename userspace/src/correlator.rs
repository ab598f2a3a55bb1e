//! Windows, sequences and scores: what many events mean together.
//!
//! [`Correlator::feed`] takes one event at a time and says which rules fired and what the score is now.
//! It has no clock: windows run on the time it is given.
//!
//! **Counting.** `count: N` fires on the N-th event of a key within `within`; an age equal to `within`
//! still counts. Then that rule's count for that key starts again, also when the firing is swallowed by
//! `ignore`. `ignore` is a fixed time from the firing that was heard. An event counts for every rung
//! above it, whatever fired; repeated N times it counts N times; the lines of one login attempt count
//! once together (`attempt.rs`). An event without a field that a key asks for doesn't count there. What
//! a rule adds to the score it adds each time its conditions hold; swallowing an alert swallows no
//! evidence.
//!
//! **Late events** are put where they belong and count if they are still young enough by the latest time
//! of their window.
//!
//! **A ban consumes its evidence.** [`Correlator::consume`] starts the score again at 0. While the ban
//! stands (`banned`), windows go on counting what came before it and since, so that the ladder's alerts
//! still come at the 5th, 10th, 20th and 50th event. With the first event after the ban is over all of
//! that is spent, the lines that were still under way when it began among them: windows, cooldowns and
//! score begin at nothing, and a lapsed ban doesn't come back on the next harmless line.
//! [`Correlator::forgive`] does the same at once.
//!
//! **Evidence that may not ban** (unproven, outbound, out of a header: [`Offence::bar`]) counts for
//! alerts, and but for outbound it scores. It never leads to a ban, neither by itself nor by priming
//! another's first honest mistake: [`Fired`] tells apart what fired, and what the score is, on evidence
//! that may ban alone.
//!
//! **Bounds.** One table by owner (the offender's target, or a key without an address), see `table.rs`;
//! a bounded number of windows for each; a bounded number of times in a window.
#![forbid(unsafe_code)]

mod absence;
mod attempt;
mod condition;
mod entry;
mod ladder;
mod owner;
mod pass;
mod plan;
mod scope;
mod table;
mod tally;
mod track;
mod windows;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use smallvec::SmallVec;

use self::absence::Absences;
use self::attempt::Attempts;
use self::condition::Subject;
use self::ladder::Evidence;
use self::owner::Owner;
use self::pass::{Held, Pass};
use self::plan::{Act, GroupKind, Plan};
use self::scope::Scope;
use self::table::Table;
pub use self::tally::Tally;

use crate::event::{Alert, Event, Offence, Ports, RuleHead, Target, Timestamp, Withheld};
use crate::rules::{Lists, RuleSet};

/// How much may be remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Offenders and other keys.
    pub max_keys: usize,
    /// Bytes of their windows, beside about 100 for each key.
    pub max_window_bytes: usize,
    /// Login sessions under way.
    pub max_sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_keys: 1 << 20, max_window_bytes: 144 << 20, max_sessions: 1 << 16 }
    }
}

/// What policy knows of whom an event is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing {
    /// A ban of it stands.
    pub(crate) banned: bool,
    /// It is on the allow list; matters only where [`Correlator::counts_networks`].
    pub(crate) allowed: bool,
}

/// What an event led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fired {
    /// The rules that fired, highest level first, then lowest id.
    pub alerts: SmallVec<[Alert; 4]>,
    /// Those of them (by id) that wouldn't have fired without evidence that may not ban.
    pub tainted: SmallVec<[u32; 4]>,
    /// Rules (by id) whose firing `ignore` swallowed.
    pub swallowed: SmallVec<[u32; 4]>,
    /// What rules (by id) added to the score.
    pub points: SmallVec<[(u32, f64); 4]>,
    /// The target's score after this event.
    pub score: f64,
    /// The part of it that may ban: proven, and not by a pack in mode observe.
    pub bannable_score: f64,
    /// Which ports a ban by the score is about: those of the rules that it comes from, where all of
    /// them name some; `None`: every one.
    pub ports: Option<Ports>,
}

/// Something didn't come in time, and a rule fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// Which.
    pub rule: Arc<RuleHead>,
    /// From when on it was awaited.
    pub since: Timestamp,
    /// When its time was over, and the rule fired.
    pub time: Timestamp,
    /// Whom the event was about after which it should have come.
    pub target: Option<Target>,
}

/// What is remembered, and what was forgotten to make room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Offenders and other keys.
    pub keys: usize,
    /// About how many bytes they take.
    pub bytes: usize,
    /// Keys, windows and login sessions forgotten before their time, since the start.
    pub evicted: u64,
}

/// All correlation state.
#[derive(Debug)]
pub struct Correlator {
    plan: Plan,
    table: Table,
    attempts: Attempts,
    held: Held,
    absences: Absences,
    /// Whether somebody has told the time yet, from which the unseen is awaited.
    begun: bool,
    /// Where days begin.
    zone: TimeZone,
    /// What lists hold.
    lists: Lists,
    ipv6_prefix: u8,
    /// Milliseconds until hardly anything is left of a score.
    fades_in: i64,
    /// How often the latest event counted.
    charged: u32,
}

impl Correlator {
    /// An empty one. `ipv6_prefix`: what an IPv6 address counts as where it is a key.
    pub fn new(rules: &RuleSet, half_life: Duration, ipv6_prefix: u8, limits: Limits) -> Self {
        let plan = Plan::new(rules);
        // A thousandth is left then.
        let fades_in = i64::try_from((half_life * 10).as_millis()).unwrap_or(i64::MAX);
        let half_life = (half_life.as_secs_f64() * 1_000.0).max(1.0);
        let mut table = Table::new(limits.max_keys, limits.max_window_bytes, half_life);
        table.set_horizon(plan.horizon());
        let held = Held::new(plan.rules());
        Self {
            plan,
            table,
            attempts: Attempts::new(limits.max_sessions),
            held,
            absences: Absences::default(),
            begun: false,
            zone: TimeZone::UTC,
            lists: Lists::new(),
            ipv6_prefix,
            fades_in,
            charged: 0,
        }
    }

    /// Conditions on the time of day are about this zone; about UTC unless said.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    /// What the lists of the rules hold, in order; until it is said nobody knows.
    pub fn set_lists(&mut self, lists: Lists) {
        self.lists = lists;
    }

    /// Takes other rules, and keeps scores and the windows of rules (by id) that are still there.
    pub fn reload(&mut self, rules: &RuleSet) {
        let plan = Plan::new(rules);
        let moved = self.plan.moved_to(&plan);
        let scopes_changed = !self.plan.scopes().same(plan.scopes());
        self.table.for_each(|entry| {
            if scopes_changed {
                entry.forget_scope();
            }
            entry.regroup(|group| moved.get(usize::from(group)).copied().flatten());
        });
        self.absences.regroup(|group| moved.get(usize::from(group)).copied().flatten());
        self.begun = false;
        self.table.set_horizon(plan.horizon());
        self.held = Held::new(plan.rules());
        self.plan = plan;
        // Their order may be another one.
        self.lists.clear();
    }

    /// It is `now`: what was to come before, and didn't. Whoever feeds lines tells the time before each, or
    /// now and then once all lines until then are in.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Missed> {
        let now = now.as_micros().div_euclid(1_000);
        if !self.begun {
            self.begun = true;
            self.expect_unseen(now);
        }
        if !self.absences.has_passed(now) {
            return Vec::new();
        }
        let passed = self.absences.advance(now).into_iter();
        let missed = passed.map(|passed| {
            let at = |millis: i64| Timestamp::from_micros(millis.saturating_mul(1_000));
            Missed {
                rule: Arc::clone(&self.plan.rule(self.plan.group(passed.group).lead).head),
                since: at(passed.since),
                time: at(passed.deadline),
                target: passed.target,
            }
        });
        missed.collect()
    }

    /// What is awaited without anything that it comes after is awaited from the start.
    fn expect_unseen(&mut self, now: i64) {
        for (at, group) in self.plan.groups() {
            if let GroupKind::Absence { of: None, within } = group.kind
                && !self.plan.rule(group.lead).silent
                && let Some(owner) = group.key.everybody(self.plan.keys())
            {
                self.absences.expect((at, owner, 0), now, within, false, None);
            }
        }
    }

    /// Takes an event in.
    ///
    /// `target`: what a ban of the offender would be about; for an event without an offender whom it is
    /// about all the same, as a success (`Policy::subject` says). `banned`: a ban of that stands.
    /// Without `target` the event's `src` is taken, and `banned` doesn't matter.
    pub fn feed(
        &mut self,
        event: &Event<'_>,
        offence: &Offence,
        target: Option<Target>,
        time: Timestamp,
        banned: bool,
    ) -> Fired {
        let mut fired = Fired::default();
        let standing = Standing { banned, allowed: false };
        self.feed_into(event, offence, target, time, standing, &mut fired);
        fired
    }

    /// [`Self::feed`], into a [`Fired`] that is still empty.
    pub(crate) fn feed_into(
        &mut self,
        event: &Event<'_>,
        offence: &Offence,
        target: Option<Target>,
        time: Timestamp,
        standing: Standing,
        fired: &mut Fired,
    ) {
        let program = self.plan.program(event.kind.index);
        if program.is_empty() && target.is_none() && offence.offender.is_none() {
            // Nobody's, and no rule asks for it: most of a quiet host's lines.
            return;
        }
        let now = time.as_micros().div_euclid(1_000);
        self.held.clear();
        // Forged lines take nothing away from the real ones of the same process.
        let attempts_of = offence.offender.filter(|_| offence.bar != Some(Withheld::Untrusted));
        self.charged = self.attempts.charge(event, attempts_of, now);
        let subject = Subject::of(event, target, self.ipv6_prefix);
        let mut pass = Pass {
            plan: &self.plan,
            table: &mut self.table,
            held: &mut self.held,
            absences: &mut self.absences,
            fired,
            event,
            subject,
            zone: &self.zone,
            lists: &self.lists,
            evidence: match offence {
                Offence { offender: Some(_), bar: None, .. } => Evidence::Bannable,
                _ => Evidence::All,
            },
            scored: offence.offender.is_some() && offence.bar != Some(Withheld::Outbound),
            charge: self.charged,
            now,
            banned: standing.banned && target.is_some(),
            allowed: standing.allowed,
            own: None,
            other: None,
            bannable_points: 0.0,
            scope: Scope::NONE,
        };
        pass.begin(target.is_some());
        for step in program {
            pass.take(step);
        }
        pass.finish(offence);
        self.table.settle(now);
    }

    /// Whether no event of this kind with the same fields, of the same program, ever counts for a rule. (It may still
    /// count for its offender, where it has one.)
    pub(crate) fn leads_nowhere(&self, event: &Event<'_>) -> bool {
        // What comes after other rules waits for one of these to hold.
        let mut steps =
            self.plan.program(event.kind.index).iter().filter(|step| step.after.is_none());
        steps.all(|step| match step.act {
            Act::Rule(rule) => self.plan.rule(rule).never_holds(event),
            Act::Count(group) | Act::Expect(group) => {
                self.plan.rule(self.plan.group(group).lead).never_holds(event)
            }
            Act::Record(_) | Act::Came(_) => false,
        })
    }

    /// Events of these targets come next: see [`Engine::foresee`](crate::engine::Engine::foresee).
    pub(crate) fn foresee(&self, targets: impl Iterator<Item = Target>) {
        self.table.foresee(targets.map(Owner::target));
    }

    /// Whether events of this index count for their offender's network, of which a ban could come.
    pub(crate) fn counts_networks(&self, kind: u32) -> bool {
        self.plan.counts_networks(kind)
    }

    /// A ban of `target` begins: its evidence is spent, see above.
    pub fn consume(&mut self, target: Target) {
        self.for_each_within(target, true, |table, owner| {
            if let Some(slot) = table.find(owner) {
                table.entry_mut(slot).consume();
            }
        });
    }

    /// A ban of `target` was lifted by hand: nothing is held against it.
    pub fn forgive(&mut self, target: Target) {
        self.for_each_within(target, false, Table::remove);
    }

    /// The clock that times are of has stepped by so many microseconds: what is remembered is as old as before.
    pub fn step_clock(&mut self, by: i64) {
        let by = by.div_euclid(1_000);
        self.table.for_each(|entry| entry.step_clock(by));
        self.attempts.step_clock(by);
        self.absences.step_clock(by);
    }

    /// How long an event can matter: the longest window, cooldown or wait, or until its score has faded.
    pub fn memory(&self) -> Duration {
        let waits = self.plan.groups().map(|(_, group)| match group.kind {
            GroupKind::Absence { within, .. } => within,
            GroupKind::Ladder(_) | GroupKind::Distinct(..) | GroupKind::Memory { .. } => 0,
        });
        let longest = waits.max().unwrap_or(0).max(self.plan.horizon()).max(self.fades_in);
        Duration::from_millis(u64::try_from(longest).unwrap_or(0))
    }

    /// How much is remembered.
    pub fn stats(&self) -> Stats {
        Stats {
            keys: self.table.len(),
            bytes: self.table.bytes(),
            evicted: self.table.evicted() + self.attempts.evicted() + self.absences.turned_away(),
        }
    }

    /// The target itself, and where it is wider than an offender's, all in it. `quick`: those in a small
    /// network are asked for by name; going through a million for each ban would be a way to stop us.
    fn for_each_within(&mut self, target: Target, quick: bool, act: impl Fn(&mut Table, Owner)) {
        act(&mut self.table, Owner::target(target));
        let net = target.net();
        let of_one_offender =
            net.prefix_len() == net.max_prefix_len() || net.prefix_len() == self.ipv6_prefix;
        let offenders = if quick { self.offenders(net) } else { None };
        if of_one_offender {
            return;
        }
        if let Some(offenders) = offenders {
            for offender in offenders {
                act(&mut self.table, Owner::target(offender));
            }
        } else {
            for owner in self.table.select(|owner| owner.lies_in(net)) {
                act(&mut self.table, owner);
            }
        }
    }
}

impl Correlator {
    /// The offenders that a network can have, where they are few. (Neighbours on our own links, who are
    /// addresses, aren't among them: no rule bans such a network.)
    fn offenders(&self, net: IpNet) -> Option<Vec<Target>> {
        let (unit, bits) = match net {
            IpNet::V4(_) => (32, 32),
            IpNet::V6(_) => (self.ipv6_prefix, 128),
        };
        let wide = unit.checked_sub(net.prefix_len()).filter(|wide| *wide <= 8)?;
        let step = 1_u128.checked_shl(bits - u32::from(unit))?;
        let all = (0..1_u128 << wide).map(|n| match net {
            IpNet::V4(net) => {
                let addr = u128::from(net.network().to_bits()) + n;
                IpAddr::from(Ipv4Addr::from_bits(u32::try_from(addr).unwrap_or(u32::MAX)))
            }
            IpNet::V6(net) => IpAddr::from(Ipv6Addr::from_bits(net.network().to_bits() + n * step)),
        });
        Some(all.map(|addr| Target::of_offender(addr, unit.max(32))).collect())
    }
}

#[cfg(test)]
mod tests;
