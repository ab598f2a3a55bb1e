//! `ravelin allow`: what is never banned, by hand; the list also from the database when the daemon is dead.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::args::{Allow, Allowable};
use super::{Done, setup, table};
use crate::config::{Config, Preset};
use crate::control::{AllowedEntry, Request, Response};
use crate::event::{Target, Timestamp};
use crate::policy::{AllowFiles, Why};
use crate::store::Reader;

pub(super) fn run(config: Option<&Path>, args: &Allow) -> anyhow::Result<Done> {
    if args.presets {
        return presets(args.json);
    }
    let config = setup::standing_config(config)?;
    match (&args.target, &args.remove) {
        (Some(Allowable::One(target)), _) => add(&config, *target, args),
        (Some(Allowable::Preset(preset)), _) => add_preset(&config, preset, args),
        (None, Some(Allowable::One(target))) => remove(&config, *target, args.json),
        (None, Some(Allowable::Preset(preset))) => remove_preset(&config, preset, args.json),
        (None, None) => list(&config, args.json),
    }
}

fn add(config: &Config, target: Target, args: &Allow) -> anyhow::Result<Done> {
    let (target, expires, lifted) = allow(config, target, args.ttl, args.force)?;
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
    tell_lifted(&mut out, &lifted)
}

fn add_preset(config: &Config, preset: &Preset, args: &Allow) -> anyhow::Result<Done> {
    let (mut until, mut lifted) = (None, Vec::new());
    for net in &preset.nets {
        // Published as wide as it is.
        let (_, expires, freed) = allow(config, Target::from(*net), args.ttl, true)?;
        until = expires;
        lifted.extend(freed);
    }
    let (ranges, mut out) = (preset.nets.len(), io::stdout().lock());
    if args.json {
        let document = serde_json::json!({
            "preset": preset.name, "ranges": ranges, "expires": until, "lifted": lifted
        });
        writeln!(out, "{document}")?;
        return Ok(Done::Well);
    }
    let until = until.unwrap_or_else(|| format!("`ravelin allow --remove {preset}`"));
    writeln!(
        out,
        "{} ({ranges} ranges of {}) are never banned until {until}.",
        preset.what, preset.date
    )?;
    tell_lifted(&mut out, &lifted)
}

fn tell_lifted(out: &mut impl io::Write, lifted: &[Target]) -> anyhow::Result<Done> {
    if !lifted.is_empty() {
        let lifted: Vec<String> = lifted.iter().map(Target::to_string).collect();
        writeln!(out, "Bans lifted: {}.", lifted.join(", "))?;
    }
    Ok(Done::Well)
}

/// Has the daemon allow it; target, end, and the bans that this lifted.
fn allow(
    config: &Config,
    target: Target,
    ttl: Option<Duration>,
    force: bool,
) -> anyhow::Result<(Target, Option<String>, Vec<Target>)> {
    let ttl_s = ttl.map(|ttl| ttl.as_secs().max(1));
    match setup::ask_daemon(config, &Request::Allow { target, ttl_s, force })? {
        Response::Allowed { target, expires, lifted } => Ok((target, expires, lifted)),
        other => Err(setup::unexpected("allow", &other)),
    }
}

/// Has the daemon take it off the list; the entry that allows it all the same.
fn disallow(config: &Config, target: Target) -> anyhow::Result<Option<AllowedEntry>> {
    match setup::ask_daemon(config, &Request::Disallow { target })? {
        Response::Disallowed { still } => Ok(still),
        other => Err(setup::unexpected("allow --remove", &other)),
    }
}

fn remove(config: &Config, target: Target, json: bool) -> anyhow::Result<Done> {
    let still = disallow(config, target)?;
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

fn remove_preset(config: &Config, preset: &Preset, json: bool) -> anyhow::Result<Done> {
    for net in &preset.nets {
        disallow(config, Target::from(*net))?;
    }
    let (ranges, mut out) = (preset.nets.len(), io::stdout().lock());
    if json {
        let document = serde_json::json!({ "preset": preset.name, "ranges": ranges });
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{} ({ranges} ranges) are no longer allowed by hand.", preset.what)?;
    }
    Ok(Done::Well)
}

/// What there is, and how old it is.
fn presets(json: bool) -> anyhow::Result<Done> {
    let mut out = io::stdout().lock();
    if json {
        let all: Vec<_> = Preset::all()
            .iter()
            .map(|preset| {
                let Preset { name, date, source, what, nets } = preset;
                serde_json::json!({
                    "name": name, "date": date, "source": source, "what": what, "ranges": nets
                })
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
        return Ok(Done::Well);
    }
    let rows: Vec<[String; 4]> = Preset::all()
        .iter()
        .map(|preset| {
            [
                preset.to_string(),
                preset.date.to_owned(),
                preset.nets.len().to_string(),
                format!("{}, {}", preset.what, preset.source),
            ]
        })
        .collect();
    table::write(&mut out, ["PRESET", "AS OF", "RANGES", "WHAT"], &rows)?;
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
            why: Why::Hand.to_string(),
            expires: allowed.expires.map(|expires| expires.to_string()),
        });
    let configured = config.allow.iter().map(|net| AllowedEntry {
        target: Target::from(*net),
        why: Why::Configured.to_string(),
        expires: None,
    });
    let entry = |net: &IpNet, why: Why| AllowedEntry {
        target: Target::from(*net),
        why: why.to_string(),
        expires: None,
    };
    let presets = config
        .allow_presets
        .iter()
        .flat_map(|preset| preset.nets.iter().map(|net| entry(net, Why::Preset(preset.name))));
    let files = AllowFiles::new(&config.allow_files).nets();
    let files = files.iter().map(|net| entry(net, Why::File));
    Ok(configured.chain(presets).chain(files).chain(by_hand).collect())
}
