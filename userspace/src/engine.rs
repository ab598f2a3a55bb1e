//! The stages joined, without threads and without a clock of its own: line in, [`Outcome`] out.
//!
//! One engine owns all correlation state, so that a parallel burst can't slip past a limit and there is
//! nothing to lock. The daemon, `explain`, `replay` and the packs' own tests all run this.
#![forbid(unsafe_code)]

mod pack_tests;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;

pub use self::pack_tests::run_pack_test;
use crate::config::{Config, MailConfig, Urgency};
use crate::correlator::{Correlator, Fired, Limits, Missed, Standing, Stats, Tally};
use crate::event::{BanOrder, Event, Offence, Record, RuleHead, Target, Timestamp, Verdict};
use crate::policy::{Network, Policy, SuricataProof, Why};
use crate::rules::{Lists, Memo, Packs, Trace};

/// Recognition, correlation and policy, with all their state.
pub struct Engine {
    packs: Arc<Packs>,
    correlator: Correlator,
    policy: Policy,
    memo: Memo,
}

/// What a record caused.
#[derive(Debug)]
pub struct Outcome<'l> {
    /// The time that the windows ran on: the line's own, clamped to its arrival.
    pub time: Timestamp,
    /// What the line says; `None`: no pack recognises it.
    pub event: Option<Event<'l>>,
    /// Whose deed it is.
    pub offence: Offence,
    /// What a ban of the offender would be about; of a success, whom it is about.
    pub target: Option<Target>,
    /// Alerts and score.
    pub fired: Fired,
    /// What policy made of it.
    pub verdict: Verdict,
}

impl Outcome<'_> {
    /// How soon people hear of it, with the rule that decides that; of a ban that no rule tells, by itself.
    pub fn told(&self, mail: &MailConfig) -> Option<(Urgency, Option<&RuleHead>)> {
        let heads = || self.fired.alerts.iter().map(|alert| &*alert.rule);
        let urgent = |head: &RuleHead| mail.urgency(head.level, head.mail);
        // Of those that are as urgent the first, which has the highest level.
        let first = heads().rev().max_by_key(|head| urgent(head));
        match first.and_then(|head| Some((urgent(head)?, Some(head)))) {
            Some(told) => Some(told),
            None if !matches!(self.verdict, Verdict::Ban(_)) => None,
            None => heads().any(|head| head.mail != Some(false)).then_some((Urgency::Digest, None)),
        }
    }
}

/// A record on its way: what it says, and whose deed it is. Nothing has come of it yet.
#[derive(Debug)]
pub struct Begun<'l> {
    /// See [`Outcome::time`].
    pub time: Timestamp,
    /// See [`Outcome::event`].
    pub event: Option<Event<'l>>,
    /// See [`Outcome::offence`].
    pub offence: Offence,
    /// See [`Outcome::target`].
    pub target: Option<Target>,
    /// It is known that nothing will come of it.
    idle: bool,
}

/// What has come of a record.
#[derive(Debug)]
pub struct Consequence {
    /// See [`Outcome::fired`].
    pub fired: Fired,
    /// See [`Outcome::verdict`].
    pub verdict: Verdict,
}

impl<'l> Begun<'l> {
    #[inline]
    fn new(
        packs: &'l Packs,
        (correlator, policy): (&Correlator, &Policy),
        memo: &mut Memo,
        record: &'l Record<'l>,
        arrived: Timestamp,
    ) -> Self {
        let leads_nowhere =
            |event: &Event<'_>| policy.leads_nowhere(event) && correlator.leads_nowhere(event);
        let mut idle = false;
        let mut begun = Self {
            time: record.time.map_or(arrived, |own| own.min(arrived)),
            event: packs.recognise_again(memo, record, leads_nowhere, &mut idle),
            offence: Offence::default(),
            target: None,
            idle,
        };
        begun.attribute(policy);
        begun
    }

    #[inline]
    fn attribute(&mut self, policy: &Policy) {
        if let Some(event) = &self.event {
            self.offence = policy.attribute(event);
            if !self.idle {
                self.target = policy.subject(event, &self.offence);
            }
        }
    }

    /// What comes of it.
    #[inline]
    fn conclude(
        &mut self,
        correlator: &mut Correlator,
        policy: &mut Policy,
        arrived: Timestamp,
        word: Word,
        past: Past<'_>,
    ) -> Consequence {
        let Self { time, event, offence, target, idle } = self;
        let (time, target) = (*time, *target);
        // Filled in where it will be returned: it is large, and this runs for every line.
        let mut come = Consequence { fired: Fired::default(), verdict: Verdict::Nothing };
        let Some(event) = event.as_ref().filter(|_| !*idle) else { return come };
        match word {
            Word::Ours => policy.shield_in_place(event, offence, target, (time, arrived)),
            Word::Elsewhere => policy.hold_back(event, offence, target, (time, arrived)),
            Word::Anybodys => offence.distrust(),
        }
        let banned = target.is_some_and(|target| {
            policy.has_ban(target, time) || past.banned.is_some_and(|banned| banned(target))
        });
        let allowed = correlator.counts_networks(event.kind.index)
            && offence.offender.is_some_and(|addr| policy.why_allowed(addr).is_some());
        let standing = Standing { banned, allowed };
        correlator.feed_into(event, offence, target, time, standing, &mut come.fired);
        come.verdict = policy.judge(offence, &come.fired, time, arrived);
        if let Verdict::Ban(order) | Verdict::Lapsed(order) = &come.verdict {
            if past.banned.is_none() {
                policy.record(order);
            }
            correlator.consume(order.target);
        }
        come
    }

    fn with(self, come: Consequence) -> Outcome<'l> {
        let Self { time, event, offence, target, .. } = self;
        let Consequence { fired, verdict } = come;
        Outcome { time, event, offence, target, fired, verdict }
    }
}

/// What is known about a record out of the past; nothing about a new one.
#[derive(Clone, Copy, Default)]
struct Past<'p> {
    banned: Option<&'p dyn Fn(Target) -> bool>,
}

/// Whose word a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    /// This host's.
    Ours,
    /// Another host's that is believed.
    Elsewhere,
    /// That of people who are not.
    Anybodys,
}

/// What a record caused, and all that led to it: for `explain`.
#[derive(Debug)]
pub struct Explained<'l> {
    /// What it caused.
    pub outcome: Outcome<'l>,
    /// What led to it.
    pub unsaid: Unsaid,
}

/// What an [`Outcome`] leaves out, being only for people.
#[derive(Clone, Debug, Default)]
pub struct Unsaid {
    /// The pattern that takes the line, and those that nearly do.
    pub trace: Trace,
    /// The counts that it was counted in.
    pub tallies: Vec<Tally>,
    /// An earlier line told of the same login attempt, so this one doesn't count.
    pub told_before: bool,
    /// The entry of the allow list that the offender is in.
    pub allowed: Option<(IpNet, Why)>,
    /// The ban that was withheld.
    pub called_for: Option<BanOrder>,
    /// The ban that stands in its place.
    pub standing: Option<Target>,
}

impl Engine {
    /// A fresh engine.
    pub fn new(packs: Arc<Packs>, config: &Config, network: Network, proof: SuricataProof) -> Self {
        let correlator = Correlator::new(
            packs.rules(),
            config.ban.score_half_life,
            config.ban.ipv6_prefix,
            Limits::default(),
        );
        let policy = Policy::new(config, &network, proof);
        Self { packs, correlator, policy, memo: Memo::default() }
    }

    /// The same, with rules' times of day in this zone instead of UTC.
    pub fn in_zone(mut self, zone: TimeZone) -> Self {
        self.correlator.set_zone(zone);
        self
    }

    /// What the lists of the rules hold, in the order of [`crate::rules::RuleSet::lists`]; to be said again
    /// after [`Self::reload`].
    pub fn set_lists(&mut self, lists: Lists) {
        self.correlator.set_lists(lists);
    }

    /// Takes a decoded line through rules, correlator and policy. A ban that comes out is already
    /// counted as standing, and has consumed its evidence.
    #[inline]
    pub fn step<'l>(&'l mut self, record: &'l Record<'l>, arrived: Timestamp) -> Outcome<'l> {
        self.step_with(record, arrived, Word::Ours, Past::default())
    }

    /// The first half of [`Self::step`]. `packs`: this engine's own, [`Self::shared_packs`].
    #[inline]
    pub fn begin<'l>(
        &mut self,
        packs: &'l Packs,
        record: &'l Record<'l>,
        arrived: Timestamp,
    ) -> Begun<'l> {
        Begun::new(packs, (&self.correlator, &self.policy), &mut self.memo, record, arrived)
    }

    /// These were begun, and will be concluded in this order. What is remembered of whom they are about comes from
    /// memory now, for all at once, instead of one after the other when they are. Changes nothing.
    pub fn foresee(&self, begun: &[Begun<'_>]) {
        self.correlator.foresee(begun.iter().filter_map(|begun| begun.target));
    }

    /// The second half of [`Self::step`], once for each.
    #[inline]
    pub fn conclude(&mut self, begun: &mut Begun<'_>, arrived: Timestamp) -> Consequence {
        let Self { correlator, policy, .. } = self;
        begun.conclude(correlator, policy, arrived, Word::Ours, Past::default())
    }

    /// [`Self::step`] with a line of another host's: a login there is no session here.
    pub fn step_from_elsewhere<'l>(
        &'l mut self,
        record: &'l Record<'l>,
        arrived: Timestamp,
    ) -> Outcome<'l> {
        self.step_with(record, arrived, Word::Elsewhere, Past::default())
    }

    /// [`Self::step`] with a line that people beside root could have written: it alerts, and neither bans
    /// nor keeps anybody from being banned.
    pub fn step_untrusted<'l>(
        &'l mut self,
        record: &'l Record<'l>,
        arrived: Timestamp,
    ) -> Outcome<'l> {
        self.step_with(record, arrived, Word::Anybodys, Past::default())
    }

    /// Takes a record in that has had its effects already, before a restart: only what is kept in memory
    /// comes of it. A ban that comes out isn't to be made, nor counted as standing; it has consumed its
    /// evidence. `trusted`: as for [`Self::step`], and not for [`Self::step_untrusted`]; `banned`: a ban stood
    /// then that doesn't any more.
    pub fn recall<'l>(
        &'l mut self,
        record: &'l Record<'l>,
        arrived: Timestamp,
        trusted: bool,
        banned: impl Fn(Target) -> bool,
    ) -> Outcome<'l> {
        let word = if trusted { Word::Ours } else { Word::Anybodys };
        let past = Past { banned: Some(&banned) };
        self.step_with(record, arrived, word, past)
    }

    /// A ban began, long ago: see [`Self::recall`].
    pub fn recall_ban(&mut self, target: Target) {
        self.policy.needs_not_wait(target);
        self.correlator.consume(target);
    }

    /// A ban was lifted, long ago.
    pub fn recall_lift(&mut self, target: Target) {
        self.policy.needs_not_wait(target);
        self.correlator.forgive(target);
    }

    /// The wall's clock, which the lines' times are of, has stepped by so many microseconds.
    pub fn step_clock(&mut self, by: i64) {
        self.correlator.step_clock(by);
        self.policy.step_clock(by);
    }

    /// How long what a line leaves behind can matter.
    pub fn memory(&self) -> Duration {
        self.correlator.memory()
    }

    /// [`Self::step`], and what it leaves unsaid.
    pub fn explain<'l>(&'l mut self, record: &'l Record<'l>, arrived: Timestamp) -> Explained<'l> {
        let Self { packs, correlator, policy, .. } = self;
        let trace = packs.trace(record);
        // Nothing is left out, as it will be asked what was counted.
        let time = record.time.map_or(arrived, |own| own.min(arrived));
        let (event, offence) = (packs.recognise(record), Offence::default());
        let mut begun = Begun { time, event, offence, target: None, idle: false };
        begun.attribute(policy);
        let come = begun.conclude(correlator, policy, arrived, Word::Ours, Past::default());
        let outcome = begun.with(come);
        let Outcome { time, event, offence, target, fired, verdict } = &outcome;
        let mut unsaid = Unsaid { trace, ..Unsaid::default() };
        if let Some(event) = event {
            unsaid.tallies = correlator.tallies(event, *target, *time);
            unsaid.told_before = event.kind.attempt && correlator.charged() == 0;
        }
        unsaid.allowed = offence.offender.and_then(|offender| policy.why_allowed(offender));
        if let Verdict::Withheld(_) = verdict {
            unsaid.called_for = policy.called_for(offence, fired, *time);
            unsaid.standing =
                unsaid.called_for.as_ref().and_then(|order| policy.standing_for(order));
        }
        Explained { outcome, unsaid }
    }

    #[inline]
    fn step_with<'l>(
        &'l mut self,
        record: &'l Record<'l>,
        arrived: Timestamp,
        word: Word,
        past: Past<'_>,
    ) -> Outcome<'l> {
        let Self { packs, correlator, policy, memo } = self;
        let mut begun = Begun::new(packs, (correlator, policy), memo, record, arrived);
        let come = begun.conclude(correlator, policy, arrived, word, past);
        begun.with(come)
    }

    /// It is `now` by the lines' time: what should have come before and didn't.
    ///
    /// A replay calls it with each line's time before [`Self::step`]; the daemon, which reads several
    /// sources, once all of them are read up to there.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Missed> {
        self.correlator.advance(now)
    }

    /// Takes other packs and another configuration, and keeps all state; `ban.score_half_life` and
    /// `ban.ipv6_prefix` have to be the same.
    pub fn reload(
        &mut self,
        packs: Arc<Packs>,
        config: &Config,
        network: &Network,
        proof: SuricataProof,
    ) {
        self.correlator.reload(packs.rules());
        self.policy.reload(config, network, proof);
        self.memo = Memo::default();
        self.packs = packs;
    }

    /// A ban was made that didn't come out of [`Engine::step`]: by hand, or after it had to wait.
    pub fn banned(&mut self, order: &BanOrder) {
        self.policy.record(order);
        self.correlator.consume(order.target);
    }

    /// A ban was lifted: its target begins with a clean slate.
    pub fn forgive(&mut self, target: Target, now: Timestamp) {
        self.policy.lift(target, now);
        self.correlator.forgive(target);
    }

    /// How much the correlator remembers.
    pub fn memory_in_use(&self) -> Stats {
        self.correlator.stats()
    }

    /// What the packs know, to be kept.
    pub fn shared_packs(&self) -> Arc<Packs> {
        Arc::clone(&self.packs)
    }

    /// What the packs know.
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// Allow list, standing bans and offences.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Allow list, standing bans and offences, to change them.
    pub fn policy_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }
}

#[cfg(test)]
mod tests;
