//! `ravelin replay`: old logs through a fresh engine; what they would have caused.

mod batch;
mod ledger;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use smallvec::SmallVec;

use self::batch::Batch;
use self::ledger::{Advice, BannedRow, Ledger, RuleRow};
use self::summary::Read;
use self::text::{Clock, Text};
use super::args::Replay;
use super::progress::Bar;
use super::{Done, setup};
use crate::config::Shown;
use crate::control::ListedPorts;
use crate::correlator::Missed;
use crate::engine::{Begun, Consequence, Engine};
use crate::event::{BanOrder, Line, Record, Target, Timestamp, Ttl, Verdict};
use crate::format::Decoder;
use crate::source::{WholeError, WholeLine, WholeLines};

/// Bytes of output that are collected before they are written.
const OUT_BUFFER: usize = 256 << 10;
/// As many as a batch has lines.
type Few<T> = SmallVec<[T; batch::LINES]>;
/// Targets in the summary's JSON.
const TOLD_TARGETS: usize = 1_000;

pub(super) fn run(config: Option<&Path>, args: &Replay) -> anyhow::Result<Done> {
    let config = setup::config(config)?;
    let mut engine = setup::engine(&config, &args.when)?;
    let (mut decoder, now) = setup::decoder(args.format, &args.when)?;
    let mut inputs = args
        .files
        .iter()
        .map(|file| setup::input(file, args.format))
        .collect::<Result<Vec<_>, _>>()?;
    let mut bar = Bar::of(&inputs);
    let out = BufWriter::with_capacity(OUT_BUFFER, bar.stdout());
    let mut report = Report::new(out, args);
    let mut broken = Vec::new();
    let mut batch = Batch::default();
    if let [input] = inputs.as_mut_slice() {
        loop {
            match input.next_line() {
                Ok(Some(WholeLine { bytes, .. })) => {
                    bar.step();
                    if batch.push(bytes) {
                        step(&mut engine, &mut decoder, &mut batch, now, &mut report)?;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    broken.push(error);
                    break;
                }
            }
        }
    } else {
        let mut merged = Merged::new(inputs, args, now)?;
        while let Some(bytes) = merged.next() {
            bar.step();
            if batch.push(&bytes) {
                step(&mut engine, &mut decoder, &mut batch, now, &mut report)?;
            }
        }
        broken = merged.broken;
    }
    step(&mut engine, &mut decoder, &mut batch, now, &mut report)?;
    bar.finish();
    report.finish(&engine)?;
    // The process ends: its memory goes as a whole, not entry by entry.
    std::mem::forget(engine);
    for error in &broken {
        setup::warn(&error.to_string())?;
    }
    Ok(if broken.is_empty() { Done::Well } else { Done::Wrong })
}

/// Takes a batch through the engine, and empties it.
fn step(
    engine: &mut Engine,
    decoder: &mut Decoder,
    batch: &mut Batch,
    now: Timestamp,
    report: &mut Report<impl Write>,
) -> io::Result<()> {
    let packs = engine.shared_packs();
    report.read.lines += batch.len();
    let mut records: Few<(&[u8], Record<'_>)> = Few::new();
    for bytes in batch.lines() {
        if let Ok(record) = decoder.decode(Line { bytes, arrived: now }) {
            records.push((bytes, record));
        }
    }
    // Replayed as if each line were read when it was written.
    let arrival = |record: &Record<'_>| record.time.unwrap_or(now);
    let mut begun: Few<Begun<'_>> = Few::new();
    for (_, record) in &records {
        begun.push(engine.begin(&packs, record, arrival(record)));
    }
    engine.foresee(&begun);
    for (begun, (bytes, record)) in begun.iter_mut().zip(&records) {
        let arrived = arrival(record);
        for missed in engine.advance(arrived) {
            report.missed(&missed)?;
        }
        let come = engine.conclude(begun, arrived);
        report.take(begun, &come, bytes)?;
    }
    drop(begun);
    drop(records);
    batch.clear();
    Ok(())
}

/// Several files as one, by the lines' own times; a line without one follows the line before it.
struct Merged {
    inputs: Vec<(WholeLines, Decoder, Timestamp)>,
    heads: BinaryHeap<Reverse<(Timestamp, usize, Vec<u8>)>>,
    now: Timestamp,
    /// What couldn't be read to its end; the others go on.
    broken: Vec<WholeError>,
}

impl Merged {
    fn new(inputs: Vec<WholeLines>, args: &Replay, now: Timestamp) -> anyhow::Result<Self> {
        let count = inputs.len();
        let mut merged = Self {
            inputs: Vec::with_capacity(count),
            heads: BinaryHeap::with_capacity(count),
            now,
            broken: Vec::new(),
        };
        for input in inputs {
            let (decoder, _) = setup::decoder(args.format, &args.when)?;
            merged.inputs.push((input, decoder, Timestamp::from_micros(i64::MIN)));
        }
        for index in 0..count {
            merged.fetch(index);
        }
        Ok(merged)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let Reverse((_, index, line)) = self.heads.pop()?;
        self.fetch(index);
        Some(line)
    }

    fn fetch(&mut self, index: usize) {
        let (input, decoder, last) = &mut self.inputs[index];
        match input.next_line() {
            Ok(Some(WholeLine { bytes, .. })) => {
                let record = decoder.decode(Line { bytes, arrived: self.now });
                let time = record.ok().and_then(|record| record.time).unwrap_or(*last);
                *last = time;
                self.heads.push(Reverse((time, index, bytes.to_vec())));
            }
            Ok(None) => {}
            Err(error) => self.broken.push(error),
        }
    }
}

/// What is said about it all.
struct Report<W: Write> {
    out: BufWriter<W>,
    text: Text,
    clock: Clock,
    json: bool,
    read: Read,
    ledger: Ledger,
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
        /// Not there where every port is banned.
        #[serde(skip_serializing_if = "Option::is_none")]
        ports: Option<ListedPorts>,
    },
    Summary {
        lines: u64,
        recognised: u64,
        alerts: u64,
        bans: u64,
        targets: usize,
        banned: Vec<BannedRow>,
        rules: Vec<RuleRow<'s>>,
        withheld: &'s BTreeMap<&'static str, u64>,
        advice: Vec<Advice>,
    },
}

impl<W: Write> Report<W> {
    fn new(out: BufWriter<W>, args: &Replay) -> Self {
        Self {
            out,
            text: Text::default(),
            clock: Clock::default(),
            json: args.json,
            read: Read { min_level: args.min_level, ..Read::default() },
            ledger: Ledger::default(),
        }
    }

    fn take(&mut self, begun: &Begun<'_>, come: &Consequence, line: &[u8]) -> io::Result<()> {
        if begun.event.is_none() {
            return Ok(());
        }
        let read = &mut self.read;
        read.recognised += 1;
        read.first = Some(read.first.map_or(begun.time, |first| first.min(begun.time)));
        read.last = read.last.max(Some(begun.time));
        for alert in &come.fired.alerts {
            let head = &alert.rule;
            if head.level < self.read.min_level {
                continue;
            }
            self.read.alerts += 1;
            let called = self.ledger.alert(head);
            if self.json {
                let said = Said::Alert {
                    time: self.clock.show(begun.time),
                    rule: head.id,
                    level: head.level,
                    offender: begun.offence.offender,
                    description: &head.description,
                    line: &String::from_utf8_lossy(line),
                };
                say(&mut self.out, &said)?;
            } else {
                let text = self.text.begin().text(self.clock.show(begun.time)).text(called);
                if let Some(offender) = begun.offence.offender {
                    text.text(" offender=").address(offender);
                }
                self.out.write_all(text.text(" ").text(&head.description).end())?;
            }
        }
        self.ledger.take(begun, come);
        match &come.verdict {
            Verdict::Ban(order) => self.ban(order),
            _ => Ok(()),
        }
    }

    fn missed(&mut self, missed: &Missed) -> io::Result<()> {
        let Missed { rule, since, time, target } = missed;
        if rule.level < self.read.min_level {
            return Ok(());
        }
        self.read.alerts += 1;
        let called = self.ledger.alert(rule);
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
        let text = self.text.begin().text(self.clock.show(*time)).text(called);
        let description = format!(" {} (nothing came since {since})", rule.description);
        self.out.write_all(text.text(&description).end())
    }

    fn ban(&mut self, order: &BanOrder) -> io::Result<()> {
        self.read.bans += 1;
        let BanOrder { target, since, ttl, rule, level, ports, .. } = order;
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
                ports: ports.as_ref().map(ListedPorts::from),
            };
            return say(&mut self.out, &said);
        }
        let ttl = match ttl {
            Ttl::For(ttl) => Shown(*ttl).to_string(),
            Ttl::Permanent => "ever".to_owned(),
        };
        write!(self.out, "{since} BAN   {target} for {ttl}")?;
        if let Some(ports) = ports {
            write!(self.out, " from ports {ports}")?;
        }
        match (rule, level) {
            (Some(rule), Some(level)) => writeln!(self.out, " by rule {rule} level {level}"),
            _ => writeln!(self.out, " by its score"),
        }
    }

    fn finish(mut self, engine: &Engine) -> io::Result<()> {
        let policy = engine.policy();
        let ours: Vec<_> =
            policy.allowed().into_iter().filter_map(|net| policy.why_allowed(net.addr())).collect();
        let advice = self.ledger.advice(&ours);
        if self.json {
            let Read { lines, recognised, alerts, bans, .. } = self.read;
            let said = Said::Summary {
                lines,
                recognised,
                alerts,
                bans,
                targets: self.ledger.banned.len(),
                banned: self.ledger.banned_rows(TOLD_TARGETS),
                rules: self.ledger.rule_rows(),
                withheld: &self.ledger.held_back,
                advice,
            };
            say(&mut self.out, &said)?;
        } else {
            summary::write(&mut self.out, &self.read, &self.ledger, &advice)?;
        }
        self.out.flush()
    }
}

fn say(out: &mut impl Write, said: &Said<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, said)?;
    out.write_all(b"\n")
}
