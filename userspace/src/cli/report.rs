//! `ravelin report`: a page about a day, a week or a month, out of the history: who came, by what, what was banned and
//! dropped, over time.
//!
//! One file that asks nobody for anything: no scripts, no fonts, no pictures from elsewhere. Attackers have written much
//! of what stands in it, so [`html`] lets nothing in that isn't escaped.

mod chart;
mod html;
mod ledger;
mod page;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;

use self::ledger::{Ledger, Span};
use self::page::Surroundings;
use super::args::Report;
use super::{Done, list, setup};
use crate::blocklist::BlocklistError;
use crate::config::Config;
use crate::control::{ListedBan, Request, Response};
use crate::daemon;
use crate::event::Timestamp;
use crate::rules::Packs;
use crate::store::{HistoryFilter, HistoryKind, Reader};

/// Offenders whose log lines are shown.
const QUOTED: usize = 25;
/// Lines of each.
const LINES: usize = 4;

pub(super) fn run(config: Option<&Path>, args: &Report) -> anyhow::Result<Done> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!(
            "the page would fill this terminal: say where it belongs, `ravelin report -o report.html`"
        );
    }
    let config = setup::standing_config(config)?;
    let span = match (args.week, args.month) {
        (true, _) => Span::week(Timestamp::now(), &TimeZone::system()),
        (_, true) => Span::month(Timestamp::now(), &TimeZone::system()),
        _ => Span::day(Timestamp::now(), &TimeZone::system()),
    };
    let reader = Reader::open(&config.state_dir)?;
    let standing = standing(&config);
    let page = page(&config, &reader, span, standing)?;
    let Some(path) = &args.output else {
        io::stdout().lock().write_all(page.as_bytes())?;
        return Ok(Done::Well);
    };
    let failed = || format!("{} can't be written", path.display());
    // It tells who attacked whom: for whoever asked first of all.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(failed)?;
    file.write_all(page.as_bytes()).with_context(failed)?;
    writeln!(io::stdout().lock(), "{} tells of {}.", path.display(), span_name(args))?;
    Ok(Done::Well)
}

const fn span_name(args: &Report) -> &'static str {
    match (args.week, args.month) {
        (true, _) => "the last 7 days",
        (_, true) => "the last 30 days",
        _ => "the last 24 hours",
    }
}

/// The bans that stand, with what they count at this moment; or why that can't be told. A daemon that has a million of
/// them has better things to do than to tell them, so it is asked only by those who may not look into the kernel.
fn standing(config: &Config) -> Result<Vec<ListedBan>, String> {
    let error = match list::without_daemon(config) {
        Ok(bans) => return Ok(bans),
        Err(error) => error,
    };
    match setup::ask(config, &Request::List { most: None }) {
        Ok(Some(Response::List { bans })) => Ok(bans),
        Ok(Some(other)) => Err(setup::unexpected("list", &other).to_string()),
        Ok(None) => match error.downcast_ref() {
            Some(BlocklistError::NothingPinned { .. }) => Ok(Vec::new()),
            _ => Err(format!("{error:#}")),
        },
        Err(error) => Err(format!("{error:#}")),
    }
}

fn page(
    config: &Config,
    reader: &Reader,
    span: Span,
    standing: Result<Vec<ListedBan>, String>,
) -> anyhow::Result<String> {
    let mut ledger = Ledger::new(span);
    let (since, until) = ledger.span().bounds();
    reader.past(since, until, |entry| ledger.enter(&entry))?;
    for ban in standing.iter().flatten() {
        ledger.stands(ban);
    }
    let mut quotes = Vec::new();
    for offender in ledger.offenders().into_iter().take(QUOTED) {
        let filter = HistoryFilter {
            target: Some(offender.target),
            kind: Some(HistoryKind::Alert),
            since: Some(since),
            limit: Some(1),
            ..HistoryFilter::default()
        };
        let last = reader.history(&filter)?.pop();
        let lines = last.map(|entry| entry.evidence.lines().to_vec()).unwrap_or_default();
        let skip = lines.len().saturating_sub(LINES);
        quotes.push((offender.target, lines.into_iter().skip(skip).collect()));
    }
    // Rules that nobody has any more are told by their number.
    let packs = Packs::load(config.builtin_rules, &config.rules)
        .or_else(|_invalid| Packs::load(true, &[]))
        .ok();
    let surroundings = Surroundings {
        host: daemon::hostname(),
        begins: reader.begins()?,
        mails: reader.mails(since)?,
        quotes,
        standing,
        packs,
    };
    Ok(page::write(&ledger, &surroundings))
}
