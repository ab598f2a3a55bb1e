//! The alerts of a mail by whom they blame.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::event::Target;
use crate::mail::notice::{AlertNotice, Notice, Outcome};

/// Log lines of an offender.
const LINES: usize = 12;

/// The alerts that blame one address, or none.
pub(super) struct Offender<'n> {
    pub(super) address: Option<IpAddr>,
    /// As they came.
    pub(super) alerts: Vec<&'n AlertNotice>,
}

impl<'n> Offender<'n> {
    /// The highest level first, then by first appearance.
    pub(super) fn group(notices: &'n [Notice]) -> Vec<Self> {
        let mut offenders: Vec<Self> = Vec::new();
        for notice in notices {
            let Notice::Alert(alert) = notice else { continue };
            match offenders.iter_mut().find(|offender| offender.address == alert.offender) {
                Some(offender) => offender.alerts.push(alert),
                None => offenders.push(Self { address: alert.offender, alerts: vec![alert] }),
            }
        }
        offenders.sort_by_key(|offender| Reverse(offender.level()));
        offenders
    }

    pub(super) fn is_banned(&self) -> bool {
        matches!(self.outcome(), Outcome::Banned { .. })
    }

    pub(super) fn level(&self) -> u8 {
        self.alerts.iter().map(|alert| alert.level).max().unwrap_or(0)
    }

    /// The last ban; without one the last reason why there is none.
    pub(super) fn outcome(&self) -> &'n Outcome {
        let newest = |wanted: fn(&Outcome) -> bool| {
            self.alerts
                .iter()
                .filter(|alert| wanted(&alert.outcome))
                .max_by_key(|alert| alert.at)
                .map(|alert| &alert.outcome)
        };
        newest(|outcome| matches!(outcome, Outcome::Banned { .. }))
            .or_else(|| newest(|outcome| matches!(outcome, Outcome::Withheld { .. })))
            .unwrap_or(&Outcome::Nothing)
    }

    /// What commands about it name.
    pub(super) fn target(&self) -> Option<Target> {
        match (self.outcome(), self.address) {
            (Outcome::Banned { target, .. }, _) => Some(*target),
            (_, Some(address)) => Some(Target::of_address(address)),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> String {
        self.address.map_or_else(|| "no address".to_owned(), |address| address.to_string())
    }

    /// Each rule's last alert and how often it fired, highest level first.
    pub(super) fn rules(&self) -> Vec<(&'n AlertNotice, usize)> {
        let mut rules: Vec<(&AlertNotice, usize)> = Vec::new();
        for alert in &self.alerts {
            match rules.iter_mut().find(|(other, _)| other.rule == alert.rule) {
                Some((last, times)) => (*last, *times) = (alert, *times + 1),
                None => rules.push((alert, 1)),
            }
        }
        rules.sort_by_key(|(alert, _)| Reverse(alert.level));
        rules
    }

    /// The last log lines, each once, oldest first.
    pub(super) fn lines(&self) -> Vec<&'n str> {
        let mut by_time = self.alerts.clone();
        by_time.sort_by_key(|alert| alert.at);
        let mut lines: Vec<&str> = Vec::new();
        for line in by_time.iter().flat_map(|alert| alert.evidence.lines()) {
            if !lines.contains(&line.as_str()) {
                lines.push(line);
            }
        }
        lines.split_off(lines.len().saturating_sub(LINES))
    }

    /// The first of the highest level, as OSSEC's subject has it.
    pub(super) fn description(&self) -> String {
        let highest = self.level();
        let alert = self.alerts.iter().find(|alert| alert.level == highest);
        alert.map_or_else(String::new, |alert| alert.description.clone())
    }
}
