//! The steps of a line in words.

use std::io::{self, Write};

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{Head, has_fired, json_fields};
use crate::cli::table;
use crate::config::{Config, Shown};
use crate::correlator::{Missed, Tally};
use crate::engine::{Explained, Outcome, Unsaid};
use crate::event::{BanOrder, Body, Offence, Record, Target, Timestamp, Ttl, Verdict, Withheld};
use crate::mail::visible;
use crate::policy::Why;
use crate::rules::{NearMiss, Trace};
use crate::seeded::HashMap;

/// Scores that are remembered, to tell how they faded.
const REMEMBERED: usize = 1 << 16;
/// Counts that are told of a line.
const COUNTS: usize = 6;
/// Columns of a line that a caret points into, and of a pattern.
const WIDTH: usize = 66;
/// Columns of a field's value.
const VALUE: usize = 400;

/// What has been said, as far as what follows refers to it.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The score of each, and when.
    scores: HashMap<Target, (f64, Timestamp)>,
    /// The latest ban of each.
    bans: HashMap<Target, BanOrder>,
}

pub(super) fn undecodable(out: &mut impl Write, head: Head<'_>, why: &str) -> io::Result<()> {
    let Head { format, .. } = head;
    writeln!(out, "{}: {format}: {}\n", place(head), visible(why, VALUE))
}

pub(super) fn missed(out: &mut impl Write, missed: &Missed) -> io::Result<()> {
    let Missed { rule, since, time, target } = missed;
    writeln!(out, "nothing came from {since} to {time}")?;
    if let Some(target) = target {
        writeln!(out, "  after     a line about {target}")?;
    }
    writeln!(out, "  rule      {} level {}: {}\n", rule.id, rule.level, rule.description)
}

fn place(Head { file, line, .. }: Head<'_>) -> String {
    file.map_or_else(|| format!("line {line}"), |file| format!("{file} line {line}"))
}

impl Words {
    /// All about a line; `known`: a pack names its program.
    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        config: &Config,
        head: Head<'_>,
        (record, known): (&Record<'_>, bool),
        explained: &Explained<'_>,
    ) -> io::Result<()> {
        let Explained { outcome, unsaid } = explained;
        let program = record.program.map(|program| {
            format!(", program {}", visible(&String::from_utf8_lossy(program), VALUE))
        });
        let repeated = match record.repeated {
            0 | 1 => String::new(),
            times => format!(", {times} times"),
        };
        writeln!(out, "{}: {}{}{repeated}", place(head), head.format, program.unwrap_or_default())?;
        let Some(event) = &outcome.event else {
            let why = if known { "no pack recognises it" } else { "no pack reads this program" };
            writeln!(out, "  event     none: {why}")?;
            near(out, record, &unsaid.trace)?;
            return writeln!(out);
        };
        writeln!(out, "  event     {} (pack {})", event.kind.name, event.kind.pack)?;
        if let Some(pattern) = &unsaid.trace.pattern {
            writeln!(out, "  pattern   {}", visible(pattern, VALUE))?;
        }
        for (name, value) in json_fields(&event.fields) {
            let value = match value {
                Json::String(text) => visible(&text, VALUE),
                other => other.to_string(),
            };
            writeln!(out, "            {name} = {value}")?;
        }
        near(out, record, &unsaid.trace)?;
        offender(out, &outcome.offence, unsaid)?;
        rules(out, outcome, unsaid)?;
        self.score(out, config, outcome)?;
        self.verdict(out, config, outcome, unsaid)?;
        writeln!(out)
    }

    fn score(
        &mut self,
        out: &mut impl Write,
        config: &Config,
        outcome: &Outcome<'_>,
    ) -> io::Result<()> {
        let fired = &outcome.fired;
        let Some(target) = outcome.target else { return Ok(()) };
        let earlier = self.scores.get(&target).copied();
        if self.scores.len() < REMEMBERED || earlier.is_some() {
            let after = match &outcome.verdict {
                // A ban consumes its evidence.
                Verdict::Ban(_) | Verdict::Lapsed(_) => 0.0,
                Verdict::Nothing | Verdict::Withheld(_) => fired.score,
            };
            self.scores.insert(target, (after, outcome.time));
        }
        if fired.points.is_empty() {
            return Ok(());
        }
        let added: f64 = fired.points.iter().map(|(_, points)| points).sum();
        let before = (fired.score - added).max(0.0);
        let faded = match earlier {
            Some((earlier, time)) if earlier - before >= 0.05 => format!(
                " (of {earlier:.1}, {} later; it halves in {})",
                table::span(outcome.time.since(time)),
                Shown(config.ban.score_half_life)
            ),
            _ => String::new(),
        };
        let sum: Vec<String> =
            fired.points.iter().map(|(rule, points)| format!("{points} (rule {rule})")).collect();
        let may_ban = if fired.score - fired.bannable_score >= 0.05 {
            format!(", of which {:.1} may ban", fired.bannable_score)
        } else {
            String::new()
        };
        writeln!(
            out,
            "  score     {before:.1}{faded} + {} = {:.1}{may_ban}; {} bans",
            sum.join(" + "),
            fired.score,
            config.ban.score
        )
    }

    fn verdict(
        &mut self,
        out: &mut impl Write,
        config: &Config,
        outcome: &Outcome<'_>,
        unsaid: &Unsaid,
    ) -> io::Result<()> {
        match &outcome.verdict {
            Verdict::Nothing => {
                writeln!(out, "  verdict   nothing to do{}", quiet(config, outcome))
            }
            Verdict::Ban(order) => {
                if self.bans.len() < REMEMBERED {
                    self.bans.insert(order.target, order.clone());
                }
                writeln!(out, "  verdict   would ban {}", ban(config, order))
            }
            Verdict::Lapsed(order) => {
                writeln!(out, "  verdict   would have banned {}", ban(config, order))
            }
            Verdict::Withheld(why) => {
                let what = match (&unsaid.called_for, outcome.target) {
                    (Some(order), _) => format!(" {}", ban(config, order)),
                    (None, Some(target)) => format!(" {target}"),
                    (None, None) => String::new(),
                };
                writeln!(out, "  verdict   would ban{what};")?;
                writeln!(out, "            no: {}", self.reason(*why, outcome, unsaid))
            }
        }
    }

    /// Why not.
    fn reason(&self, why: Withheld, outcome: &Outcome<'_>, unsaid: &Unsaid) -> String {
        match (why, &unsaid.allowed, &unsaid.standing) {
            (Withheld::Allowed, Some(entry), _) => format!("it is {}", allowed(entry)),
            (Withheld::Already, _, Some(target)) => {
                let until = self.bans.get(target).and_then(BanOrder::expires);
                match until {
                    Some(until) => format!("a ban of {target} stands until {until}"),
                    None => format!("a ban of {target} stands"),
                }
            }
            (Withheld::Unproven, ..) if outcome.offence.bar != Some(Withheld::Unproven) => {
                "this line is good, but without evidence that could be spoofed its rule's count or \
                 the score is too small (ban.unproven)"
                    .to_owned()
            }
            _ => reason(why).to_owned(),
        }
    }
}

/// `in allow 198.51.100.0/24`, and why that is there if nobody wrote it.
fn allowed((net, why): &(IpNet, Why)) -> String {
    match why {
        Why::Configured => format!("in allow {net}"),
        why => format!("in allow {net} ({why})"),
    }
}

/// Why not, where there is no more to say.
fn reason(why: Withheld) -> &'static str {
    match why {
        Withheld::Allowed => "it is on the allow list",
        Withheld::Unproven => "the address could be spoofed (ban.unproven)",
        Withheld::Outbound => "our side opened the flow (ban.outbound)",
        Withheld::Private => "it is a private address (ban.private)",
        Withheld::Ambiguous => "the line doesn't say beyond doubt whose address it is",
        Withheld::Already => "a ban of it stands",
        Withheld::Rate => "ban.max_per_minute is used up; it waits its turn",
        Withheld::LiveSession => "an authenticated SSH session from it lives",
        Withheld::Front => "it carries many clients, of whom this may be any (fronts)",
        Withheld::Untrusted => "people beside root can write to the log",
        Withheld::Observe => "mode is observe",
    }
}

/// `198.51.100.7/32 for 5m from ports 25,587 (rule 5720, level 10; 9 bans)`
fn ban(config: &Config, order: &BanOrder) -> String {
    let by = match (order.rule, order.level) {
        (Some(rule), Some(level)) if level >= config.ban.level => {
            format!("rule {rule}, level {level}; {} bans", config.ban.level)
        }
        (Some(rule), _) => format!("rule {rule} says `ban: true`"),
        (None, _) => format!("its score; {} bans", config.ban.score),
    };
    let ttl = match order.ttl {
        Ttl::For(ttl) => Shown(ttl).to_string(),
        Ttl::Permanent => "ever".to_owned(),
    };
    let ports = order.ports.as_ref().map(|ports| format!(" from ports {ports}"));
    let again = match order.offences {
        0 | 1 => String::new(),
        offences => format!(", its {} ban", ordinal(offences)),
    };
    format!("{} for {ttl}{}{again} (by {by})", order.target, ports.unwrap_or_default())
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Why nothing is to do, where something happened.
fn quiet(config: &Config, outcome: &Outcome<'_>) -> String {
    let fired = &outcome.fired;
    let Some(highest) = fired.alerts.first() else { return String::new() };
    if outcome.offence.offender.is_none() {
        return ": it blames nobody".to_owned();
    }
    let level = match highest.rule.level {
        level if level >= config.ban.level => {
            format!("rule {} says `ban: false`", highest.rule.id)
        }
        level => format!("level {level} is below {}", config.ban.level),
    };
    match fired.points.is_empty() {
        true => format!(": {level}"),
        false => format!(": {level}, score {:.1} below {}", fired.score, config.ban.score),
    }
}

fn offender(out: &mut impl Write, offence: &Offence, unsaid: &Unsaid) -> io::Result<()> {
    let Some(offender) = offence.offender else { return writeln!(out, "  offender  none") };
    let proof = if offence.proven { "proven" } else { "could be spoofed" };
    let bar = match offence.bar {
        None => "",
        Some(Withheld::Outbound) => ", our side opened the flow",
        Some(Withheld::Ambiguous) => ", but not beyond doubt",
        Some(Withheld::LiveSession) => ", but somebody is logged in from there",
        Some(_) => ", never banned",
    };
    let allowed = unsaid.allowed.as_ref().map(|entry| format!(", {}", allowed(entry)));
    let allowed = allowed.unwrap_or_default();
    writeln!(out, "  offender  {offender}, {proof}{bar}{allowed}")
}

fn rules(out: &mut impl Write, outcome: &Outcome<'_>, unsaid: &Unsaid) -> io::Result<()> {
    let fired = &outcome.fired;
    let tally_of = |rule: u32| unsaid.tallies.iter().find(|tally| tally.rule.id == rule);
    for alert in &fired.alerts {
        let head = &alert.rule;
        writeln!(out, "  rule      {} level {}: {}", head.id, head.level, head.description)?;
        if let Some(tally) = tally_of(head.id) {
            writeln!(out, "            {}", counted(tally, tally.count))?;
        } else if alert.count > 1 {
            writeln!(out, "            {} events", alert.count)?;
        }
        if fired.tainted.contains(&head.id) {
            writeln!(out, "            not without evidence that may not ban")?;
        }
    }
    for rule in &fired.swallowed {
        writeln!(out, "  rule      {rule} is quiet: it fired a while ago (`ignore`)")?;
        if let Some(tally) = tally_of(*rule) {
            writeln!(out, "            {}", counted(tally, tally.count))?;
        }
    }
    if unsaid.told_before {
        writeln!(out, "  count     no more: an earlier line told of the same login attempt")?;
    }
    let mut under_way: Vec<&Tally> = unsaid
        .tallies
        .iter()
        .filter(|tally| tally.counted > 0 && !has_fired(outcome, tally))
        .collect();
    under_way.sort_by_key(|tally| (tally.count - tally.counted.min(tally.count), tally.rule.id));
    for tally in under_way.iter().take(COUNTS) {
        let id = tally.rule.id;
        writeln!(out, "  count     rule {id}: {}", counted(tally, tally.counted))?;
    }
    if under_way.len() > COUNTS {
        writeln!(out, "            and {} more rules", under_way.len() - COUNTS)?;
    }
    Ok(())
}

/// `3 of 8 within 6m, same src`
fn counted(tally: &Tally, counted: u32) -> String {
    let Tally { count, within, same, distinct, .. } = tally;
    let what = match distinct {
        Some(field) => format!(" different {field}"),
        None => String::new(),
    };
    let same = match same.as_slice() {
        [] => String::new(),
        same => format!(", same {}", same.join(", ")),
    };
    format!("{counted} of {count}{what} within {}{same}", Shown(*within))
}

fn near(out: &mut impl Write, record: &Record<'_>, trace: &Trace) -> io::Result<()> {
    let text: &[u8] = match &record.body {
        Body::Message(text) | Body::Access(text) => text,
        Body::Suricata(_) => return Ok(()),
    };
    for miss in &trace.near {
        let NearMiss { event, pack, at, expected, .. } = miss;
        writeln!(
            out,
            "  near      {event} (pack {pack}) stopped at byte {at}, where it expected {}:",
            visible(expected, VALUE)
        )?;
        let (line, caret) = pointed(text, *at);
        writeln!(out, "            {line}")?;
        writeln!(out, "            {:caret$}^", "")?;
    }
    Ok(())
}

/// As much of a line as fits, and the column of the byte `at` in it.
fn pointed(text: &[u8], at: usize) -> (String, usize) {
    let (before, after) = text.split_at(at.min(text.len()));
    let shown = |bytes: &[u8]| {
        // Each character as it is shown: some take several columns.
        let text = String::from_utf8_lossy(bytes);
        text.chars().map(|char| visible(char.encode_utf8(&mut [0; 4]), 1)).collect::<Vec<_>>()
    };
    // A little of what follows, and of what comes before as much as there is room for.
    let after = shown(&after[..after.len().min(2 * WIDTH)]);
    let before = shown(&before[before.len().saturating_sub(4 * WIDTH)..]);
    let width = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).sum::<usize>();
    let room = WIDTH - width(&after).min(WIDTH / 3);
    let mut from = before.len();
    while from > 0 && width(&before[from - 1..]) <= room {
        from -= 1;
    }
    let cut = from > 0 || at > 4 * WIDTH;
    let mut line = if cut { "...".to_owned() } else { String::new() };
    line.extend(before[from..].iter().map(String::as_str));
    let caret = line.chars().count();
    for cell in after {
        if line.chars().count() + cell.chars().count() > WIDTH + 3 {
            line.push_str("...");
            break;
        }
        line.push_str(&cell);
    }
    (line, caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_where_it_should() {
        assert_eq!(pointed(b"ab cd", 3), ("ab cd".to_owned(), 3));
        assert_eq!(pointed(b"ab\x1b[1m", 4), ("ab\\x1b[1m".to_owned(), 7));
        assert_eq!(pointed(b"", 9), (String::new(), 0));
        let long = [b"x".repeat(500), b"HERE".to_vec(), b"y".repeat(500)].concat();
        let (line, caret) = pointed(&long, 500);
        assert!(line.chars().count() <= WIDTH + 6, "{line}");
        assert!(line[caret..].starts_with("HEREyy"), "{line}");
        assert!(line.starts_with("...xx") && line.ends_with("yy..."), "{line}");
    }
}
