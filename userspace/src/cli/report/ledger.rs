//! What a span of the past comes to, added up in one pass over it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::tz::TimeZone;
use jiff::{
    RoundMode, Span as Step, Timestamp as Instant, Unit, ZonedDateTime, ZonedDateTimeRound,
};

use crate::control::ListedBan;
use crate::event::{Target, Timestamp};
use crate::store::{HistoryEntry, HistoryKind};

/// From when until when, in how many steps.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The beginnings of the steps, and the end: whole hours or days of the zone's.
    edges: Vec<Timestamp>,
    pub(super) zone: TimeZone,
    pub(super) name: &'static str,
    /// Now: what comes after it isn't past yet.
    pub(super) now: Timestamp,
    /// How an edge is called below a chart.
    pub(super) label: &'static str,
    /// How it is called in full.
    pub(super) full: &'static str,
    /// So many steps lie between two labels.
    pub(super) apart: usize,
}

impl Span {
    /// The last 24 hours, by the hour.
    pub(super) fn day(now: Timestamp, zone: &TimeZone) -> Self {
        Self::of(now, zone, "24 hours", 24, Unit::Hour, 1, ("%H:%M", "%a %-d %b, %H:%M", 6))
    }

    /// The last 7 days, by six hours.
    pub(super) fn week(now: Timestamp, zone: &TimeZone) -> Self {
        Self::of(now, zone, "7 days", 28, Unit::Hour, 6, ("%a %-d", "%a %-d %b, %H:%M", 4))
    }

    /// The last 30 days, by the day.
    pub(super) fn month(now: Timestamp, zone: &TimeZone) -> Self {
        Self::of(now, zone, "30 days", 30, Unit::Day, 1, ("%-d %b", "%a %-d %b", 7))
    }

    fn of(
        now: Timestamp,
        zone: &TimeZone,
        name: &'static str,
        steps: usize,
        unit: Unit,
        length: i64,
        (label, full, apart): (&'static str, &'static str, usize),
    ) -> Self {
        // The end is the end of the hour, or day, that it is.
        let local = at(now).to_zoned_datetime(zone.clone());
        let step = |times: i64| match unit {
            Unit::Day => Step::new().days(times * length),
            _ => Step::new().hours(times * length),
        };
        let floor = floored(&local, unit, length).unwrap_or(local);
        let edges = (0..=steps)
            .map(|index| {
                let back = i64::try_from(steps - index).unwrap_or(0) - 1;
                floor
                    .checked_sub(step(back))
                    .map_or(now, |edge| Timestamp::from_micros(edge.timestamp().as_microsecond()))
            })
            .collect();
        Self { edges, zone: zone.clone(), name, now, label, full, apart }
    }

    /// Its beginning and its end.
    pub(super) fn bounds(&self) -> (Timestamp, Timestamp) {
        let first = self.edges.first().copied().unwrap_or(self.now);
        (first, self.edges.last().copied().unwrap_or(self.now))
    }

    /// How many steps it has.
    pub(super) fn steps(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// The step that a time lies in.
    fn step(&self, time: Timestamp) -> Option<usize> {
        let after = self.edges.partition_point(|edge| *edge <= time);
        (after > 0 && after < self.edges.len()).then(|| after - 1)
    }

    /// A step's beginning, in words.
    pub(super) fn called(&self, step: usize, format: &str) -> String {
        self.edges.get(step).map(|edge| self.local(*edge, format)).unwrap_or_default()
    }

    /// A time in the zone, in words.
    pub(super) fn local(&self, time: Timestamp, format: &str) -> String {
        at(time).to_zoned_datetime(self.zone.clone()).strftime(format).to_string()
    }
}

fn floored(local: &ZonedDateTime, unit: Unit, length: i64) -> Option<ZonedDateTime> {
    if unit == Unit::Day {
        return local.start_of_day().ok();
    }
    // Steps of six hours begin at midnight.
    let round = ZonedDateTimeRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc);
    let hour = local.round(round).ok()?;
    let over = i64::from(hour.hour()) % length;
    hour.checked_sub(Step::new().hours(over)).ok()
}

fn at(time: Timestamp) -> Instant {
    Instant::from_microsecond(time.as_micros()).unwrap_or_default()
}

/// What happened in a step.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Bucket {
    /// By severity: level 7 to 8, 9 to 11, 12 and above.
    pub(super) alerts: [u64; 3],
    pub(super) bans: u64,
    pub(super) packets: u64,
}

/// Somebody who came.
#[derive(Clone, Debug)]
pub(super) struct Offender {
    pub(super) target: Target,
    pub(super) alerts: u64,
    pub(super) bans: u64,
    pub(super) packets: u64,
    pub(super) level: u8,
    pub(super) last: Timestamp,
    /// Of the highest level.
    pub(super) reason: String,
    pub(super) rule: Option<u32>,
}

/// A network that several came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) net: IpNet,
    pub(super) offenders: u64,
    pub(super) alerts: u64,
    pub(super) bans: u64,
    pub(super) packets: u64,
}

/// What a rule did; none: the score.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleSum {
    pub(super) level: u8,
    pub(super) reason: String,
    pub(super) alerts: u64,
    pub(super) bans: u64,
    pub(super) offenders: HashSet<Target>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Ledger {
    span: Span,
    pub(super) buckets: Vec<Bucket>,
    offenders: HashMap<Target, Offender>,
    pub(super) rules: BTreeMap<Option<u32>, RuleSum>,
    pub(super) by_hand: u64,
    pub(super) late: u64,
    pub(super) lifted: u64,
    pub(super) withheld: BTreeMap<String, u64>,
    pub(super) bytes: u64,
    /// When the ban began that a target is under.
    begun: HashMap<Target, Timestamp>,
}

impl Ledger {
    pub(super) fn new(span: Span) -> Self {
        Self {
            buckets: vec![Bucket::default(); span.steps()],
            span,
            offenders: HashMap::new(),
            rules: BTreeMap::new(),
            by_hand: 0,
            late: 0,
            lifted: 0,
            withheld: BTreeMap::new(),
            bytes: 0,
            begun: HashMap::new(),
        }
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// Adds what happened; oldest first.
    pub(super) fn enter(&mut self, entry: &HistoryEntry) {
        let level = entry.level.unwrap_or(0);
        let bucket = self.span.step(entry.at).and_then(|step| self.buckets.get_mut(step));
        match entry.kind {
            HistoryKind::Alert => {
                if let Some(bucket) = bucket {
                    let severity = match level {
                        12.. => 2,
                        9..12 => 1,
                        _ => 0,
                    };
                    bucket.alerts[severity] += 1;
                }
                if let Some(why) = &entry.withheld {
                    *self.withheld.entry(why.clone()).or_default() += 1;
                }
                let rule = self.rule(entry);
                rule.alerts += 1;
                if let Some(offender) = self.offender(entry) {
                    offender.alerts += 1;
                }
            }
            HistoryKind::Ban => {
                if let Some(bucket) = bucket {
                    bucket.bans += 1;
                }
                match entry.origin.as_deref() {
                    Some("rule") => self.rule(entry).bans += 1,
                    _ => self.by_hand += 1,
                }
                if let Some(offender) = self.offender(entry) {
                    offender.bans += 1;
                }
                if let Some(target) = entry.target {
                    // A renewed ban counts on.
                    self.begun.entry(target).or_insert(entry.at);
                }
            }
            HistoryKind::Late => self.late += 1,
            HistoryKind::Unban | HistoryKind::Lapse => {
                self.lifted += u64::from(entry.kind == HistoryKind::Unban);
                if let Some(target) = entry.target {
                    let began = self.begun.remove(&target);
                    let (packets, bytes) = (entry.packets.unwrap_or(0), entry.bytes.unwrap_or(0));
                    self.drop(target, began, entry.at, packets, bytes);
                }
            }
        }
    }

    /// Adds what a ban has dropped that still stands.
    pub(super) fn stands(&mut self, ban: &ListedBan) {
        let began = ban.since.parse::<Instant>().ok();
        let began = began.map(|time| Timestamp::from_micros(time.as_microsecond()));
        self.drop(ban.target, began, self.span.now, ban.dropped_packets, ban.dropped_bytes);
    }

    /// Packets are known by ban, not by hour: they are spread evenly over its time, and what falls before the span is
    /// left out.
    fn drop(
        &mut self,
        target: Target,
        began: Option<Timestamp>,
        ended: Timestamp,
        packets: u64,
        bytes: u64,
    ) {
        if packets == 0 {
            return;
        }
        let (from, _) = self.span.bounds();
        let began = began.unwrap_or(from).as_micros();
        let ended = ended.as_micros().max(began + 1);
        let part = |of: u64, from: i64, until: i64| {
            let overlap = until.min(ended).saturating_sub(from.max(began)).max(0);
            let share = i128::from(of) * i128::from(overlap) / i128::from(ended - began);
            u64::try_from(share).unwrap_or(0)
        };
        let mut told = 0;
        for (bucket, edges) in self.buckets.iter_mut().zip(self.span.edges.windows(2)) {
            let share = part(packets, edges[0].as_micros(), edges[1].as_micros());
            bucket.packets += share;
            told += share;
        }
        self.bytes += part(bytes, from.as_micros(), i64::MAX);
        if let Some(offender) = self.offenders.get_mut(&target) {
            offender.packets += told;
        }
    }

    fn rule(&mut self, entry: &HistoryEntry) -> &mut RuleSum {
        let sum = self.rules.entry(entry.rule).or_default();
        sum.level = sum.level.max(entry.level.unwrap_or(0));
        if sum.reason.is_empty() {
            sum.reason = entry.reason.clone().unwrap_or_default();
        }
        sum.offenders.extend(entry.target);
        sum
    }

    fn offender(&mut self, entry: &HistoryEntry) -> Option<&mut Offender> {
        let target = entry.target?;
        let level = entry.level.unwrap_or(0);
        let offender = self.offenders.entry(target).or_insert_with(|| Offender {
            target,
            alerts: 0,
            bans: 0,
            packets: 0,
            level: 0,
            last: entry.at,
            reason: String::new(),
            rule: None,
        });
        offender.last = offender.last.max(entry.at);
        if level >= offender.level {
            offender.level = level;
            offender.reason = entry.reason.clone().unwrap_or_default();
            offender.rule = entry.rule;
        }
        Some(offender)
    }

    /// Those who came, the worst first.
    pub(super) fn offenders(&self) -> Vec<&Offender> {
        let mut offenders: Vec<_> = self.offenders.values().collect();
        offenders.sort_by(|a, b| {
            (b.bans, b.packets, b.level, b.alerts, a.target)
                .cmp(&(a.bans, a.packets, a.level, a.alerts, b.target))
        });
        offenders
    }

    /// Networks that several came from (a /24, of IPv6 a /48), the worst first.
    pub(super) fn networks(&self) -> Vec<Network> {
        let mut networks: BTreeMap<IpNet, Network> = BTreeMap::new();
        for offender in self.offenders.values() {
            let Some(net) = neighbours(offender.target) else { continue };
            let empty = Network { net, offenders: 0, alerts: 0, bans: 0, packets: 0 };
            let network = networks.entry(net).or_insert(empty);
            network.offenders += 1;
            network.alerts += offender.alerts;
            network.bans += offender.bans;
            network.packets += offender.packets;
        }
        let mut networks: Vec<_> = networks.into_values().filter(|it| it.offenders > 1).collect();
        networks.sort_by_key(|it| std::cmp::Reverse((it.offenders, it.bans, it.alerts)));
        networks
    }

    /// Rules by what they did, the most active first.
    pub(super) fn busiest(&self) -> Vec<(Option<u32>, &RuleSum)> {
        let mut rules: Vec<_> = self.rules.iter().map(|(rule, sum)| (*rule, sum)).collect();
        rules.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.bans, sum.alerts, sum.level)));
        rules
    }

    pub(super) fn alerts(&self) -> u64 {
        self.buckets.iter().flat_map(|bucket| bucket.alerts).sum()
    }

    pub(super) fn bans(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.bans).sum()
    }

    pub(super) fn packets(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.packets).sum()
    }
}

/// The network that a host's neighbours are in; none of what is as wide itself.
fn neighbours(target: Target) -> Option<IpNet> {
    let net = target.net();
    match net.addr() {
        IpAddr::V4(addr) if net.prefix_len() > 24 => {
            Ipv4Net::new(addr, 24).ok().map(|net| net.trunc().into())
        }
        IpAddr::V6(addr) if net.prefix_len() > 48 => {
            Ipv6Net::new(addr, 48).ok().map(|net| net.trunc().into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
