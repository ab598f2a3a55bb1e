//! What a replay came to, on 80 columns.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::ledger::{Advice, Ledger};
use crate::cli::table;
use crate::event::Timestamp;
use crate::mail::visible;

/// Offenders, rules and pieces of advice that are told.
const SHOWN: usize = 10;
const SHOWN_RULES: usize = 20;
/// Columns.
const WIDTH: usize = 80;

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    pub(super) lines: u64,
    pub(super) recognised: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) alerts: u64,
    pub(super) bans: u64,
    pub(super) min_level: u8,
}

pub(super) fn write(
    out: &mut impl Write,
    read: &Read,
    ledger: &Ledger,
    advice: &[Advice],
) -> io::Result<()> {
    let Read { lines, recognised, alerts, bans, min_level, .. } = read;
    let grouped = table::grouped;
    write!(out, "\n{} lines, {} of them recognised", grouped(*lines), grouped(*recognised))?;
    if let (Some(first), Some(last)) = (read.first, read.last) {
        let span = table::span(last.since(first));
        write!(out, ",\nover {span}, from {} to {} UTC", minute(first), minute(last))?;
    }
    writeln!(out, ".")?;
    let targets = grouped(ledger.banned.len() as u64);
    writeln!(out, "{} alerts of level {min_level} and above.", grouped(*alerts))?;
    writeln!(out, "{} bans of {targets} targets; nothing was enforced.", grouped(*bans))?;
    offenders(out, ledger)?;
    rules(out, ledger)?;
    withheld(out, ledger)?;
    self::advice(out, advice)
}

fn offenders(out: &mut impl Write, ledger: &Ledger) -> io::Result<()> {
    let offenders = ledger.offenders();
    if offenders.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; 6]> = offenders
        .iter()
        .take(SHOWN)
        .map(|(target, banned)| {
            let mut by = banned.rule.map_or_else(|| "score".to_owned(), |rule| rule.to_string());
            if banned.ports.is_some() {
                by += " (ports)";
            }
            [
                target.to_string(),
                table::grouped(banned.times.into()),
                without_year(banned.first),
                without_year(banned.last),
                banned.total.map_or_else(
                    || "ever".to_owned(),
                    |total| table::span(Duration::from_secs(total)),
                ),
                by,
            ]
        })
        .collect();
    writeln!(out)?;
    table::write(out, ["BANNED", "TIMES", "FIRST", "LAST", "IN ALL", "BY"], &rows)?;
    and_more(out, offenders.len(), SHOWN)
}

fn rules(out: &mut impl Write, ledger: &Ledger) -> io::Result<()> {
    let rules = ledger.by_rule();
    if rules.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; 5]> = rules
        .iter()
        .take(SHOWN_RULES)
        .map(|told| {
            let head = &told.head;
            [
                head.id.to_string(),
                head.level.to_string(),
                table::grouped(told.alerts),
                table::grouped(told.bans),
                visible(&head.description, 42),
            ]
        })
        .collect();
    writeln!(out)?;
    table::write(out, ["RULE", "LEVEL", "ALERTS", "BANS", "WHAT"], &rows)?;
    and_more(out, rules.len(), SHOWN_RULES)?;
    let mut levels: BTreeMap<u8, u64> = BTreeMap::new();
    for told in &rules {
        *levels.entry(told.head.level).or_default() += told.alerts;
    }
    let levels: Vec<String> = levels
        .iter()
        .rev()
        .filter(|(_, alerts)| **alerts > 0)
        .map(|(level, alerts)| format!("{} of level {level}", table::grouped(*alerts)))
        .collect();
    if levels.is_empty() {
        return Ok(());
    }
    wrapped(out, "", &format!("Alerts: {}.", levels.join(", ")))
}

fn withheld(out: &mut impl Write, ledger: &Ledger) -> io::Result<()> {
    let held_back: Vec<String> = ledger
        .held_back
        .iter()
        .map(|(why, times)| format!("{} {why}", table::grouped(*times)))
        .collect();
    if held_back.is_empty() {
        return Ok(());
    }
    let text = format!("Called for, and withheld: {}.", held_back.join(", "));
    writeln!(out)?;
    wrapped(out, "", &text)
}

fn advice(out: &mut impl Write, advice: &[Advice]) -> io::Result<()> {
    if advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nYou might want to allow (ravelin allow TARGET, or `allow:`):")?;
    for Advice { target, reasons } in advice.iter().take(SHOWN) {
        writeln!(out, "  {target}")?;
        for reason in reasons {
            wrapped(out, "    ", reason)?;
        }
    }
    and_more(out, advice.len(), SHOWN)
}

fn and_more(out: &mut impl Write, all: usize, shown: usize) -> io::Result<()> {
    if all > shown {
        writeln!(out, "and {} more", table::grouped((all - shown) as u64))?;
    }
    Ok(())
}

/// `2026-11-23 10:05`.
fn minute(time: Timestamp) -> String {
    time.to_string().chars().take(16).collect::<String>().replace('T', " ")
}

fn without_year(time: Timestamp) -> String {
    minute(time).chars().skip(5).collect()
}

/// Words on lines of [`WIDTH`] columns.
fn wrapped(out: &mut impl Write, indent: &str, text: &str) -> io::Result<()> {
    let mut line = indent.to_owned();
    for word in text.split(' ') {
        if line.len() > indent.len() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                writeln!(out, "{line}")?;
                line.truncate(indent.len());
            } else {
                line.push(' ');
            }
        }
        line.push_str(word);
    }
    writeln!(out, "{line}")
}
