//! `ravelin list`: the bans, also from the pinned maps alone when the daemon is dead.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::args::List;
use super::look::{Look, Tone};
use super::table::{Cell, Fit};
use super::{Done, setup, table};
use crate::blocklist::{Clock, Pinned};
use crate::config::Config;
use crate::control::{ListedBan, Request, Response};
use crate::daemon::listed;
use crate::event::{BanOrder, Target, Timestamp};
use crate::mail::visible;
use crate::store::{Reader, StoreError};

/// Characters of a reason.
const REASON: usize = 200;

pub(super) fn run(config: Option<&Path>, args: &List, look: Look) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let (bans, alive) = match setup::ask(&config, &Request::List { most: None })? {
        Some(Response::List { bans }) => (bans, true),
        Some(other) => return Err(setup::unexpected("list", &other)),
        None => (without_daemon(&config)?, false),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, &bans)?;
        writeln!(out)?;
    } else {
        print(&mut out, &bans, Timestamp::now(), look)?;
        if !alive {
            writeln!(
                out,
                "\n{}",
                look.paint(
                    Tone::Odd,
                    "No daemon runs; these bans stand in the kernel and lapse by themselves."
                )
            )?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

/// On a terminal that is narrower only what matters most: `show` and `--json` have the rest.
const WIDE: usize = 100;

fn print(
    out: &mut impl io::Write,
    bans: &[ListedBan],
    now: Timestamp,
    look: Look,
) -> io::Result<()> {
    if bans.is_empty() {
        return writeln!(out, "Nobody is banned.");
    }
    let with_bytes = look.width.is_none_or(|width| width >= WIDE);
    let with_ports = look.width.is_none() || bans.iter().any(|ban| ban.ports.is_some());
    let mut header = vec![("TARGET", Fit::Whole), ("LEFT", Fit::Whole)];
    header.extend(with_ports.then_some(("PORTS", Fit::Whole)));
    header.push(("DROPPED", Fit::Number));
    header.extend(with_bytes.then_some(("BYTES", Fit::Number)));
    header.extend([("BY", Fit::Whole), ("REASON", Fit::Cut)]);
    let rows: Vec<Vec<Cell>> = bans
        .iter()
        .map(|ban| {
            let left = match &ban.expires {
                None => Cell::new("permanent", Tone::Odd),
                Some(expires) => table::left(expires, now).into(),
            };
            let dropping = (ban.dropped_packets == 0).then_some(Tone::Faint);
            let mut row = vec![Cell::new(ban.target.to_string(), Tone::Strong), left];
            row.extend(with_ports.then(|| ports(ban, now).into()));
            row.push(Cell::new(table::grouped(ban.dropped_packets), dropping));
            row.extend(with_bytes.then(|| Cell::new(table::bytes(ban.dropped_bytes), dropping)));
            row.push(Cell::new(by(ban), ban.level.and_then(Tone::of_level)));
            row.push(visible(&ban.reason, REASON).into());
            row
        })
        .collect();
    table::fitted(out, look, &header, &rows)
}

/// The rule, or who else decided.
pub(super) fn by(ban: &ListedBan) -> String {
    match ban.rule {
        Some(rule) => rule.to_string(),
        None if ban.origin == "rule" => "score".to_owned(),
        None => ban.origin.clone(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(target: &str, reason: &str) -> ListedBan {
        ListedBan {
            target: target.parse().unwrap(),
            origin: "rule".to_owned(),
            since: "2026-11-24T10:00:00Z".to_owned(),
            expires: Some("2026-11-24T10:05:00Z".to_owned()),
            ports: None,
            every_port_until: None,
            rule: Some(5720),
            level: Some(10),
            reason: reason.to_owned(),
            offences: 1,
            dropped_packets: 1_234_567,
            dropped_bytes: 74_074_020,
        }
    }

    fn printed(bans: &[ListedBan], look: Look) -> String {
        let now = Timestamp::from_micros(
            "2026-11-24T10:00:48Z".parse::<jiff::Timestamp>().unwrap().as_microsecond(),
        );
        let mut out = Vec::new();
        print(&mut out, bans, now, look).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_keeps_to_eighty_columns() {
        let mut score =
            ban("2001:db8:1234:5678::/64", "score 104.2 of 100 \x1b[2J from many sources together");
        score.rule = None;
        score.expires = None;
        score.dropped_packets = 0;
        let bans = [ban("198.51.100.7", "sshd brute force"), score];
        assert_eq!(
            printed(&bans, Look { colour: false, width: Some(80) }),
            "TARGET                   LEFT         DROPPED  BY     REASON\n\
             198.51.100.7/32          4m 12s     1 234 567  5720   sshd brute force\n\
             2001:db8:1234:5678::/64  permanent          0  score  score 104.2 of 100 \\x1b[2…\n"
        );
        let piped = printed(&bans, Look::PLAIN);
        assert!(piped.contains("from many sources together\n"), "{piped}");
        assert!(piped.contains("PORTS") && piped.contains("70.6 MiB"), "{piped}");
        assert!(!piped.contains('\x1b'));
    }
}
