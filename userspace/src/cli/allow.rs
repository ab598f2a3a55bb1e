//! `ravelin allow`: what is never banned, by hand; the list also from the database when the daemon is dead.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::args::Allow;
use super::{Done, setup, table};
use crate::config::Config;
use crate::control::{AllowedEntry, Request, Response};
use crate::event::{Target, Timestamp};
use crate::store::Reader;

pub(super) fn run(config: Option<&Path>, args: &Allow) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    match (args.target, args.remove) {
        (Some(target), _) => add(&config, target, args),
        (None, Some(target)) => remove(&config, target, args.json),
        (None, None) => list(&config, args.json),
    }
}

fn add(config: &Config, target: Target, args: &Allow) -> anyhow::Result<Done> {
    let ttl_s = args.ttl.map(|ttl| ttl.as_secs().max(1));
    let request = Request::Allow { target, ttl_s, force: args.force };
    let (target, expires, lifted) = match setup::ask_daemon(config, &request)? {
        Response::Allowed { target, expires, lifted } => (target, expires, lifted),
        other => return Err(setup::unexpected("allow", &other)),
    };
    let mut out = io::stdout().lock();
    if args.json {
        let document =
            serde_json::json!({ "target": target, "expires": expires, "lifted": lifted });
        writeln!(out, "{document}")?;
        return Ok(Done::Well);
    }
    match expires {
        Some(expires) => writeln!(out, "{target} is never banned until {expires}.")?,
        None => writeln!(out, "{target} is never banned until `ravelin allow --remove {target}`.")?,
    }
    if !lifted.is_empty() {
        let lifted: Vec<String> = lifted.iter().map(Target::to_string).collect();
        writeln!(out, "Bans lifted: {}.", lifted.join(", "))?;
    }
    Ok(Done::Well)
}

fn remove(config: &Config, target: Target, json: bool) -> anyhow::Result<Done> {
    let still = match setup::ask_daemon(config, &Request::Disallow { target })? {
        Response::Disallowed { still } => still,
        other => return Err(setup::unexpected("allow --remove", &other)),
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({ "target": target, "still": still }))?;
        return Ok(Done::Well);
    }
    match still {
        None => writeln!(out, "{target} is no longer allowed, and can be banned.")?,
        Some(entry) => writeln!(
            out,
            "{target} is no longer allowed by hand, but {} still is ({}).",
            entry.target, entry.why
        )?,
    }
    Ok(Done::Well)
}

fn list(config: &Config, json: bool) -> anyhow::Result<Done> {
    let (entries, alive) = match setup::ask(config, &Request::AllowList)? {
        Some(Response::AllowList { entries }) => (entries, true),
        Some(other) => return Err(setup::unexpected("allow --list", &other)),
        None => (without_daemon(config)?, false),
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
        return Ok(Done::Well);
    }
    let now = Timestamp::now();
    let rows: Vec<[String; 3]> = entries
        .into_iter()
        .map(|entry| {
            let left = entry
                .expires
                .as_deref()
                .map_or_else(|| "for good".to_owned(), |expires| table::left(expires, now));
            [entry.target.to_string(), left, entry.why]
        })
        .collect();
    table::write(&mut out, ["TARGET", "LEFT", "WHY"], &rows)?;
    if !alive {
        writeln!(
            out,
            "\nNo daemon runs; it adds this host's own addresses, gateways and resolvers."
        )?;
    }
    Ok(Done::Well)
}

/// What database and configuration say.
pub(super) fn without_daemon(config: &Config) -> anyhow::Result<Vec<AllowedEntry>> {
    let now = Timestamp::now();
    let by_hand = Reader::open(&config.state_dir)?.allowed()?.into_iter();
    let by_hand = by_hand
        .filter(|allowed| allowed.expires.is_none_or(|expires| expires.since(now) > Duration::ZERO))
        .map(|allowed| AllowedEntry {
            target: allowed.target,
            why: crate::policy::Why::Hand.to_string(),
            expires: allowed.expires.map(|expires| expires.to_string()),
        });
    let configured = config.allow.iter().map(|net| AllowedEntry {
        target: Target::from(*net),
        why: crate::policy::Why::Configured.to_string(),
        expires: None,
    });
    Ok(configured.chain(by_hand).collect())
}
