//! `ravelin replay`: old logs through a fresh engine; what they would have caused.

mod text;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::text::{Clock, Text};
use super::args::Replay;
use super::{Done, setup, table};
use crate::config::Shown;
use crate::correlator::Missed;
use crate::engine::{Engine, Outcome};
use crate::event::{BanOrder, Line, Target, Timestamp, Ttl, Verdict};
use crate::format::Decoder;
use crate::source::{WholeLine, WholeLines};

/// Bytes of output that are collected before they are written.
const OUT_BUFFER: usize = 256 << 10;
/// Targets in the summary.
const SHOWN_TARGETS: usize = 10;

pub(super) fn run(config: Option<&Path>, args: &Replay) -> anyhow::Result<Done> {
    let config = setup::config(config)?;
    let mut engine = setup::engine(&config, &args.when)?;
    let (mut decoder, now) = setup::decoder(args.format, &args.when)?;
    let mut report = Report {
        out: BufWriter::with_capacity(OUT_BUFFER, io::stdout().lock()),
        text: Text::default(),
        clock: Clock::default(),
        json: args.json,
        min_level: args.min_level,
        lines: 0,
        alerts: 0,
        bans: 0,
        first: None,
        last: None,
        banned: HashMap::new(),
    };
    match args.files.as_slice() {
        [file] => {
            let mut input = setup::input(file)?;
            while let Some(WholeLine { bytes, .. }) = input.next_line()? {
                report.lines += 1;
                step(&mut engine, &mut decoder, bytes, now, &mut report)?;
            }
        }
        files => {
            let mut merged = Merged::open(files, args, now)?;
            while let Some(bytes) = merged.next()? {
                report.lines += 1;
                step(&mut engine, &mut decoder, &bytes, now, &mut report)?;
            }
        }
    }
    report.finish()?;
    // The process ends: its memory goes as a whole, not entry by entry.
    std::mem::forget(engine);
    Ok(Done::Well)
}

fn step(
    engine: &mut Engine,
    decoder: &mut Decoder,
    bytes: &[u8],
    now: Timestamp,
    report: &mut Report<impl Write>,
) -> io::Result<()> {
    let Ok(record) = decoder.decode(Line { bytes, arrived: now }) else { return Ok(()) };
    // Replayed as if the line were read when it was written.
    let arrived = record.time.unwrap_or(now);
    for missed in engine.advance(arrived) {
        report.missed(&missed)?;
    }
    let outcome = engine.step(&record, arrived);
    report.take(&outcome, bytes)
}

/// Several files as one, by the lines' own times; a line without one follows the line before it.
struct Merged {
    inputs: Vec<(WholeLines, Decoder, Timestamp)>,
    heads: BinaryHeap<Reverse<(Timestamp, usize, Vec<u8>)>>,
    now: Timestamp,
}

impl Merged {
    fn open(files: &[PathBuf], args: &Replay, now: Timestamp) -> anyhow::Result<Self> {
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            let (decoder, _) = setup::decoder(args.format, &args.when)?;
            inputs.push((setup::input(file)?, decoder, Timestamp::from_micros(i64::MIN)));
        }
        let mut merged = Self { inputs, heads: BinaryHeap::with_capacity(files.len()), now };
        for index in 0..files.len() {
            merged.fetch(index)?;
        }
        Ok(merged)
    }

    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(Reverse((_, index, line))) = self.heads.pop() else { return Ok(None) };
        self.fetch(index)?;
        Ok(Some(line))
    }

    fn fetch(&mut self, index: usize) -> anyhow::Result<()> {
        let (input, decoder, last) = &mut self.inputs[index];
        if let Some(WholeLine { bytes, .. }) = input.next_line()? {
            let record = decoder.decode(Line { bytes, arrived: self.now });
            let time = record.ok().and_then(|record| record.time).unwrap_or(*last);
            *last = time;
            self.heads.push(Reverse((time, index, bytes.to_vec())));
        }
        Ok(())
    }
}

/// What is said about it all.
struct Report<W: Write> {
    out: BufWriter<W>,
    text: Text,
    clock: Clock,
    json: bool,
    min_level: u8,
    lines: u64,
    alerts: u64,
    bans: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// How often, and by what the last time.
    banned: HashMap<Target, (u64, String)>,
}

/// A line of `replay --json`, in the contract's words.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Said<'s> {
    Alert {
        time: &'s str,
        rule: u32,
        level: u8,
        offender: Option<IpAddr>,
        description: &'s str,
        line: &'s str,
    },
    Ban {
        time: &'s str,
        target: Target,
        ttl_s: Option<u64>,
        rule: Option<u32>,
        level: Option<u8>,
    },
    Summary {
        lines: u64,
        alerts: u64,
        bans: u64,
    },
}

impl<W: Write> Report<W> {
    fn take(&mut self, outcome: &Outcome<'_>, line: &[u8]) -> io::Result<()> {
        if outcome.event.is_none() {
            return Ok(());
        }
        self.first = Some(self.first.map_or(outcome.time, |first| first.min(outcome.time)));
        self.last = self.last.max(Some(outcome.time));
        for alert in &outcome.fired.alerts {
            let head = &alert.rule;
            if head.level < self.min_level {
                continue;
            }
            self.alerts += 1;
            if self.json {
                let said = Said::Alert {
                    time: self.clock.show(outcome.time),
                    rule: head.id,
                    level: head.level,
                    offender: outcome.offence.offender,
                    description: &head.description,
                    line: &String::from_utf8_lossy(line),
                };
                say(&mut self.out, &said)?;
            } else {
                let text = self.text.begin().text(self.clock.show(outcome.time));
                text.text(" alert level=").number(head.level.into());
                text.text(" rule=").number(head.id);
                if let Some(offender) = outcome.offence.offender {
                    text.text(" offender=").address(offender);
                }
                self.out.write_all(text.text(" ").text(&head.description).end())?;
            }
        }
        match &outcome.verdict {
            Verdict::Ban(order) => self.ban(order),
            _ => Ok(()),
        }
    }

    fn missed(&mut self, missed: &Missed) -> io::Result<()> {
        let Missed { rule, since, time, target } = missed;
        if rule.level < self.min_level {
            return Ok(());
        }
        self.alerts += 1;
        if self.json {
            let offender = target.map(|target| target.net().addr());
            let said = Said::Alert {
                time: self.clock.show(*time),
                rule: rule.id,
                level: rule.level,
                offender,
                description: &rule.description,
                line: "",
            };
            return say(&mut self.out, &said);
        }
        let text = self.text.begin().text(self.clock.show(*time));
        text.text(" alert level=").number(rule.level.into()).text(" rule=").number(rule.id);
        let description = format!(" {} (nothing came since {since})", rule.description);
        self.out.write_all(text.text(&description).end())
    }

    fn ban(&mut self, order: &BanOrder) -> io::Result<()> {
        self.bans += 1;
        let banned = self.banned.entry(order.target).or_default();
        banned.0 += 1;
        banned.1.clone_from(&order.reason);
        let BanOrder { target, since, ttl, rule, level, .. } = order;
        if self.json {
            let ttl_s = match ttl {
                Ttl::For(ttl) => Some(ttl.as_secs()),
                Ttl::Permanent => None,
            };
            let said = Said::Ban {
                time: self.clock.show(*since),
                target: *target,
                ttl_s,
                rule: *rule,
                level: *level,
            };
            return say(&mut self.out, &said);
        }
        let ttl = match ttl {
            Ttl::For(ttl) => Shown(*ttl).to_string(),
            Ttl::Permanent => "ever".to_owned(),
        };
        write!(self.out, "{since} BAN   {target} for {ttl}")?;
        match (rule, level) {
            (Some(rule), Some(level)) => writeln!(self.out, " by rule {rule} level {level}"),
            _ => writeln!(self.out, " by its score"),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let Self { lines, alerts, bans, .. } = self;
        if self.json {
            say(&mut self.out, &Said::Summary { lines, alerts, bans })?;
            return self.out.flush();
        }
        let out = &mut self.out;
        writeln!(out)?;
        write!(out, "{} lines", table::grouped(lines))?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(out, " over {}", table::span(last.since(first)))?;
        }
        writeln!(
            out,
            ": {} alerts of level {} and above, {} bans of {} targets; nothing was enforced.",
            table::grouped(alerts),
            self.min_level,
            table::grouped(bans),
            table::grouped(self.banned.len() as u64)
        )?;
        let mut most: Vec<_> = self.banned.iter().collect();
        most.sort_by(|a, b| (b.1.0, a.0).cmp(&(a.1.0, b.0)));
        if !most.is_empty() {
            writeln!(out)?;
            let rows: Vec<[String; 3]> = most
                .iter()
                .take(SHOWN_TARGETS)
                .map(|(target, (times, reason))| {
                    [target.to_string(), times.to_string(), reason.clone()]
                })
                .collect();
            table::write(out, ["BANNED", "TIMES", "LAST FOR"], &rows)?;
            if most.len() > SHOWN_TARGETS {
                writeln!(out, "and {} more", table::grouped((most.len() - SHOWN_TARGETS) as u64))?;
            }
        }
        out.flush()
    }
}

fn say(out: &mut impl Write, said: &Said<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, said)?;
    out.write_all(b"\n")
}
