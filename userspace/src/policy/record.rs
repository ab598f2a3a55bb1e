//! Bans that stand, and how often a target was banned.

use std::time::Duration;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::event::{BanOrder, Origin, Ports, Target, Timestamp, Ttl};
use crate::seeded::HashMap;

/// Between two looks for what can be forgotten: each goes through all of it.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// A target's ban and history, as the database keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Past {
    /// Who.
    pub target: Target,
    /// Of which ports; `None`: every one.
    pub ports: Option<Ports>,
    /// When its latest ban lapses or lapsed; `None`: never.
    pub expires: Option<Timestamp>,
    /// How often it was banned by rules or by hand, within `ban.forget_after`.
    pub offences: u32,
}

/// All of them, in memory.
#[derive(Debug)]
pub(super) struct Record {
    targets: HashMap<Target, Standing>,
    /// Those of them that have a ban of some ports.
    scoped: HashMap<Target, Scoped>,
    /// Those that are no single offender: few, and asked about every event while there are any.
    wide: JointPrefixMap<IpNet, ()>,
    forget_after: Duration,
    max: usize,
    swept: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    expires: Timestamp,
    offences: u32,
}

/// What a ban must be about to be the one that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'p> {
    /// Every port.
    Every,
    /// These ports at least.
    These(&'p Ports),
    /// One port or more.
    Any,
}

impl<'p> Asked<'p> {
    /// The ports of a ban that would be made; `None`: every one.
    pub(super) fn of(ports: Option<&'p Ports>) -> Self {
        ports.map_or(Self::Every, Self::These)
    }
}

/// What of a target's bans ends when, where there is one of some ports.
#[derive(Clone, Debug)]
struct Scoped {
    ports: Ports,
    until: Timestamp,
    /// The end of the ban of every port.
    every_until: Timestamp,
}

const NOT: Timestamp = Timestamp::from_micros(i64::MIN);

/// Later than any ban lapses.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl Record {
    pub(super) fn new(forget_after: Duration, max: usize) -> Self {
        Self {
            targets: HashMap::default(),
            scoped: HashMap::default(),
            wide: JointPrefixMap::new(),
            forget_after,
            max: max.max(1),
            swept: Timestamp::from_micros(i64::MIN),
        }
    }

    pub(super) const fn configure(&mut self, forget_after: Duration, max: usize) {
        self.forget_after = forget_after;
        self.max = max;
    }

    /// Which ban of this target the next one would be, from 1.
    pub(super) fn next_offence(&self, target: Target, time: Timestamp) -> u32 {
        let before = self.targets.get(&target).filter(|past| !self.is_forgotten(past, time));
        before.map_or(1, |past| past.offences.saturating_add(1))
    }

    /// A ban that stands at `time` and holds all of `target`: its own, or else a wider one.
    pub(super) fn standing(
        &self,
        target: Target,
        asked: Asked<'_>,
        time: Timestamp,
    ) -> Option<Target> {
        if self.stands(target, asked, time) {
            Some(target)
        } else {
            self.wider(target, asked, time)
        }
    }

    /// A ban of a wider prefix that stands at `time`, likewise.
    pub(super) fn wider(
        &self,
        target: Target,
        asked: Asked<'_>,
        time: Timestamp,
    ) -> Option<Target> {
        let net = target.net();
        if let IpNet::V6(v6) = net
            && v6.prefix_len() > 64
        {
            let half = Target::of_offender(v6.addr().into(), 64);
            if self.stands(half, asked, time) {
                return Some(half);
            }
        }
        if self.wide.is_empty() {
            return None;
        }
        self.wide
            .cover_keys(&net)
            .map(Target::from)
            .find(|wider| *wider != target && self.stands(*wider, asked, time))
    }

    /// Takes note of a ban. Only rules' and people's are offences: a list or another host says nothing
    /// about what was done here.
    pub(super) fn note(&mut self, order: &BanOrder) {
        let offences = match order.origin {
            Origin::Rule | Origin::Hand => order.offences,
            Origin::Fleet | Origin::Feed(_) | Origin::Adopted => {
                self.targets.get(&order.target).map_or(0, |past| past.offences)
            }
        };
        let expires = match order.ttl {
            Ttl::For(_) => order.expires(),
            Ttl::Permanent => None,
        };
        let past = Past { target: order.target, ports: order.ports.clone(), expires, offences };
        self.take(past, order.since);
    }

    /// Makes room for so many more, as far as there may be any.
    pub(super) fn reserve(&mut self, more: usize) {
        self.targets.reserve(more.min(self.max.saturating_sub(self.targets.len())));
    }

    pub(super) fn restore(&mut self, past: Past) {
        self.take(past, NOT);
    }

    /// `since`: bans that are over by then are not added to.
    fn take(&mut self, past: Past, since: Timestamp) {
        let Past { target, ports, expires, offences } = past;
        if self.targets.len() >= self.max && !self.targets.contains_key(&target) {
            self.make_room();
        }
        if is_wide(target) {
            self.wide.insert(target.net(), ());
        }
        let expires = self.extend(target, ports, expires.unwrap_or(NEVER), since);
        self.targets.insert(target, Standing { expires, offences });
    }

    /// Adds a ban to those of some ports that the target has, as the blocklist does; when all of them
    /// will be over.
    fn extend(
        &mut self,
        target: Target,
        ports: Option<Ports>,
        expires: Timestamp,
        since: Timestamp,
    ) -> Timestamp {
        let known = self.scoped.remove(&target).filter(|known| known.until > since);
        let every = match (&known, self.targets.get(&target)) {
            (Some(known), _) => known.every_until,
            (None, Some(past)) if past.expires > since => past.expires,
            _ => NOT,
        };
        let (ports, until, every_until) = match (ports, known) {
            (None, None) => return expires,
            (None, Some(known)) => (known.ports, known.until, expires),
            (Some(ports), Some(known)) if ports != known.ports => {
                (ports.union(&known.ports), expires.max(known.until), every)
            }
            (Some(ports), _) => (ports, expires, every),
        };
        self.scoped.insert(target, Scoped { ports, until, every_until });
        until.max(every_until)
    }

    /// Lifts a ban and forgives this one offence, as the database does; says whether it stood.
    pub(super) fn lift(&mut self, target: Target, time: Timestamp) -> bool {
        self.wide.remove(&target.net());
        self.scoped.remove(&target);
        let Some(past) = self.targets.get_mut(&target) else { return false };
        let stood = past.expires > time;
        past.expires = past.expires.min(time);
        past.offences = past.offences.saturating_sub(1);
        if past.offences == 0 {
            self.targets.remove(&target);
        }
        stood
    }

    /// The clock has stepped by so many microseconds: what is left of a ban is as long as before.
    pub(super) fn step_clock(&mut self, by: i64) {
        for past in self.targets.values_mut() {
            past.expires = stepped(past.expires, by);
        }
        for scoped in self.scoped.values_mut() {
            scoped.until = stepped(scoped.until, by);
            scoped.every_until = stepped(scoped.every_until, by);
        }
    }

    /// Who was banned how often, and until when at last.
    pub(super) fn offenders(&self) -> impl Iterator<Item = (Target, u32, Timestamp)> {
        let all = self.targets.iter().filter(|(_, past)| past.offences > 0);
        all.map(|(target, past)| (*target, past.offences, past.expires))
    }

    /// Forgets offences that are old enough, now and then.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let since = now.since(self.swept);
        if since < SWEEP_EVERY && now >= self.swept {
            return;
        }
        self.swept = now;
        let forget_after = self.forget_after;
        self.targets.retain(|_, past| !is_forgotten(past, now, forget_after));
        self.forget_wide();
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    fn stands(&self, target: Target, asked: Asked<'_>, time: Timestamp) -> bool {
        if self.targets.get(&target).is_none_or(|past| past.expires <= time) {
            return false;
        }
        let Some(scoped) = self.scoped.get(&target) else { return true };
        scoped.every_until > time
            || (scoped.until > time
                && match asked {
                    Asked::Every => false,
                    Asked::These(ports) => scoped.ports.covers(ports),
                    Asked::Any => true,
                })
    }

    fn is_forgotten(&self, past: &Standing, time: Timestamp) -> bool {
        is_forgotten(past, time, self.forget_after)
    }

    /// Forgets the eighth that lapsed or lapses first, permanent bans last.
    fn make_room(&mut self) {
        let mut expiries: Vec<Timestamp> = self.targets.values().map(|past| past.expires).collect();
        let eighth = expiries.len() / 8;
        let (_, limit, _) = expiries.select_nth_unstable(eighth);
        let limit = *limit;
        let mut surplus = eighth + 1;
        self.targets.retain(|_, past| {
            let goes = surplus > 0 && past.expires <= limit;
            surplus -= usize::from(goes);
            !goes
        });
        self.forget_wide();
    }

    fn forget_wide(&mut self) {
        let targets = &self.targets;
        self.wide.retain(|net, ()| targets.contains_key(&Target::from(net)));
        self.scoped.retain(|target, _| targets.contains_key(target));
    }
}

fn stepped(time: Timestamp, by: i64) -> Timestamp {
    match time {
        NOT | NEVER => time,
        time => Timestamp::from_micros(time.as_micros().saturating_add(by)),
    }
}

fn is_forgotten(past: &Standing, time: Timestamp, forget_after: Duration) -> bool {
    past.expires.saturating_add(forget_after) <= time
}

/// Whether others may lie in it, beside what its exact map's key covers.
fn is_wide(target: Target) -> bool {
    match target.net() {
        IpNet::V4(net) => net.prefix_len() < 32,
        IpNet::V6(net) => net.prefix_len() != 64 && net.prefix_len() < 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn past(text: &str, expires: i64) -> Past {
        Past { target: target(text), ports: None, expires: Some(at(expires)), offences: 1 }
    }

    fn record() -> Record {
        Record::new(Duration::from_secs(1_000), 100)
    }

    #[test]
    fn bans_stand_until_they_lapse_also_under_wider_ones() {
        let mut record = record();
        record.restore(past("198.51.100.7", 100));
        record.restore(past("203.0.113.0/24", 200));
        record.restore(past("2001:db8::/64", 100));
        record.restore(past("2001:db8:8000::/33", 200));
        record.restore(Past { expires: None, ..past("192.0.2.1", 0) });
        for (who, time, by) in [
            ("198.51.100.7", 99, Some("198.51.100.7/32")),
            ("198.51.100.7", 100, None),
            ("198.51.100.8", 0, None),
            ("203.0.113.9", 199, Some("203.0.113.0/24")),
            ("203.0.113.0/25", 199, Some("203.0.113.0/24")),
            ("203.0.113.9", 200, None),
            ("203.0.0.0/16", 0, None),
            ("2001:db8::7", 99, Some("2001:db8::/64")),
            ("2001:db8::7/128", 99, Some("2001:db8::/64")),
            ("2001:db8:8000::1", 199, Some("2001:db8:8000::/33")),
            ("2001:db8:8000::1/128", 199, Some("2001:db8:8000::/33")),
            ("192.0.2.1", i64::MAX / 2_000_000, Some("192.0.2.1/32")),
        ] {
            let by = by.map(target);
            assert_eq!(record.standing(target(who), Asked::Every, at(time)), by, "{who} at {time}");
            let wider = by.filter(|by| *by != target(who));
            assert_eq!(record.wider(target(who), Asked::Every, at(time)), wider, "{who} at {time}");
        }
    }

    #[test]
    fn offences_are_counted_and_forgotten() {
        let mut record = record();
        let who = target("198.51.100.7");
        assert_eq!(record.next_offence(who, at(0)), 1);
        record.restore(Past { offences: 3, ..past("198.51.100.7", 100) });
        assert_eq!(record.next_offence(who, at(1_099)), 4);
        assert_eq!(record.next_offence(who, at(1_100)), 1);
        record.expire(at(1_099));
        assert_eq!(record.len(), 1);
        record.expire(at(1_100));
        assert_eq!(record.len(), 1, "not looked at again so soon");
        record.expire(at(1_699));
        assert_eq!(record.len(), 0);
        record.restore(past("198.51.100.7", 5_000));
        assert!(record.lift(who, at(4_000)));
        assert!(!record.lift(who, at(4_000)));
        assert_eq!(record.next_offence(who, at(4_000)), 1);
    }

    #[test]
    fn a_ban_of_ports_stands_for_these_alone_and_beside_others() {
        let mut record = record();
        let ports = |text: &str| text.parse::<Ports>().unwrap();
        let of = |text: &str, since, secs| BanOrder {
            target: target("198.51.100.7"),
            since: at(since),
            ttl: Ttl::For(Duration::from_secs(secs)),
            ports: (text != "*").then(|| ports(text)),
            origin: Origin::Rule,
            rule: None,
            level: None,
            reason: String::new(),
            offences: 1,
        };
        let stands = |record: &Record, text: &str, time| {
            let ports = (text != "*").then(|| ports(text));
            record.standing(target("198.51.100.7"), Asked::of(ports.as_ref()), at(time)).is_some()
        };
        record.note(&of("25,465", 0, 100));
        assert!(stands(&record, "25", 99) && stands(&record, "25,465", 99));
        assert!(!stands(&record, "*", 99) && !stands(&record, "22", 99));
        assert!(!stands(&record, "25", 100));
        // Another service's, then every port for less long.
        record.note(&of("80", 10, 20));
        assert!(stands(&record, "25,80", 99) && !stands(&record, "*", 20));
        record.note(&of("*", 20, 10));
        assert!(stands(&record, "*", 29) && stands(&record, "22", 29));
        assert!(
            !stands(&record, "*", 30) && stands(&record, "80", 99) && !stands(&record, "80", 100)
        );
        // After that: not what has lapsed.
        record.note(&of("80", 200, 20));
        assert!(stands(&record, "80", 219) && !stands(&record, "25", 219));
        assert!(record.lift(target("198.51.100.7"), at(210)));
        assert!(!stands(&record, "80", 211));
        // Under a wider one of other ports.
        let wide = BanOrder { target: target("198.51.100.0/24"), ..of("25,80", 300, 50) };
        record.note(&wide);
        assert!(stands(&record, "80", 310) && !stands(&record, "*", 310));
    }

    #[test]
    fn what_is_left_of_a_ban_is_as_long_after_the_clock_was_set() {
        for by in [86_400, -86_400] {
            let mut record = record();
            record.restore(past("198.51.100.7", 100));
            record.restore(Past { expires: None, ..past("192.0.2.1", 0) });
            record.step_clock(by * 1_000_000);
            let stands =
                |text, secs| record.standing(target(text), Asked::Every, at(secs + by)).is_some();
            assert!(stands("198.51.100.7", 99) && !stands("198.51.100.7", 100), "{by}");
            assert!(stands("192.0.2.1", 1_000_000));
            assert_eq!(record.next_offence(target("198.51.100.7"), at(by + 1_099)), 2);
            assert_eq!(record.next_offence(target("198.51.100.7"), at(by + 1_100)), 1);
        }
    }

    #[test]
    fn lists_are_no_offences() {
        let mut record = record();
        let order = |origin| BanOrder {
            target: target("198.51.100.7"),
            since: at(0),
            ttl: Ttl::For(Duration::from_secs(100)),
            ports: None,
            origin,
            rule: None,
            level: None,
            reason: String::new(),
            offences: 2,
        };
        record.note(&order(Origin::Feed("x".into())));
        assert_eq!(record.next_offence(target("198.51.100.7"), at(0)), 1);
        record.note(&order(Origin::Rule));
        record.note(&order(Origin::Fleet));
        assert_eq!(record.next_offence(target("198.51.100.7"), at(0)), 3);
    }

    #[test]
    fn it_is_bounded_and_forgets_what_lapsed_first() {
        let mut record = record();
        record.restore(Past { expires: None, ..past("192.0.2.0/24", 0) });
        for n in 0..1_000_u32 {
            let text = std::net::Ipv4Addr::from_bits((198 << 24) | n).to_string();
            record.restore(past(&text, i64::from(n)));
            assert!(record.len() <= 100);
        }
        assert!(record.len() > 80);
        for n in 0..1_000_u32 {
            let text = std::net::Ipv4Addr::from_bits((203 << 24) | n).to_string();
            record.restore(Past { expires: None, ..past(&text, 0) });
            assert!((80..=100).contains(&record.len()) || n < 100);
        }
        let mut record = self::record();
        record.restore(Past { expires: None, ..past("192.0.2.0/24", 0) });
        for n in 0..1_000_u32 {
            let text = std::net::Ipv4Addr::from_bits((198 << 24) | n).to_string();
            record.restore(past(&text, i64::from(n)));
        }
        assert!(record.standing(target("192.0.2.9"), Asked::Every, at(0)).is_some());
        assert!(
            record.standing(target("198.0.3.231"), Asked::Every, at(0)).is_some(),
            "the latest"
        );
    }
}
