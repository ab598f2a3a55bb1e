//! The daily digest: what wasn't worth a mail of its own, and the sign of life.

use super::offender::Offender;
use super::{Scene, Vitals, by_rule, entries};
use crate::event::Timestamp;
use crate::mail::text::counted;
use crate::store::Topic;

/// Offenders that are named.
const OFFENDERS: usize = 30;

pub(super) fn subject(offenders: &[Offender<'_>], topics: &[Topic]) -> String {
    match entries(topics) {
        0 => "daily digest: quiet".to_owned(),
        alerts => {
            let banned = offenders.iter().filter(|offender| offender.is_banned()).count();
            format!("daily digest: {}, {banned} banned", counted(alerts, "alert"))
        }
    }
}

pub(super) fn body(
    scene: &Scene,
    body: &mut String,
    offenders: &[Offender<'_>],
    topics: &[Topic],
    vitals: Vitals,
    now: Timestamp,
) {
    match entries(topics) {
        0 => body.push_str("Nothing that wasn't mailed at once.\n"),
        alerts => {
            body.push_str(&format!("{}, beside those mailed at once.\n", counted(alerts, "alert")));
        }
    }
    body.push_str(&format!(
        "{}\nto {}\n\nBans that stand: {}\n",
        scene.local(vitals.since),
        scene.local(now),
        vitals.bans
    ));
    if topics.is_empty() {
        return;
    }
    body.push_str("\nBy rule:\n");
    by_rule(body, topics);
    let named: Vec<_> =
        offenders.iter().take(OFFENDERS).map(|offender| scene.in_a_line(offender)).collect();
    if !named.is_empty() {
        body.push_str("\nBy offender:\n");
        for line in named {
            body.push_str(&format!("  {line}\n"));
        }
    }
    body.push_str("\nMore: ravelin history\n");
}
