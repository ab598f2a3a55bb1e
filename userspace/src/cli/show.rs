//! `ravelin show`: one offender's story, from the database, and from the daemon or the pinned maps what
//! holds at this moment.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::args::Show;
use super::look::{Look, Tone, columns};
use super::{Done, list, past, setup, table};
use crate::config::Config;
use crate::control::{AllowedEntry, ListedBan, Request, Response, Shown};
use crate::event::{Target, Timestamp};
use crate::mail::visible;
use crate::store::{HistoryEntry, HistoryFilter, Reader};

pub(super) fn run(config: Option<&Path>, args: &Show, look: Look) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let story = Story::of(&config, args.target, (args.limit > 0).then_some(args.limit))?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Document::from(story))?;
        writeln!(out)?;
    } else {
        story.print(&mut out, look)?;
    }
    out.flush()?;
    Ok(Done::Well)
}

/// All that is known of a target.
pub(super) struct Story {
    target: Target,
    now: Shown,
    offences: Option<Offences>,
    /// Newest last.
    history: Vec<HistoryEntry>,
}

impl Story {
    /// From the daemon, or where none lives from the pinned maps, and from the database; with the newest entries of
    /// its history.
    pub(super) fn of(config: &Config, target: Target, limit: Option<u32>) -> anyhow::Result<Self> {
        let now = match setup::ask(config, &Request::Show { target })? {
            Some(Response::Shown(shown)) => *shown,
            Some(other) => return Err(setup::unexpected("show", &other)),
            None => without_daemon(config, target)?,
        };
        let reader = Reader::open(&config.state_dir)?;
        let filter = HistoryFilter { target: Some(target), limit, ..HistoryFilter::default() };
        let mut history = reader.history(&filter)?;
        history.reverse();
        let offences = reader.offences_of(target)?;
        let offences = offences
            .map(|offences| Offences { count: offences.count, last: offences.last.to_string() });
        Ok(Self { target, now, offences, history })
    }

    /// For people.
    pub(super) fn print(&self, out: &mut impl Write, look: Look) -> io::Result<()> {
        let Self { target, now, offences, history } = self;
        print(out, *target, now, offences.as_ref(), history, look)
    }
}

/// `show --json`.
#[derive(Serialize)]
struct Document {
    target: Target,
    ban: Option<ListedBan>,
    wider: Option<ListedBan>,
    allowed: Option<AllowedEntry>,
    offences: Option<Offences>,
    history: Vec<past::Entry>,
}

impl From<Story> for Document {
    fn from(story: Story) -> Self {
        let Story { target, now: Shown { ban, wider, allowed }, offences, history } = story;
        let history = history.into_iter().map(past::Entry::from).collect();
        Self { target, ban, wider, allowed, offences, history }
    }
}

/// What counts against it.
#[derive(Serialize)]
struct Offences {
    count: u32,
    last: String,
}

fn print(
    out: &mut impl Write,
    target: Target,
    now: &Shown,
    offences: Option<&Offences>,
    history: &[HistoryEntry],
    look: Look,
) -> io::Result<()> {
    let time = Timestamp::now();
    match (&now.ban, &now.wider) {
        (None, None) => say(out, look, target, Tone::Good, "is not banned.")?,
        (None, Some(wider)) => {
            let rest =
                format!("has no ban of its own, but lies in {}, which is banned.", wider.target);
            say(out, look, target, Tone::Bad, &rest)?;
        }
        (Some(ban), _) => print_ban(out, ban, time, look)?,
    }
    if let Some(wider) = &now.wider {
        print_ban(out, wider, time, look)?;
    }
    if let Some(entry) = &now.allowed {
        let until = match &entry.expires {
            Some(expires) => format!(" until {expires}"),
            None => String::new(),
        };
        let said =
            format!("It is never banned{until}: {} is allowed ({}).", entry.target, entry.why);
        look.wrap(out, &said, 0, 2)?;
    }
    if let Some(Offences { count, last }) = offences {
        let bans = if *count == 1 { "ban counts" } else { "bans count" };
        writeln!(out, "{count} {bans} against it, the last of {last}.")?;
    }
    if history.is_empty() {
        return writeln!(out, "Nothing is remembered of it.");
    }
    writeln!(out, "\n{}", look.paint(Tone::Faint, "History, newest last:"))?;
    // An alert's lines are also its ban's.
    let mut told: HashSet<&str> = HashSet::new();
    for entry in history {
        past::write(out, entry, false, look)?;
        for line in entry.evidence.lines() {
            if told.insert(line) {
                past::write_line(out, line, look)?;
            }
        }
    }
    Ok(())
}

/// A sentence that begins with a target, whose colour says how it fares.
fn say(out: &mut impl Write, look: Look, target: Target, tone: Tone, rest: &str) -> io::Result<()> {
    let target = target.to_string();
    write!(out, "{} ", look.paint(tone, &target))?;
    look.wrap(out, rest, columns(&target) + 1, 2)
}

fn print_ban(out: &mut impl Write, ban: &ListedBan, now: Timestamp, look: Look) -> io::Result<()> {
    let until = match &ban.expires {
        Some(expires) => format!("until {expires} ({} left)", table::left(expires, now)),
        None => "until lifted".to_owned(),
    };
    let from = match (&ban.ports, &ban.every_port_until) {
        (None, _) => String::new(),
        (Some(ports), None) => format!(" from ports {ports}"),
        (Some(ports), Some(every)) => {
            format!(" from every port until {every}, from ports {ports}")
        }
    };
    let by = match (ban.rule, ban.level) {
        (Some(rule), Some(level)) => format!("rule {rule}, level {level}"),
        (Some(rule), None) => format!("rule {rule}"),
        (None, _) if ban.origin == "rule" => "its score".to_owned(),
        (None, _) => ban.origin.clone(),
    };
    let rest = format!(
        "is banned{from} {until}, by {by}: {}; {} packets dropped.",
        visible(&ban.reason, 200),
        table::grouped(ban.dropped_packets)
    );
    say(out, look, ban.target, Tone::Bad, &rest)
}

/// What the kernel enforces by itself, and what database and configuration say of it.
fn without_daemon(config: &Config, target: Target) -> anyhow::Result<Shown> {
    // Without pinned maps nobody is banned.
    let bans = list::without_daemon(config).unwrap_or_default();
    let mut shown = Shown::default();
    for ban in bans {
        if ban.target == target {
            shown.ban = Some(ban);
        } else if ban.target.covers(target) {
            shown.wider = Some(ban);
        }
    }
    let allowed = super::allow::without_daemon(config)?;
    shown.allowed = allowed.into_iter().find(|entry| entry.target.covers(target));
    Ok(shown)
}
