//! A mail about alerts: one offender, or several.

use super::line;
use super::offender::Offender;
use super::page::Page;
use super::{Scene, WORDS, by_rule, entries};
use crate::event::{Target, Withheld};
use crate::mail::notice::Outcome;
use crate::mail::text::{counted, span, visible};
use crate::store::Topic;

/// Fields that the log's line, the rule or the offender's name tells already.
const ELSEWHERE: [&str; 9] =
    ["gid", "sid", "rev", "priority", "action", "proto", "src", "src_port", "port"];

/// Offenders told in full.
const IN_FULL: usize = 20;

pub(super) fn subject(offenders: &[Offender<'_>], topics: &[Topic]) -> String {
    let what = match offenders {
        [] => return topics.first().map_or_else(String::new, |topic| topic.topic.clone()),
        [one] => match one.outcome() {
            Outcome::Banned { target, since, until: Some(until), .. } => {
                format!("{target} banned for {}", span(until.since(*since)))
            }
            Outcome::Banned { target, until: None, .. } => format!("{target} banned for good"),
            Outcome::Withheld { .. } | Outcome::Nothing => match one.address {
                Some(address) => format!("{address} not banned"),
                None => return one.description(),
            },
        },
        many => {
            let banned = many.iter().filter(|offender| offender.is_banned()).count();
            format!("{} offenders, {banned} banned", many.len())
        }
    };
    let why = offenders.first().map(Offender::description).unwrap_or_default();
    format!("{what}, {why}")
}

impl Scene {
    /// All of it.
    pub(super) fn alerts(&self, page: &mut Page, offenders: &[Offender<'_>], topics: &[Topic]) {
        let told = offenders.iter().map(|offender| offender.alerts.len() as u64).sum::<u64>();
        let all = entries(topics);
        if offenders.len() > 1 {
            let banned = offenders.iter().filter(|offender| offender.is_banned()).count();
            page.lead(&format!(
                "{} offenders, {banned} banned,\n{}.",
                offenders.len(),
                counted(all, "alert")
            ));
        }
        for (index, offender) in offenders.iter().take(IN_FULL).enumerate() {
            let number = (offenders.len() > 1).then_some(index + 1);
            self.offender(page, number, offender);
        }
        if offenders.len() > IN_FULL {
            let others = offenders[IN_FULL..].iter().map(|offender| self.in_a_line(offender));
            page.list("Also", others.collect());
        }
        if all > told || offenders.len() > IN_FULL {
            page.list("All by rule", by_rule(topics));
            page.commands(vec![("More", "ravelin history".to_owned())]);
        }
    }

    /// Everything about one offender.
    fn offender(&self, page: &mut Page, number: Option<usize>, offender: &Offender<'_>) {
        let Some(first) = offender.alerts.first() else { return };
        let number = number.map_or_else(String::new, |number| format!("[{number}] "));
        page.lead(&format!("{number}{}", self.done(offender)));
        let mut body = String::new();
        for (alert, times) in offender.rules() {
            body.push_str(&format!("{}\n", visible(&alert.description, WORDS)));
            body.push_str(&format!("rule {}, level {}", alert.rule, alert.level));
            if alert.count > 1 {
                body.push_str(&format!(", {} events", alert.count));
            }
            if times > 1 {
                body.push_str(&format!(", {times} times"));
            }
            body.push('\n');
        }
        let last = offender.alerts.iter().map(|alert| alert.at).max().unwrap_or(first.at);
        let from = offender.alerts.iter().map(|alert| alert.at).min().unwrap_or(first.at);
        body.push_str(&self.local(from));
        if last.since(from).as_secs() > 0 {
            body.push_str(&format!("\nto {}", self.local(last)));
        }
        body.push('\n');
        let mut origins: Vec<String> = Vec::new();
        let mut fields: Vec<String> = Vec::new();
        for alert in &offender.alerts {
            let host = alert.host.as_deref().unwrap_or(&self.host);
            let origin =
                format!("Received from: {}->{}", visible(host, 64), visible(&alert.source, WORDS));
            if origins.len() < 5 && !origins.contains(&origin) {
                origins.push(origin);
            }
            let telling =
                alert.fields.iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str()));
            for (name, value) in telling {
                let field = format!("{}: {}", visible(name, 32), visible(value, 64));
                if fields.len() < 8 && !fields.contains(&field) {
                    fields.push(field);
                }
            }
        }
        for line in origins.iter().chain(&fields) {
            body.push_str(&format!("{line}\n"));
        }
        page.text(&body);
        page.log("Log", offender.lines().into_iter().map(line::shown).collect());
        if let Some(target) = offender.target() {
            let undo = offender.is_banned().then(|| ("Undo", format!("ravelin unban {target}")));
            let rest = [
                ("Allow", format!("ravelin allow {target}")),
                ("Story", format!("ravelin show {target}")),
            ];
            page.commands(undo.into_iter().chain(rest).collect());
        }
    }

    /// What was done about an offender.
    fn done(&self, offender: &Offender<'_>) -> String {
        let whom = offender.name();
        match offender.outcome() {
            Outcome::Banned { target, since, until, ports, reason, offences } => {
                let whom = target.to_string();
                let seen = offender
                    .address
                    .filter(|_| !is_whole(*target))
                    .map(|address| format!("\n(seen: {address})"));
                let why = reason.as_deref().map(|why| format!("\n({})", visible(why, WORDS)));
                let which = (*offences > 1).then(|| format!("\n(its ban number {offences})"));
                let ports = ports
                    .as_ref()
                    .map(|ports| format!("\n(from ports {ports}; the others stay open to it)"));
                let notes: String = [ports, seen, why, which].into_iter().flatten().collect();
                match until {
                    Some(until) => format!(
                        "{whom} is banned for {},\nuntil {}.{notes}",
                        span(until.since(*since)),
                        self.local(*until)
                    ),
                    None => format!("{whom} is banned for good.{notes}"),
                }
            }
            Outcome::Withheld { why } => format!("{whom} is not banned:\n{}.", withheld(why)),
            Outcome::Nothing => match offender.address {
                Some(_) => format!("{whom} is not banned:\nno rule called for it."),
                None => "No address to ban.".to_owned(),
            },
        }
    }

    /// An offender among many.
    pub(super) fn in_a_line(&self, offender: &Offender<'_>) -> String {
        let done = match offender.outcome() {
            Outcome::Banned { until: Some(until), .. } => {
                format!("banned until {}", self.local(*until))
            }
            Outcome::Banned { until: None, .. } => "banned for good".to_owned(),
            Outcome::Withheld { why } => format!("not banned ({})", visible(why, 20)),
            Outcome::Nothing => "not banned".to_owned(),
        };
        let alerts = counted(offender.alerts.len() as u64, "alert");
        format!("{}: level {}, {alerts}, {done}", offender.name(), offender.level())
    }
}

/// Whether a target is one address.
fn is_whole(target: Target) -> bool {
    target.net().prefix_len() == target.net().max_prefix_len()
}

/// Why no ban came, in words; what we don't know is shown as it is.
fn withheld(why: &str) -> String {
    const WORDS: [(Withheld, &str); 11] = [
        (Withheld::Allowed, "it is on the allow list"),
        (Withheld::Unproven, "the evidence could have been\nspoofed (unproven)"),
        (Withheld::Outbound, "our side opened the connection\n(outbound)"),
        (Withheld::Private, "it is a private address"),
        (Withheld::Ambiguous, "more than one address could be meant\n(ambiguous)"),
        (Withheld::Already, "a ban of it stands already"),
        (Withheld::Rate, "too many bans a minute; it queues\n(ban.max_per_minute)"),
        (Withheld::LiveSession, "somebody is logged in from there\n(live-session)"),
        (Withheld::Front, "it carries many clients (fronts)"),
        (Withheld::Untrusted, "more people than root can write to that log\n(untrusted)"),
        (Withheld::Observe, "ravelin only observes (mode: observe)"),
    ];
    WORDS
        .iter()
        .find(|(known, _)| known.as_str() == why)
        .map_or_else(|| visible(why, 64), |(_, words)| (*words).to_owned())
}
