//! `ravelin panic`: everything passes, at once, with a daemon or without; and the way back.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::args::Panic;
use super::{Done, setup};
use crate::blocklist::{self, BlocklistError, Clock, Pinned, Probation};
use crate::config::Config;
use crate::control::{Request, Response};

/// How it went.
enum Fate {
    /// The program passes everything.
    Passes,
    /// It enforces.
    Enforces,
    /// No program was there to tell.
    Nothing,
    /// The maps can't be read, so the program was taken off these interfaces.
    Detached(Vec<String>),
}

pub(super) fn run(config: Option<&Path>, args: &Panic) -> anyhow::Result<Done> {
    let config = match setup::standing_config(config) {
        Ok(config) => config,
        // In an emergency the usual place is better than none.
        Err(error) => {
            setup::warn(&format!("{error:#}; the defaults are used"))?;
            Config::default()
        }
    };
    let fate = if args.end { end(&config, args.confirm_within)? } else { begin(&config)? };
    let mut out = io::stdout().lock();
    if args.json {
        let (off, detached) = match &fate {
            Fate::Enforces => (false, Vec::new()),
            Fate::Passes | Fate::Nothing => (true, Vec::new()),
            Fate::Detached(interfaces) => (true, interfaces.clone()),
        };
        writeln!(out, "{}", serde_json::json!({ "off": off, "detached": detached }))?;
        return Ok(Done::Well);
    }
    match fate {
        Fate::Passes => writeln!(
            out,
            "Everything passes now. Bans stay in the maps, but drop nothing, also after a restart of the daemon.\n\
             `ravelin panic --end` enforces again."
        )?,
        Fate::Enforces => writeln!(out, "Bans are enforced again.")?,
        Fate::Nothing if args.end => {
            writeln!(out, "No program is attached: `ravelin run` begins to protect.")?;
        }
        Fate::Nothing => writeln!(out, "Everything passes already: no program is loaded.")?,
        Fate::Detached(interfaces) => writeln!(
            out,
            "Everything passes now: the program is off {}.\nA start of `ravelin run` brings it back.",
            if interfaces.is_empty() { "all interfaces".to_owned() } else { interfaces.join(", ") }
        )?,
    }
    Ok(Done::Well)
}

/// The map first: that is one write, and works whatever the daemon is busy with.
fn begin(config: &Config) -> anyhow::Result<Fate> {
    let fate = match Pinned::open(&config.bpf_dir).and_then(|mut pinned| pinned.set_panic(true)) {
        Ok(()) => Fate::Passes,
        Err(BlocklistError::NothingPinned { .. }) => Fate::Nothing,
        Err(_) => Fate::Detached(blocklist::detach(&config.bpf_dir)?),
    };
    if matches!(fate, Fate::Passes) {
        // A daemon that isn't told would take it back with its next word to the program.
        match setup::ask(config, &Request::Panic { end: false, confirm_within_s: None }) {
            Ok(None | Some(Response::Panic { .. })) => {}
            Ok(Some(other)) => return Err(setup::unexpected("panic", &other)),
            Err(error) => {
                return Err(error.context(
                    "everything passes now, but the daemon doesn't know of it: stop it if it \
                     enforces again",
                ));
            }
        }
    }
    Ok(fate)
}

fn end(config: &Config, confirm_within: Option<Duration>) -> anyhow::Result<Fate> {
    let confirm_within_s = confirm_within.map(|within| within.as_secs());
    match setup::ask(config, &Request::Panic { end: true, confirm_within_s })? {
        Some(Response::Panic { .. }) => return Ok(Fate::Enforces),
        Some(other) => return Err(setup::unexpected("panic --end", &other)),
        None => {}
    }
    match Pinned::open(&config.bpf_dir) {
        Ok(mut pinned) => {
            let attached = pinned.probation(Clock::read().monotonic_ns())? != Probation::Failed;
            if confirm_within.is_some() {
                bail!(
                    "no daemon runs to attach anew: `ravelin panic --end`, then `ravelin run --confirm-within 10m`"
                );
            }
            pinned.set_panic(false)?;
            Ok(if attached { Fate::Enforces } else { Fate::Nothing })
        }
        Err(BlocklistError::NothingPinned { .. }) => Ok(Fate::Nothing),
        Err(error) => Err(error.into()),
    }
}
