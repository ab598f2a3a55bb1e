//! What only time brings: lapses, bans that waited for the rate, and how disk and mail fare.

use std::time::Duration;

use super::failing;
use super::logline::UnbanLine;
use super::pipeline::Pipeline;
use super::sources::Active;
use super::telling::{missed_notice, missed_record};
use crate::blocklist::Clock;
use crate::event::Timestamp;
use crate::metrics::End;
use crate::store::{Allowed, Effect, Offences};

/// A line may be so long on its way from its writer to us.
pub(super) const STRAGGLERS: Duration = Duration::from_secs(2);

impl Pipeline {
    /// What only time brings.
    pub(super) fn tick(&mut self) {
        let now = self.look_at_clock();
        self.look_at_probation();
        self.sweep(now);
        for order in self.parts.engine.policy_mut().release(now) {
            if self.enforce(&order).is_ok() {
                self.parts.engine.banned(&order);
                let evidence = self.parts.recent.of(order.target);
                self.parts.store.push([Effect::Banned { order, evidence }]);
            }
        }
        self.parts.engine.policy_mut().expire(now);
        self.expire_allowed(now);
        self.look_at_lists();
        self.look_at_allow_files();
        self.look_at_absences(now);
        self.look_at_ineffective();
        self.look_at_sources();
        self.look_at_store();
        self.look_at_mail();
        for notice in self.parts.health.news() {
            self.mail(&notice);
        }
    }

    /// Files that conditions ask for: what is new in them, and which can't be read.
    fn look_at_lists(&mut self) {
        let parts = &mut self.parts;
        if parts.lists.look() {
            parts.engine.set_lists(parts.lists.lists());
            tracing::info!("Lists that rules ask for have changed.");
        }
        let mut broken = Vec::new();
        for (source, error, copied) in parts.lists.troubles() {
            broken.push(source.name.as_str());
            if copied {
                let remedy = format!("{error}; until then what was read before is used");
                parts.health.note("list-unreadable", &source.name, remedy);
            } else {
                let remedy = format!("{error}; until then conditions on it don't hold");
                parts.health.degrade("list-unreadable", &source.name, remedy);
            }
        }
        parts.health.clear_unless("list-unreadable", |name| broken.contains(&name));
    }

    /// What should have come and didn't: decided once every source is read up to there, so that a backlog
    /// isn't taken for silence.
    fn look_at_absences(&mut self, now: Timestamp) {
        if !self.parts.sources.reading().all(Active::is_read_up) {
            return;
        }
        let until = now.saturating_sub(STRAGGLERS);
        let missed = self.parts.engine.advance(until);
        if !missed.is_empty() {
            self.parts.store.push([Effect::Awaited { until }]);
        }
        for missed in missed {
            let rule = &missed.rule;
            self.tally.alert(rule);
            tracing::info!(rule = rule.id, level = rule.level, since = %missed.since, "Nothing came: {}.", rule.description);
            self.parts.store.push(missed_record(&missed).map(Effect::Alert));
            if let Some(notice) = missed_notice(&missed, self.parts.config.mail.level) {
                self.mail(&notice);
            }
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        let Some(blocklist) = self.parts.enforcement.kernel() else {
            self.parts.bans.retain(|_, order| order.expires().is_none_or(|expires| expires > now));
            return;
        };
        let lapsed = match blocklist.sweep(&Clock::read()) {
            Ok(lapsed) => {
                self.parts.health.clear("sweep", "");
                lapsed
            }
            Err(error) => {
                self.parts.health.note("sweep", "", error.to_string());
                return;
            }
        };
        let effects: Vec<Effect> = lapsed
            .into_iter()
            .map(|ban| {
                let (target, packets, bytes) = (ban.target, ban.packets, ban.bytes);
                self.parts.bans.remove(&target);
                self.undropped.remove(&target);
                self.tally.ended(End::Lapsed);
                tracing::info!("{}", UnbanLine { target, by: "ttl", packets, bytes });
                Effect::Lapsed { target, at: now, packets, bytes }
            })
            .collect();
        if !effects.is_empty() {
            self.has_room_again();
            self.parts.store.push(effects);
        }
    }

    /// Bans have gone: there is room for others.
    pub(super) fn has_room_again(&self) {
        for map in self.turned_away.keys() {
            self.parts.health.clear("map-full", map);
        }
    }

    fn look_at_store(&mut self) {
        let fares = self.parts.store.health();
        let health = &self.parts.health;
        match &fares.failing {
            Some((_, error)) => health.degrade("database-failing", "", failing(error)),
            None => health.clear("database-failing", ""),
        }
        if fares.let_go > 0 {
            health.note(
                "history-lost",
                "",
                format!(
                    "{} entries of the history were let go while the database couldn't be written",
                    fares.let_go
                ),
            );
        }
        if let Some((at, aside)) = fares.renewed
            && self.renewed != Some(at)
        {
            self.renewed = Some(at);
            if let Some(aside) = aside {
                health.note(
                    "database-renewed",
                    "",
                    format!("the database was damaged; it is set aside as {aside}, and a fresh one has all standing bans"),
                );
            }
            let by_hand = self.parts.engine.policy().allowed_by_hand();
            let allowed: Vec<Effect> = by_hand
                .map(|(target, expires)| {
                    Effect::Allowed(Allowed { target, since: Timestamp::now(), expires })
                })
                .collect();
            self.parts.store.push(allowed);
            let offenders = self.parts.engine.policy().offenders();
            let offences: Vec<Effect> = offenders
                .map(|(target, count, last)| {
                    Effect::Offences(Offences { target, count, last: last.min(at) })
                })
                .collect();
            self.parts.store.push(offences);
            let bans: Vec<Effect> = self
                .parts
                .bans
                .values()
                .map(|order| Effect::Standing { order: order.clone() })
                .collect();
            self.parts.store.push(bans);
        }
    }

    fn look_at_mail(&mut self) {
        if !self.parts.mail_health.has_changed().unwrap_or(false) {
            return;
        }
        let fares = self.parts.mail_health.borrow_and_update().clone();
        match fares.undelivered() {
            Some(trouble) => self.parts.health.note(
                "mail-undelivered",
                "",
                format!("{trouble}; what waits in the outbox is tried again; `ravelin mail test` tries at once"),
            ),
            None => self.parts.health.clear("mail-undelivered", ""),
        }
        if let Some(refused) = fares.refused_for_good() {
            self.parts.health.note(
                "mail-refused",
                "",
                format!("refused for good, and not tried again: {refused}"),
            );
        }
    }
}
