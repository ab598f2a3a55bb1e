//! `ravelin explain`: how each line decodes, which rules fire and why, what would be done.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use super::args::Explain;
use super::{Done, setup};
use crate::config::{Config, Format, Shown};
use crate::control::ListedPorts;
use crate::correlator::Missed;
use crate::engine::Outcome;
use crate::event::{Alert, BanOrder, Fields, Line, Ttl, Value, Verdict, Withheld};
use crate::source::WholeLine;

pub(super) fn run(config: Option<&Path>, args: &Explain) -> anyhow::Result<Done> {
    let config = setup::config(config)?;
    let mut engine = setup::engine(&config, &args.when)?;
    let (mut decoder, now) = setup::decoder(args.format, &args.when)?;
    let mut input = setup::input(&args.file)?;
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some(WholeLine { number, bytes, .. }) = input.next_line()? {
        let record = decoder.decode(Line { bytes, arrived: now });
        let format = decoder.last_format().map_or("auto", Format::as_str);
        match &record {
            Err(undecodable) => {
                let reason = undecodable.to_string();
                if args.json {
                    write_json(&mut out, &Explained::unrecognised(number, format, None))?;
                } else {
                    writeln!(out, "line {number}: {format}: {reason}\n")?;
                }
            }
            Ok(record) => {
                // Old lines are explained as if they came in when they were written.
                let arrived = record.time.unwrap_or(now);
                let program = record.program.map(String::from_utf8_lossy);
                let missed = engine.advance(arrived);
                let outcome = engine.step(record, arrived);
                if args.json {
                    let missed = missed.iter().map(ExplainedMissed::of).collect();
                    let explained = Explained::of(number, format, program, &outcome);
                    write_json(&mut out, &Explained { missed, ..explained })?;
                } else {
                    missed.iter().try_for_each(|missed| write_missed(&mut out, missed))?;
                    write_words(&mut out, &config, number, format, program.as_deref(), &outcome)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

/// A line of `explain --json`, in the contract's words.
#[derive(Serialize)]
struct Explained<'l> {
    line: u64,
    format: &'l str,
    program: Option<std::borrow::Cow<'l, str>>,
    event: Option<&'l str>,
    offender: Option<std::net::IpAddr>,
    proven: bool,
    fields: Map<String, Json>,
    alerts: Vec<ExplainedAlert<'l>>,
    score: f64,
    ban: Option<ExplainedBan>,
    withheld: Option<&'static str>,
    /// What had not come by the time of this line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missed: Vec<ExplainedMissed>,
}

#[derive(Serialize)]
struct ExplainedMissed {
    time: String,
    rule: u32,
    level: u8,
    since: String,
    description: String,
}

impl ExplainedMissed {
    fn of(missed: &Missed) -> Self {
        Self {
            time: missed.time.to_string(),
            rule: missed.rule.id,
            level: missed.rule.level,
            since: missed.since.to_string(),
            description: missed.rule.description.clone(),
        }
    }
}

#[derive(Serialize)]
struct ExplainedAlert<'l> {
    rule: u32,
    level: u8,
    description: &'l str,
}

#[derive(Serialize)]
struct ExplainedBan {
    target: String,
    ttl_s: Option<u64>,
    rule: Option<u32>,
    /// Not there where every port is banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<ListedPorts>,
}

impl<'l> Explained<'l> {
    fn unrecognised(
        line: u64,
        format: &'l str,
        program: Option<std::borrow::Cow<'l, str>>,
    ) -> Self {
        Self {
            line,
            format,
            program,
            event: None,
            offender: None,
            proven: false,
            fields: Map::new(),
            alerts: Vec::new(),
            score: 0.0,
            ban: None,
            withheld: None,
            missed: Vec::new(),
        }
    }

    fn of(
        line: u64,
        format: &'l str,
        program: Option<std::borrow::Cow<'l, str>>,
        outcome: &'l Outcome<'_>,
    ) -> Self {
        let Outcome { event, offence, fired, verdict, .. } = outcome;
        Self {
            event: event.as_ref().map(|event| event.kind.name.as_str()),
            offender: offence.offender,
            proven: offence.proven,
            fields: event.as_ref().map(|event| json_fields(&event.fields)).unwrap_or_default(),
            alerts: fired.alerts.iter().map(ExplainedAlert::of).collect(),
            score: (fired.score * 1000.0).round() / 1000.0,
            ban: match verdict {
                Verdict::Ban(order) => Some(ExplainedBan::of(order)),
                Verdict::Nothing | Verdict::Lapsed(_) | Verdict::Withheld(_) => None,
            },
            withheld: match verdict {
                Verdict::Withheld(why) => Some(why.as_str()),
                Verdict::Nothing | Verdict::Ban(_) | Verdict::Lapsed(_) => None,
            },
            ..Self::unrecognised(line, format, program)
        }
    }
}

impl<'l> ExplainedAlert<'l> {
    fn of(alert: &'l Alert) -> Self {
        let head = &alert.rule;
        Self { rule: head.id, level: head.level, description: &head.description }
    }
}

impl ExplainedBan {
    fn of(order: &BanOrder) -> Self {
        Self {
            target: order.target.to_string(),
            ttl_s: match order.ttl {
                Ttl::For(ttl) => Some(ttl.as_secs()),
                Ttl::Permanent => None,
            },
            rule: order.rule,
            ports: order.ports.as_ref().map(ListedPorts::from),
        }
    }
}

fn json_fields(fields: &Fields<'_>) -> Map<String, Json> {
    fields
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => Json::String(String::from_utf8_lossy(&text).into_owned()),
                Value::Number(number) => Json::Number(Number::from(number)),
                Value::Addr(addr) => Json::String(addr.to_string()),
            };
            (name.to_owned(), value)
        })
        .collect()
}

fn write_json(out: &mut impl Write, explained: &Explained<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, explained)?;
    out.write_all(b"\n")
}

fn write_words(
    out: &mut impl Write,
    config: &Config,
    number: u64,
    format: &str,
    program: Option<&str>,
    outcome: &Outcome<'_>,
) -> io::Result<()> {
    let program = program.map(|program| format!(", program {}", printable(program)));
    writeln!(out, "line {number}: {format}{}", program.unwrap_or_default())?;
    let Some(event) = &outcome.event else {
        return writeln!(out, "  event     none: no pack recognises it\n");
    };
    writeln!(out, "  event     {} (pack {})", event.kind.name, event.kind.pack)?;
    for (name, value) in json_fields(&event.fields) {
        let value = match value {
            Json::String(text) => printable(&text),
            other => other.to_string(),
        };
        writeln!(out, "            {name} = {value}")?;
    }
    write_offender(out, outcome)?;
    for alert in &outcome.fired.alerts {
        let head = &alert.rule;
        let count =
            if alert.count > 1 { format!(", {} events", alert.count) } else { String::new() };
        writeln!(out, "  rule      {} level {}: {}{count}", head.id, head.level, head.description)?;
    }
    write_score(out, config, outcome)?;
    write_verdict(out, config, outcome)?;
    writeln!(out)
}

fn write_missed(out: &mut impl Write, missed: &Missed) -> io::Result<()> {
    let Missed { rule, since, time, target } = missed;
    writeln!(out, "nothing came from {since} to {time}")?;
    if let Some(target) = target {
        writeln!(out, "  after     a line about {target}")?;
    }
    writeln!(out, "  rule      {} level {}: {}\n", rule.id, rule.level, rule.description)
}

fn write_offender(out: &mut impl Write, outcome: &Outcome<'_>) -> io::Result<()> {
    let offence = &outcome.offence;
    match offence.offender {
        None => writeln!(out, "  offender  none"),
        Some(offender) => {
            let proof = if offence.proven { "proven" } else { "could be spoofed" };
            let bar = match offence.bar {
                None => "",
                Some(Withheld::Outbound) => ", our side opened the flow",
                Some(Withheld::Ambiguous) => ", but not beyond doubt",
                Some(_) => ", never banned",
            };
            writeln!(out, "  offender  {offender}, {proof}{bar}")
        }
    }
}

fn write_score(out: &mut impl Write, config: &Config, outcome: &Outcome<'_>) -> io::Result<()> {
    let fired = &outcome.fired;
    if fired.points.is_empty() {
        return Ok(());
    }
    let added: f64 = fired.points.iter().map(|(_, points)| points).sum();
    let sum: Vec<String> =
        fired.points.iter().map(|(rule, points)| format!("{points} (rule {rule})")).collect();
    writeln!(
        out,
        "  score     {:.1} + {} = {:.1}; {} bans",
        (fired.score - added).max(0.0),
        sum.join(" + "),
        fired.score,
        config.ban.score
    )
}

fn write_verdict(out: &mut impl Write, config: &Config, outcome: &Outcome<'_>) -> io::Result<()> {
    match &outcome.verdict {
        Verdict::Nothing => writeln!(out, "  verdict   nothing to do"),
        Verdict::Ban(order) | Verdict::Lapsed(order) => {
            let by = match (order.rule, order.level) {
                (Some(rule), Some(level)) => {
                    format!("rule {rule}, level {level}; {} bans", config.ban.level)
                }
                _ => "its score".to_owned(),
            };
            let ttl = match order.ttl {
                Ttl::For(ttl) => Shown(ttl).to_string(),
                Ttl::Permanent => "ever".to_owned(),
            };
            writeln!(out, "  verdict   would ban {} for {ttl} (by {by})", order.target)
        }
        Verdict::Withheld(why) => {
            let target = outcome.target.map(|target| format!(" {target}")).unwrap_or_default();
            writeln!(out, "  verdict   would ban{target}; no: {}", reason(*why))
        }
    }
}

/// Why not, for people.
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
        Withheld::Observe => "mode is observe",
    }
}

/// Attackers write log lines: nothing of theirs reaches the terminal as a control sequence.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            if char.is_control() { char.escape_default().collect::<Vec<_>>() } else { vec![char] }
        })
        .collect()
}
