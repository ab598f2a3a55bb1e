//! What is asked over the control socket, answered on the engine's thread.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::allow::allowed_entry;
use super::logline::UnbanLine;
use super::pipeline::{Enforcement, Pipeline};
use crate::blocklist::{BlocklistError, Clock, KernelBan};
use crate::control::{
    InterfaceStatus, ListedBan, ListedPorts, MailStatus, PacketStatus, Request, Response, Shown,
    SourceStatus, State, Status,
};
use crate::event::{BanOrder, Origin, Ports, Target, Timestamp, Ttl};
use crate::host;
use crate::metrics::End;
use crate::store::{Effect, Evidence};

/// What `status` says of a panic.
pub(super) const PANIC: &str =
    "everything passes since `ravelin panic`: `ravelin panic --end` enforces again";

/// Characters of a reason by hand; it goes into the log and the database.
const REASON: usize = 200;

impl Pipeline {
    pub(super) fn answer(&mut self, request: Request) -> Response {
        let answer = match request {
            Request::Status => self.status().map(|status| Response::Status(Box::new(status))),
            Request::List { most } => self.list(most).map(|bans| Response::List { bans }),
            Request::Ban { target, ttl_s, ports, reason, force } => {
                self.ban(target, ttl_s, ports, &reason, force)
            }
            Request::Unban { target } => self.unban(target),
            Request::UnbanAll => self.unban_all(),
            Request::Show { target } => self.show(target),
            Request::Allow { target, ttl_s, force } => self.allow(target, ttl_s, force),
            Request::Disallow { target } => self.disallow(target),
            Request::AllowList => Ok(self.allow_list()),
            Request::Panic { end, confirm_within_s } => {
                self.panic(end, confirm_within_s.map(Duration::from_secs))
            }
            Request::Confirm => self.confirm(),
            // The reloader takes it before it gets here.
            Request::Reload => Err("this can't be reloaded; restart it".to_owned()),
        };
        answer.unwrap_or_else(|message| Response::Refused { message })
    }

    fn ban(
        &mut self,
        target: Target,
        ttl_s: Option<u64>,
        ports: Option<Ports>,
        reason: &str,
        force: bool,
    ) -> Result<Response, String> {
        if matches!(self.parts.enforcement, Enforcement::Observe) {
            return Err("mode is observe (or --dry-run), so nobody is banned: set `mode: enforce` and restart".to_owned());
        }
        let passing = self
            .parts
            .engine
            .policy()
            .check_hand(target, force)
            .map_err(|refusal| refusal.to_string())?;
        if !force && let Some(peer) = ssh_peer(target) {
            return Err(format!(
                "{target} holds {peer}, the peer of a live SSH session; say --force if that is meant"
            ));
        }
        let since = Timestamp::now();
        let order = BanOrder {
            target,
            since,
            ttl: ttl_s.map_or(Ttl::Permanent, |secs| Ttl::For(Duration::from_secs(secs))),
            ports,
            origin: Origin::Hand,
            rule: None,
            level: None,
            reason: reason.chars().take(REASON).collect(),
            offences: self.parts.engine.policy().next_offence(target, since),
        };
        self.enforce(&order).map_err(|()| {
            format!("{target} can't be banned: the kernel refused it, `ravelin status` says why")
        })?;
        self.parts.engine.banned(&order);
        let expires = order.expires().map(|expires| expires.to_string());
        self.parts.store.push([Effect::Banned { order, evidence: Evidence::default() }]);
        Ok(Response::Banned {
            target,
            expires,
            passing: passing.iter().map(IpNet::to_string).collect(),
            off: self.parts.off,
        })
    }

    fn unban(&mut self, target: Target) -> Result<Response, String> {
        let known = self.parts.bans.contains_key(&target);
        let removed = match self.parts.enforcement.kernel() {
            Some(blocklist) => blocklist.remove(target).map_err(|error| error.to_string())?,
            None => None,
        };
        if removed.is_none() && !known {
            return Err(not_banned(target, self.parts.bans.keys().copied()));
        }
        self.lifted(target, removed.as_ref(), "hand");
        Ok(Response::Unbanned { lifted: 1 })
    }

    fn unban_all(&mut self) -> Result<Response, String> {
        let mut targets: Vec<Target> = self.parts.bans.keys().copied().collect();
        // Wider ones last: a nested prefix would get its expiry back for nothing.
        targets.sort_by_key(|target| std::cmp::Reverse(target.net().prefix_len()));
        let mut lifted = 0;
        for target in targets {
            let removed = match self.parts.enforcement.kernel() {
                Some(blocklist) => blocklist.remove(target).map_err(|error| error.to_string())?,
                None => None,
            };
            self.lifted(target, removed.as_ref(), "hand");
            lifted += 1;
        }
        Ok(Response::Unbanned { lifted })
    }

    /// A ban is out of the kernel by a person's hand: log, database, clean slate.
    pub(super) fn lifted(&mut self, target: Target, removed: Option<&KernelBan>, by: &str) {
        let at = Timestamp::now();
        let (packets, bytes) = removed.map_or((0, 0), |ban| (ban.packets, ban.bytes));
        self.parts.bans.remove(&target);
        self.tally.ended(End::Lifted);
        self.has_room_again();
        self.parts.engine.forgive(target, at);
        tracing::info!("{}", UnbanLine { target, by, packets, bytes });
        self.parts.store.push([Effect::Unbanned {
            target,
            at,
            by: Origin::Hand,
            forgive: true,
            packets,
            bytes,
        }]);
    }

    fn list(&mut self, most: Option<u32>) -> Result<Vec<ListedBan>, String> {
        let clock = Clock::read();
        let now = Timestamp::now();
        let Some(blocklist) = self.parts.enforcement.kernel() else { return Ok(Vec::new()) };
        let mut entries = blocklist.entries().map_err(|error: BlocklistError| error.to_string())?;
        if let Some(most) = most.and_then(|most| usize::try_from(most).ok())
            && most < entries.len()
        {
            // Whoever watches asks again and again, and a million of them would be no use to him.
            entries.select_nth_unstable_by_key(most, |ban| {
                let dropped = ban.last_seen_ns.map(|at| clock.wall_at(at));
                let began = self.parts.bans.get(&ban.target).map(|order| order.since);
                std::cmp::Reverse(dropped.max(began))
            });
            entries.truncate(most);
        }
        Ok(listed(&entries, |target| self.parts.bans.get(&target), &clock, now))
    }

    fn show(&mut self, target: Target) -> Result<Response, String> {
        let (clock, now) = (Clock::read(), Timestamp::now());
        let (own, around) = match self.parts.enforcement.kernel() {
            Some(blocklist) => {
                let failed = |error: BlocklistError| error.to_string();
                (
                    blocklist.entry(target).map_err(failed)?,
                    blocklist.around(target).map_err(failed)?,
                )
            }
            None => (None, None),
        };
        let ban = |found: Option<KernelBan>| {
            listed(found.as_slice(), |target| self.parts.bans.get(&target), &clock, now).pop()
        };
        let allowed = self.parts.engine.policy().why_covered(target).map(allowed_entry);
        Ok(Response::Shown(Box::new(Shown { ban: ban(own), wider: ban(around), allowed })))
    }

    pub(super) fn status(&mut self) -> Result<Status, String> {
        let packets = match self.parts.enforcement.kernel() {
            Some(blocklist) => {
                let counters = blocklist.counters().map_err(|error| error.to_string())?;
                PacketStatus { passed: counters.passed(), dropped: counters.dropped() }
            }
            None => PacketStatus::default(),
        };
        let mail = self.parts.mail_health.borrow().stats;
        let rows = self.parts.sources.rows();
        let sources = rows
            .into_iter()
            .map(|row| SourceStatus {
                name: row.name,
                state: row.state,
                trust: row.trust,
                lines: row.lines,
                bytes: row.bytes,
                lag_bytes: row.lag_bytes,
                listener: row.listener,
                lag_s: row.lag_s,
            })
            .collect();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            state: self.state(),
            health: self.parts.health.items(),
            interfaces: self.interfaces(),
            bans: self.parts.bans.len() as u64,
            sources,
            mail: MailStatus { queued: mail.queued, sent: mail.sent, failed: mail.failed },
            packets,
        })
    }

    fn state(&self) -> State {
        if self.parts.off {
            return State::Off;
        }
        if self.parts.health.is_degraded() {
            return State::Degraded;
        }
        match self.parts.enforcement {
            Enforcement::Kernel(_) => State::Enforcing,
            Enforcement::Observe => State::Observing,
        }
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        match &self.parts.enforcement {
            Enforcement::Observe => Vec::new(),
            Enforcement::Kernel(blocklist) => blocklist
                .interfaces()
                .iter()
                .map(|attached| InterfaceStatus {
                    name: attached.interface.clone(),
                    mode: attached.mode.as_str().to_owned(),
                })
                .collect(),
        }
    }
}

/// The peer of an SSH session in `target`, if there is one.
fn ssh_peer(target: Target) -> Option<SocketAddr> {
    match host::ssh_peers(target.net()) {
        Ok(peers) => peers.into_iter().next(),
        Err(error) => {
            tracing::warn!(%error, "Whether a ban would cut off an SSH session can't be told.");
            None
        }
    }
}

/// Joins what the kernel drops with why; lapsed ones are left out. Oldest first.
pub fn listed<'o>(
    entries: &[KernelBan],
    known: impl Fn(Target) -> Option<&'o BanOrder>,
    clock: &Clock,
    now: Timestamp,
) -> Vec<ListedBan> {
    let mut bans: Vec<(Timestamp, ListedBan)> = entries
        .iter()
        .filter(|entry| !entry.expires.lapsed(clock.monotonic_ns()))
        .map(|entry| {
            let order = known(entry.target);
            let since = order.map_or(now, |order| order.since);
            let every_port_until =
                entry.every_port_until.filter(|until| !until.lapsed(clock.monotonic_ns()));
            let ban = ListedBan {
                target: entry.target,
                origin: order.map_or(Origin::Adopted, |order| order.origin.clone()).to_string(),
                since: since.to_string(),
                expires: clock.timestamp(entry.expires).map(|expires| expires.to_string()),
                ports: entry.ports.as_ref().map(ListedPorts::from),
                every_port_until: every_port_until
                    .and_then(|until| clock.timestamp(until))
                    .map(|until| until.to_string()),
                rule: order.and_then(|order| order.rule),
                level: order.and_then(|order| order.level),
                reason: order.map_or_else(
                    || "found in the kernel, unknown to the database".to_owned(),
                    |order| order.reason.clone(),
                ),
                offences: order.map_or(0, |order| order.offences),
                dropped_packets: entry.packets,
                dropped_bytes: entry.bytes,
            };
            (since, ban)
        })
        .collect();
    bans.sort_by(|(a_since, a), (b_since, b)| (a_since, a.target).cmp(&(b_since, b.target)));
    bans.into_iter().map(|(_, ban)| ban).collect()
}

/// Says why there is nothing to lift, and names the wider ban where there is one.
pub fn not_banned(target: Target, bans: impl Iterator<Item = Target>) -> String {
    let wider = bans.filter(|ban| ban.covers(target)).max_by_key(|ban| ban.net().prefix_len());
    match wider {
        Some(wider) => format!(
            "{target} has no ban of its own, but lies in {wider}, which is banned: lift that with `ravelin unban {wider}`"
        ),
        None => format!("{target} is not banned; `ravelin list` shows what is"),
    }
}
