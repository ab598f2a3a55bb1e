//! No silent loss of protection: bans that don't stop anybody, sources that lag, fall silent or aren't
//! understood.

use std::time::{Duration, Instant};

use super::habit::Verdict;
use super::pipeline::Pipeline;
use crate::engine::Outcome;
use crate::event::{Ports, Target, Timestamp, canonical};

/// What was under way when a ban began is through by then.
const GRACE: Duration = Duration::from_secs(5);
/// Ineffective bans that are watched; what ails one ails all.
const WATCHED: usize = 64;

/// Whose packets got through, when, and to which of our ports, as far as that is known.
pub(super) type GotThrough = (Target, Timestamp, Option<Ports>);

/// Evidence that its offender's packets get through: it tried to log in, or Suricata saw its packet.
pub(super) fn got_through(outcome: &Outcome<'_>) -> Option<GotThrough> {
    let (event, offender) = (outcome.event.as_ref()?, outcome.offence.offender?);
    let own = match event.suricata {
        Some(alert) => alert.src.map(canonical) == Some(offender),
        None => event.kind.attempt,
    };
    own.then_some(())?;
    let ports = match event.suricata {
        Some(alert) => alert.dst_port.and_then(|port| Ports::of_ranges([(port, port)]).ok()),
        // What a rule would ban is what the service listens on.
        None => outcome.fired.alerts.iter().find_map(|alert| alert.rule.ports.clone()),
    };
    outcome.target.map(|target| (target, outcome.time, ports))
}

impl Pipeline {
    /// Takes note of evidence from somebody who should be cut off.
    pub(super) fn look_at_ban(&mut self, (target, time, to): GotThrough) {
        if self.parts.off || self.ineffective.len() >= WATCHED || self.ineffective.contains(&target)
        {
            return;
        }
        let banned = match self.parts.bans.get(&target) {
            Some(order) => Some(order.target),
            None => self.parts.engine.policy().wider_ban(target, time),
        };
        let Some(order) = banned.and_then(|target| self.parts.bans.get(&target)) else { return };
        // Of a ban of ports, only what came to them says anything.
        if let Some(ports) = &order.ports
            && !to.is_some_and(|to| ports.covers(&to))
        {
            return;
        }
        // A line's ban begins with the line, and enters the kernel when it was read.
        let entered = self.undropped.get(&order.target).copied().unwrap_or(self.awake);
        let begun = order.since.max(entered);
        let order = order.target;
        if time <= begun.saturating_add(GRACE) || !self.drops_nothing(order) {
            return;
        }
        let interfaces: Vec<String> =
            self.interfaces().into_iter().map(|interface| interface.name).collect();
        self.ineffective.push(order);
        self.parts.health.degrade(
            "ban-ineffective",
            "",
            format!(
                "{target} goes on, though it is banned since {begun} and not one packet was dropped: \
                 they don't come in by {}, or come through a tunnel or proxy: name the right interface \
                 in `interfaces`, or allow the proxy",
                interfaces.join(", ")
            ),
        );
    }

    /// Whether those bans still stop nobody.
    pub(super) fn look_at_ineffective(&mut self) {
        if self.ineffective.is_empty() {
            return;
        }
        let watched = std::mem::take(&mut self.ineffective);
        self.ineffective =
            watched.into_iter().filter(|target| self.drops_nothing(*target)).collect();
        if self.ineffective.is_empty() {
            self.parts.health.clear("ban-ineffective", "");
        }
    }

    fn drops_nothing(&mut self, target: Target) -> bool {
        let Some(blocklist) = self.parts.enforcement.kernel() else { return false };
        blocklist.entry(target).ok().flatten().is_some_and(|ban| ban.packets == 0)
    }

    /// Whether the sources are read in time, and speak.
    pub(super) fn look_at_sources(&mut self) {
        let now = Instant::now();
        let Self { parts, .. } = self;
        let health = &parts.health;
        parts.sources.look_at_trust(health);
        parts.sources.leave_vanished(health);
        parts.store.push(std::mem::take(&mut parts.sources.effects));
        for source in parts.sources.reading_mut() {
            let name = source.name.as_str();
            let (taken, unread) = source.status.progress();
            let behind = source.status.behind().unwrap_or_default();
            if source.lag.look(taken, unread, now) | source.delay.look(behind, now) {
                health.note(
                    "source-lagging",
                    name,
                    format!(
                        "{name}: lines wait for more than five seconds to be read, so bans come late: \
                         look for what else uses this host's processors and disk"
                    ),
                );
            } else {
                health.clear("source-lagging", name);
            }
            match source.silence.look(now) {
                Some(pause) => health.note(
                    "source-silent",
                    name,
                    format!(
                        "{name}: no line for {} minutes, far longer than usual: check that what writes \
                         it runs, and writes there",
                        pause.as_secs() / 60
                    ),
                ),
                None => health.clear("source-silent", name),
            }
        }
    }

    /// A line of a source was recognised, or should have been.
    pub(super) fn look_at_line(&mut self, at: usize, recognised: bool) {
        let Some(source) = self.parts.sources.active.get_mut(at) else { return };
        let name = source.name.as_str();
        match source.recognition.line(recognised) {
            None => {}
            Some(Verdict::Known) => self.parts.health.clear("unrecognised", name),
            Some(Verdict::Foreign { missed, seen }) => self.parts.health.note(
                "unrecognised",
                name,
                format!(
                    "{name}: {missed} of the last {seen} lines that should mean something meant nothing: \
                     check the source's format, and see them with `ravelin explain {name}`"
                ),
            ),
        }
    }
}
