//! How far the counts have come that an event was counted in: for `explain`.

use std::sync::Arc;
use std::time::Duration;

use super::Correlator;
use super::condition::{About, Setting, Subject, Whose};
use super::entry::Place;
use super::owner::Owner;
use super::plan::{Act, GroupKind};
use crate::event::{Event, RuleHead, Target, Timestamp};

/// A count that an event was counted in.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// The rule that counts.
    pub rule: Arc<RuleHead>,
    /// So many since it last fired; 0: it fired with this event.
    pub counted: u32,
    /// It fires at so many.
    pub count: u32,
    /// Age that still counts.
    pub within: Duration,
    /// What they have in common, in words of the pack: fields, `src`, or a network.
    pub same: Vec<String>,
    /// What different values are counted of, instead of events.
    pub distinct: Option<String>,
}

impl Correlator {
    /// How often the latest event counted for rules on its kind; 0: an earlier line told of the same login
    /// attempt. Only where a rule listens to it.
    pub const fn charged(&self) -> u32 {
        self.charged
    }

    /// The counts that the latest event, which is `event`, was counted in; what it was fed with says whose.
    pub fn tallies(
        &mut self,
        event: &Event<'_>,
        target: Option<Target>,
        time: Timestamp,
    ) -> Vec<Tally> {
        let now = time.as_micros().div_euclid(1_000);
        let subject = Subject::of(event, target, self.ipv6_prefix);
        let mut tallies = Vec::new();
        for step in self.plan.program(event.kind.index) {
            let Act::Count(group) = step.act else { continue };
            let counting = self.plan.group(group);
            let lead = self.plan.rule(counting.lead);
            let reached = step.after.as_ref().is_none_or(|rules| self.held.most(rules).is_some());
            let setting = Setting { now, zone: &self.zone, lists: &self.lists };
            if !reached || !lead.when.iter().all(|test| test.holds(event, setting)) {
                continue;
            }
            let (number, fields) = (self.held.event(), self.plan.keys());
            let about = About { event, number, subject, fields };
            let Some((whose, subkey)) = counting.key.resolve(about) else { continue };
            let owner = match (whose, subject.target) {
                (Whose::Subject, Some(target)) => Owner::target(target),
                (Whose::Subject, None) => continue,
                (Whose::Other(owner), _) => owner,
            };
            let Some(slot) = self.table.find(owner) else { continue };
            let entry = self.table.entry_mut(slot);
            let Some(tick) = entry.tick(now) else { continue };
            let Some(ladder) = counting.kind.ladder() else { continue };
            let distinct = match &counting.kind {
                GroupKind::Distinct(value, _) => Some(value.name(fields)),
                GroupKind::Ladder(_) | GroupKind::Memory { .. } | GroupKind::Absence { .. } => None,
            };
            for (at, rung) in ladder.rungs.iter().enumerate() {
                let rule = self.plan.rule(rung.rule);
                if rule.silent {
                    continue;
                }
                let place = Place { group, subkey };
                tallies.push(Tally {
                    rule: Arc::clone(&rule.head),
                    counted: entry.counted(place, distinct.is_some(), tick, (at, rung)),
                    count: rung.count.into(),
                    within: Duration::from_millis(rung.within.into()),
                    same: counting.key.names(fields),
                    distinct: distinct.clone(),
                });
            }
        }
        tallies
    }
}
