//! The daily digest: what wasn't worth a mail of its own, and the sign of life.

use super::offender::Offender;
use super::page::Page;
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
    page: &mut Page,
    offenders: &[Offender<'_>],
    topics: &[Topic],
    vitals: Vitals,
    now: Timestamp,
) {
    match entries(topics) {
        0 => page.lead("Nothing that wasn't mailed at once."),
        alerts => {
            page.lead(&format!("{}, beside those mailed at once.", counted(alerts, "alert")));
        }
    }
    page.text(&format!("{}\nto {}", scene.local(vitals.since), scene.local(now)));
    page.text(&format!("Bans that stand: {}", vitals.bans));
    if topics.is_empty() {
        return;
    }
    page.list("By rule", by_rule(topics));
    let named = offenders.iter().take(OFFENDERS).map(|offender| scene.in_a_line(offender));
    page.list("By offender", named.collect());
    page.commands(vec![("More", "ravelin history".to_owned())]);
}
