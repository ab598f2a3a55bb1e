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
use crate::correlator::{Correlator, Fired, Limits, Missed, Standing, Tally};
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
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::event::{Line, Withheld};
    use crate::format::{Decoder, Selection};

    /// What each line leads to, in a fresh engine with the built-in packs.
    fn verdicts(lines: &[String]) -> Vec<Verdict> {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let config = Config::default();
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(packs, &config, Network::default(), proof);
        let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
        let mut verdict = |line: &String| {
            let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
            let record = decoder.decode(line).unwrap();
            let time = record.time.unwrap();
            engine.step(&record, time).verdict
        };
        lines.iter().map(&mut verdict).collect()
    }

    fn at(second: usize, pid: u32, message: &str) -> String {
        format!("2026-11-23T10:{:02}:{:02}Z web1 sshd[{pid}]: {message}", second / 60, second % 60)
    }

    fn guess(second: usize) -> String {
        let pid = u32::try_from(second).unwrap() + 1_000;
        at(second, pid, "Failed password for root from 198.51.100.7 port 4711 ssh2")
    }

    /// A wrong mail password, again and again, too slowly for a brute force.
    fn mistyped(second: usize) -> String {
        format!(
            "2026-11-23T10:{:02}:{:02}Z web1 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 \
             secs): user=<bob>, method=PLAIN, rip=198.51.100.7, lip=203.0.113.9, session=<s{second}>",
            second / 60,
            second % 60
        )
    }

    fn banned(verdicts: &[Verdict]) -> Vec<(Option<u32>, Option<String>)> {
        let orders = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Ban(order) => {
                Some((order.rule, order.ports.as_ref().map(ToString::to_string)))
            }
            _ => None,
        });
        orders.collect()
    }

    #[test]
    fn a_score_from_one_kind_of_service_bans_its_ports_and_a_mixed_one_every_port() {
        const MAIL: &str = "25,110,143,465,587,993,995,4190";
        let lines: Vec<String> = (0..60).map(|n| mistyped(n * 20)).collect();
        assert_eq!(banned(&verdicts(&lines)), [(None, Some(MAIL.to_owned()))]);
        let mixed: Vec<String> = [guess(0), guess(1)].into_iter().chain(lines).collect();
        assert_eq!(banned(&verdicts(&mixed))[0], (None, None));
    }

    #[test]
    fn guesses_beside_a_live_session_never_lead_to_a_ban() {
        let accepted = "Accepted publickey for alice from 198.51.100.7 port 4700 ssh2: RSA x";
        let closed = "pam_unix(sshd:session): session closed for user alice";
        let mut lines = vec![at(0, 700, accepted)];
        lines.extend((1..=12).map(guess));
        lines.push(at(20, 701, closed));
        lines.push(guess(21));
        lines.push(at(22, 700, closed));
        let session = lines.len();
        // What was told beside the session doesn't count after it either.
        lines.extend((23..30).map(guess));
        let verdicts = verdicts(&lines);
        assert!(verdicts.contains(&Verdict::Withheld(Withheld::LiveSession)), "{verdicts:?}");
        assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Ban(_))));
        assert!(!verdicts[session..].contains(&Verdict::Withheld(Withheld::LiveSession)));

        lines.push(guess(30));
        assert!(matches!(self::verdicts(&lines).last(), Some(Verdict::Ban(_))));
        // From elsewhere nothing is shielded.
        lines[0] = lines[0].replace("198.51.100.7", "198.51.100.8");
        assert!(self::verdicts(&lines).iter().any(|verdict| matches!(verdict, Verdict::Ban(_))));
    }

    /// Seven failures before the clock is set by so many microseconds, the eighth after it: the engine, and
    /// the eighth's verdict.
    fn failures_around_a_step(by: i64, told: bool) -> Verdict {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(packs, &Config::default(), Network::default(), proof);
        let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
        let mut verdict = Verdict::Nothing;
        for second in 0..8 {
            let line = guess(second);
            let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
            let mut record = decoder.decode(line).unwrap();
            let mut time = record.time.unwrap();
            if second == 7 {
                time = Timestamp::from_micros(time.as_micros() + by);
                if told {
                    engine.step_clock(by);
                }
            }
            record.time = Some(time);
            verdict = engine.step(&record, time).verdict;
        }
        verdict
    }

    #[test]
    fn windows_go_on_when_the_clock_is_set() {
        const DAY_US: i64 = 86_400_000_000;
        for by in [DAY_US, -DAY_US] {
            assert!(matches!(failures_around_a_step(by, true), Verdict::Ban(_)), "{by}");
            assert_eq!(failures_around_a_step(by, false), Verdict::Nothing, "{by}");
        }
    }

    #[test]
    fn lines_that_anybody_could_write_alert_and_neither_ban_nor_shield() {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let run = |lines: &[(String, bool)]| {
            let config = Config::default();
            let proof = SuricataProof::unknown();
            let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof);
            let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
            let mut verdicts = Vec::new();
            let mut worst = 0;
            for (line, trusted) in lines {
                let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
                let record = decoder.decode(line).unwrap();
                let time = record.time.unwrap();
                let outcome = match trusted {
                    true => engine.step(&record, time),
                    false => engine.step_untrusted(&record, time),
                };
                let levels = outcome.fired.alerts.iter().map(|alert| alert.rule.level);
                worst = levels.fold(worst, u8::max);
                verdicts.push(outcome.verdict);
            }
            (worst, verdicts)
        };
        let is_ban = |verdict: &Verdict| matches!(verdict, Verdict::Ban(_));

        let mut lines: Vec<_> = (0..30).map(|second| (guess(second), false)).collect();
        let (worst, verdicts) = run(&lines);
        assert!(worst >= 10);
        assert!(!verdicts.iter().any(is_ban));
        assert!(verdicts.contains(&Verdict::Withheld(Withheld::Untrusted)));
        // Nor is somebody banned for his first honest mistake after them, ...
        lines.push((guess(31), true));
        assert!(!run(&lines).1.iter().any(is_ban));
        // ... while real guesses are counted, though forged ones told of the same attempts before.
        lines.pop();
        lines.extend((0..30).map(|second| (guess(second), true)));
        assert!(run(&lines).1.iter().any(is_ban));

        let accepted = "Accepted publickey for alice from 198.51.100.7 port 4700 ssh2: RSA x";
        let mut lines = vec![(at(0, 700, accepted), false)];
        lines.extend((1..12).map(|second| (guess(second), true)));
        assert!(run(&lines).1.iter().any(is_ban), "a forged login saves nobody");
        lines[0].1 = true;
        assert!(!run(&lines).1.iter().any(is_ban));
    }

    #[test]
    fn what_happens_elsewhere_opens_and_closes_no_session_here() {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let run = |lines: &[(String, bool)]| {
            let config = Config::default();
            let proof = SuricataProof::unknown();
            let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof);
            let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
            let mut banned = false;
            for (line, here) in lines {
                let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
                let record = decoder.decode(line).unwrap();
                let time = record.time.unwrap();
                let outcome = match here {
                    true => engine.step(&record, time),
                    false => engine.step_from_elsewhere(&record, time),
                };
                banned |= matches!(outcome.verdict, Verdict::Ban(_));
            }
            banned
        };
        let accepted =
            at(0, 700, "Accepted publickey for a from 198.51.100.7 port 4700 ssh2: RSA x");
        let closed = at(1, 700, "pam_unix(sshd:session): session closed for user a");
        let guesses = |here| (2..22).map(move |second| (guess(second), here));
        let with = |first: &[(&String, bool)], here| {
            let first = first.iter().map(|(line, here)| ((*line).clone(), *here));
            run(&first.chain(guesses(here)).collect::<Vec<_>>())
        };
        assert!(with(&[], false), "guesses there ban here");
        assert!(with(&[(&accepted, false)], true), "a login there saves nobody here");
        assert!(!with(&[(&accepted, true)], false), "one here does, wherever the guesses are");
        assert!(
            !with(&[(&accepted, true), (&closed, false)], true),
            "its process is another there"
        );
        assert!(with(&[(&accepted, true), (&closed, true)], true));
    }

    #[test]
    fn times_of_day_are_those_of_the_zone() {
        const PACK: &str = "
pack: shop
format: syslog
programs: [shop]
events:
  opened: {pattern: '^opened$'}
rules:
  - {id: 1, level: 3, event: opened, when: {time: 22:00-06:00, weekday: sat}, description: d}
";
        // A Friday, 23:30 in UTC.
        let line = b"2026-11-20T23:30:00Z web1 shop[1]: opened";
        let packs = Arc::new(Packs::from_texts(&[("shop.yaml", PACK)]).unwrap());
        let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
        for (zone, fires) in [("Europe/Berlin", true), ("UTC", false), ("Asia/Tokyo", false)] {
            let config = Config::default();
            let proof = SuricataProof::unknown();
            let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof)
                .in_zone(TimeZone::get(zone).unwrap());
            let now = Timestamp::now();
            let record = decoder.decode(Line { bytes: line, arrived: now }).unwrap();
            let outcome = engine.step(&record, record.time.unwrap());
            assert_eq!(!outcome.fired.alerts.is_empty(), fires, "{zone}");
        }
    }

    #[test]
    fn a_front_is_banned_for_its_ssh_and_never_for_its_clients() {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let front: IpNet = "198.51.100.7/32".parse().unwrap();
        let banned = |fronts: &[IpNet], format, line: &dyn Fn(usize) -> String| {
            let config = Config { fronts: fronts.to_vec(), ..Config::default() };
            let proof = SuricataProof::unknown();
            let mut engine = Engine::new(Arc::clone(&packs), &config, Network::default(), proof);
            let mut decoder = Decoder::new(Selection::Only(format), TimeZone::UTC);
            (0..60).any(|second| {
                let line = line(second);
                let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
                let record = decoder.decode(line).unwrap();
                let time = record.time.unwrap();
                matches!(engine.step(&record, time).verdict, Verdict::Ban(_))
            })
        };
        let scan = |second: usize| {
            let time = format!("23/Nov/2026:10:00:{second:02} +0000");
            format!("198.51.100.7 - - [{time}] \"GET /.env HTTP/1.1\" 404 196 \"-\" \"curl\"")
        };
        assert!(banned(&[], Format::Plain, &scan));
        assert!(!banned(&[front], Format::Plain, &scan));
        assert!(banned(&[front], Format::Syslog, &guess));
    }
}
