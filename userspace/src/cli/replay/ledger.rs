//! What a replay adds up: who would have been banned, by what, and whom an admin might want to allow.

use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use crate::control::ListedPorts;
use crate::engine::{Begun, Consequence};
use crate::event::{BanOrder, Event, Ports, RuleHead, Target, Timestamp, Ttl, Value, Verdict};
use crate::policy::Why;
use crate::seeded::HashMap;

/// Addresses with successes, and withheld bans, that are remembered.
const REMEMBERED: usize = 1 << 16;
/// Names that are remembered of the users behind an address.
const USERS: usize = 16;
/// So many people that log in well from one address are an office.
const OFFICE: usize = 3;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) banned: HashMap<Target, Banned>,
    pub(super) rules: HashMap<u32, Told>,
    /// Bans that were called for and didn't come, by whom and why.
    withheld: HashMap<(Target, &'static str), u64>,
    /// By reason.
    pub(super) held_back: BTreeMap<&'static str, u64>,
    successes: HashMap<IpAddr, Successes>,
    /// Where a success has its user.
    user: Cell<usize>,
}

/// What would have happened to a target.
#[derive(Clone, Debug)]
pub(super) struct Banned {
    pub(super) times: u32,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Seconds in all; `None`: for ever.
    pub(super) total: Option<u64>,
    /// What the latest was by; `None`: its score.
    pub(super) rule: Option<u32>,
    pub(super) level: Option<u8>,
    /// What the latest was about.
    pub(super) ports: Option<Box<Ports>>,
}

/// What a rule did.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) head: Arc<RuleHead>,
    /// As its alerts' lines call it.
    called: Box<str>,
    pub(super) alerts: u64,
    pub(super) bans: u64,
}

/// Logins from an address that went well.
#[derive(Debug, Default)]
struct Successes {
    count: u64,
    users: BTreeSet<Box<str>>,
    /// The one that was added to them last.
    latest: Option<Box<[u8]>>,
}

/// Somebody whom an admin might want to allow, and why.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(super) struct Advice {
    pub(super) target: Target,
    pub(super) reasons: Vec<String>,
}

/// [`Banned`], for `--json`.
#[derive(Serialize)]
pub(super) struct BannedRow {
    target: Target,
    times: u32,
    first: String,
    last: String,
    total_s: Option<u64>,
    rule: Option<u32>,
    level: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<ListedPorts>,
}

/// [`Told`], for `--json`.
#[derive(Serialize)]
pub(super) struct RuleRow<'l> {
    rule: u32,
    level: u8,
    alerts: u64,
    bans: u64,
    description: &'l str,
}

impl Ledger {
    /// An alert that is printed: how it is called there.
    pub(super) fn alert(&mut self, head: &Arc<RuleHead>) -> &str {
        let told = self.told(head);
        told.alerts += 1;
        &told.called
    }

    fn told(&mut self, head: &Arc<RuleHead>) -> &mut Told {
        self.rules.entry(head.id).or_insert_with(|| Told {
            head: Arc::clone(head),
            called: format!(" alert level={} rule={}", head.level, head.id).into(),
            alerts: 0,
            bans: 0,
        })
    }

    /// What a recognised line came to, beside its alerts.
    #[inline]
    pub(super) fn take(&mut self, begun: &Begun<'_>, come: &Consequence) {
        match &come.verdict {
            Verdict::Ban(order) => self.ban(come, order),
            Verdict::Withheld(why) => self.withhold(begun, why.as_str()),
            Verdict::Nothing | Verdict::Lapsed(_) => {}
        }
        if begun.event.as_ref().is_some_and(|event| event.kind.success) {
            self.success(begun);
        }
    }

    fn ban(&mut self, come: &Consequence, order: &BanOrder) {
        let seconds = match order.ttl {
            Ttl::For(ttl) => Some(ttl.as_secs()),
            Ttl::Permanent => None,
        };
        let banned = self.banned.entry(order.target).or_insert(Banned {
            times: 0,
            first: order.since,
            last: order.since,
            total: Some(0),
            rule: None,
            level: None,
            ports: None,
        });
        banned.times = banned.times.saturating_add(1);
        banned.first = banned.first.min(order.since);
        banned.last = banned.last.max(order.since);
        banned.total =
            banned.total.zip(seconds).map(|(total, seconds)| total.saturating_add(seconds));
        (banned.rule, banned.level) = (order.rule, order.level);
        banned.ports = order.ports.clone().map(Box::new);
        let mut fired = come.fired.alerts.iter();
        if let Some(alert) = fired.find(|alert| Some(alert.rule.id) == order.rule) {
            self.told(&alert.rule).bans += 1;
        }
    }

    fn withhold(&mut self, begun: &Begun<'_>, why: &'static str) {
        *self.held_back.entry(why).or_default() += 1;
        if let Some(target) = begun.target
            && why != "already"
            && (self.withheld.len() < REMEMBERED || self.withheld.contains_key(&(target, why)))
        {
            *self.withheld.entry((target, why)).or_default() += 1;
        }
    }

    fn success(&mut self, begun: &Begun<'_>) {
        let Some(Event { fields, .. }) = &begun.event else { return };
        let Some(addr) = fields.source() else { return };
        let full = self.successes.len() >= REMEMBERED;
        let successes = match self.successes.entry(addr) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => return,
            Entry::Vacant(new) => new.insert(Successes::default()),
        };
        successes.count += 1;
        if let Some(Value::Text(user)) = fields.get_hinted("user", &self.user) {
            // Mostly the same one again.
            if successes.latest.as_deref() != Some(&*user) && successes.users.len() < USERS {
                successes.users.insert(String::from_utf8_lossy(&user).into());
                successes.latest = Some((*user).into());
            }
        }
    }

    /// Those that would have been banned: most often, then longest, first.
    pub(super) fn offenders(&self) -> Vec<(Target, &Banned)> {
        let mut offenders: Vec<_> =
            self.banned.iter().map(|(target, banned)| (*target, banned)).collect();
        let long = |banned: &Banned| banned.total.unwrap_or(u64::MAX);
        offenders.sort_by(|(a, one), (b, other)| {
            (other.times, long(other), a).cmp(&(one.times, long(one), b))
        });
        offenders
    }

    /// Rules: the gravest first, then those that told most.
    pub(super) fn by_rule(&self) -> Vec<&Told> {
        let mut rules: Vec<&Told> = self.rules.values().collect();
        rules.sort_by_key(|told| (std::cmp::Reverse((told.head.level, told.alerts)), told.head.id));
        rules
    }

    /// Whom an admin might want to allow. `ours`: what is allowed already.
    pub(super) fn advice(&self, ours: &[(IpNet, Why)]) -> Vec<Advice> {
        let mut advice: BTreeMap<Target, Vec<String>> = BTreeMap::new();
        for (addr, successes) in &self.successes {
            let Some((target, banned)) = self.banned_for(*addr) else { continue };
            let Successes { count, users, .. } = successes;
            let logins = if *count == 1 { "login" } else { "logins" };
            let names: Vec<String> = users.iter().take(3).map(|user| shown(user)).collect();
            let more = match users.len().saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let by = if names.is_empty() {
                String::new()
            } else {
                format!(" ({}{more})", names.join(", "))
            };
            let mut reason = format!(
                "{count} {logins} from {addr} went well{by}, beside {} {}",
                banned.times,
                if banned.times == 1 { "ban" } else { "bans" }
            );
            if users.len() >= OFFICE {
                reason += ": many people behind one address, an office or a VPN";
            }
            advice.entry(target).or_default().push(reason);
        }
        for target in self.banned.keys() {
            if let Some((net, why)) = ours.iter().find(|(net, _)| is_beside(*target, *net)) {
                let reason = format!("it is a neighbour of {net} ({why})");
                advice.entry(*target).or_default().push(reason);
            }
        }
        for ((target, why), times) in &self.withheld {
            let reason = match *why {
                "private" => "it is a private address, so it only alerts (ban.private)",
                "live-session" => "somebody was logged in from there, which alone saved it",
                _ => continue,
            };
            let reason = match times {
                1 => format!("a ban was called for: {reason}"),
                _ => format!("a ban was called for {times} times: {reason}"),
            };
            advice.entry(*target).or_default().push(reason);
        }
        advice
            .into_iter()
            .map(|(target, mut reasons)| {
                reasons.sort();
                Advice { target, reasons }
            })
            .collect()
    }

    /// The ban that an address would have been under: its own, or that of a network around it.
    fn banned_for(&self, addr: IpAddr) -> Option<(Target, &Banned)> {
        let longest: u8 = if addr.is_ipv4() { 32 } else { 128 };
        (8..=longest).rev().find_map(|length| {
            let target = Target::from(IpNet::new(addr, length).ok()?.trunc());
            self.banned.get(&target).map(|banned| (target, banned))
        })
    }

    /// The first `most` offenders, for `--json`.
    pub(super) fn banned_rows(&self, most: usize) -> Vec<BannedRow> {
        let rows = self.offenders().into_iter().take(most);
        rows.map(|(target, banned)| BannedRow {
            target,
            times: banned.times,
            first: banned.first.to_string(),
            last: banned.last.to_string(),
            total_s: banned.total,
            rule: banned.rule,
            level: banned.level,
            ports: banned.ports.as_deref().map(ListedPorts::from),
        })
        .collect()
    }

    /// All rules that did something, for `--json`.
    pub(super) fn rule_rows(&self) -> Vec<RuleRow<'_>> {
        let rows = self.by_rule().into_iter();
        rows.map(|Told { head, alerts, bans, .. }| RuleRow {
            rule: head.id,
            level: head.level,
            alerts: *alerts,
            bans: *bans,
            description: &head.description,
        })
        .collect()
    }
}

/// Attackers choose user names, but not those that log in; still.
fn shown(user: &str) -> String {
    crate::mail::visible(user, 24)
}

/// Whether a target lies in the same /24 or /48 as something of ours that is narrow.
fn is_beside(target: Target, ours: IpNet) -> bool {
    let around = match ours {
        IpNet::V4(net) if net.prefix_len() >= 24 => IpNet::new(ours.addr(), 24),
        IpNet::V6(net) if net.prefix_len() >= 48 => IpNet::new(ours.addr(), 48),
        IpNet::V4(_) | IpNet::V6(_) => return false,
    };
    around.is_ok_and(|around| Target::from(around.trunc()).covers(target))
}
