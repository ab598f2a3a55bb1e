//! `ravelin explain`: how each line decodes, which rules fire and why, what would be done.

#[cfg(test)]
mod tests;
mod words;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use self::words::Words;
use super::args;
use super::progress::Bar;
use super::{Done, setup};
use crate::config::{Config, Format};
use crate::control::ListedPorts;
use crate::correlator::{Missed, Tally};
use crate::engine::{Engine, Explained, Outcome, Unsaid};
use crate::event::{Alert, BanOrder, Fields, Line, Timestamp, Ttl, Value, Verdict};
use crate::format::{Decoder, JOURNALD};
use crate::rules::NearMiss;
use crate::source::{EntryOf, WholeLine};

pub(super) fn run(config: Option<&Path>, args: &args::Explain) -> anyhow::Result<Done> {
    let config = setup::config(config)?;
    let engine = setup::engine(&config, &args.when)?;
    let (decoder, now) = setup::decoder(args.format, &args.when)?;
    let mut inputs = args
        .files
        .iter()
        .map(|file| setup::input(file, args.format))
        .collect::<Result<Vec<_>, _>>()?;
    let mut bar = Bar::of(&inputs);
    let out = BufWriter::new(bar.stdout());
    let mut explainer = Explainer::new(out, config, engine, decoder, now, args.json);
    let mut broken = Vec::new();
    let several = inputs.len() > 1;
    for input in &mut inputs {
        let file = several.then(|| input.name().display().to_string());
        loop {
            match input.next_line() {
                Ok(Some(line)) => {
                    bar.step();
                    explainer.line(file.as_deref(), &line)?;
                }
                Ok(None) => break,
                Err(error) => {
                    broken.push(error);
                    break;
                }
            }
        }
    }
    bar.finish();
    explainer.out.flush()?;
    for error in &broken {
        setup::warn(&error.to_string())?;
    }
    Ok(if broken.is_empty() { Done::Well } else { Done::Wrong })
}

/// Explains one line after the other.
struct Explainer<W> {
    out: W,
    config: Config,
    engine: Engine,
    decoder: Decoder,
    now: Timestamp,
    json: bool,
    words: Words,
}

impl<W: Write> Explainer<W> {
    fn new(
        out: W,
        config: Config,
        engine: Engine,
        decoder: Decoder,
        now: Timestamp,
        json: bool,
    ) -> Self {
        Self { out, config, engine, decoder, now, json, words: Words::default() }
    }

    fn line(&mut self, file: Option<&str>, line: &WholeLine<'_>) -> io::Result<()> {
        let &WholeLine { number, bytes, entry, .. } = line;
        let Self { out, config, engine, decoder, now, json, words } = self;
        let record = decoder.decode(Line { bytes, arrived: *now });
        let format = match entry {
            Some(_) => JOURNALD,
            None => decoder.last_format().map_or("auto", Format::as_str),
        };
        let head = Head { file, line: number, format };
        let record = match &record {
            Ok(record) => record,
            Err(_) if entry == Some(EntryOf::Nothing) && !*json => {
                return words::undecodable(out, head, "expected an entry of `journalctl -o json`");
            }
            Err(_) if *json => return write_json(out, &Told::unrecognised(head, None)),
            Err(undecodable) => return words::undecodable(out, head, &undecodable.to_string()),
        };
        // Old lines are explained as if they came in when they were written.
        let arrived = record.time.unwrap_or(*now);
        let program = record.program.map(String::from_utf8_lossy);
        let missed = engine.advance(arrived);
        let known = record.program.is_none_or(|program| engine.packs().knows_program(program));
        let explained = engine.explain(record, arrived);
        if *json {
            let missed = missed.iter().map(ToldMissed::of).collect();
            return write_json(out, &Told { missed, ..Told::of(head, program, &explained) });
        }
        missed.iter().try_for_each(|missed| words::missed(out, missed))?;
        words.write(out, config, head, (record, known), &explained)
    }
}

/// Which line.
#[derive(Clone, Copy, Debug)]
struct Head<'l> {
    /// Where there are several.
    file: Option<&'l str>,
    line: u64,
    format: &'l str,
}

/// A line of `explain --json`, in the contract's words.
#[derive(Serialize)]
struct Told<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'l str>,
    line: u64,
    format: &'l str,
    program: Option<std::borrow::Cow<'l, str>>,
    event: Option<&'l str>,
    offender: Option<std::net::IpAddr>,
    proven: bool,
    fields: Map<String, Json>,
    alerts: Vec<ToldAlert<'l>>,
    score: f64,
    ban: Option<ToldBan>,
    withheld: Option<&'static str>,
    /// What had not come by the time of this line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missed: Vec<ToldMissed>,
    /// The text of the pattern that took the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'l str>,
    /// The patterns that nearly took it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<ToldNear<'l>>,
    /// An earlier line told of the same login attempt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    told_before: bool,
    /// How far the counts have come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counts: Vec<ToldCount<'l>>,
    /// What was added to the score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<ToldPoints>,
    /// The entry of the allow list that holds the offender.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<ToldAllowed>,
    /// The ban that was withheld.
    #[serde(skip_serializing_if = "Option::is_none")]
    called_for: Option<ToldBan>,
}

#[derive(Serialize)]
struct ToldNear<'l> {
    event: &'l str,
    pack: &'l str,
    /// The byte of the message at which it stopped.
    at: usize,
    expected: &'l str,
}

impl<'l> ToldNear<'l> {
    fn of(miss: &'l NearMiss) -> Self {
        let NearMiss { event, pack, at, expected, .. } = miss;
        Self { event, pack, at: *at, expected }
    }
}

#[derive(Serialize)]
struct ToldCount<'l> {
    rule: u32,
    counted: u32,
    count: u32,
    within_s: f64,
    same: &'l [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    distinct: Option<&'l str>,
}

impl<'l> ToldCount<'l> {
    fn of(tally: &'l Tally, fired: bool) -> Self {
        Self {
            rule: tally.rule.id,
            counted: if fired { tally.count } else { tally.counted },
            count: tally.count,
            within_s: tally.within.as_secs_f64(),
            same: &tally.same,
            distinct: tally.distinct.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ToldPoints {
    rule: u32,
    points: f64,
}

#[derive(Serialize)]
struct ToldAllowed {
    net: String,
    why: String,
}

#[derive(Serialize)]
struct ToldMissed {
    time: String,
    rule: u32,
    level: u8,
    since: String,
    description: String,
}

impl ToldMissed {
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
struct ToldAlert<'l> {
    rule: u32,
    level: u8,
    description: &'l str,
}

#[derive(Serialize)]
struct ToldBan {
    target: String,
    ttl_s: Option<u64>,
    rule: Option<u32>,
    /// Not there where every port is banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<ListedPorts>,
}

impl<'l> Told<'l> {
    fn unrecognised(head: Head<'l>, program: Option<std::borrow::Cow<'l, str>>) -> Self {
        let Head { file, line, format } = head;
        Self {
            file,
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
            pattern: None,
            near: Vec::new(),
            told_before: false,
            counts: Vec::new(),
            points: Vec::new(),
            allowed: None,
            called_for: None,
        }
    }

    fn of(
        head: Head<'l>,
        program: Option<std::borrow::Cow<'l, str>>,
        explained: &'l Explained<'_>,
    ) -> Self {
        let Explained { outcome, unsaid } = explained;
        let Outcome { event, offence, fired, verdict, .. } = outcome;
        let Unsaid { trace, tallies, told_before, allowed, called_for, .. } = unsaid;
        Self {
            event: event.as_ref().map(|event| event.kind.name.as_str()),
            offender: offence.offender,
            proven: offence.proven,
            fields: event.as_ref().map(|event| json_fields(&event.fields)).unwrap_or_default(),
            alerts: fired.alerts.iter().map(ToldAlert::of).collect(),
            score: (fired.score * 1000.0).round() / 1000.0,
            ban: match verdict {
                Verdict::Ban(order) => Some(ToldBan::of(order)),
                Verdict::Nothing | Verdict::Lapsed(_) | Verdict::Withheld(_) => None,
            },
            withheld: match verdict {
                Verdict::Withheld(why) => Some(why.as_str()),
                Verdict::Nothing | Verdict::Ban(_) | Verdict::Lapsed(_) => None,
            },
            pattern: trace.pattern.as_deref(),
            near: trace.near.iter().map(ToldNear::of).collect(),
            told_before: *told_before,
            counts: tallies
                .iter()
                .map(|tally| ToldCount::of(tally, has_fired(outcome, tally)))
                .filter(|count| count.counted > 0)
                .collect(),
            points: fired
                .points
                .iter()
                .map(|&(rule, points)| ToldPoints { rule, points })
                .collect(),
            allowed: allowed
                .map(|(net, why)| ToldAllowed { net: net.to_string(), why: why.to_string() }),
            called_for: called_for.as_ref().map(ToldBan::of),
            ..Self::unrecognised(head, program)
        }
    }
}

impl<'l> ToldAlert<'l> {
    fn of(alert: &'l Alert) -> Self {
        let head = &alert.rule;
        Self { rule: head.id, level: head.level, description: &head.description }
    }
}

impl ToldBan {
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

/// Whether the rule that a tally is about fired, aloud or not, and so began to count again.
fn has_fired(outcome: &Outcome<'_>, tally: &Tally) -> bool {
    let fired = &outcome.fired;
    fired.alerts.iter().any(|alert| alert.rule.id == tally.rule.id)
        || fired.swallowed.contains(&tally.rule.id)
}

fn write_json(out: &mut impl Write, explained: &Told<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, explained)?;
    out.write_all(b"\n")
}
