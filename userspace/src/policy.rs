//! May we, and how long: whose address, allow list, proof, expiry and escalation.
//!
//! [`Policy::attribute`] says whose deed an event is, before rules run; [`Policy::judge`] what becomes
//! of it after them. It has no clock and makes no ban: who acts on a verdict says so by
//! [`Policy::record`].
//!
//! A ban is called for by an alert of `ban.level` or above (or by a rule that says `ban: true`), the
//! highest level first, then the lowest id; else by a score of `ban.score`, on an event that added to
//! it. A rule that says `ban: false` doesn't ban by its level; what it adds to the score counts like
//! all. Where a ban is called for and none comes, the first of these is why:
//!
//! 1. `allowed`: nothing else would ever matter
//! 2. `outbound`, `ambiguous`, `front`, `unproven`, `live-session`: what speaks against this event
//! 3. `unproven`, `observe`: the event is good, but the count or score isn't without evidence that may
//!    not ban, or the rule is in a pack in mode observe
//! 4. `private`
//! 5. `already`: a ban of it, or of a prefix around it, stands, of at least the ports that this one
//!    would be about
//! 6. `observe`: the mode of the whole
//! 7. `rate`: last, so that only bans that would be made use it up
//!
//! A rule with `ban: prefix` is about the offender's network, after `private`: `allowed` where all of it
//! is, `live-session` where one comes from anywhere in it, `private` where our own link is in it, `front`
//! where one of those is. What else fired may then still ban the offender alone.
#![forbid(unsafe_code)]

mod allow;
mod allow_files;
mod attribution;
mod by_hand;
mod configured;
mod pace;
mod proof;
mod record;
mod sessions;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use self::allow::AllowList;
pub use self::allow::Why;
pub use self::allow_files::{AllowFileError, AllowFiles, read as read_allow_file};
use self::attribution::{Attribution, Fronts, Home};
pub use self::by_hand::{AllowEntry, DisallowRefusal, HandRefusal};
use self::configured::Configured;
use self::pace::Pace;
pub use self::proof::{ProofError, SuricataProof};
pub use self::record::Past;
use self::record::{Asked, Record};
pub use self::sessions::{Confirm, OpenSession};
use self::sessions::{News, Sessions};
use crate::config::{BanConfig, Config, Mode};
use crate::correlator::Fired;
use crate::event::{
    Alert, BanOrder, Event, Offence, Origin, Target, Timestamp, Ttl, Verdict, Withheld, canonical,
};

/// What policy has to know of the host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    /// The host's own addresses.
    pub addresses: Vec<IpAddr>,
    /// The routers it sends through.
    pub gateways: Vec<IpAddr>,
    /// The name servers it asks.
    pub resolvers: Vec<IpAddr>,
    /// The mail relay's addresses, and whatever else Ravelin itself talks to.
    pub relays: Vec<IpAddr>,
    /// Prefixes of its own links: neighbours there are banned one by one.
    pub on_link: Vec<IpNet>,
    /// Subnets of its containers and bridges.
    pub inside: Vec<IpNet>,
}

/// Whose address, may we, how long.
#[derive(Debug)]
pub struct Policy {
    mode: Mode,
    ban: BanConfig,
    allow: AllowList,
    /// What people allowed, and until when.
    by_hand: BTreeMap<Target, Option<Timestamp>>,
    /// What the allow list and `home` are made of.
    configured: Configured,
    home: Home,
    fronts: Fronts,
    on_link: Vec<IpNet>,
    proof: SuricataProof,
    record: Record,
    pace: Pace,
    sessions: Sessions,
}

impl Policy {
    /// One without a past.
    pub fn new(config: &Config, network: &Network, proof: SuricataProof) -> Self {
        let configured = Configured::of(config, network);
        Self {
            mode: config.mode,
            allow: configured.allow_list([]),
            by_hand: BTreeMap::new(),
            configured,
            home: Home::new(&config.home, network),
            fronts: Fronts::new(&config.fronts, config.ban.ipv6_prefix),
            on_link: network.on_link.clone(),
            proof,
            record: Record::new(config.ban.forget_after, remembered(&config.ban)),
            pace: Pace::new(config.ban.max_per_minute),
            sessions: Sessions::default(),
            ban: config.ban.clone(),
        }
    }

    /// Takes another configuration; keeps bans, offences, what people allowed and what waits.
    pub fn reload(&mut self, config: &Config, network: &Network, proof: SuricataProof) {
        self.mode = config.mode;
        let files = std::mem::take(&mut self.configured.files);
        self.configured = Configured { files, ..Configured::of(config, network) };
        self.apply();
        self.proof = proof;
        self.record.configure(config.ban.forget_after, remembered(&config.ban));
        self.pace.configure(config.ban.max_per_minute);
        self.ban = config.ban.clone();
        self.fronts = Fronts::new(&config.fronts, config.ban.ipv6_prefix);
    }

    /// Takes what has changed about the host; says whether anything that matters did.
    pub fn set_network(&mut self, network: &Network) -> bool {
        if self.configured.network == *network {
            return false;
        }
        self.configured.network = network.clone();
        self.apply();
        true
    }

    /// Takes what the `allow` files hold; says whether that is anything else than before.
    pub fn set_allow_files(&mut self, files: Vec<IpNet>) -> bool {
        if self.configured.files == files {
            return false;
        }
        self.configured.files = files;
        self.apply();
        true
    }

    fn apply(&mut self) {
        let Configured { home, network, .. } = &self.configured;
        self.allow = self.configured.allow_list(self.by_hand.keys().copied());
        self.home = Home::new(home, network);
        self.on_link.clone_from(&network.on_link);
    }

    /// Whose deed an event is.
    pub fn attribute(&self, event: &Event<'_>) -> Offence {
        let Self { home, fronts, proof, ban, .. } = self;
        Attribution { home, fronts, proof, ban }.of(event)
    }

    /// Takes note of what an event says about SSH sessions; an offence that is a login attempt from where
    /// an authenticated one comes from may not ban while that lives.
    pub fn shield(
        &mut self,
        event: &Event<'_>,
        mut offence: Offence,
        time: Timestamp,
        arrived: Timestamp,
    ) -> Offence {
        let target = self.subject(event, &offence);
        self.shield_in_place(event, &mut offence, target, (time, arrived));
        offence
    }

    /// [`Self::shield`], where the offence stands. `target`: what [`Self::subject`] says.
    #[inline]
    pub(crate) fn shield_in_place(
        &mut self,
        event: &Event<'_>,
        offence: &mut Offence,
        target: Option<Target>,
        (time, arrived): (Timestamp, Timestamp),
    ) {
        if event.suricata.is_some() || (self.sessions.is_empty() && !event.kind.success) {
            return;
        }
        match News::of(event) {
            Some(News::Opened { addr, port }) => {
                self.sessions.open(self.target(addr), addr, port, event.pid, time);
            }
            Some(News::ClosedBy { pid }) => self.sessions.close_by(pid),
            Some(News::Closed { addr, port, pid }) => {
                self.sessions.close(self.target(addr), addr, port, pid);
            }
            None => {}
        }
        self.hold_back(event, offence, target, (time, arrived));
    }

    /// The same of what another host says, whose sessions and processes aren't ours: it opens and closes none.
    #[inline]
    pub(crate) fn hold_back(
        &mut self,
        event: &Event<'_>,
        offence: &mut Offence,
        target: Option<Target>,
        (time, arrived): (Timestamp, Timestamp),
    ) {
        if event.suricata.is_some() || self.sessions.is_empty() {
            return;
        }
        if let (Offence { offender: Some(_), bar: None, .. }, Some(target)) = (&*offence, target)
            && sessions::is_login(event.kind)
            && self.sessions.live(target, time, arrived)
        {
            offence.bar = Some(Withheld::LiveSession);
        }
    }

    /// Whether an event says nothing to policy, nor ever will one of the same kind with the same fields: it blames
    /// nobody, and opens and closes no session.
    pub(crate) fn leads_nowhere(&self, event: &Event<'_>) -> bool {
        let offence = self.attribute(event);
        offence.offender.is_none()
            && offence.bar.is_none()
            && self.subject(event, &offence).is_none()
            && !event.kind.success
            && sessions::tells(event.kind).is_none()
    }

    /// Has somebody who knows confirm that sessions live; without it the lines are believed, for a time.
    pub fn confirm_sessions(&mut self, confirm: Confirm) {
        self.sessions.confirm_by(confirm);
    }

    /// Who was banned how often, and until when at last: for a database that has forgotten it.
    pub fn offenders(&self) -> impl Iterator<Item = (Target, u32, Timestamp)> {
        self.record.offenders()
    }

    /// The SSH sessions that are open, to be told after a restart.
    pub fn sessions(&self) -> Vec<OpenSession> {
        self.sessions.all().collect()
    }

    /// Those that were open before a restart; their lines may come once more.
    pub fn restore_sessions(&mut self, open: impl IntoIterator<Item = OpenSession>) {
        for OpenSession { addr, port, pid, since } in open {
            self.sessions.open(self.target(addr), addr, port, pid, since);
        }
    }

    /// What a ban of this offender is about: its address, or its IPv6 prefix; but a neighbour on one of
    /// our own links shares that with us, and is its address alone.
    pub fn target(&self, offender: IpAddr) -> Target {
        match canonical(offender) {
            addr @ IpAddr::V6(_) if self.on_link.iter().any(|net| net.contains(&addr)) => {
                Target::of_address(offender)
            }
            _ => Target::of_offender(offender, self.ban.ipv6_prefix),
        }
    }

    /// Whom an event is about, for the correlator: the offender's target, and for an event without
    /// offender (a success) its address's.
    pub fn subject(&self, event: &Event<'_>, offence: &Offence) -> Option<Target> {
        attribution::subject(event, offence).map(|addr| self.target(addr))
    }

    /// What becomes of an event at `time` that was read at `arrived` and has `fired`.
    ///
    /// A replay gives the line's time for both.
    pub fn judge(
        &mut self,
        offence: &Offence,
        fired: &Fired,
        time: Timestamp,
        arrived: Timestamp,
    ) -> Verdict {
        if fired.alerts.is_empty() && fired.points.is_empty() {
            return Verdict::Nothing;
        }
        let Some(call) = self.call(fired, true) else { return Verdict::Nothing };
        let Some(offender) = offence.offender else {
            return match offence.bar {
                Some(Withheld::Ambiguous) => Verdict::Withheld(Withheld::Ambiguous),
                _ => Verdict::Nothing,
            };
        };
        let mut target = self.target(offender);
        if self.allow.holds(offender).is_some() || self.allow.covers(target).is_some() {
            return Verdict::Withheld(Withheld::Allowed);
        }
        if let Some(bar) = offence.bar {
            return Verdict::Withheld(bar);
        }
        let mut alert = match call {
            Call::By(alert) => alert,
            Call::Hollow(why) => return Verdict::Withheld(why),
        };
        if !self.ban.private && is_private(offender) {
            return Verdict::Withheld(Withheld::Private);
        }
        if let Some(networks) = alert.and_then(|alert| alert.rule.network) {
            let network = networks.of(offender);
            match self.shields(network, time, arrived) {
                None => target = network,
                // What the offender did itself may still be enough for a ban of it alone.
                Some(why) => match self.call(fired, false) {
                    Some(Call::By(other)) => alert = other,
                    Some(Call::Hollow(_)) | None => return Verdict::Withheld(why),
                },
            }
        }
        let ports = match alert {
            Some(alert) => alert.rule.ports.as_ref(),
            None => fired.ports.as_ref(),
        };
        if self.record.standing(target, Asked::of(ports), time).is_some() {
            return Verdict::Withheld(Withheld::Already);
        }
        if self.mode == Mode::Observe {
            return Verdict::Withheld(Withheld::Observe);
        }
        let order = self.order(target, alert, fired, time);
        if order.expires().is_some_and(|expires| expires <= arrived) {
            return Verdict::Lapsed(order);
        }
        if !self.pace.take(arrived) {
            self.pace.wait(order, fired.bannable_score);
            return Verdict::Withheld(Withheld::Rate);
        }
        self.pace.forget(target);
        Verdict::Ban(order)
    }

    /// The ban that an event and what it fired call for, whether or not it may come: for `explain`, which
    /// asks before [`Self::record`].
    pub fn called_for(
        &self,
        offence: &Offence,
        fired: &Fired,
        time: Timestamp,
    ) -> Option<BanOrder> {
        let call = self.call(fired, true)?;
        let offender = offence.offender?;
        let alert = match call {
            Call::By(alert) => alert,
            Call::Hollow(_) => fired
                .alerts
                .iter()
                .find(|alert| alert.rule.ban.unwrap_or(alert.rule.level >= self.ban.level)),
        };
        let network = alert.and_then(|alert| alert.rule.network);
        let target = network.map_or_else(|| self.target(offender), |it| it.of(offender));
        Some(self.order(target, alert, fired, time))
    }

    /// The ban that stands already where another is called for: its own, or of a network around it.
    pub fn standing_for(&self, order: &BanOrder) -> Option<Target> {
        self.record.standing(order.target, Asked::of(order.ports.as_ref()), order.since)
    }

    /// Bans that had to wait and needn't any more, the highest score first; each still to be recorded.
    pub fn release(&mut self, now: Timestamp) -> Vec<BanOrder> {
        let mut released = Vec::new();
        if self.mode == Mode::Observe {
            return released;
        }
        while self.pace.waiting() > 0 && self.pace.take(now) {
            let order = std::iter::from_fn(|| self.pace.next()).find(|order| {
                let lapsed = order.expires().is_some_and(|expires| expires <= now);
                let asked = Asked::of(order.ports.as_ref());
                let banned = self.record.standing(order.target, asked, now).is_some();
                !lapsed && !banned && self.allow.covers(order.target).is_none()
            });
            match order {
                Some(order) => released.push(order),
                None => self.pace.give_back(),
            }
        }
        released
    }

    /// Whether a ban of every port of all of `target` stands, its own or a wider one.
    pub fn is_banned(&self, target: Target, time: Timestamp) -> bool {
        self.record.standing(target, Asked::Every, time).is_some()
    }

    /// Whether a ban of all of `target` stands, its own or a wider one, of whichever ports.
    pub fn has_ban(&self, target: Target, time: Timestamp) -> bool {
        self.record.standing(target, Asked::Any, time).is_some()
    }

    /// A ban of every port of a wider prefix that holds all of `target`: lifting its own wouldn't free it.
    pub fn wider_ban(&self, target: Target, time: Timestamp) -> Option<Target> {
        self.record.wider(target, Asked::Every, time)
    }

    /// Which ban of this target the next one would be, from 1: what a [`BanOrder`] by hand says.
    pub fn next_offence(&self, target: Target, time: Timestamp) -> u32 {
        self.record.next_offence(target, time)
    }

    /// How long the n-th ban of a target lasts, where no rule says otherwise.
    pub fn ttl(&self, offences: u32) -> Ttl {
        Ttl::For(self.escalated(offences).unwrap_or(self.ban.ttl))
    }

    /// A ban was made (or was that of a backlog, and lapsed).
    pub fn record(&mut self, order: &BanOrder) {
        self.pace.forget(order.target);
        self.record.note(order);
    }

    /// The wall's clock has stepped by so many microseconds: everything lasts as long as before.
    pub fn step_clock(&mut self, by: i64) {
        self.record.step_clock(by);
        self.sessions.step_clock(by);
        for expires in self.by_hand.values_mut().flatten() {
            *expires = Timestamp::from_micros(expires.as_micros().saturating_add(by));
        }
    }

    /// A ban of it needn't wait for `ban.max_per_minute` any more.
    pub fn needs_not_wait(&mut self, target: Target) {
        self.pace.forget(target);
    }

    /// What the database knows of earlier bans.
    pub fn restore(&mut self, past: impl IntoIterator<Item = Past>) {
        let past = past.into_iter();
        self.record.reserve(past.size_hint().0);
        past.for_each(|past| self.record.restore(past));
    }

    /// A ban was lifted by hand: the offence is forgiven too. Says whether one stood.
    pub fn lift(&mut self, target: Target, now: Timestamp) -> bool {
        self.pace.forget(target);
        self.record.lift(target, now)
    }

    /// Forgets offences older than `ban.forget_after`; cheap to call often.
    pub fn expire(&mut self, now: Timestamp) {
        self.record.expire(now);
    }

    /// The allow list, for the kernel's.
    pub fn allowed(&self) -> Vec<IpNet> {
        self.allow.nets()
    }

    /// Why an address is never banned, if it isn't.
    pub fn why_allowed(&self, addr: IpAddr) -> Option<(IpNet, Why)> {
        self.allow.holds(addr)
    }

    /// Whether fast.log's alerts are taken for proven for want of Suricata's rules.
    pub const fn is_proof_unknown(&self) -> bool {
        self.proof.is_unknown()
    }

    /// Bans that wait for `ban.max_per_minute`, and how many ever had to.
    pub fn held_back(&self) -> (usize, u64) {
        (self.pace.waiting(), self.pace.held_back())
    }

    /// Targets whose bans and offences are remembered.
    pub fn remembered(&self) -> usize {
        self.record.len()
    }

    /// Why all of a network isn't banned for what many in it do, if it isn't.
    fn shields(
        &mut self,
        network: Target,
        time: Timestamp,
        arrived: Timestamp,
    ) -> Option<Withheld> {
        let on_link = |net: &IpNet| {
            let link = Target::from(*net);
            network.covers(link) || link.covers(network)
        };
        if self.allow.covers(network).is_some() {
            Some(Withheld::Allowed)
        } else if by_hand::is_too_wide(network) {
            Some(Withheld::Ambiguous)
        } else if self.sessions.live_in(network, time, arrived) {
            Some(Withheld::LiveSession)
        } else if self.on_link.iter().any(on_link) {
            // Our own link's neighbours are banned one by one.
            Some(Withheld::Private)
        } else if self.fronts.touch(network) {
            Some(Withheld::Front)
        } else {
            None
        }
    }

    /// What calls for a ban, if anything does; with `networks` also of the offender's network.
    fn call<'f>(&self, fired: &'f Fired, networks: bool) -> Option<Call<'f>> {
        let mut hollow = None;
        for alert in &fired.alerts {
            let rule = &alert.rule;
            if rule.network.is_some() && !networks {
                continue;
            }
            if !rule.ban.unwrap_or(rule.level >= self.ban.level) {
                continue;
            }
            if rule.observe {
                hollow = hollow.or(Some(Withheld::Observe));
            } else if fired.tainted.contains(&rule.id) {
                hollow = hollow.or(Some(Withheld::Unproven));
            } else {
                return Some(Call::By(Some(alert)));
            }
        }
        if !fired.points.is_empty() && fired.score >= self.ban.score {
            if fired.bannable_score >= self.ban.score {
                return Some(Call::By(None));
            }
            let observed = fired.alerts.iter().any(|alert| alert.rule.observe);
            let why = if observed { Withheld::Observe } else { Withheld::Unproven };
            hollow = hollow.or(Some(why));
        }
        hollow.map(Call::Hollow)
    }

    fn order(
        &self,
        target: Target,
        alert: Option<&Alert>,
        fired: &Fired,
        time: Timestamp,
    ) -> BanOrder {
        let offences = self.record.next_offence(target, time);
        let own = alert.and_then(|alert| alert.rule.ttl);
        let ttl = match (own, self.escalated(offences)) {
            // A repeat never gets off more lightly than the rule says.
            (Some(own), escalated) => Ttl::For(escalated.map_or(own, |longer| longer.max(own))),
            (None, _) => self.ttl(offences),
        };
        BanOrder {
            target,
            since: time,
            ttl,
            ports: match alert {
                Some(alert) => alert.rule.ports.clone(),
                None => fired.ports.clone(),
            },
            origin: Origin::Rule,
            rule: alert.map(|alert| alert.rule.id),
            level: alert.map(|alert| alert.rule.level),
            reason: match alert {
                Some(alert) => alert.rule.description.clone(),
                None => format!("score {:.1} reached {:.1}", fired.bannable_score, self.ban.score),
            },
            offences,
        }
    }

    /// What a repeat offender gets: the second ban the first of `escalate`, the last one sticks.
    fn escalated(&self, offences: u32) -> Option<std::time::Duration> {
        let repeat = usize::try_from(offences).ok()?.checked_sub(2)?;
        let steps = &self.ban.escalate;
        steps.get(repeat).or(steps.last()).copied()
    }
}

/// What calls for a ban.
enum Call<'f> {
    /// This alert; without one the score.
    By(Option<&'f Alert>),
    /// Something that can't have one, and why.
    Hollow(Withheld),
}

/// Offences of as many targets as both exact maps hold.
fn remembered(ban: &BanConfig) -> usize {
    usize::try_from(ban.max).unwrap_or(usize::MAX).saturating_mul(2)
}

/// RFC 1918, 100.64/10 (RFC 6598) and ULA (RFC 4193): behind a load balancer they are everyone.
fn is_private(addr: IpAddr) -> bool {
    const SHARED: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(100, 64, 0, 0), 10);
    match canonical(addr) {
        IpAddr::V4(v4) => v4.is_private() || SHARED.contains(&v4),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests;
