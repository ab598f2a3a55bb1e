//! `ravelin list`: the bans, also from the pinned maps alone when the daemon is dead.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::args::List;
use super::{Done, setup, table};
use crate::blocklist::{Clock, Pinned};
use crate::config::Config;
use crate::control::{ListedBan, Request, Response};
use crate::daemon::listed;
use crate::event::{BanOrder, Target, Timestamp};
use crate::store::{Reader, StoreError};

pub(super) fn run(config: Option<&Path>, args: &List) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let (bans, alive) = match setup::ask(&config, &Request::List)? {
        Some(Response::List { bans }) => (bans, true),
        Some(other) => return Err(setup::unexpected("list", &other)),
        None => (without_daemon(&config)?, false),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, &bans)?;
        writeln!(out)?;
    } else {
        print(&mut out, &bans, Timestamp::now())?;
        if !alive {
            writeln!(
                out,
                "\nNo daemon runs; these bans stand in the kernel and lapse by themselves."
            )?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

fn print(out: &mut impl io::Write, bans: &[ListedBan], now: Timestamp) -> io::Result<()> {
    if bans.is_empty() {
        return writeln!(out, "Nobody is banned.");
    }
    let rows: Vec<[String; 7]> = bans
        .iter()
        .map(|ban| {
            [
                ban.target.to_string(),
                ban.expires
                    .as_deref()
                    .map_or_else(|| "permanent".to_owned(), |expires| table::left(expires, now)),
                ports(ban, now),
                table::grouped(ban.dropped_packets),
                table::bytes(ban.dropped_bytes),
                ban.rule.map_or_else(|| ban.origin.clone(), |rule| rule.to_string()),
                ban.reason.clone(),
            ]
        })
        .collect();
    table::write(out, ["TARGET", "LEFT", "PORTS", "DROPPED", "BYTES", "BY", "REASON"], &rows)
}

fn ports(ban: &ListedBan, now: Timestamp) -> String {
    match (&ban.ports, &ban.every_port_until) {
        (None, _) => "all".to_owned(),
        (Some(ports), None) => ports.to_string(),
        (Some(ports), Some(until)) => format!("{ports} (all for {})", table::left(until, now)),
    }
}

/// The kernel knows what is dropped, the database why.
pub(super) fn without_daemon(config: &Config) -> anyhow::Result<Vec<ListedBan>> {
    let entries = Pinned::open(&config.bpf_dir)?.entries()?;
    let known = known(config).unwrap_or_else(|error| {
        tracing::warn!(%error, "The database can't be read; the bans' reasons are unknown.");
        HashMap::new()
    });
    Ok(listed(&entries, |target| known.get(&target), &Clock::read(), Timestamp::now()))
}

fn known(config: &Config) -> Result<HashMap<Target, BanOrder>, StoreError> {
    let mut known = HashMap::new();
    Reader::open(&config.state_dir)?.bans(|ban| {
        let is_later = |known: &BanOrder| known.since > ban.order.since;
        if !known.get(&ban.order.target).is_some_and(is_later) {
            known.insert(ban.order.target, ban.order);
        }
    })?;
    Ok(known)
}
