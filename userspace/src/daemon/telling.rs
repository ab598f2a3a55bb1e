//! What of an outcome is worth telling people, and what worth remembering.

use crate::correlator::Missed;
use crate::engine::Outcome;
use crate::event::{Alert, Fields, Value, Verdict};
use crate::mail::{self, AlertNotice, Notice};
use crate::store::{AlertRecord, Evidence};

/// Alerts from this level on are kept in the history.
const HISTORY_LEVEL: u8 = 7;

/// What is worth telling people of an outcome: its alerts, with what was done. A ban is always worth it: where
/// the score decided, or a rule below `level`, its highest alert tells it.
pub(super) fn notices(
    outcome: &Outcome<'_>,
    source: String,
    host: Option<String>,
    evidence: &Evidence,
    level: u8,
) -> Vec<Notice> {
    let done = match &outcome.verdict {
        Verdict::Ban(order) => mail::Outcome::Banned {
            ports: order.ports.clone(),
            target: order.target,
            since: order.since,
            until: order.expires(),
            reason: order.rule.is_none().then(|| order.reason.clone()),
            offences: order.offences,
        },
        Verdict::Withheld(why) => mail::Outcome::Withheld { why: why.as_str().to_owned() },
        Verdict::Nothing | Verdict::Lapsed(_) => mail::Outcome::Nothing,
    };
    let mut told: Vec<&Alert> = outcome
        .fired
        .alerts
        .iter()
        .filter(|alert| alert.rule.level >= level || alert.rule.mail == Some(true))
        .collect();
    if told.is_empty() && matches!(outcome.verdict, Verdict::Ban(_)) {
        let speaks = outcome.fired.alerts.iter().filter(|alert| alert.rule.mail != Some(false));
        told.extend(speaks.max_by_key(|alert| alert.rule.level));
    }
    told.into_iter()
        .map(|alert| {
            Notice::Alert(AlertNotice {
                at: outcome.time,
                host: host.clone(),
                source: source.clone(),
                rule: alert.rule.id,
                level: alert.rule.level,
                description: alert.rule.description.clone(),
                count: alert.count,
                offender: outcome.offence.offender,
                fields: outcome
                    .event
                    .as_ref()
                    .map(|event| fields(&event.fields))
                    .unwrap_or_default(),
                outcome: done.clone(),
                evidence: evidence.clone(),
                mail: alert.rule.mail,
            })
        })
        .collect()
}

/// Something didn't come in time: for people, where `level` or the rule says so.
pub(super) fn missed_notice(missed: &Missed, level: u8) -> Option<Notice> {
    let rule = &missed.rule;
    (rule.level >= level || rule.mail == Some(true)).then(|| {
        Notice::Alert(AlertNotice {
            at: missed.time,
            host: None,
            source: String::new(),
            rule: rule.id,
            level: rule.level,
            description: rule.description.clone(),
            count: 1,
            offender: missed.target.map(|target| target.net().addr()),
            fields: vec![("awaited since".to_owned(), missed.since.to_string())],
            outcome: mail::Outcome::Nothing,
            evidence: Evidence::default(),
            mail: rule.mail,
        })
    })
}

/// Something didn't come in time: for the history.
pub(super) fn missed_record(missed: &Missed) -> Option<AlertRecord> {
    let rule = &missed.rule;
    (rule.level >= HISTORY_LEVEL).then(|| AlertRecord {
        at: missed.time,
        target: missed.target,
        rule: Some(rule.id),
        level: Some(rule.level),
        description: rule.description.clone(),
        withheld: None,
        evidence: Evidence::default(),
    })
}

fn fields(fields: &Fields<'_>) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => String::from_utf8_lossy(&text).into_owned(),
                Value::Number(number) => number.to_string(),
                Value::Addr(addr) => addr.to_string(),
            };
            (name.to_owned(), value)
        })
        .collect()
}

/// What is worth remembering of an outcome.
pub(super) fn records(outcome: &Outcome<'_>, evidence: &Evidence) -> Vec<AlertRecord> {
    let withheld = match &outcome.verdict {
        Verdict::Withheld(why) => Some(*why),
        _ => None,
    };
    let kept = outcome.fired.alerts.iter().filter(|alert| alert.rule.level >= HISTORY_LEVEL);
    kept.map(|alert| AlertRecord {
        at: outcome.time,
        target: outcome.target,
        rule: Some(alert.rule.id),
        level: Some(alert.rule.level),
        description: alert.rule.description.clone(),
        withheld,
        evidence: evidence.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::{Config, Format};
    use crate::engine::Engine;
    use crate::event::{Line, Timestamp};
    use crate::format::{Decoder, Selection};
    use crate::policy::{Network, SuricataProof};
    use crate::rules::Packs;

    #[test]
    fn a_ban_by_score_is_told_though_no_alert_is_worth_a_mail() {
        let config = Config::default();
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let proof = SuricataProof::unknown();
        let mut engine = Engine::new(packs, &config, Network::default(), proof);
        let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::UTC);
        // Too slow for the rule that counts, not for the score.
        for attempt in 0..40 {
            let arrived = Timestamp::from_secs(1_795_478_400 + 60 * attempt);
            let line = format!(
                "{arrived} web1 sshd[{}]: Failed password for root from 198.51.100.7 port 4711 ssh2",
                800 + attempt
            );
            let record = decoder.decode(Line { bytes: line.as_bytes(), arrived }).unwrap();
            let outcome = engine.step(&record, arrived);
            let evidence = Evidence::default();
            let notices = notices(&outcome, "auth.log".to_owned(), None, &evidence, 7);
            let Verdict::Ban(order) = &outcome.verdict else {
                assert_eq!(notices, [], "{attempt}");
                continue;
            };
            assert_eq!(order.rule, None);
            let [Notice::Alert(told)] = &notices[..] else { panic!("{notices:?}") };
            assert_eq!((told.rule, told.level), (5716, 5));
            let mail::Outcome::Banned { reason: Some(reason), .. } = &told.outcome else {
                panic!("{told:?}")
            };
            assert!(reason.contains("score"), "{reason}");
            return;
        }
        panic!("no ban");
    }
}
